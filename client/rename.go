package client

import (
	"context"

	"kaban"
)

// Rename continues under another username, in all rooms and with all unsent
// messages. It waits until the messages that may have reached the server are
// answered, since the server would store them again for another author; later ones
// are sent under the new name. It says hello under the new name on a second
// connection, which replaces the present one only if the server accepts the name.
// An account keeps its username: ErrAccount. After an error nothing has changed; ErrUnderWay means that ctx ended while
// messages were under way.
func (c *Client) Rename(ctx context.Context, name string) error {
	username, err := kaban.ParseUsername(name)
	if err != nil {
		return err
	}
	if _, ok := c.Account(); ok {
		return ErrAccount
	}
	select {
	case c.renaming <- struct{}{}:
	case <-ctx.Done():
		return ErrUnderWay
	}
	defer func() { <-c.renaming }()
	if err := c.holdPosts(ctx); err != nil {
		return err
	}
	defer c.releasePosts()
	l, _, err := c.attempt(ctx, username, credentials{})
	if err != nil {
		return err
	}
	if err := c.succeed(l); err != nil {
		l.close()
		return err
	}
	select {
	case <-l.attached:
		return nil
	case <-c.ctx.Done():
		return c.Err()
	}
}

// holdPosts keeps new messages from being written and waits until those that were
// written are answered.
func (c *Client) holdPosts(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return ErrOffline
	}
	c.held = true
	err := c.awaitLocked(ctx, func() bool { return c.doubtful == 0 })
	if err == nil {
		return nil
	}
	c.held = false
	c.wakeLocked()
	if c.Err() == nil {
		err = ErrUnderWay
	}
	return err
}

func (c *Client) releasePosts() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held = false
	c.wakeLocked()
}

// succeed has the session goroutine take a link in the place of the present one.
func (c *Client) succeed(l *link) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.Err(); err != nil {
		return err
	}
	c.successor = l
	c.hurryLocked()
	if c.link != nil {
		c.link.conn.Close()
	}
	return nil
}

// takeSuccessor returns the link that Rename made, or nil.
func (c *Client) takeSuccessor() *link {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.successor
	if l == nil {
		return nil
	}
	c.successor = nil
	select {
	case <-c.hurry: // it was for this
	default:
	}
	c.adoptLocked(l)
	return l
}
