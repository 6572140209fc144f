package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"time"

	"kaban"
	"kaban/wire"
)

const (
	// firstBackoff is the bound of the first delay between attempts.
	firstBackoff = 250 * time.Millisecond
	// useful is how long a connection has to last to reset the backoff.
	useful = 10 * time.Second
	// strayLife is how long an abandoned attempt may still replace this client: its server may have been
	// frozen, or parted from its database, which other servers have.
	strayLife = 5 * time.Minute
)

// run keeps the session alive until it ends. The link is nil for a client that has
// no connection yet.
func (c *Client) run(l *link) {
	defer c.fail()
	var err error
	for c.Err() == nil {
		if l == nil {
			if l = c.comeBack(err); l == nil {
				return
			}
		}
		began := time.Now()
		err = c.serve(l)
		if time.Since(began) >= useful {
			c.failures = 0
		}
		if time.Since(c.strayed) >= strayLife {
			c.strays = 0
		}
		l = c.takeSuccessor()
	}
	if l != nil {
		l.close()
	}
}

// comeBack tries until there is a connection; nil means that the session is over.
// err is why there is none; nil if nobody has asked for one yet.
func (c *Client) comeBack(err error) (l *link) {
	for c.Err() == nil {
		delay := time.Duration(-1)
		switch {
		case err == nil:
		case !c.isFinal(err):
			c.failures++
			delay = c.delay(err)
			c.tell(State{Status: Offline, Err: err, RetryIn: delay})
		case c.persistent:
			c.stop()
			c.tell(State{Status: Stopped, Err: err})
		default:
			c.cancel(err)
			return nil
		}
		if !c.pause(delay) {
			return nil
		}
		if l = c.takeSuccessor(); l != nil {
			return l
		}
		if l, err = c.connect(c.ctx); l != nil {
			return l
		}
	}
	return nil
}

// pause waits, for ever if the delay is negative, until Reconnect is called or the
// delay is over. It reports whether to go on.
func (c *Client) pause(delay time.Duration) bool {
	var timer <-chan time.Time
	if delay >= 0 {
		timer = time.After(delay)
	}
	select {
	case <-timer:
	case <-c.hurry:
	case <-c.ctx.Done():
		return false
	}
	return true
}

// stop lets a client of New rest. It forgets the secret of the session, so that it
// does not take the name back from another connection.
func (c *Client) stop() {
	c.failures, c.strays = 0, 0
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped, c.greeted, c.welcome.Session = true, false, ""
	for _, q := range c.calls {
		if !q.isPost() && !q.isJoin() {
			c.answerLocked(q, nil, ErrOffline)
		}
	}
}

// isFinal reports whether coming back makes no sense.
func (c *Client) isFinal(err error) bool {
	if errors.Is(err, ErrInsecure) {
		return true
	}
	if refused, ok := errors.AsType[*Error](err); ok {
		if refused.Code != wire.CodeUsernameTaken {
			return !refused.Temporary()
		}
		c.mu.Lock()
		greeted := c.greeted
		c.mu.Unlock()
		// Once this client has had the name, a remnant of it may hold it, or somebody
		// else for a while. Before that only an abandoned attempt of its own can.
		return !greeted && !c.forgiveStray()
	}
	if bye, ok := errors.AsType[*Goodbye](err); ok {
		switch bye.Reason {
		case wire.ReasonReplaced:
			// Each stray can replace us once. Anybody else may have the session.
			return !c.forgiveStray()
		case wire.ReasonProtocol, wire.ReasonAuth:
			return true
		}
	}
	return false
}

// forgiveStray reports whether a stray can be the cause of a conflict.
func (c *Client) forgiveStray() bool {
	if c.strays == 0 {
		return false
	}
	c.strays--
	return true
}

// delay returns how long to wait before the next attempt: at random between
// nothing and a bound that doubles ("full jitter"), so that clients do not come
// back all at once. The server's own figure is taken if it is longer or its first.
func (c *Client) delay(err error) time.Duration {
	delay := rand.N(backoff(firstBackoff, c.failures, c.options.MaxBackoff))
	if said := min(retryTime(err), c.options.MaxBackoff); said > delay || said > 0 && c.failures == 1 {
		return said // the server has spread its clients
	}
	return delay
}

