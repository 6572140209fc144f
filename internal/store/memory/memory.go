// Package memory is a store without durability: a window of the newest entries of all
// rooms, limited in bytes and lost when the process exits.
//
// It has the order and the numbering of a durable store, and recognises an id that is
// sent again for as long as the entry is in the window. The oldest entries of all rooms
// are forgotten first. What is cut leaves an empty place in the window. Documents are never forgotten and do not count.
// Ids of changes that made no difference are forgotten with their message, and the oldest ones if they alone fill the window.
//
// Its data belong to one Store: they cannot be shared by another handle. There is
// nothing to export, back up or check, so it has no store.Archive.
package memory

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidwall/btree"

	"kaban"
	"kaban/internal/store"
)

// DefaultWindow is the size of the window in bytes, including overhead.
const DefaultWindow = 64 << 20

// entryOverhead is the size of an entry without its strings: the entry itself, its
// position in its room and its share of the index. TestWindowBoundsTheHeap measures it;
// this is rounded up.
const entryOverhead = 304

// stateOverhead and reactionOverhead are the sizes of a State, and of a reaction and of
// everybody that has reacted with it. The strings are those of entries.
const stateOverhead, reactionOverhead = 96, 64

// Store implements store.Store in memory.
type Store struct {
	epoch  string
	window int
	now    func() time.Time

	viewing sync.RWMutex // held for reading by each View
	// documents are the documents after the last transaction, nil once the store is
	// closed. Changed with mu held.
	documents atomic.Pointer[documents]

	mu     sync.RWMutex // guards all below
	closed bool
	rooms  map[string]*room
	// lastRoom is the number of the newest room.
	lastRoom uint64
	log      log // the entries of all rooms, oldest first
	ids      index
	// noops are the answers to changes that made no difference: entries that were not
	// appended, with the seq and the time of the answer.
	noops map[noopKey]store.Entry
	bytes int
	// written are the documents after the transaction in progress; nil until it
	// changes any.
	written *documents
}

type room struct {
	name      kaban.RoomName
	number    uint64 // in the order in which rooms were made
	head      uint64
	revision  uint64
	positions queue // of the newest entries, up to head, in the log
	// messages are those of all entries, forgotten those of them that are not kept.
	messages, forgotten uint64
	authors             map[string]wrote                      // those of authors that have written any
	mentions            btree.Map[uint64, []store.Occurrence] // by the seqs of messages that are kept
	runs                runs
}

// kept is an entry of the log with the data to find and to forget it.
type kept struct {
	store.Entry
	room *room  // nil if it is an empty place
	hash uint64 // of room, Author and ID
	// original is the sum of the content that was appended, once that is not in Content
	// any more; 0 before, and unknown after it was deleted.
	original uint64
	// older is the edit of the same message before this one, or 0.
	older uint64
	// noops are the changes of a message that made no difference.
	noops []noopKey
}

// noopKey is the id of an author in a room of a change that made no difference.
type noopKey struct {
	room       *room
	author, id string
}

// noopOverhead is the size of such an id without its strings.
const noopOverhead = 256

// unknown is the sum of any content.
const unknown = ^uint64(0)

// New returns an empty store that keeps at most window bytes; 0 means DefaultWindow.
func New(window int) *Store {
	if window <= 0 {
		window = DefaultWindow
	}
	s := &Store{
		epoch:  rand.Text(),
		window: window,
		now:    time.Now,
		rooms:  make(map[string]*room),
		ids:    newIndex(),
		noops:  make(map[noopKey]store.Entry),
	}
	s.documents.Store(new(documents))
	return s
}

// Instant implements store.Instant.
func (s *Store) Instant() bool { return true }

// Epoch implements store.Store.
func (s *Store) Epoch() string { return s.epoch }

// Rooms implements store.Store.
func (s *Store) Rooms(context.Context) ([]store.Room, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return nil, store.ErrClosed
	}
	rooms := make([]store.Room, 0, len(s.rooms))
	for _, r := range s.rooms {
		rooms = append(rooms, r.state())
	}
	return rooms, nil
}

// Room implements store.Store.
func (s *Store) Room(_ context.Context, name kaban.RoomName) (store.Room, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return store.Room{}, store.ErrClosed
	}
	if r := s.rooms[name.Key()]; r != nil {
		return r.state(), nil
	}
	return store.Room{Name: name, Oldest: 1}, nil
}

