package client

import (
	"context"
	"time"

	"kaban"
	"kaban/wire"
)

// Receipt is the proof that a message, or another entry, is stored.
type Receipt struct {
	ID   string
	Seq  uint64
	Time time.Time
	// Duplicate means that an earlier attempt had stored the entry, or that React or Pin
	// changed nothing: then Seq and Time are those of the entry since which it is so.
	Duplicate bool
}

// Pending is a message, or a change of one, under way.
type Pending struct {
	client *Client
	call   *call
}

// Wait returns when the message is stored or refused. If ctx ends first, the
// message stays under way.
func (p *Pending) Wait(ctx context.Context) (Receipt, error) {
	e, err := p.client.await(ctx, p.call)
	if err != nil {
		return Receipt{}, err
	}
	return Receipt{ID: e.ID, Seq: e.Seq, Time: e.Time, Duplicate: e.Duplicate}, nil
}

// Done is closed when Wait returns at once.
func (p *Pending) Done() <-chan struct{} { return p.call.done }

// Content returns the content of the message or edit; "" of another change.
func (p *Pending) Content() string { return p.call.content }

// Post queues a message and returns; it waits only while 1,000 are under way. The
// client owns the message from here on: it survives reconnects and changes of
// name. The error is a *kaban.MessageError, or the reason why nothing can be posted
// any more.
func (r *Room) Post(ctx context.Context, content string) (*Pending, error) {
	return r.postContent(ctx, wire.Request{Type: wire.TypeSend}, content)
}

// postContent posts a message or an edit.
func (r *Room) postContent(ctx context.Context, request wire.Request, content string) (*Pending, error) {
	limit := r.client.Welcome().Limits.Content
	if limit <= 0 {
		limit = kaban.DefaultMaxContent
	}
	if err := kaban.CheckContent(content, limit); err != nil {
		return nil, err
	}
	return r.post(ctx, request, content)
}

// post queues a request that needs a slot. Its room, its id and its content are set here.
func (r *Room) post(ctx context.Context, request wire.Request, content string) (*Pending, error) {
	c := r.client
	select {
	case c.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-c.ctx.Done():
		return nil, c.Err()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	err := c.Err()
	switch {
	case err != nil:
	case r.err != nil:
		err = r.err
	case c.leaving[r]:
		err = ErrParted
	}
	request.Room = r.written
	if err == nil {
		request.ID, err = c.ids.next()
	}
	if err != nil {
		<-c.slots
		return nil, err
	}
	c.posted++
	r.posted++
	if request.Type == wire.TypeSend {
		r.typed = time.Time{} // the message ends it
	}
	q := c.askLocked(request, r)
	q.content = content
	return &Pending{client: c, call: q}, nil
}

// Send posts a message and waits until it is stored. A *kaban.MessageError or an
// *Error means that it was refused; after any other error it may be stored or not.
func (r *Room) Send(ctx context.Context, content string) (Receipt, error) {
	return waitFor(ctx)(r.Post(ctx, content))
}

// waitFor returns a function that waits for what was posted.
func waitFor(ctx context.Context) func(*Pending, error) (Receipt, error) {
	return func(p *Pending, err error) (Receipt, error) {
		if err != nil {
			return Receipt{}, err
		}
		return p.Wait(ctx)
	}
}

// Flush waits until every posted message, and change of a message, is acknowledged or
// refused.
func (c *Client) Flush(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.awaitLocked(ctx, func() bool { return c.posted == 0 })
}

// Unacknowledged returns how many messages, and changes of messages, were posted and not
// yet answered.
func (c *Client) Unacknowledged() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.posted
}
