package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"kaban/internal/certs"
	"kaban/internal/guard"
	"kaban/internal/push"
	"kaban/internal/store"
)

// pushGuard are the options of the guard that pushes are sent through. Push services are public, have
// https at port 443, do not redirect and answer with next to nothing. Tests change them, in the
// program of the tests only.
var pushGuard = guard.Options{
	HTTPSOnly: true, Redirects: -1, Ports: []uint16{443},
	MaxBody: 64 << 10, MaxHeader: 16 << 10,
	Conns: 64, ConnsPerHost: 16,
	DialTimeout: 5 * time.Second, TLSTimeout: 5 * time.Second, HeaderTimeout: 10 * time.Second, Timeout: 15 * time.Second,
	IdleTimeout: time.Minute,
}

// lastPushes is how long pushes that are under way may take when the server ends.
const lastPushes = 3 * time.Second

// pushes notifies browsers while the page is closed.
type pushes struct {
	key     *push.Key
	guard   *guard.Guard
	service *push.Service
}

// startPushes starts to notify browsers. The first start makes the key, which stays.
func (c *serveCommand) startPushes(shared *services, kept store.Documents, endpoints []*endpoint, source *certs.Source, log *slog.Logger) (*pushes, error) {
	key, err := c.pushKey(kept, log)
	if err != nil {
		return nil, err
	}
	g, err := guard.New(pushGuard)
	if err != nil {
		return nil, fmt.Errorf("start Web Push: %w", err)
	}
	// Nobody learns of a failure here but the operator, who finds subscriptions that are dropped
	// too late, or again.
	failed := func(what string, err error) {
		if err != nil && !errors.Is(err, context.Canceled) {
			log.Warn("a subscription to pushes could not be "+what, "error", err)
		}
	}
	service, err := push.New(push.Config{
		Key: key, Subject: c.pushSubject(endpoints, source), Transport: g, Compose: shared.rooms.ComposePush, Log: log,
		Drop: func(ctx context.Context, account, id string, why push.Reason) {
			log.Info("a subscription to pushes was dropped", "subscription", id, "reason", string(why))
			failed("dropped", shared.accounts.DropPush(ctx, account, id))
		},
		Mark: func(ctx context.Context, account, id string, since time.Time) {
			failed("marked", shared.accounts.MarkPush(ctx, account, id, since))
		},
	})
	if err == nil {
		if err = shared.rooms.StartPushes(context.Background(), service); err != nil {
			err = errors.Join(err, service.Close(context.Background()))
		}
	}
	if err != nil {
		g.Close()
		return nil, fmt.Errorf("start Web Push: %w", err)
	}
	return &pushes{key, g, service}, nil
}

// check refuses an endpoint that no push would ever reach: with another port than those of push services, with an
// address that the server does not connect to, or whose name has only such addresses now. The error is a
// *push.SubscriptionError, and says nothing about the operator's network.
func (p *pushes) check(ctx context.Context, endpoint string) error {
	u, err := url.Parse(endpoint) // it was parsed before
	if err == nil {
		err = p.guard.CheckHost(ctx, u)
	}
	if err == nil {
		return nil
	}
	problem := "is no address of a push service"
	if bad, ok := errors.AsType[*guard.URLError](err); ok {
		problem = "cannot be used: " + bad.Reason
	}
	return &push.SubscriptionError{Field: "endpoint", Problem: problem}
}

// pushKey returns the key that pushes are signed with. One in memory is gone with its data.
func (c *serveCommand) pushKey(kept store.Documents, log *slog.Logger) (*push.Key, error) {
	switch {
	case c.Data == inMemory:
		return push.NewKey()
	case c.home().isDatabase():
		return commonPushKey(kept, c.State)
	}
	key, made, err := push.OpenKey(c.Data)
	if made {
		log.Info("made the key for Web Push", "file", filepath.Join(c.Data, push.KeyName))
	}
	return key, err
}

// pushSubject returns the address at which push services find the operator: that of the page, if
// it has one of https. Without one only browsers on this machine subscribe.
func (c *serveCommand) pushSubject(endpoints []*endpoint, source *certs.Source) string {
	for _, origin := range c.Origin {
		if strings.HasPrefix(origin, schemeHTTPS+"://") {
			return origin
		}
	}
	if address := secureURL(endpoints, source); address != "" {
		return address
	}
	return "https://localhost"
}

// close sends what waits, and ends. Nobody looks at rooms any more.
func (p *pushes) close(log *slog.Logger) {
	ctx, cancel := context.WithTimeoutCause(context.Background(), lastPushes, errors.New("push services took too long"))
	defer cancel()
	if err := p.service.Close(ctx); err != nil {
		log.Warn("some browsers were not notified of the last messages", "error", err)
	}
	p.guard.Close()
}

// keepPushKey puts the key for Web Push beside a backup: browsers subscribe to that one key.
func (c *backupCommand) keepPushKey(std streams) error {
	copied, err := push.CopyKey(c.Data, filepath.Dir(c.File))
	switch {
	case err == nil:
		if copied && !c.Whole {
			fmt.Fprintf(std.err, "kaban: put %s beside it, the key that notifications are signed with; it is a secret, as the backup is, and belongs to it\n", push.KeyName)
		}
		return nil
	case c.Whole: // on a schedule: the backup itself is good, and counts
		fmt.Fprintf(std.err, "kaban: warning: the key for Web Push is not beside the backup: %v\n", err)
		return nil
	}
	return fmt.Errorf("the backup is complete, but the key for Web Push is not beside it: %w", err)
}

// restorePushKey brings the key for Web Push back from beside a backup. Another one that is there
// stays: its subscriptions work with it.
func restorePushKey(std streams, data, file string) error {
	copied, err := push.CopyKey(filepath.Dir(file), data)
	switch {
	case errors.Is(err, push.ErrOtherKey):
		fmt.Fprintf(std.err, "kaban: warning: %v. Until then, browsers that subscribed with the other key are notified again only once the page was opened there\n", err)
		return nil
	case err != nil:
		return fmt.Errorf("the database is restored and may be used, but not the key for Web Push: %w", err)
	case copied:
		fmt.Fprintf(std.err, "kaban: restored %s, so that browsers are notified as before\n", filepath.Join(data, push.KeyName))
	}
	return nil
}
