package storetest

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"kaban"
	"kaban/internal/store"
)

// roomModel is a room that remembers only what was appended. Whatever is asked of it, it
// reads its log from the start.
type roomModel struct {
	name kaban.RoomName
	log  []store.Entry        // as they were appended
	ids  map[[2]string]uint64 // the seqs, by author and id
	// noops are the changes that made no difference, with their results.
	noops map[[2]string]noop
	sent  []kaban.Draft     // those that became the entries
	told  []*store.Mentions // of the entries
	cut   uint64            // the entries up to this one are not kept
}

// changeWrite is a write that was drawn.
type changeWrite struct {
	kaban.Draft
	room    *roomModel
	refused bool // by Allow
	decided bool
	sees    *store.Entry // what Allow was called with
	tells   *store.Mentions
}

var errNotAllowed = errors.New("not allowed")

// about are the kinds of entries that are about a message, if they have a target.
var about = map[kaban.Kind]bool{
	kaban.KindMessage: true, kaban.KindEdit: true, kaban.KindDelete: true, kaban.KindReact: true, kaban.KindPin: true,
}

func (r *roomModel) isMessage(seq uint64) bool {
	return seq > r.cut && seq <= uint64(len(r.log)) && r.log[seq-1].Kind == kaban.KindMessage
}

// message returns a message with all that has become of it.
func (r *roomModel) message(seq uint64) store.Entry {
	m := r.log[seq-1]
	var s store.State
	reactions := make(map[[2]string]store.Reactor) // by emoji and author
	for _, e := range r.log {
		if e.Target != seq {
			continue
		}
		now := store.Change{Seq: e.Seq, Time: e.Time}
		switch e.Kind {
		case kaban.KindMessage:
			s.Replies++
		case kaban.KindEdit:
			if m.Content, s.Edited = e.Content, now; m.Content == kaban.NoText {
				m.Content = ""
			}
		case kaban.KindDelete:
			m.Content, m.Files, s.Deleted = "", "", now
		case kaban.KindPin:
			s.Pinned = now
			if e.Content == "-" {
				s.Pinned = store.Change{}
			}
		case kaban.KindReact:
			by := [2]string{e.Content[1:], e.Author}
			if e.Content[0] == '+' {
				reactions[by] = store.Reactor{Change: now, Author: e.Author, Username: e.Username}
			} else {
				delete(reactions, by)
			}
		}
	}
	if s.Deleted != (store.Change{}) {
		s.Pinned = store.Change{}
		clear(reactions)
	}
	order := slices.SortedFunc(maps.Keys(reactions), func(a, b [2]string) int { return cmp.Compare(reactions[a].Seq, reactions[b].Seq) })
	for _, by := range order {
		i := slices.IndexFunc(s.Reactions, func(r store.Reaction) bool { return r.Emoji == by[0] })
		if i < 0 {
			i = len(s.Reactions)
			s.Reactions = append(s.Reactions, store.Reaction{Emoji: by[0]})
		}
		s.Reactions[i].People = append(s.Reactions[i].People, reactions[by])
	}
	if len(describeState(&s)) > 0 {
		m.State = &s
	}
	return m
}

func (r *roomModel) isDeleted(seq uint64) bool {
	return r.isMessage(seq) && slices.ContainsFunc(r.log, func(e store.Entry) bool { return e.Kind == kaban.KindDelete && e.Target == seq })
}

// noop is a change that made no difference.
type noop struct {
	draft  kaban.Draft
	result store.Result
}

