package main

import (
	"context"
	"log/slog"
	"sync/atomic"

	service "kaban/internal/chat" // chat is a command here
	"kaban/internal/lease"
	"kaban/internal/news"
	"kaban/internal/store"
)

// peerNodes are the other nodes on the database of a server, as far as they have it in common. The methods of
// a nil *peerNodes are those of a server with data of its own.
type peerNodes struct {
	news  *news.Store
	lease *lease.Keeper
	rooms atomic.Pointer[service.Chat] // once they are there
}

// meet joins the nodes on a database.
func (c *serveCommand) meet(ctx context.Context, kept store.Store, log *slog.Logger) (o *peerNodes, err error) {
	if !c.home().isDatabase() {
		return nil, nil
	}
	o = new(peerNodes)
	if o.news, err = news.Open(ctx, kept); err != nil {
		return nil, err
	}
	// A lease that was stored without the knowledge of this node ends by itself.
	o.lease, err = lease.Open(ctx, kept, lease.Options{Log: log, OnLost: func() {
		if rooms := o.rooms.Load(); rooms != nil {
			rooms.LeaseLost()
		}
	}})
	if err != nil {
		return nil, err
	}
	return o, nil
}

// isShared reports whether other nodes may use a store as well, which over has returned.
func isShared(s store.Documents) bool {
	_, is := s.(*news.Store)
	return is
}

// over returns a store whose changes the other nodes hear of.
func (o *peerNodes) over(kept store.Store) store.Store {
	if o == nil {
		return kept
	}
	return o.news
}

// follow has what other nodes change take effect here.
func (o *peerNodes) follow(shared *services) {
	if o == nil {
		return
	}
	o.rooms.Store(shared.rooms)
	shared.rooms.FollowNodes(o.news, o.lease, shared.settingChanged)
}

// lead runs what one node at a time does, until ctx ends; see lease.Keeper.Lead.
func (o *peerNodes) lead(ctx context.Context, job string, run func(ctx context.Context)) {
	if o == nil {
		run(ctx)
		return
	}
	o.lease.Lead(ctx, job, run)
}

// close leaves the other nodes.
func (o *peerNodes) close() {
	if o != nil {
		o.lease.Close()
	}
}
