package client

import (
	"context"
	"net"
	"time"

	"kaban/client/dial"
	"kaban/wire"
)

// Status is the state of a client's connection.
type Status uint8

// The statuses.
const (
	Online     Status = iota + 1
	Offline           // broken, or not made yet; the next attempt is after State.RetryIn
	Silent            // the server does not answer; Online or Offline follows
	Connecting        // a client of New is making its first attempts
	Stopped           // a client of New was refused for good and waits for Connect or Reconnect
)

// State is passed to Options.OnState.
type State struct {
	Status Status
	// Err is why the client is Offline or Stopped: a *Goodbye, an *Error or an error
	// of the network. While Offline, an *Error with username_taken means that the
	// name is held, perhaps by a lost connection of this client; it keeps trying.
	Err     error
	RetryIn time.Duration
	// Unacknowledged is the number of messages, and changes of messages, that were posted
	// and not yet answered.
	Unacknowledged int
}

// Presence is passed to Options.OnPresence. Its delivery is not guaranteed.
type Presence struct {
	Room         string
	Members      int
	Joined, Left []string // empty in large rooms
}

// Options configure a client.
type Options struct {
	// Username and Fallbacks are for Dial, which takes the first of them that is
	// free.
	Username  string
	Fallbacks []string
	// Token is the secret of a device or of a program; Password is that of an account.
	// Either signs in to an account and makes Fallbacks useless. A Token needs no
	// Username. A Password is used once: the client goes on with the token of the new
	// device. Both are sent to other machines only over encrypted connections.
	Token, Password wire.Secret
	// Place is a secret that stays the same for one server, whichever account signs in
	// here: wire.MinPlace to wire.MaxPlace random bytes, or none. It goes with a Token or
	// a Password. An account that has signed in with it before is not slowed down by
	// others behind the same address that guess its password.
	Place wire.Secret
	// Insecure allows sending secrets to other machines without encryption.
	Insecure bool
	// OnToken is called with the token of the new device, once, if Password is used.
	// Whoever saves it needs no password the next time. It keeps to the rules of
	// OnState, but Dial calls it before it returns.
	OnToken func(wire.Secret)
	// OnState, OnPresence, OnTyping, OnRoomState and OnNotifications are called in order by the client's own
	// goroutine: they must not block nor call methods that wait for the server.
	OnState func(State)
	// OnHeld reports that the server refuses a message, or a change of one, for now, such as
	// with storage_full, or with unavailable for the second time: the client keeps it and sends it again. It may
	// be called several times for one, from the client's own goroutine, and must not call methods of the client.
	OnHeld     func(*Error)
	OnPresence func(Presence)
	// OnTyping reports who is typing. Nobody is in any room after the client was Offline.
	OnTyping func(Typing)
	// OnRoomState reports that something of a room changed for the account, perhaps
	// on another device: its state, or that it is Gone. Me returns the states to
	// start with, also after each time that the client was Offline.
	OnRoomState func(wire.RoomState)
	// OnNotifications reports that the account wants to be notified of something else, perhaps
	// by another device. The levels of rooms may have changed with it: Me has them.
	OnNotifications func(Notifications)
	// Trust says which certificates of the server count. The zero Trust accepts those of
	// the system's authorities. With an address without TLS it must be zero.
	Trust dial.Trust
	// Dial replaces the way to the server, whose address then is not looked at. Default:
	// that of dial.Dialer. A connection with a method ConnectionState, such as a
	// *tls.Conn, counts as encrypted.
	Dial func(ctx context.Context) (net.Conn, error)
	// MaxBackoff bounds the delay between attempts. Default 30 s.
	MaxBackoff time.Duration
	// Silence is how long the server may send nothing before it is asked for a sign
	// of life. Default: half of its heartbeat, at most 10 s.
	Silence time.Duration
	// Patience is how long the server may take for the welcome. Without a sign of
	// life the client is Silent after half of it, and abandons the connection after
	// twice that time. Default 10 s.
	Patience time.Duration
}

// WithToken returns the options with the token of a device or of a program.
func (o Options) WithToken(token string) Options {
	o.Token, o.Password = wire.Secret(token), ""
	return o
}

// WithPassword returns the options with the username and the password of an account.
func (o Options) WithPassword(username, password string) Options {
	o.Username, o.Fallbacks = username, nil
	o.Token, o.Password = "", wire.Secret(password)
	return o
}

func (o Options) withDefaults() Options {
	if o.MaxBackoff <= 0 {
		o.MaxBackoff = 30 * time.Second
	}
	if o.Patience <= 0 {
		o.Patience = 10 * time.Second
	}
	return o
}

// dialer returns the way to an address. The error is a *dial.AddressError or that of
// dial.Dialer.Check.
func (o *Options) dialer(addr string) (func(ctx context.Context) (net.Conn, error), error) {
	if o.Dial != nil {
		return o.Dial, nil
	}
	address, err := dial.Parse(addr)
	if err != nil {
		return nil, err
	}
	d := &dial.Dialer{Address: address, Trust: o.Trust}
	return d.Dial, d.Check()
}