// Append implements store.Store.
func (s *Store) Append(_ context.Context, batch []store.Write, results []store.Result) error {
	now := s.now().UnixMilli()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return store.ErrClosed
	}
	for i := range batch {
		results[i] = s.appendLocked(&batch[i], now)
	}
	s.forgetLocked()
	s.publishLocked()
	return nil
}

func (s *Store) appendLocked(w *store.Write, now int64) store.Result {
	d := &w.Draft
	r := s.rooms[d.Room.Key()]
	if r != nil {
		if first := s.findLocked(r, d); first != nil && !s.isOf(first, d) {
			return store.Result{Err: store.ErrIDConflict}
		} else if first != nil {
			return store.Result{Seq: first.Seq, Time: first.Time, Duplicate: true}
		}
		if e, is := s.noops[noopOf(r, d)]; is && !e.IsOf(d) {
			return store.Result{Err: store.ErrIDConflict}
		} else if is {
			return store.Result{Seq: e.Seq, Time: e.Time, Duplicate: true}
		}
	}
	if w.Checked && w.Revision != r.revisionOrNone() {
		return store.Result{Err: store.ErrStale}
	}
	if w.Refusal != nil {
		return store.Result{Err: w.Refusal}
	}
	var target *kept
	if w.Decide != nil || w.HasTarget() {
		if w.HasTarget() {
			target = s.entryLocked(r, d.Target)
		}
		known, err := s.decideLocked(w, target)
		if err != nil {
			return store.Result{Err: err}
		}
		if known != (store.Change{}) {
			s.noteNoop(r, target, d, known)
			return store.Result{Seq: known.Seq, Time: known.Time, Duplicate: true}
		}
		r = s.rooms[d.Room.Key()] // the decision may have added it
	}
	if r == nil {
		r = s.addRoomLocked(d.Room)
	}
	e := store.NewEntry(d, r.head+1, now)
	k := kept{Entry: e, room: r, hash: s.ids.hash(r, e.Author, e.ID)}
	if target != nil {
		s.changeLocked(target, &k)
	}
	r.head++
	r.runs.add(r.head, d.Kind)
	if d.Kind == kaban.KindMessage {
		r.count(e.Author)
	}
	position := s.log.push(k)
	r.positions.push(position)
	s.ids.add(k.hash, position)
	s.bytes += cost(&k.Entry)
	s.mentionLocked(r, w, &e)
	return store.Result{Seq: e.Seq, Time: e.Time}
}

func noopOf(r *room, d *kaban.Draft) noopKey { return noopKey{r, d.Author.ID(), d.ID.String()} }

// noteNoop keeps the id of a draft that makes no difference to a message, as long as the
// message.
func (s *Store) noteNoop(r *room, message *kept, d *kaban.Draft, known store.Change) {
	if len(message.noops) >= store.MaxNoops {
		return
	}
	k := noopOf(r, d)
	s.noops[k] = store.NewEntry(d, known.Seq, known.Time)
	message.noops = append(message.noops, k)
	s.bytes += noopCost(k)
}

// noopCost is what such an id counts as, in bytes.
func noopCost(k noopKey) int { return noopOverhead + len(k.author) + 2*len(k.id) }

// errKnown ends a decision about a write that changes nothing.
var errKnown = errors.New("a message is like that already")

// decideLocked decides about a write. It returns the entry since which a message is what
// the write would make of it, or zero.
func (s *Store) decideLocked(w *store.Write, target *kept) (known store.Change, err error) {
	fit := func() error {
		if !w.HasTarget() {
			return nil
		}
		var err error
		if known, err = w.Fit(target.entry()); err == nil && known != (store.Change{}) {
			err = errKnown
		}
		return err
	}
	if w.Decide == nil {
		err = fit()
	} else {
		err = s.runLocked(func(tx store.Tx) error {
			if err := w.Decide(tx); err != nil {
				return err
			}
			return fit()
		})
	}
	if errors.Is(err, errKnown) {
		err = nil
	}
	return known, err
}

