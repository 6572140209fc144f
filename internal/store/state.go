package store

import (
	"cmp"
	"errors"
	"slices"

	"kaban"
)

// Limits of the reactions to one message.
const (
	MaxReactions    = 50     // different emoji
	MaxOwnReactions = 20     // of one author
	MaxReactors     = 10_000 // of all authors: each is read with the message
)

// MaxNoops is how many ids of changes that make no difference are kept for a message. A repeat of
// one beyond them counts as new.
const MaxNoops = 1000

// Errors of writes that are about a message: results of Append that callers distinguish
// with errors.Is.
var (
	// ErrNoTarget means that the target of a write is no message of the room, or none that
	// is kept.
	ErrNoTarget = errors.New("there is no such message")
	// ErrGone means that the target of a write was deleted.
	ErrGone = errors.New("the message was deleted")
	// ErrEditConflict means that the target was edited after Draft.Base.
	ErrEditConflict = errors.New("the message was edited in the meantime")
	// ErrNoText means that an edit would leave a message without text and without files.
	ErrNoText = errors.New("a message without files needs a text")
	// ErrTooManyReactions means that the target has MaxReactions, MaxOwnReactions by the
	// author, or MaxReactors.
	ErrTooManyReactions = errors.New("the message has too many reactions")
)

// Change is when an entry changed something. The zero value is never.
type Change struct {
	Seq  uint64
	Time int64 // milliseconds since 1970 UTC
}

// State is what later entries have made of a message; nil stands for nothing. Once it is in an Entry that others
// have, it never changes.
type State struct {
	Edited  Change // the last edit; the content is of it
	Deleted Change // then there are no content and no files, and nothing changes any more
	Pinned  Change // zero if it is not pinned now
	// Replies is the number of messages that answer it, deleted ones included.
	Replies uint64
	// Reactions are ordered by the first that is there. Read leaves them out.
	Reactions []Reaction
}

// Reaction is one emoji and those that have reacted with it, in the order in which they
// did. There is at least one.
type Reaction struct {
	Emoji  string
	People []Reactor
}

// Reactor is the author of a reaction.
type Reactor struct {
	Change
	Author, Username string // as in Entry
}

// by returns the index of an author among those of a reaction, or -1.
func (r *Reaction) by(author string) int {
	for i := range r.People {
		if r.People[i].Author == author {
			return i
		}
	}
	return -1
}

// find returns the index of a reaction, or -1.
func (s *State) find(emoji string) int {
	return slices.IndexFunc(s.Reactions, func(r Reaction) bool { return r.Emoji == emoji })
}

// IsDeleted reports whether the entry is a message that was deleted.
func (e *Entry) IsDeleted() bool { return e.State != nil && e.State.Deleted != Change{} }

// Version returns the seq of the content that a message has: of its last edit, or its own.
func (e *Entry) Version() uint64 {
	if e.State == nil {
		return e.Seq
	}
	return max(e.Seq, e.State.Edited.Seq)
}

// HasTarget reports whether a write must be about a message: it is a change of one, or a
// message that answers one.
func (w *Write) HasTarget() bool { return HasTarget(w.Kind, w.Target) }

// HasTarget reports whether an entry is about a message.
func HasTarget(kind kaban.Kind, target uint64) bool {
	return kind.IsChange() || kind == kaban.KindMessage && target != 0
}

// Fit decides whether a write with a target may be stored; see Append. The target is the
// entry that it names, as it is now and with its reactions, or nil if there is none. If the
// message already is what the write would make of it, known is the entry since which it is.
func (w *Write) Fit(target *Entry) (known Change, err error) {
	if target == nil || target.Kind != kaban.KindMessage {
		return Change{}, ErrNoTarget
	}
	if w.Allow != nil {
		if err := w.Allow(target); err != nil {
			return Change{}, err
		}
	}
	if target.IsDeleted() {
		return Change{}, ErrGone
	}
	state := target.State
	if state == nil {
		state = new(State)
	}
	always := Change{target.Seq, target.Time}
	switch w.Kind {
	case kaban.KindEdit:
		switch {
		case w.Base != 0 && w.Base != target.Version():
			return Change{}, ErrEditConflict
		case w.Body == kaban.NoText && target.Files == "":
			return Change{}, ErrNoText
		}
	case kaban.KindPin:
		switch on, _ := kaban.ParseSwitch(w.Body); {
		case on && state.Pinned != Change{}:
			return state.Pinned, nil
		case !on && state.Pinned == Change{}:
			return always, nil
		}
	case kaban.KindReact:
		return state.fitReaction(w, always)
	}
	return Change{}, nil
}