// want returns what a write must result in, and whether it is allowed.
func (r *roomModel) want(w *changeWrite) (want store.Result, allowed bool) {
	if seq := r.ids[[2]string{w.Author.ID(), w.ID.String()}]; seq != 0 {
		first := r.log[seq-1]
		of := seq
		if first.Kind == kaban.KindEdit {
			of = first.Target
		}
		erased := (first.Kind == kaban.KindMessage || first.Kind == kaban.KindEdit) && (of <= r.cut || r.isDeleted(of))
		if first.Kind != w.Kind || first.Target != w.Target || (first.Content != w.Body || first.Files != w.Files.String()) && !erased {
			return refused(store.ErrIDConflict), false
		}
		return store.Result{Seq: seq, Time: first.Time, Duplicate: true}, false
	}
	if n, is := r.noops[[2]string{w.Author.ID(), w.ID.String()}]; is && n.draft.Target > r.cut {
		if n.draft.Kind != w.Kind || n.draft.Target != w.Target || n.draft.Body != w.Body {
			return refused(store.ErrIDConflict), false
		}
		return n.result, false
	}
	want = stored(uint64(len(r.log) + 1))
	if !about[w.Kind] || w.Kind == kaban.KindMessage && w.Target == 0 {
		return want, false
	}
	if !r.isMessage(w.Target) {
		return refused(store.ErrNoTarget), false
	}
	m := r.message(w.Target)
	var s store.State
	if m.State != nil {
		s = *m.State
	}
	since := func(c store.Change) store.Result { return store.Result{Seq: c.Seq, Time: c.Time, Duplicate: true} }
	always := since(store.Change{Seq: m.Seq, Time: m.Time})
	version := m.Seq
	if s.Edited.Seq != 0 {
		version = s.Edited.Seq
	}
	switch {
	case w.refused:
		want = refused(errNotAllowed)
	case s.Deleted.Seq != 0:
		want = refused(store.ErrGone)
	case w.Kind == kaban.KindEdit && w.Base != 0 && w.Base != version:
		want = refused(store.ErrEditConflict)
	case w.Kind == kaban.KindEdit && w.Body == kaban.NoText && w.room.log[w.Target-1].Files == "":
		want = refused(store.ErrNoText)
	case w.Kind == kaban.KindPin && w.Body == "+" && s.Pinned.Seq != 0:
		want = since(s.Pinned)
	case w.Kind == kaban.KindPin && w.Body == "-" && s.Pinned.Seq == 0:
		want = always
	case w.Kind == kaban.KindReact:
		emoji, own, mine := make(map[string]bool), 0, store.Change{}
		for _, reaction := range s.Reactions {
			emoji[reaction.Emoji] = true
			for _, p := range reaction.People {
				if p.Author == w.Author.ID() {
					own++
					if reaction.Emoji == w.Body[1:] {
						mine = p.Change
					}
				}
			}
		}
		on := w.Body[0] == '+'
		switch {
		case on && mine.Seq != 0:
			want = since(mine)
		case !on && mine.Seq == 0:
			want = always
		case on && (own == 20 || len(emoji) == 50 && !emoji[w.Body[1:]]):
			want = refused(store.ErrTooManyReactions)
		}
	}
	return want, true
}

// add appends a write that is stored.
func (r *roomModel) add(d *kaban.Draft, time int64, told *store.Mentions) {
	e := store.Entry{
		Seq: uint64(len(r.log) + 1), Time: time, Kind: d.Kind, ID: d.ID.String(), Author: d.Author.ID(), Username: d.Author.Name().String(),
		Target: d.Target, Content: d.Body, Files: d.Files.String(),
	}
	r.log, r.sent, r.told = append(r.log, e), append(r.sent, *d), append(r.told, told)
	r.ids[[2]string{e.Author, e.ID}] = e.Seq
}

// released returns the messages whose files are gone.
func (r *roomModel) released() (seqs []uint64) {
	for _, e := range r.log {
		if e.Files != "" && (e.Seq <= r.cut || r.isDeleted(e.Seq)) {
			seqs = append(seqs, e.Seq)
		}
	}
	return seqs
}

// entries returns what Read must return.
func (r *roomModel) entries() []store.Entry {
	entries := slices.Clone(r.log[r.cut:])
	for i := range entries {
		switch e := &entries[i]; e.Kind {
		case kaban.KindMessage:
			m := r.message(e.Seq)
			if m.State != nil {
				m.State.Reactions = nil
				if *e = m; len(describeState(m.State)) == 0 {
					e.State = nil
				}
			}
		case kaban.KindEdit:
			if e.Target <= r.cut {
				e.Content = ""
			} else if m := r.message(e.Target); m.State.Edited.Seq != e.Seq || m.State.Deleted.Seq != 0 {
				e.Content = ""
			}
		}
	}
	return entries
}

