package torture

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"kaban/client"
	"kaban/wire"
)

// desk is the room of an amender.
const desk = "desk"

// maxAmended is how many messages an amender changes at most; older ones stay as they are.
const maxAmended = 40

// amended is what a message must be after everything that was acknowledged.
type amended struct {
	content string
	edited  uint64
	deleted bool
	replies int
	emoji   map[string]bool
	since   map[string]uint64 // of each emoji, the entry that has added it
}

// amender sends messages to a room of its own and changes them, one thing after the other,
// so that it knows what each of them must be.
type amender struct {
	name   string
	room   *client.Room
	random *rand.Rand

	repeated atomic.Int64 // changes that made no difference

	mu       sync.Mutex // guards all below
	messages map[uint64]*amended
	seqs     []uint64
	idle     bool
	fold     *client.Fold // what a reader of the log makes of it
	seen     uint64       // by the reader
	head     uint64       // the last entry that was acknowledged
}

// amend has a client send and change messages, and another one read them.
func (c *crowd) amend(name string) {
	c.t.Helper()
	join := func(name string) (*client.Client, *client.Room) {
		session, err := client.Dial(c.ctx, c.address, c.options(name))
		if err != nil {
			c.t.Fatal(err)
		}
		c.senders = append(c.senders, session)
		joined, err := session.Join(c.ctx, desk, client.After(client.Cursor{}))
		if err != nil {
			c.t.Fatal(err)
		}
		return session, joined
	}
	session, talks := join(name)
	_, reads := join(name + "-reader")
	a := &amender{
		name: name, room: talks, random: rand.New(rand.NewPCG(*seed, 77)), messages: make(map[uint64]*amended),
		fold: &client.Fold{Username: name + "-reader"},
	}
	c.amender, c.amenders = a, session
	c.group.Go(func() {
		for i := 0; c.ctx.Err() == nil; i++ {
			if !c.mayAmend(a) {
				time.Sleep(5 * time.Millisecond)
				continue
			}
			if err := a.step(c.ctx, i); err != nil && c.ctx.Err() == nil {
				c.history.Violation("%s: step %d: %v", name, i, err)
				return
			}
		}
	})
	c.group.Go(func() {
		for e, err := range reads.Entries(c.ctx) {
			if err != nil {
				if c.ctx.Err() == nil {
					c.history.Violation("%s reads: %v", name, err)
				}
				return
			}
			a.mu.Lock()
			if e.Seq <= a.seen || e.Seq > a.seen+1 && e.AsOf == 0 { // a page passes over changes
				c.history.Violation("%s sees %d after %d", name, e.Seq, a.seen)
			}
			a.seen = e.Seq
			a.fold.Add(e)
			a.mu.Unlock()
		}
	})
}

// mayAmend reports whether the amender goes on.
func (c *crowd) mayAmend(a *amender) bool {
	c.gate.RLock()
	defer c.gate.RUnlock()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.idle = c.quiet
	return !c.quiet
}

