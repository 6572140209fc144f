package client

import (
	"slices"

	"kaban"
	"kaban/wire"
)

// maxRecent and maxRecentBytes are how many changes a Fold keeps at least for messages that
// it gets later, and how much text of edits at most.
const maxRecent, maxRecentBytes = 1000, 1 << 20

// Fold keeps messages of one room and what the entries make of them. It takes the entries
// of Room.Entries and those of pages of Client.History, each as often and about in the
// order in which they come: an entry that a message has been changed by already is ignored.
// A change may also come before its message, such as while a page is asked for; the last
// 1,000 are kept for that, unless they are edits with more than 1 MiB of text.
//
// The client's own entries are not among those of Room.Entries. A program adds them when
// their receipts come.
//
// Reactions, and the names in each, are in the order in which their entries came. That of
// History may differ after somebody took one back.
//
// A Fold does nothing by itself and holds what it is given until Forget. After a
// *ResyncError with another epoch, or if entries are missing, take a new one. The zero Fold
// is empty. It is not safe for concurrent use.
type Fold struct {
	// Username is that of the reader, as the server writes it (Client.Username). Its
	// reactions are Me.
	Username string

	messages map[uint64]*folded
	recent   []effect // in the order of their seqs
	bytes    int      // of text in recent
}

// effect is what an entry does to another one.
type effect struct {
	seq, target uint64
	change      *wire.Change // nil: a reply
}

// folded is a message as it is now.
type folded struct {
	message wire.Message
	asOf    uint64 // what entries up to here have changed is in the message
	pinned  uint64 // the last pin
	turns   map[turner]turn
	replies map[uint64]bool // those that are counted beyond asOf
}

// turner is somebody that reacts with an emoji.
type turner struct{ emoji, account, username string }

// turn is the last time that a turner did.
type turn struct {
	seq uint64
	on  bool
}

// Add takes an entry. It returns the seqs of the messages that are new or have changed.
func (f *Fold) Add(e Entry) (changed []uint64) {
	var does effect
	switch {
	case e.Message != nil:
		if f.put(e.Message, e.AsOf) {
			changed = append(changed, e.Seq)
		}
		does = effect{seq: e.Seq, target: e.Message.ReplyTo}
	case e.Change != nil:
		does = effect{seq: e.Seq, target: e.Change.Target, change: e.Change}
	}
	if does.target == 0 {
		return changed
	}
	f.remember(does)
	if m := f.messages[does.target]; m != nil && m.apply(&does, f.Username) {
		changed = append(changed, does.target)
	}
	return changed
}

// AddPage takes the entries of a page of history. It returns what Add does.
func (f *Fold) AddPage(p *HistoryPage) (changed []uint64) {
	for i := range p.Entries {
		changed = append(changed, f.Add(p.Entries[i])...)
	}
	return changed
}

// Message returns a message as it is now. Later entries do not change the result.
func (f *Fold) Message(seq uint64) (m wire.Message, ok bool) {
	kept := f.messages[seq]
	if kept == nil {
		return wire.Message{}, false
	}
	return kept.message, true
}

// Forget forgets a message.
func (f *Fold) Forget(seq uint64) { delete(f.messages, seq) }

// put keeps a message, unless it is known as of then.
func (f *Fold) put(m *wire.Message, asOf uint64) bool {
	if known := f.messages[m.Seq]; known != nil && known.asOf >= asOf {
		return false
	}
	kept := &folded{message: *m, asOf: asOf}
	for i := range f.recent {
		if f.recent[i].target == m.Seq {
			kept.apply(&f.recent[i], f.Username)
		}
	}
	if f.messages == nil {
		f.messages = make(map[uint64]*folded)
	}
	f.messages[m.Seq] = kept
	return true
}