// history returns what History must return.
func (r *roomModel) history(page store.Page) store.History {
	h := store.History{AsOf: uint64(len(r.log))}
	var run []uint64
	for seq := max(page.After, r.cut) + 1; seq <= h.AsOf && (page.Before == 0 || seq < page.Before); seq++ {
		run = append(run, seq)
	}
	if page.Last {
		slices.Reverse(run)
	}
	covered, bytes := 0, 0
	for _, seq := range run {
		e := r.log[seq-1]
		shown := !about[e.Kind] || e.Kind == kaban.KindMessage
		if page.RepliesTo != 0 {
			shown = e.Kind == kaban.KindMessage && e.Target == page.RepliesTo
		}
		if shown {
			if e.Kind == kaban.KindMessage {
				e = r.message(seq)
			}
			bytes += len(e.Content) + len(e.Files)
			if n := len(h.Entries); n == page.Limit || n > 0 && page.Bytes > 0 && bytes > page.Bytes {
				break
			}
			h.Entries = append(h.Entries, e)
		}
		covered++
	}
	if covered > 0 {
		h.First, h.Last = min(run[0], run[covered-1]), max(run[0], run[covered-1])
	}
	slices.SortFunc(h.Entries, func(a, b store.Entry) int { return cmp.Compare(a.Seq, b.Seq) })
	return h
}

// replay is a client that reads on, in pages, and applies what it reads.
type replay struct {
	next     uint64
	messages map[uint64]*replayed
}

type replayed struct {
	text, files     string
	deleted, pinned bool
	reactions       map[string]bool // by emoji and author
}

// replayFrom returns a client that knows the first entries of a room.
func (r *roomModel) replayFrom(known uint64) *replay {
	then := roomModel{log: r.log[:known], cut: r.cut}
	c := &replay{known + 1, make(map[uint64]*replayed)}
	for seq := range known {
		if !then.isMessage(seq + 1) {
			continue
		}
		m := then.message(seq + 1)
		c.add(&m)
		if m.State == nil {
			continue
		}
		for _, reaction := range m.State.Reactions {
			for _, p := range reaction.People {
				c.messages[m.Seq].reactions[reaction.Emoji+p.Author] = true
			}
		}
	}
	return c
}

// add notes a message.
func (c *replay) add(m *store.Entry) {
	known := &replayed{text: m.Content, files: m.Files, reactions: make(map[string]bool)}
	if m.State != nil {
		known.deleted, known.pinned = m.State.Deleted.Seq != 0, m.State.Pinned.Seq != 0
	}
	c.messages[m.Seq] = known
}

func (c *replay) apply(e *store.Entry) {
	if e.Kind == kaban.KindMessage {
		c.add(e)
		return
	}
	m := c.messages[e.Target]
	if m == nil {
		return
	}
	switch e.Kind {
	case kaban.KindEdit:
		if e.Content != "" {
			m.text = strings.TrimPrefix(e.Content, kaban.NoText)
		}
	case kaban.KindDelete:
		*m = replayed{deleted: true, reactions: make(map[string]bool)}
	case kaban.KindPin:
		m.pinned = e.Content == "+"
	case kaban.KindReact:
		delete(m.reactions, e.Content[1:]+e.Author)
		if e.Content[0] == '+' {
			m.reactions[e.Content[1:]+e.Author] = true
		}
	}
}

// read reads a page.
func (c *replay) read(t *testing.T, rt *rapid.T, s store.Store, r *roomModel, limit int) {
	entries, err := s.Read(t.Context(), r.name, store.Page{After: c.next - 1, Limit: limit})
	if err != nil {
		rt.Fatalf("Read of %s: %v", r.name, err)
	}
	c.next = max(c.next, r.cut+1) // a client starts over when what it needs is not kept
	for i := range entries {
		if entries[i].Seq != c.next {
			rt.Fatalf("entry %d of %s comes instead of %d", entries[i].Seq, r.name, c.next)
		}
		c.apply(&entries[i])
		c.next++
	}
}

// finish reads to the end and compares what the client knows.
func (c *replay) finish(t *testing.T, rt *rapid.T, s store.Store, r *roomModel, limit int) {
	from, head := c.next, uint64(len(r.log))
	for c.next <= head {
		before := c.next
		if c.read(t, rt, s, r, limit); c.next == before {
			rt.Fatalf("%s ends before %d, want %d entries", r.name, c.next, head)
		}
	}
	c.next = max(c.next, r.cut+1)
	maps.DeleteFunc(c.messages, func(seq uint64, _ *replayed) bool { return seq <= r.cut })
	want := r.replayFrom(head)
	if diff := difference(want, c); diff != "" {
		rt.Errorf("a client of %s that goes on at %d ends with another state (-want +got):\n%s", r.name, from, diff)
	}
}