// step sends or changes a message. It returns when that is acknowledged.
func (a *amender) step(ctx context.Context, i int) error {
	r := a.random
	if len(a.seqs) == 0 || r.IntN(8) == 0 {
		return a.send(ctx, fmt.Sprintf("%s-%d", a.name, i))
	}
	seq := a.seqs[r.IntN(len(a.seqs))]
	m := a.messages[seq]
	var receipt client.Receipt
	var err error
	then := func() {}
	switch r.IntN(10) { // a visitor pins nothing
	case 0, 1, 2:
		content := fmt.Sprintf("%s-%d %s", a.name, i, strings.Repeat("changed ", r.IntN(20)+1)+"end")
		receipt, err = a.room.Edit(ctx, seq, content, max(seq, m.edited))
		then = func() { m.content, m.edited = content, receipt.Seq }
	case 3, 4, 5:
		emoji := amendEmoji[r.IntN(len(amendEmoji))]
		on := !m.emoji[emoji]
		receipt, err = a.room.React(ctx, seq, emoji, on)
		then = func() { m.emoji[emoji], m.since[emoji] = on, receipt.Seq }
	case 6:
		receipt, err = a.room.Reply(ctx, seq, fmt.Sprintf("%s-%d answers", a.name, i))
		then = func() { m.replies++ }
	case 7:
		receipt, err = a.room.Delete(ctx, seq, "")
		then = func() { *m = amended{deleted: true, replies: m.replies} }
	case 8, 9:
		if receipt, err = a.repeat(ctx, seq, m); receipt == (client.Receipt{}) && err == nil {
			return nil
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if refused, ok := errors.AsType[*client.Error](err); ok && refused.Code == wire.CodeGone && m.deleted {
		return nil
	}
	if err == nil {
		then()
		a.head = max(a.head, receipt.Seq)
	}
	return err
}

// amendEmoji are what an amender reacts with.
var amendEmoji = []string{"👍", "🎉", "❤️"}

// repeat reacts with an emoji that is there already, which makes no difference.
func (a *amender) repeat(ctx context.Context, seq uint64, m *amended) (client.Receipt, error) {
	i := slices.IndexFunc(amendEmoji, func(e string) bool { return m.emoji[e] })
	if i < 0 {
		return client.Receipt{}, nil
	}
	emoji := amendEmoji[i]
	receipt, err := a.room.React(ctx, seq, emoji, true)
	if err == nil && (!receipt.Duplicate || receipt.Seq != m.since[emoji]) {
		err = fmt.Errorf("%s is on %d since %d, and the same again is answered with %+v", emoji, seq, m.since[emoji], receipt)
	}
	if err == nil {
		a.repeated.Add(1)
	}
	return receipt, err
}

func (a *amender) send(ctx context.Context, content string) error {
	receipt, err := a.room.Send(ctx, content)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.head = max(a.head, receipt.Seq)
	a.messages[receipt.Seq] = &amended{content: content, emoji: make(map[string]bool), since: make(map[string]uint64)}
	if a.seqs = append(a.seqs, receipt.Seq); len(a.seqs) > maxAmended {
		a.seqs = a.seqs[1:]
	}
	return nil
}

// differs compares a message with what it must be for its author, or for another reader.
func (m *amended) differs(got *wire.Message, author bool) error {
	emoji := make(map[string]bool)
	for _, r := range got.Reactions {
		if r.Count != 1 || r.Me != author {
			return fmt.Errorf("%s has %d reactions %s, of its author %t", got.Username, r.Count, r.Emoji, r.Me)
		}
		emoji[r.Emoji] = true
	}
	edited := got.Edited.Seq
	if m.deleted { // what it was before does not matter
		edited = 0
	}
	is := fmt.Sprintf("%q edited by %d, deleted %t, answers %d, %v", got.Content, edited, got.Deleted, got.Replies, emoji)
	must := fmt.Sprintf("%q edited by %d, deleted %t, answers %d, %v", m.content, m.edited, m.deleted, m.replies, reacted(m.emoji))
	if is != must {
		return fmt.Errorf("it is %s, and must be %s", is, must)
	}
	return nil
}

// reacted returns those that are on.
func reacted(emoji map[string]bool) map[string]bool {
	on := make(map[string]bool)
	for e, is := range emoji {
		if is {
			on[e] = true
		}
	}
	return on
}

// manyChanges is how many entries the amender cannot have without a change that made no
// difference: about one in twenty makes none.
const manyChanges = 500

// checkAmended compares what the amender's messages are with what they must be, in the
// history and for the reader of the log. The crowd is quiet.
func (c *crowd) checkAmended() {
	c.t.Helper()
	a := c.amender
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		a.mu.Lock()
		done := a.idle && a.seen >= a.head
		a.mu.Unlock()
		if done {
			break
		}
		if time.Now().After(deadline) {
			c.fail("%s is not done: %d of %d", a.name, a.seen, a.head)
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	found := 0
	for query := (client.HistoryQuery{Limit: 100}); ; {
		page, err := c.amenders.History(c.ctx, desk, query)
		if err != nil {
			c.fail("history of %s: %v", desk, err)
		}
		for _, got := range page.Messages() {
			m := a.messages[got.Seq]
			if m == nil {
				continue // an answer
			}
			found++
			if err := m.differs(&got, true); err != nil {
				c.fail("message %d of %s in the history: %v", got.Seq, desk, err)
			}
			folded, ok := a.fold.Message(got.Seq)
			if !ok {
				c.fail("message %d of %s was not read", got.Seq, desk)
			}
			if err := m.differs(&folded, false); err != nil {
				c.fail("message %d of %s for its reader: %v", got.Seq, desk, err)
			}
		}
		if !page.More {
			break
		}
		query.Before, query.HasBefore = page.First, true
	}
	if found != len(a.messages) || found == 0 {
		c.fail("%d messages of %s are in the history, %d were acknowledged", found, desk, len(a.messages))
	}
	if a.repeated.Load() == 0 && a.head >= manyChanges {
		c.fail("nobody repeated a reaction")
	}
	c.t.Logf("%d messages with %d entries in %s are what they must be, and %d changes made no difference", found, a.head, desk, a.repeated.Load())
}