// entryLocked returns a kept entry of a room, which may be nil, or nil.
func (s *Store) entryLocked(r *room, seq uint64) *kept {
	if r == nil || seq > r.head || seq < r.state().Oldest {
		return nil
	}
	return s.log.at(r.position(seq))
}

// entry returns the entry of k, nil for nil.
func (k *kept) entry() *store.Entry {
	if k == nil {
		return nil
	}
	return &k.Entry
}

// changeLocked makes of a message what an entry about it says. Of the edits of a message
// only the last has content.
func (s *Store) changeLocked(message, by *kept) {
	s.bytes -= cost(&message.Entry)
	switch by.Kind {
	case kaban.KindEdit:
		s.hideContent(message)
		if message.State != nil {
			by.older = message.State.Edited.Seq
		}
		s.forgetContent(s.entryLocked(message.room, by.older))
	case kaban.KindDelete:
		s.releaseLocked(message)
		message.original = unknown
		if message.State == nil {
			break
		}
		for edit := s.entryLocked(message.room, message.State.Edited.Seq); edit != nil; edit = s.entryLocked(message.room, edit.older) {
			s.forgetContent(edit)
			edit.original = unknown
		}
	}
	message.Apply(&by.Entry)
	s.bytes += cost(&message.Entry)
}

// forgetContent takes the content of an edit away, which may be nil.
func (s *Store) forgetContent(edit *kept) {
	if edit != nil {
		s.hideContent(edit)
		s.bytes -= len(edit.Content)
		edit.Content = ""
	}
}

// hideContent keeps the sum of the content that was appended.
func (s *Store) hideContent(k *kept) {
	if k.original == 0 {
		k.original = s.ids.sum(k.Content)
	}
}

// isOf reports whether a draft would become an entry; see store.Store.Append.
func (s *Store) isOf(k *kept, d *kaban.Draft) bool {
	if k.original == 0 {
		return k.IsOf(d)
	}
	return k.Kind == d.Kind && k.Target == d.Target &&
		(k.original == unknown || k.original == s.ids.sum(d.Body) && k.Files == d.Files.String())
}

// findLocked returns the entry that the author of a draft has sent to the room with the
// same id, or nil.
func (s *Store) findLocked(r *room, d *kaban.Draft) *kept {
	author, id := d.Author.ID(), d.ID.String()
	position, ok := s.ids.find(s.ids.hash(r, author, id), func(position uint64) bool {
		e := s.log.at(position)
		return e.room == r && e.Author == author && e.ID == id
	})
	if !ok {
		return nil
	}
	return s.log.at(position)
}

func (s *Store) addRoomLocked(name kaban.RoomName) *room {
	s.lastRoom++
	r := &room{name: name, number: s.lastRoom}
	s.rooms[name.Key()] = r
	return r
}

// forgetLocked drops the oldest entries until the rest fits the window. The newest
// entry always stays.
func (s *Store) forgetLocked() {
	for s.bytes > s.window && s.log.len() > 1 {
		if position := s.log.first; s.log.at(position).room != nil {
			s.dropLocked(position)
		}
		s.bytes -= entryOverhead
		s.log.pop()
	}
	// The last entry stays. The ids of changes of it that made no difference may be more than the
	// window has room for.
	for s.bytes > s.window && s.log.len() == 1 && len(s.log.at(s.log.first).noops) > 0 {
		s.dropNoopsLocked(s.log.at(s.log.first), 2)
	}
}

// dropNoopsLocked forgets one part in so many of the changes of a message that made no
// difference, the oldest.
func (s *Store) dropNoopsLocked(message *kept, parts int) {
	n := (len(message.noops) + parts - 1) / parts
	for _, k := range message.noops[:n] {
		delete(s.noops, k)
		s.bytes -= noopCost(k)
	}
	message.noops = slices.Delete(message.noops, 0, n)
}

// dropLocked drops the oldest entry of a room, which has a position in the log. An empty
// place stays there, of the cost of an entry without strings.
func (s *Store) dropLocked(position uint64) {
	k := s.log.at(position)
	e := *k
	e.room.positions.pop()
	e.room.runs.drop(e.Seq)
	if e.Kind == kaban.KindMessage {
		e.room.forget(e.Author)
	}
	if e.State != nil { // its edits have nothing to say any more
		for edit := s.entryLocked(e.room, e.State.Edited.Seq); edit != nil; edit = s.entryLocked(e.room, edit.older) {
			s.forgetContent(edit)
			edit.original = unknown
		}
	}
	s.releaseLocked(&e)
	s.dropNoopsLocked(&e, 1)
	s.ids.remove(e.hash, position)
	s.bytes -= cost(&e.Entry) - entryOverhead
	s.setMentionsLocked(e.room, e.Seq, nil)
	*k = kept{}
}