// backoff doubles first with each failure after the first one, up to a bound.
func backoff(first time.Duration, failures int, bound time.Duration) time.Duration {
	for range failures - 1 {
		if first >= bound {
			break
		}
		first *= 2
	}
	return min(first, bound)
}

func (c *Client) tell(s State) {
	if c.options.OnState != nil {
		s.Unacknowledged = c.Unacknowledged()
		c.options.OnState(s)
	}
}

// connect makes one attempt under each of the names until one is free.
func (c *Client) connect(ctx context.Context) (l *link, err error) {
	c.mu.Lock()
	as := credentials{resume: c.welcome.Session, token: c.options.Token, password: c.options.Password, place: c.options.Place}
	names, first := c.names, !c.greeted
	if as.isSecret() && len(names) > 1 {
		names = names[:1]
	}
	if len(names) > 0 {
		c.stopped = false
	}
	c.mu.Unlock()
	if c.persistent && first && len(names) > 0 {
		c.tell(State{Status: Connecting})
	}
	for _, name := range names {
		var stray bool
		if l, stray, err = c.attempt(ctx, name, as); stray {
			c.strays, c.strayed = c.strays+1, time.Now()
		}
		if !isCode(err, wire.CodeUsernameTaken) {
			break
		}
	}
	if l == nil {
		return nil, err
	}
	c.mu.Lock()
	c.adoptLocked(l)
	c.mu.Unlock()
	if l.welcome.Token != "" && c.options.OnToken != nil {
		c.options.OnToken(l.welcome.Token)
	}
	return l, nil
}

// adoptLocked takes the name and the limits of a connection.
func (c *Client) adoptLocked(l *link) {
	c.welcome, c.username, c.names = l.welcome, l.username, []kaban.Username{l.username}
	c.greeted, c.offline, c.stopped = true, false, false
	c.had[l.welcome.Username] = true
	if l.welcome.Token != "" {
		c.options.Token, c.options.Password = l.welcome.Token, ""
	}
}

// attempt makes one attempt to get a welcome. stray reports whether the server may
// still accept it later.
func (c *Client) attempt(ctx context.Context, name kaban.Username, as credentials) (l *link, stray bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.options.Patience)
	defer cancel()
	c.mu.Lock()
	dial := c.dial
	c.mu.Unlock()
	conn, err := dial(ctx)
	if err != nil {
		return nil, false, fmt.Errorf("connect: %w", err)
	}
	if as.isSecret() && !c.options.Insecure && !isPrivate(conn) {
		conn.Close()
		return nil, false, ErrInsecure
	}
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	l, err = c.greet(conn, name, as)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err == nil {
		return l, false, nil
	}
	conn.Close()
	stray = !isAnswer(err) && !as.isSecret()
	if cause := context.Cause(ctx); cause != nil {
		err = fmt.Errorf("the server does not answer: %w", cause)
	}
	return nil, stray, err
}

// greet says hello and waits for the welcome.
func (c *Client) greet(conn net.Conn, name kaban.Username, as credentials) (*link, error) {
	l := newLink(c, conn)
	l.username = name
	hello := wire.Request{Type: wire.TypeHello, Username: name, Resume: as.resume, Token: as.token, Password: as.password}
	if as.isSecret() {
		hello.Place = as.place
	}
	if as.token != "" { // it says the name
		hello.Username, hello.Password = kaban.Username{}, ""
	}
	if err := l.writer.Write(&hello); err != nil {
		return nil, err
	}
	if err := l.writer.Flush(); err != nil {
		return nil, fmt.Errorf("say hello: %w", err)
	}
	for {
		var e wire.Event
		if err := l.reader.ReadEvent(&e); err != nil {
			if wire.CodeOf(err) == wire.CodeUnknownType {
				continue
			}
			return nil, fmt.Errorf("wait for the server's welcome: %w", err)
		}
		switch e.Type {
		case wire.TypeWelcome:
			if as.isSecret() {
				var err error
				if l.username, err = kaban.ParseUsername(e.Username); err != nil {
					return nil, fmt.Errorf("the server's welcome: %w", err)
				}
			}
			l.welcomed(e)
			return l, nil
		case wire.TypeError:
			return nil, errorOf(&e)
		case wire.TypeGoodbye:
			return nil, goodbyeOf(&e)
		}
	}
}