func (s *State) fitReaction(w *Write, always Change) (known Change, err error) {
	on, emoji := kaban.ParseSwitch(w.Body)
	author := w.Author.ID()
	at, own := s.find(emoji), -1
	if at >= 0 {
		own = s.Reactions[at].by(author)
	}
	switch {
	case on && own >= 0:
		return s.Reactions[at].People[own].Change, nil
	case !on && own < 0:
		return always, nil
	case !on:
		return Change{}, nil
	case at < 0 && len(s.Reactions) >= MaxReactions:
		return Change{}, ErrTooManyReactions
	}
	n, all := 0, 0
	for i := range s.Reactions {
		all += len(s.Reactions[i].People)
		if i != at && s.Reactions[i].by(author) >= 0 {
			n++
		}
	}
	if n >= MaxOwnReactions || all >= MaxReactors {
		return Change{}, ErrTooManyReactions
	}
	return Change{}, nil
}

// Apply makes of a message what an entry about it says: the entry has the message's seq as
// its target, and a greater seq than any that was applied before. The message gets another
// State; the one that it had stays as it is. What would not Fit, such as a change of what
// was deleted, makes no difference.
func (e *Entry) Apply(change *Entry) { e.apply(change, false) }

// ApplyOwned is Apply for a message whose State nobody else has: its reactions are changed
// where they are, and not copied.
func (e *Entry) ApplyOwned(change *Entry) { e.apply(change, true) }

// apply is Apply. own says that nobody else has the reactions of the state, so that they need
// not be copied.
func (e *Entry) apply(change *Entry, own bool) {
	var s State
	if e.State != nil {
		s = *e.State
	}
	if s.Deleted != (Change{}) && change.Kind != kaban.KindMessage {
		return
	}
	at := Change{change.Seq, change.Time}
	switch change.Kind {
	case kaban.KindMessage:
		s.Replies++
	case kaban.KindEdit:
		s.Edited = at
		switch change.Content {
		case "": // a later edit has the text
		case kaban.NoText:
			e.Content = ""
		default:
			e.Content = change.Content
		}
	case kaban.KindDelete:
		s.Deleted, s.Pinned, s.Reactions, e.Content, e.Files = at, Change{}, nil, "", ""
	case kaban.KindPin:
		if on, _ := kaban.ParseSwitch(change.Content); !on {
			at = Change{}
		}
		s.Pinned = at
	case kaban.KindReact:
		on, emoji := kaban.ParseSwitch(change.Content)
		if s.Reactions != nil && !own {
			s.Reactions = slices.Clone(s.Reactions)
			if i := s.find(emoji); i >= 0 {
				s.Reactions[i].People = slices.Clone(s.Reactions[i].People)
			}
		}
		s.react(emoji, on, Reactor{at, change.Author, change.Username})
	default:
		return
	}
	e.State = s.orNil()
}

// orNil returns a state, or nil if nothing has become of its message.
func (s *State) orNil() *State {
	if len(s.Reactions) == 0 {
		s.Reactions = nil
	}
	if s.Edited == (Change{}) && s.Deleted == (Change{}) && s.Pinned == (Change{}) && s.Replies == 0 && s.Reactions == nil {
		return nil
	}
	return s
}