// difference describes how two values differ; "" if they are equal. It asks first, because
// that is faster.
func difference(want, got any) string {
	if reflect.DeepEqual(want, got) {
		return ""
	}
	return gocmp.Diff(want, got, cmpopts.EquateEmpty(), gocmp.AllowUnexported(replay{}, replayed{}))
}

// changes draws writes.
type changes struct {
	t     *testing.T
	rooms []*roomModel
	ids   int
}

// identities are three authors, two of them with two names.
func identities(t *testing.T) []kaban.Identity {
	return []kaban.Identity{
		kaban.Visitor(Username(t, "ann")), kaban.Visitor(Username(t, "Ann")), kaban.Account("17", Username(t, "bob")),
		kaban.Account("17", Username(t, "robert")), kaban.Bot("9", Username(t, "carol")),
	}
}

// more draws one write, or several that belong together. Others may be before them in
// the batch.
func (c *changes) more(rt *rapid.T, before int) (writes []*changeWrite) {
	w := changeWrite{
		room: c.rooms[rapid.IntRange(0, len(c.rooms)-1).Draw(rt, "room")], refused: rapid.IntRange(0, 7).Draw(rt, "refused") == 7,
		decided: rapid.IntRange(0, 3).Draw(rt, "decided") == 3,
	}
	const repeated, burst = 254, 255
	w.Kind = rapid.SampledFrom([]kaban.Kind{1, 1, 1, 1, 1, 2, 2, 2, 2, 3, 4, 4, 4, 4, 5, 5, 5, kaban.KindTopic, 200, repeated, repeated, repeated, repeated, repeated, burst}).Draw(rt, "kind")
	w.Author = rapid.SampledFrom(identities(c.t)).Draw(rt, "author")
	w.Room = w.room.name
	seqs := rapid.Uint64Range(0, uint64(len(w.room.log)+before+2))
	var messages []uint64
	for _, e := range w.room.log {
		if e.Kind == kaban.KindMessage {
			messages = append(messages, e.Seq)
		}
	}
	known := rapid.SampledFrom(messages)
	targets := rapid.OneOf(known, known, known, known, seqs)
	w.Target = targets.Draw(rt, "target")
	text := rapid.SampledFrom([]string{"x", "yy", "zzz"}).Draw(rt, "text")
	on := rapid.IntRange(0, 2).Draw(rt, "on") > 0
	switch w.Kind {
	case kaban.KindMessage:
		if w.Body = text; rapid.Bool().Draw(rt, "alone") {
			w.Target = 0
		}
		w.Files = c.files(rt)
	case kaban.KindEdit:
		w.Body, w.Base = rapid.SampledFrom([]string{text, text, kaban.NoText}).Draw(rt, "body"), rapid.OneOf(rapid.Just(uint64(0)), targets, seqs).Draw(rt, "base")
	case kaban.KindReact:
		w.Body = kaban.Switch(on, rapid.SampledFrom([]string{"👍", "🎉", "❤️"}).Draw(rt, "emoji"))
	case kaban.KindPin:
		w.Body = kaban.Switch(on, "")
	case repeated:
		w.Draft = w.room.sent[rapid.IntRange(0, len(w.room.sent)-1).Draw(rt, "again")]
		switch rapid.IntRange(0, 6).Draw(rt, "as") {
		case 3:
			w.Target = targets.Draw(rt, "target")
		case 4, 5:
			if w.Kind == kaban.KindMessage || w.Kind == kaban.KindEdit {
				w.Body = text
			}
			if w.Kind == kaban.KindEdit && rapid.Bool().Draw(rt, "none") {
				w.Body = kaban.NoText
			}
		case 6:
			if w.Kind == kaban.KindMessage {
				w.Files = c.files(rt)
			}
		}
		return []*changeWrite{&w}
	case burst:
		w.Kind = kaban.KindReact
		w.Target, w.refused, w.decided = 1, false, false
		first := rapid.SampledFrom([]int{0, 15, 30, 45}).Draw(rt, "first")
		for i := range rapid.SampledFrom([]int{5, 19, 22}).Draw(rt, "n") {
			w.Body, w.ID = kaban.Switch(true, string(rune(0x1f600+first+i))), c.id(rt)
			one := w
			writes = append(writes, &one)
		}
		return writes
	default:
		w.Body = rapid.SampledFrom([]string{"", "x"}).Draw(rt, "body")
	}
	if w.ID = c.id(rt); w.Kind == kaban.KindMessage || w.Kind == kaban.KindEdit {
		w.tells = mentionsDrawn(rt)
	}
	return []*changeWrite{&w}
}

