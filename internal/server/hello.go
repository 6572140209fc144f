package server

import (
	"context"
	"errors"
	"slices"
	"time"

	"kaban"
	"kaban/internal/account"
	"kaban/internal/chat"
	"kaban/internal/conn"
	"kaban/internal/people"
	"kaban/wire"
)

// deviceName is the name of a device that signs in with a password. People can change
// it.
const deviceName = "kaban/1 client"

// hello makes the connection a client's. A token or a password wins over what the
// handshake of a WebSocket has proved; a username alone does not.
func (c *client) hello(r *wire.Request) {
	switch {
	case c.session != nil:
		c.replyError(r.Ref, wire.CodeAlreadyGreeted, "hello was said already; open another connection for another name")
	case c.isLocked():
		c.replyError(r.Ref, wire.CodeAuthRequired, lockedText)
		c.logRefused(wire.CodeAuthRequired)
		c.end(conn.Refused, 0, wire.CodeAuthRequired.Close())
	case r.Token != "" || r.Password != "":
		c.signIn(r)
	case c.arrival.Refused != nil:
		c.refuseHello(r.Ref, c.arrival.Refused)
	case c.arrival.Principal != nil:
		c.proceed(r)
	case r.Username.IsZero():
		c.refuseHello(r.Ref, chat.ErrAuthRequired)
	case c.server.chat.IsClaimed():
		name, resume, ref := r.Username, r.Resume, slices.Clone(r.Ref)
		var err error
		c.handler.Ask(func(ctx context.Context) { err = c.server.chat.AdmitVisitor(ctx, name) }, func() {
			switch {
			case c.closed:
			case err != nil:
				c.refuseHello(ref, err)
			default:
				c.visit(ref, name, resume)
			}
		})
	default:
		c.visit(r.Ref, r.Username, r.Resume)
	}
}

// visit greets somebody without an account.
func (c *client) visit(ref []byte, name kaban.Username, resume string) {
	err := c.enterVisitor()
	if err == nil {
		err = c.claim(name, resume)
	}
	if !errors.Is(err, chat.ErrTaken) || !c.server.chat.HasNodes() {
		c.visited(ref, name, err)
		return
	}
	// Another node may have the name by now, such as for the same client a moment ago.
	ref = slices.Clone(ref)
	c.handler.Ask(func(ctx context.Context) { err = c.server.chat.GiveTaken(ctx, name) }, func() {
		switch {
		case c.closed:
		case err != nil:
			c.refuseHello(ref, err)
		default:
			c.visited(ref, name, c.claim(name, resume))
		}
	})
}

// claim makes the newcomer a client with a visitor's name.
func (c *client) claim(name kaban.Username, resume string) error {
	return c.handler.Admit(func() error {
		return c.server.chat.Claim(&c.entered, c, kaban.Visitor(name), c.arrival.Peer.Addr, resume)
	})
}

// visited greets the newcomer that has claimed a visitor's name, unless that has failed.
func (c *client) visited(ref []byte, name kaban.Username, err error) {
	if err != nil {
		c.refuseHello(ref, err)
		return
	}
	c.session = &c.entered
	if !c.server.chat.ChecksVisitors() {
		c.welcomeVisitor(ref)
		return
	}
	// From here on an account that gets the name ends the connection. One that was made
	// just before is seen by looking once more.
	ref = slices.Clone(ref)
	session := c.session
	c.handler.Ask(func(ctx context.Context) {
		if err = c.server.chat.AdmitVisitor(ctx, name); err == nil {
			err = c.server.chat.Hold(ctx, session)
		}
	}, func() {
		if c.closed || !errors.Is(err, chat.ErrTaken) || !c.server.chat.HasNodes() {
			c.settled(ref, err)
			return
		}
		c.handler.AskLong(func(ctx context.Context) { err = c.server.chat.HoldAgain(ctx, session) }, func() { c.settled(ref, err) })
	})
}

// settled greets the newcomer whose name is held on all nodes, unless that has failed.
func (c *client) settled(ref []byte, err error) {
	switch {
	case c.closed:
	case err != nil:
		c.refuseHello(ref, err)
	default:
		c.welcomeVisitor(ref)
	}
}

func (c *client) welcomeVisitor(ref []byte) {
	c.arrival = nil
	e := answer(wire.TypeWelcome, ref)
	e.Session = c.session.Secret()
	c.welcome(e)
}

// proceed greets the account that has opened the connection.
func (c *client) proceed(r *wire.Request) {
	if err := c.handler.Admit(func() error { return nil }); err != nil {
		c.refuseHello(r.Ref, err)
		return
	}
	c.enterAccount(slices.Clone(r.Ref), r.Username, &account.Session{Principal: *c.arrival.Principal})
}

