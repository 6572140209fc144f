package dispatch

import (
	"context"
	"errors"
	"fmt"

	"kaban"

	"kaban/internal/store"
)

// ErrExpelled is the outcome of a send of a member that was expelled before it was
// stored.
var ErrExpelled = errors.New("no longer in the room")

// Rights are what a member may do, as of one state of the rights in its room and on the
// server. They never change.
type Rights struct {
	Revision   uint64 // of the room's rights
	Generation uint64 // of the server's; see Invalidate
	// Refusal, if not nil, is why the member may not send messages.
	Refusal error
	// From is the first entry that the member may see; 0 and 1 are all.
	From uint64
	// Lasting is set if the refusal is because of the member's credential, which no
	// change of rights affects.
	Lasting bool
	// Changes are what the member may do to messages, as the judge and About agree.
	Changes [6]uint8
}

// Judge decides what a member may do in a room: it returns rights of the given
// generation and of the revision that it has read. before are the last ones, nil if
// there are none. It may ask the store. The committer calls it, with its lock held, and
// so does Decide, from any goroutine.
type Judge func(r *Room, member *kaban.Peer, before *Rights, generation uint64) (*Rights, error)

// SetJudge sets what decides whether members may send; nil allows everything. It must
// be called before the first send.
func (d *Dispatcher) SetJudge(judge Judge) { d.judge = judge }

// About returns why a member with some rights may not change a message
// (kaban.Kind.IsChange), or nil. Without a target, it is why the member may change none.
// It must not block.
type About func(rights *Rights, change *kaban.Draft, target *store.Entry) error

// SetAbout sets what decides about changes of messages, by the rights of the judge; nil
// allows everything. It must be called before the first send.
func (d *Dispatcher) SetAbout(about About) { d.about = about }

// SetAttribution sets what changes the author of an entry that was read, before it is
// shown; the log and the ids of messages stay as they are. When it changes authors
// otherwise than before, the caller calls Reencode. It must be called before the first
// read.
func (d *Dispatcher) SetAttribution(attribute func(*store.Entry)) { d.store.attribute = attribute }

// Reencode drops the frames of entries that are in memory, so that who reads from now on
// gets them as they are read from the store. Readers go on where they are.
func (d *Dispatcher) Reencode() {
	d.forgetShared()
	d.budget.dropAll()
}

// SetOnGrown sets a function that is called after entries were stored, once for each room
// and batch, with a seq up to which the room has entries. Entries of other writers count
// once a hint was followed; in a room without readers the word of another node is enough. It must take a note and return. It is set before the first entry.
func (d *Dispatcher) SetOnGrown(call func(room kaban.RoomName, seq uint64)) { d.onGrown = call }

// SetOnDirect sets what is called when something was published in a direct room. It
// must not block. SetOnDirect must be called before the first send.
func (d *Dispatcher) SetOnDirect(call func(room kaban.RoomName)) { d.onDirect = call }

// Invalidate has the rights of all members decided anew before their next send,
// because rights have changed that do not belong to one room. Places that were found
// before it are stale.
func (d *Dispatcher) Invalidate() { d.generation.Add(1) }

// Generation returns the number of calls of Invalidate.
func (d *Dispatcher) Generation() uint64 { return d.generation.Load() }

// Revision returns the revision of the room's rights, as far as it is known here.
func (r *Room) Revision() uint64 { return r.revision.Load() }

// View reads documents; see store.Documents.
func (d *Dispatcher) View(ctx context.Context, run func(store.Tx) error) error {
	return d.store.View(ctx, run)
}

// Update changes documents; see store.Documents. If the rights in a room change with
// them, the caller calls Refresh.
func (d *Dispatcher) Update(ctx context.Context, run func(store.Tx) error) error {
	return d.store.Update(ctx, run)
}

// Refresh reads the revision of a room's rights from the store, after this node has changed
// them, and tells other nodes.
func (d *Dispatcher) Refresh(ctx context.Context, r *Room) error {
	if err := d.refreshRights(ctx, r); err != nil {
		return err
	}
	if d.peers != nil {
		d.peers.announceRights(r)
	}
	return nil
}

// Look reads the revision of a room's rights from the store, which another node may have changed. When
// it returns nil, those that have lost a right by it are expelled.
func (d *Dispatcher) Look(ctx context.Context, r *Room) error {
	state, err := d.store.Room(ctx, r.name)
	if err != nil {
		return fmt.Errorf("state of %s: %w", r.name, err)
	}
	return d.revised(r, state.Revision)
}

// refreshRights is Refresh for a change that an entry announces.
func (d *Dispatcher) refreshRights(ctx context.Context, r *Room) error {
	state, err := d.store.Room(ctx, r.name)
	if err != nil {
		return fmt.Errorf("state of %s: %w", r.name, err)
	}
	if known := r.revision.Load(); state.Revision > known+1 { // another node has changed them as well
		_ = d.revised(r, state.Revision) // a failure is made up for by the next comparison
	} else {
		r.reach(state.Revision)
		// Which of two changes at once has which revision is not known, so the next look is for all readers.
		r.unrevised.Store(d.onRevised != nil && d.peers != nil)
	}
	return nil
}