// files draws the files of a message, mostly none.
func (c *changes) files(rt *rapid.T) kaban.Files {
	return rapid.SampledFrom([]kaban.Files{{}, {}, {}, Files(c.t, "a.png"), Files(c.t, "b"), Files(c.t, "b", "a.png")}).Draw(rt, "files")
}

// id draws an id, mostly a new one.
func (c *changes) id(rt *rapid.T) kaban.MessageID {
	text := rapid.SampledFrom([]string{"", "", "", "", "", "a", "b", "c"}).Draw(rt, "id")
	if text == "" { // a new one
		c.ids++
		text = fmt.Sprint("n", c.ids)
	}
	id, err := kaban.ParseMessageID(text)
	if err != nil {
		rt.Fatal(err)
	}
	return id
}

// append appends a batch to a store and to the models. Whatever is stored and decided, adds
// to a document.
func (c *changes) append(rt *rapid.T, s store.Store, document string, decided *string) {
	var writes []*changeWrite
	for range rapid.IntRange(1, 12).Draw(rt, "writes") {
		writes = append(writes, c.more(rt, len(writes))...)
	}
	batch, results := make([]store.Write, len(writes)), make([]store.Result, len(writes))
	for i, w := range writes {
		batch[i].Draft, batch[i].Mentions = w.Draft, w.tells
		batch[i].Allow = func(target *store.Entry) error {
			w.sees = &copyOf([]store.Entry{*target})[0]
			if w.refused {
				return errNotAllowed
			}
			return nil
		}
		if w.decided {
			batch[i].Decide = func(tx store.Tx) error {
				value, err := tx.Get(document)
				return errors.Join(err, tx.Put(document, append(value, w.Room.String()+w.ID.String()...)))
			}
		}
	}
	if err := s.Append(c.t.Context(), batch, results); err != nil {
		rt.Fatalf("Append: %v", err)
	}
	for i, w := range writes {
		want, allowed := w.room.want(w)
		got := results[i]
		isNew := want.Err == nil && !want.Duplicate
		if isNew {
			want.Time = got.Time
		}
		if got.Seq != want.Seq || got.Time != want.Time || got.Duplicate != want.Duplicate || !errors.Is(got.Err, want.Err) || isNew && got.Time == 0 {
			rt.Fatalf("write %d, %+v: %+v, want %+v", i, w.Draft, got, want)
		}
		switch {
		case allowed != (w.sees != nil):
			rt.Fatalf("write %d, %+v: whether Allow is called is %t, want %t", i, w.Draft, w.sees != nil, allowed)
		case allowed:
			if diff := difference(w.room.message(w.Target), *w.sees); diff != "" {
				rt.Fatalf("write %d, %+v: Allow sees another message (-want +got):\n%s", i, w.Draft, diff)
			}
		}
		if allowed && want.Duplicate {
			w.room.noops[[2]string{w.Author.ID(), w.ID.String()}] = noop{w.Draft, want}
		}
		if !isNew {
			continue
		}
		if w.room.add(&w.Draft, got.Time, w.tells); w.decided {
			*decided += w.Room.String() + w.ID.String()
		}
	}
}