// signIn greets an account.
func (c *client) signIn(r *wire.Request) {
	accounts := c.server.config.Accounts
	ref, name, token, password := slices.Clone(r.Ref), r.Username, string(r.Token), string(r.Password)
	place := string(r.Place)
	switch {
	case !c.arrival.TakesSecrets:
		c.replyError(ref, wire.CodeTLSRequired, "this connection is not encrypted, so it takes no secrets; connect with TLS")
		c.end(conn.Refused, 0, wire.CodeTLSRequired.Close())
		return
	case accounts == nil:
		c.refuseHello(ref, account.ErrAuthFailed)
		return
	}
	// A newcomer has little time. Checking a secret may take longer, and the service
	// bounds how many are checked at a time.
	if err := c.handler.Admit(func() error { return nil }); err != nil {
		c.refuseHello(ref, err)
		return
	}
	var session account.Session
	var err error
	address := c.arrival.Host()
	c.handler.AskLong(func(ctx context.Context) {
		if token != "" {
			if session.Principal, err = accounts.Authenticate(ctx, token, address); err == nil {
				accounts.RememberPlace(&session.Principal, place)
			}
		} else {
			session, err = accounts.SignInWithPassword(ctx, name.String(), password, account.Device{Name: deviceName, Address: address, Place: place})
		}
	}, func() {
		switch {
		case c.closed:
		case err != nil:
			c.refuseHello(ref, err)
		default:
			c.enterAccount(ref, name, &session)
		}
	})
}

// enterAccount greets an account that has proved itself.
func (c *client) enterAccount(ref []byte, name kaban.Username, session *account.Session) {
	p := &session.Principal
	id, err := p.Account.Identity()
	if err == nil && !name.IsZero() && name.Key() != id.Name().Key() {
		err = chat.ErrForbidden
	}
	if err == nil {
		err = c.enterLimits(p.Account.ID, p.SecretID, p.Kind == people.SecretToken)
	}
	if err != nil {
		c.refuseHello(ref, err)
		return
	}
	from := c.arrival.Peer.Addr
	c.arrival = nil
	c.server.chat.Enter(&c.entered, c, id, from, &chat.Credential{
		ID: p.SecretID, Rooms: p.Rooms, ReadOnly: p.ReadOnly, Device: p.Kind == people.SecretDevice, Expires: p.Expires,
	})
	c.session = &c.entered
	// From here on a revocation reaches the connection. One that came before it is seen
	// by looking once more.
	c.handler.Ask(func(ctx context.Context) { *p, err = c.server.config.Accounts.Renew(ctx, *p) }, func() {
		switch {
		case c.closed:
		case err != nil:
			c.refuseHello(ref, err)
		default:
			e := answer(wire.TypeWelcome, ref)
			e.Account = &wire.Account{Username: p.Account.Username, Name: p.Account.Name, Role: p.Role, Bot: p.Account.Bot}
			if e.Token = wire.Secret(session.Secret); c.server.config.Web != nil {
				e.Web = c.server.config.Web()
			}
			c.welcome(e)
		}
	})
}

// welcome sends what every client is told.
func (c *client) welcome(e *wire.Event) {
	name := c.session.Identity.Name()
	c.reader.SetLimit(wire.MaxFrame)
	c.reader.SetAuthor(&c.session.Identity)
	e.Username, e.Server = name.String(), c.server.config.Name
	e.Limits = wire.Limits{
		Username: kaban.MaxUsername, Content: c.server.chat.MaxContent(), Frame: wire.MaxFrame, Topic: wire.MaxTopic, Reason: wire.MaxReason,
	}
	e.Heartbeat = max(c.server.manager.Config().Heartbeat.Truncate(time.Second), time.Second)
	c.reply(e)
	c.greeted = true
	if c.rooms != nil { // something has changed since the connection is known
		c.tellStates()
	}
}

// refuseHello ends a connection whose hello is refused. Where the same hello may
// succeed later, the goodbye says when to come back. What the hello has claimed is free before the
// client hears of it, because it may try again at once.
func (c *client) refuseHello(ref []byte, err error) {
	c.leaveName()
	if errors.Is(err, conn.ErrFull) {
		retry := retryLater()
		e := c.server.fullEvent(retry)
		e.Ref, e.HasRef = string(ref), ref != nil
		c.reply(e)
		c.end(conn.Full, retry, e.Code.Close())
		return
	}
	e := c.failure(ref, err)
	c.reply(&e)
	if e.Code.Temporary() {
		c.end(conn.Internal, max(e.RetryAfter, time.Second), e.Code.Close())
		return
	}
	if e.Code != wire.CodeUsernameTaken {
		c.logRefused(e.Code)
	}
	c.end(conn.Refused, 0, e.Code.Close())
}