// SetOnRevised sets a function that is called after the store was found to have other rights in
// a room with readers than were known here: another node has changed them. The function ends the
// subscriptions whose holders may not have them any more (Expel). It may ask the store, and be
// called by the committer, with its lock held, or from any goroutine; it must not call what
// waits for a commit. After an error it is called again by the next comparison. Without
// other nodes (Connect) it is never called: whoever changes rights looks for the readers itself. It is set before the first send.
func (d *Dispatcher) SetOnRevised(call func(r *Room) error) { d.onRevised = call }

// Coming returns entries behind the published head of a room, the next ones first: another node has appended
// them, and nobody has read them here. It may be called by the function of SetOnRevised.
func (d *Dispatcher) Coming(ctx context.Context, r *Room) ([]store.Entry, error) {
	entries, _, _, err := d.store.readPast(ctx, r.name, store.Page{After: r.Head(), Limit: r.pageEntries, Bytes: pageBytes})
	if err != nil {
		return nil, fmt.Errorf("read what comes in %s: %w", r.name, err)
	}
	return entries, nil
}

// revised notes a revision of the room's rights that the store has, and has those looked for
// that have lost a right by it. When it returns nil they are expelled, also if another goroutine
// has found the revision: what comes behind it may be published then. It returns an error if they
// could not be found.
func (d *Dispatcher) revised(r *Room, revision uint64) error {
	if d.onRevised == nil || d.peers == nil {
		r.reach(revision)
		return nil
	}
	r.revising.Lock()
	defer r.revising.Unlock()
	if !r.reach(revision) && !r.unrevised.Load() || r.isUnread() {
		return nil
	}
	r.unrevised.Store(false) // before it is called: a revision that comes meanwhile counts
	if err := d.onRevised(r); err != nil {
		r.unrevised.Store(true)
		return fmt.Errorf("rights in %s: %w", r.name, err)
	}
	return nil
}

// reach notes a revision of the room's rights, and reports whether it is a new one. Revisions
// only grow.
func (r *Room) reach(revision uint64) bool {
	for {
		known := r.revision.Load()
		if known >= revision {
			return false
		}
		if r.revision.CompareAndSwap(known, revision) {
			return true
		}
	}
}

// arePresent reports whether rights, which may be nil, are as of now.
func (rights *Rights) arePresent(r *Room, generation uint64) bool {
	return rights != nil && (rights.Lasting || rights.Revision == r.revision.Load() && rights.Generation == generation)
}

// rights returns the present rights of a member.
func (d *Dispatcher) rights(s *Subscription) (*Rights, error) {
	r, before, generation := s.audience.room, s.rights.Load(), d.generation.Load()
	if before.arePresent(r, generation) {
		return before, nil
	}
	now, err := d.judge(r, s.user, before, generation)
	if err != nil {
		return nil, fmt.Errorf("rights of a member of %s: %w", r.name, err)
	}
	s.rights.Store(now)
	return now, nil
}

// attach adds what the store decides a write by. A member's rights are those that the
// store finds unchanged when it stores the entry; a refusal waits until the store has
// looked whether the entry is there already.
func (c *committer) attach(w *store.Write, s *Send) {
	if t := s.Terms; t != nil {
		w.Decide, w.Allow, w.Revision, w.Checked = t.Decide, t.Allow, t.Revision, t.Checked
		return
	}
	if s.Subscription == nil || c.dispatcher.judge == nil {
		return
	}
	rights, err := c.dispatcher.rights(s.Subscription)
	switch {
	case s.Subscription.expelled.Load() != nil:
		err = ErrExpelled
	case err == nil && rights.Lasting:
		err = rights.Refusal
	case err == nil:
		w.Revision, w.Checked, err = rights.Revision, true, c.dispatcher.refusal(rights, &s.Draft)
	}
	if w.Refusal = err; err == nil && w.HasTarget() {
		w.Allow = func(target *store.Entry) error { return c.dispatcher.allow(rights, &s.Draft, target) }
	}
}

// refusal returns why a member may not store a draft, whatever its target.
func (d *Dispatcher) refusal(rights *Rights, draft *kaban.Draft) error {
	switch {
	case !draft.Kind.IsChange():
		return rights.Refusal
	case d.about == nil:
		return nil
	}
	return d.about(rights, draft, nil)
}

// allow decides about the target of a member's draft. What the member may not see is as
// what there is not.
func (d *Dispatcher) allow(rights *Rights, draft *kaban.Draft, target *store.Entry) error {
	switch {
	case target.Seq < rights.From:
		return store.ErrNoTarget
	case !draft.Kind.IsChange() || d.about == nil:
		return nil
	}
	return d.about(rights, draft, target)
}

// maxStale is how often sends are stored anew because the rights in their room have
// changed meanwhile.
const maxStale = 16

// SetOnAppended sets a function that is called after sends of this process were published, once
// for each room and batch, with their entries, ascending. It must not block, nor keep the entries.
// It is set before the first send.
func (d *Dispatcher) SetOnAppended(call func(room kaban.RoomName, entries []store.Entry)) {
	d.onAppended = call
}