// remember keeps an effect for messages that come later.
func (f *Fold) remember(does effect) {
	at := len(f.recent)
	for at > 0 && f.recent[at-1].seq > does.seq {
		at--
	}
	if at > 0 && f.recent[at-1].seq == does.seq {
		return
	}
	f.recent = slices.Insert(f.recent, at, does)
	f.bytes += does.bytes()
	from := 0
	if len(f.recent) >= 2*maxRecent {
		from = maxRecent
	}
	for keep := f.bytes; keep > maxRecentBytes && from < len(f.recent)-1; from++ {
		keep -= f.recent[from].bytes()
	}
	if from == 0 {
		return
	}
	for i := range f.recent[:from] {
		f.bytes -= f.recent[i].bytes()
	}
	f.recent = append([]effect(nil), f.recent[from:]...)
}

// bytes returns how much text an effect holds.
func (e *effect) bytes() int {
	if e.change == nil {
		return 0
	}
	return len(e.change.Content)
}

// apply changes the message. It reports whether that made a difference.
func (m *folded) apply(does *effect, reader string) bool {
	switch {
	case does.seq <= m.asOf:
		return false
	case does.change == nil:
		return m.reply(does.seq)
	case m.message.Deleted && does.change.Type != wire.TypeEdit: // an edit before it may come late
		return false
	}
	c := does.change
	switch c.Type {
	case wire.TypeEdit:
		if does.seq <= m.message.Edited.Seq {
			return false
		}
		m.message.Edited = wire.Edited{Seq: does.seq, Time: c.Time}
		if (c.Content != "" || c.NoText) && !m.message.Deleted {
			m.message.Content = c.Content
		}
	case wire.TypeDelete:
		m.message.Files = kaban.Files{}
		m.message.Deleted, m.message.Content, m.message.Reactions, m.message.Pinned, m.message.PinnedAt = true, "", nil, false, 0
	case wire.TypePin:
		if does.seq <= m.pinned {
			return false
		}
		if m.pinned, m.message.Pinned, m.message.PinnedAt = does.seq, c.On, 0; c.On {
			m.message.PinnedAt = does.seq
		}
	case wire.TypeReact:
		return m.react(does.seq, c, c.Username == reader)
	default:
		return false
	}
	return true
}

func (m *folded) reply(seq uint64) bool {
	if m.replies[seq] {
		return false
	}
	if m.replies == nil {
		m.replies = make(map[uint64]bool)
	}
	m.replies[seq] = true
	m.message.Replies++
	return true
}

// react adds or removes somebody.
func (m *folded) react(seq uint64, c *wire.Change, mine bool) bool {
	who := turner{c.Emoji, c.Account, ""}
	if c.Account == "" || mine { // a receipt does not say the own account
		who = turner{c.Emoji, "", c.Username}
	}
	last, known := m.turns[who]
	if known && seq <= last.seq {
		return false
	}
	at := slices.IndexFunc(m.message.Reactions, func(r wire.Reaction) bool { return r.Emoji == c.Emoji })
	var old wire.Reaction
	if at >= 0 {
		old = m.message.Reactions[at]
	}
	if !known {
		last.on = !c.On // the server stores none that is there already
		if len(old.Usernames) == old.Count {
			last.on = slices.Contains(old.Usernames, c.Username)
		}
	}
	if m.turns == nil {
		m.turns = make(map[turner]turn)
	}
	m.turns[who] = turn{seq, c.On}
	if c.On == last.on {
		return false
	}
	all := slices.Clone(m.message.Reactions) // somebody may have the old ones
	switch r := turned(old, c, mine); {
	case at < 0:
		all = append(all, r)
	case r.Count > 0:
		all[at] = r
	default:
		all = slices.Delete(all, at, at+1)
	}
	m.message.Reactions = all
	return true
}

// turned returns a reaction with somebody more or less. A name can only be added while all
// are known: those that are not come before it.
func turned(r wire.Reaction, c *wire.Change, mine bool) wire.Reaction {
	names := slices.Clone(r.Usernames)
	r.Emoji = c.Emoji
	if c.On {
		if len(names) == r.Count && len(names) < wire.MaxReactors {
			names = append(names, c.Username)
		}
		r.Count++
	} else {
		if i := slices.Index(names, c.Username); i >= 0 {
			names = slices.Delete(names, i, i+1)
		}
		r.Count--
	}
	r.Usernames = names
	if mine {
		r.Me = c.On
	}
	return r
}