// Cut implements store.Store.
func (s *Store) Cut(_ context.Context, name kaban.RoomName, age store.Age, limit int) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0, store.ErrClosed
	}
	r := s.rooms[name.Key()]
	if r == nil || limit <= 0 {
		return 0, nil
	}
	n = s.oldLocked(r, age, age.Search(limit))
	for range n {
		s.dropLocked(r.positions.at(0))
	}
	for s.log.len() > 0 && s.log.at(s.log.first).room == nil {
		s.bytes -= entryOverhead
		s.log.pop()
	}
	s.publishLocked()
	return n, nil
}

// Redact implements store.Store.
func (s *Store) Redact(_ context.Context, name kaban.RoomName, redactions []store.Redaction) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return store.ErrClosed
	}
	for _, redaction := range redactions {
		e := s.entryLocked(s.rooms[name.Key()], redaction.Seq)
		if e == nil || !store.IsRedactable(e.Kind) {
			continue
		}
		s.bytes += len(redaction.Content) - len(e.Content)
		e.Content = redaction.Content
	}
	return nil
}

// oldLocked finds out how many of the oldest entries of a room are old.
func (s *Store) oldLocked(r *room, age store.Age, search store.Search) int {
	for i := range r.positions.len() {
		if !search.Add(age.Of(s.log.at(r.positions.at(i)).Time)) {
			break
		}
	}
	return search.Old()
}

// Old implements store.Store.
func (s *Store) Old(_ context.Context, name kaban.RoomName, age store.Age) (entries, messages uint64, err error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return 0, 0, store.ErrClosed
	}
	r := s.rooms[name.Key()]
	if r == nil {
		return 0, 0, nil
	}
	n := s.oldLocked(r, age, store.Search{})
	for i := range n {
		if s.log.at(r.positions.at(i)).Kind == kaban.KindMessage {
			messages++
		}
	}
	return uint64(n), messages, nil
}

// Read implements store.Store.
func (s *Store) Read(_ context.Context, name kaban.RoomName, page store.Page) ([]store.Entry, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return nil, store.ErrClosed
	}
	r := s.rooms[name.Key()]
	if r == nil {
		return nil, nil
	}
	state := r.state()
	first, end := max(page.After+1, state.Oldest), state.Head+1
	if page.Before != 0 {
		end = min(end, page.Before)
	}
	if first >= end {
		return nil, nil
	}
	n := int(min(end-first, uint64(page.Limit)))
	if page.Last {
		first = end - uint64(n)
	}
	entries := make([]store.Entry, 0, n)
	for seq := first; seq < first+uint64(n); seq++ {
		if e := s.log.at(r.position(seq)); !page.Skips(&e.Entry) {
			entries = append(entries, e.WithoutReactions())
		}
	}
	return clip(entries, page), nil
}

// History implements store.Store.
func (s *Store) History(_ context.Context, name kaban.RoomName, page store.Page) (h store.History, err error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return store.History{}, store.ErrClosed
	}
	r := s.rooms[name.Key()]
	if r == nil {
		return store.History{}, nil
	}
	state := r.state()
	h.AsOf = state.Head
	first, last := page.Run(state.Oldest, state.Head)
	if first > last || page.Limit <= 0 {
		return h, nil
	}
	seq, step, bytes := first, uint64(1), 0
	if page.Last {
		seq, step = last, ^uint64(0)
	}
	for h.First, h.Last = first, last; seq >= first && seq <= last; seq += step {
		at := &s.log.at(r.position(seq)).Entry
		if !page.Shows(at) {
			if page.RepliesTo == 0 {
				seq = r.runs.end(seq, page.Last)
			}
			continue
		}
		e := *at
		bytes += e.Size()
		if len(h.Entries) == page.Limit || page.Bytes > 0 && bytes > page.Bytes && len(h.Entries) > 0 {
			h.Stop(seq, page.Last)
			break
		}
		h.Entries = append(h.Entries, e)
	}
	if page.Last {
		slices.Reverse(h.Entries)
	}
	return h, nil
}

