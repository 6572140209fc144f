package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"

	"kaban/internal/account"
	"kaban/internal/backup"
	service "kaban/internal/chat" // chat is a command here
	"kaban/internal/dispatch"
	"kaban/internal/files"
	"kaban/internal/hook"
	"kaban/internal/index"
	"kaban/internal/store"
)

// services are what the front ends of a server, and commands without one, have in
// common.
type services struct {
	accounts *account.Service
	rooms    *service.Chat
	claim    *claimFile
	owned    atomic.Bool // the server has an owner, as its log says
	log      *slog.Logger

	dispatcher *dispatch.Dispatcher
	index      *index.Index    // nil: commands search nothing
	backups    *backup.Service // nil: none are made on a schedule
	pushes     *pushes         // nil: browsers are not notified
	files      *keptFiles      // nil: nothing is uploaded
	previews   *previews       // nil: no page is read that a message links to
	line       *line           // nil: there are no other nodes
	documents  store.Documents
	endHashing func()
}

// newServices starts the services over a store, and over one with files. Hooks that are files move into it.
func newServices(ctx context.Context, data string, kept store.Store, blobs files.Store, d *dispatch.Dispatcher, chatOptions service.Options, options account.Options) (*services, error) {
	log := options.Log
	if data != inMemory {
		imported, err := hook.Import(ctx, kept, data)
		if err != nil {
			log.Warn("hooks of an older version could not be moved into the database", "error", err)
		}
		if imported > 0 {
			log.Info("moved hooks of an older version into the database", "hooks", imported)
		}
	}
	uploads, err := openFiles(data, blobs, isShared(kept), log)
	if err != nil {
		return nil, err
	}
	if uploads != nil {
		chatOptions.Blobs = uploads.keeper
	}
	chatOptions.Log = log
	chatOptions.EraseAudit = func(ctx context.Context, id string) error { return account.EraseFromAudit(ctx, kept, id) }
	rooms, err := service.New(ctx, d, chatOptions)
	if err != nil {
		return nil, fmt.Errorf("start: %w", err)
	}
	s := &services{documents: kept, rooms: rooms, claim: newClaimFile(data, log), dispatcher: d, files: uploads, endHashing: func() {}}
	s.log = log
	s.owned.Store(rooms.IsClaimed())
	options.OnRevoked, options.OnChanged, options.OnSettings = rooms.Revoke, rooms.AccountChanged, s.settingChanged
	options.OnNotifications = rooms.NotificationsChanged
	options.OnSubscribed, options.OnUnsubscribed = rooms.Subscribed, rooms.Unsubscribed
	s.accounts = account.New(kept, options)
	return s, nil
}

// settingChanged runs after each change of a setting. The first owner sets access in
// the transaction that consumes the claim.
func (s *services) settingChanged(key string) {
	s.rooms.SettingChanged(key)
	if key == account.SettingAccess && s.rooms.IsClaimed() {
		s.claim.remove()
		if !s.owned.Swap(true) {
			s.log.Info("this server has an owner now; the claim is used up")
		}
	}
}

// close ends what the services do by themselves and stores what was only counted. Call
// it when no front end serves any more.
func (s *services) close(log *slog.Logger) {
	s.rooms.Close()
	if s.pushes != nil {
		s.pushes.close(log)
	}
	if s.files != nil {
		s.files.close()
	}
	if s.previews != nil {
		s.previews.close()
	}
	if err := s.accounts.FlushFailures(context.Background()); err != nil {
		log.Warn("failed sign-ins since the last minute are not in the audit", "error", err)
	}
	s.endHashing()
}