// react adds or removes a reaction.
func (s *State) react(emoji string, on bool, by Reactor) {
	at := s.find(emoji)
	own := -1
	if at >= 0 {
		own = s.Reactions[at].by(by.Author)
	}
	switch {
	case on == (own >= 0):
	case at < 0:
		s.Reactions = append(s.Reactions, Reaction{emoji, []Reactor{by}})
	case on:
		s.Reactions[at].People = append(s.Reactions[at].People, by)
	case len(s.Reactions[at].People) == 1:
		s.Reactions = slices.Delete(s.Reactions, at, at+1)
	default:
		s.Reactions[at].People = slices.Delete(s.Reactions[at].People, own, own+1)
		if own == 0 { // the reaction may be younger now than those behind it
			slices.SortStableFunc(s.Reactions, func(a, b Reaction) int { return cmp.Compare(a.People[0].Seq, b.People[0].Seq) })
		}
	}
}

// Folder applies many entries to a message, as Apply does one after the other. It copies
// the reactions once, and of several edits it applies the last. End must be called after
// the last entry. The zero value with a Message is ready.
type Folder struct {
	Message *Entry
	edit    *Entry
	own     bool // the reactions
}

// Apply notes an entry, which must not change until End.
func (f *Folder) Apply(change *Entry) {
	switch change.Kind {
	case kaban.KindEdit:
		f.edit = change
		return
	case kaban.KindDelete: // then no edit counts any more
		f.End()
	case kaban.KindReact:
		if !f.own {
			f.own, f.Message.State = true, f.Message.State.withOwnReactions()
		}
	}
	f.Message.apply(change, f.own)
}

// End makes the message what the entries say.
func (f *Folder) End() {
	if f.edit != nil {
		f.Message.apply(f.edit, f.own)
		f.edit = nil
	}
}

// withOwnReactions returns a copy whose reactions nobody else has.
func (s *State) withOwnReactions() *State {
	if s == nil {
		return nil
	}
	own := *s
	own.Reactions = slices.Clone(s.Reactions)
	for i := range own.Reactions {
		own.Reactions[i].People = slices.Clone(own.Reactions[i].People)
	}
	return &own
}

// WithoutReactions returns the entry as Read has it.
func (e Entry) WithoutReactions() Entry {
	if e.State == nil || e.State.Reactions == nil {
		return e
	}
	s := *e.State
	s.Reactions = nil
	e.State = s.orNil()
	return e
}

// History is a page of a room as it shows itself to people: all entries but the changes of
// messages (kaban.Kind.IsChange), which the messages are folded with.
type History struct {
	Entries []Entry // ascending
	// First and Last are the run of sequence numbers that the page covers, changes
	// included; 0 if there are none.
	First, Last uint64
	// AsOf is the entry up to which the messages are folded: what it and those before it
	// changed is in their states, and nothing later.
	AsOf uint64
}

// MaxRun is how many entries a page of history covers at most, those that it passes over
// included. It bounds the work for a page of a room where little but changes happened.
const MaxRun = 1 << 14

// Run returns the entries that a page covers if there are enough in a log between two of
// them, both inclusive: those within the bounds of the page, and MaxRun at most. Replies
// are found without a look at what is between them, so they have no limit.
func (p *Page) Run(oldest, head uint64) (first, last uint64) {
	first, last = max(p.After+1, oldest), head
	if p.Before != 0 {
		last = min(last, p.Before-1)
	}
	switch {
	case first > last || p.RepliesTo != 0 || last-first < MaxRun:
	case p.Last:
		first = last - MaxRun + 1
	default:
		last = first + MaxRun - 1
	}
	return first, last
}

// Shows reports whether History returns an entry that is within the bounds of the page.
func (p *Page) Shows(e *Entry) bool {
	if p.RepliesTo != 0 {
		return e.Kind == kaban.KindMessage && e.Target == p.RepliesTo
	}
	return !e.Kind.IsChange()
}

// Stop ends the run that the page covers before an entry, in the direction of reading.
func (h *History) Stop(seq uint64, back bool) {
	if back {
		h.First = seq + 1
	} else {
		h.Last = seq - 1
	}
}