// Tallies implements store.Store.
func (s *Store) Tallies(_ context.Context, author string, rooms []kaban.RoomName) ([]store.Tally, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return nil, store.ErrClosed
	}
	tallies := make([]store.Tally, len(rooms))
	for i, name := range rooms {
		tallies[i] = s.rooms[name.Key()].tally(author)
	}
	return tallies, nil
}

// CountTo implements store.Store.
func (s *Store) CountTo(_ context.Context, name kaban.RoomName, author string, seq uint64, known store.Mark) (store.Mark, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return store.Mark{}, store.ErrClosed
	}
	r := s.rooms[name.Key()]
	t := r.tally(author)
	seq = max(min(seq, t.Head), t.Oldest-1)
	from := t.Nearest(seq, known)
	run := store.Counts{}
	for at := min(seq, from.Seq) + 1; at <= max(seq, from.Seq); at++ {
		if e := s.log.at(r.position(at)); e.Kind == kaban.KindMessage {
			run.Add(e.Author == author)
		}
	}
	return from.To(seq, run), nil
}

// wrote is how many messages an author has written in a room.
type wrote struct{ all, kept uint64 }

// count counts a message.
func (r *room) count(author string) {
	if r.authors == nil {
		r.authors = make(map[string]wrote)
	}
	w := r.authors[author]
	w.all, w.kept = w.all+1, w.kept+1
	r.authors[author] = w
	r.messages++
}

// forget notes that a message is not kept any more. Of visitors, whose names anybody may make
// up, nothing is left with the last of their messages.
func (r *room) forget(author string) {
	w := r.authors[author]
	w.kept--
	if account, other := kaban.AuthorOf(author); w.kept == 0 && account == "" && !other {
		delete(r.authors, author)
	} else {
		r.authors[author] = w
	}
	r.forgotten++
}

// tally returns the counts of a room, which may be nil.
func (r *room) tally(author string) store.Tally {
	if r == nil {
		return store.Tally{Oldest: 1}
	}
	w, state := r.authors[author], r.state()
	return store.Tally{
		Head: state.Head, Oldest: state.Oldest, Counts: store.Counts{Messages: r.messages, Own: w.all},
		Front: store.Counts{Messages: r.forgotten, Own: w.all - w.kept},
	}
}

// clip cuts a page down to its limit of bytes, at the end of the direction of
// reading.
func clip(entries []store.Entry, page store.Page) []store.Entry {
	if page.Bytes <= 0 {
		return entries
	}
	kept, bytes := 0, 0
	for kept < len(entries) {
		e := &entries[kept]
		if page.Last {
			e = &entries[len(entries)-1-kept]
		}
		bytes += e.Size()
		if kept > 0 && bytes > page.Bytes {
			break
		}
		kept++
	}
	if page.Last {
		return entries[len(entries)-kept:]
	}
	return entries[:kept]
}

// Close implements store.Store.
func (s *Store) Close() error {
	s.viewing.Lock()
	defer s.viewing.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.documents.Store(nil)
	s.rooms, s.ids, s.noops, s.log, s.bytes = nil, index{}, nil, log{}, 0
	return nil
}

func (r *room) state() store.Room {
	return store.Room{Name: r.name, Head: r.head, Oldest: r.head + 1 - uint64(r.positions.len()), Revision: r.revision}
}

// revisionOrNone returns the revision of a room, 0 if there is no room.
func (r *room) revisionOrNone() uint64 {
	if r == nil {
		return 0
	}
	return r.revision
}

// position returns the position in the log of a kept entry, by its sequence number.
func (r *room) position(seq uint64) uint64 {
	return r.positions.at(r.positions.len() - 1 - int(r.head-seq))
}

// cost is the size of an entry in bytes.
func cost(e *store.Entry) int {
	n := entryOverhead + len(e.ID) + len(e.Username) + e.Size()
	if e.State == nil {
		return n
	}
	n += stateOverhead
	for i := range e.State.Reactions {
		n += reactionOverhead * (1 + len(e.State.Reactions[i].People))
	}
	return n
}