// compare compares everything in a room, and pages of its history.
func (c *changes) compare(rt *rapid.T, s store.Store, r *roomModel) {
	got, err := s.Read(c.t.Context(), r.name, all)
	if diff := difference(r.entries(), got); diff != "" || err != nil {
		rt.Fatalf("Read of %s: %v (-want +got):\n%s", r.name, err, diff)
	}
	seqs := rapid.Uint64Range(0, uint64(len(r.log)+2))
	pages := []store.Page{all}
	for range 3 {
		page := store.Page{
			After: seqs.Draw(rt, "after"), Before: rapid.OneOf(rapid.Just(uint64(0)), seqs).Draw(rt, "before"), Last: rapid.Bool().Draw(rt, "last"),
			Limit: rapid.IntRange(1, 8).Draw(rt, "limit"), Bytes: rapid.IntRange(0, 9).Draw(rt, "bytes"),
		}
		if rapid.IntRange(0, 2).Draw(rt, "thread") == 2 {
			page.RepliesTo = seqs.Draw(rt, "replies to")
		}
		pages = append(pages, page)
	}
	for _, page := range pages {
		got, err := s.History(c.t.Context(), r.name, page)
		if diff := difference(r.history(page), got); diff != "" || err != nil {
			rt.Fatalf("History of %s, %+v: %v (-want +got):\n%s", r.name, page, err, diff)
		}
		c.compareQuiet(rt, s, r, page)
	}
}

// compareQuiet compares a page without reactions with what is left of the same page.
func (c *changes) compareQuiet(rt *rapid.T, s store.Store, r *roomModel, page store.Page) {
	page.RepliesTo, page.Bytes = 0, 0
	want, err := s.Read(c.t.Context(), r.name, page)
	if err != nil {
		rt.Fatalf("Read of %s, %+v: %v", r.name, page, err)
	}
	want = slices.DeleteFunc(want, func(e store.Entry) bool { return e.Kind == kaban.KindReact })
	page.NoReactions = true
	got, err := s.Read(c.t.Context(), r.name, page)
	if diff := difference(want, got); diff != "" || err != nil {
		rt.Fatalf("Read of %s, %+v: %v (-want +got):\n%s", r.name, page, err, diff)
	}
}

// testRandomChanges appends random batches on handles of one store. After each it compares
// everything with the models, and what clients know that have read on from any entry.
func (d *Driver) testRandomChanges(t *testing.T, s store.Store) {
	handles := []store.Store{s}
	if d.Share != nil {
		other := d.Share(t, s)
		t.Cleanup(func() { other.Close() })
		handles = append(handles, other)
	}
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		c := changes{t: t}
		var slow []*replay // clients that read a few entries after each batch
		for _, name := range []string{"a", "b"} {
			c.rooms = append(c.rooms, &roomModel{name: RoomName(t, fmt.Sprint("p", run, "-", name)), ids: make(map[[2]string]uint64), noops: make(map[[2]string]noop)})
			r := c.rooms[len(slow)]
			slow = append(slow, r.replayFrom(0))
			first := message(t, "carol", "first", "hello")
			first.Room = r.name
			r.add(&first, Append(t, s, first)[0].Time, nil)
		}
		document, decided := fmt.Sprint("decided/", run), ""
		handle := rapid.IntRange(0, len(handles)-1)
		limit := rapid.IntRange(1, 9)
		for range rapid.IntRange(3, 10).Draw(rt, "batches") {
			c.append(rt, handles[handle.Draw(rt, "writer")], document, &decided)
			if rapid.IntRange(0, 3).Draw(rt, "cut") == 3 {
				c.cut(rt, handles[handle.Draw(rt, "cutter")])
			}
			reader := handles[handle.Draw(rt, "reader")]
			for i, r := range c.rooms {
				c.compare(rt, reader, r)
				c.compareMentions(rt, reader, r)
				c.compareCounts(rt, reader, r)
				slow[i].read(t, rt, reader, r, limit.Draw(rt, "limit of a slow client"))
				known := rapid.Uint64Range(0, uint64(len(r.log))).Draw(rt, "known")
				r.replayFrom(known).finish(t, rt, reader, r, limit.Draw(rt, "limit of a client"))
			}
			err := reader.View(t.Context(), func(tx store.Tx) error {
				value, err := tx.Get(document)
				if string(value) != decided {
					rt.Errorf("%q was decided, want %q", value, decided)
				}
				return err
			})
			if err != nil {
				rt.Fatal(err)
			}
		}
		for i, r := range c.rooms {
			slow[i].finish(t, rt, s, r, 5)
			if got, want := releasedIn(t, s, r.name), r.released(); !slices.Equal(got, want) {
				rt.Errorf("%s has released the files of %v, want %v", r.name, got, want)
			}
		}
	})
}
