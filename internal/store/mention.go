package store

import (
	"slices"

	"kaban"
)

// Cause is why a message mentions somebody. A smaller one is more direct.
type Cause uint8

// The causes.
const (
	CauseName     Cause = 1 // the name of the account
	CauseEveryone Cause = 2
	CauseHere     Cause = 3 // the account was online
)

// Mentions are whom the content of a message or an edit mentions. They never change.
type Mentions struct {
	Accounts []string `json:"accounts,omitempty"` // ids, each once
	Everyone bool     `json:"everyone,omitempty"`
	Here     bool     `json:"here,omitempty"`
	// Online are the accounts that Here is about: ids without spaces, each once.
	Online []string `json:"online,omitempty"`
}

// Told returns whom a write comes to mention, nil if it is neither a message nor an edit.
func (w *Write) Told() *Mentions {
	if w.Kind == kaban.KindMessage || w.Kind == kaban.KindEdit {
		return w.Mentions
	}
	return nil
}

// Occurrence says that a message mentions an account by name, or many at once.
type Occurrence struct {
	Cause   Cause
	Account string   // of CauseName
	Online  []string // of CauseHere, as in Mentions
	Time    int64    // of the message, or of the edit since which it mentions them, as Entry has it
}

// Concerns reports whether an account is mentioned.
func (o *Occurrence) Concerns(account string) bool {
	switch o.Cause {
	case CauseName:
		return o.Account == account
	case CauseEveryone:
		return true
	}
	return slices.Contains(o.Online, account)
}

// Occur returns the occurrences of a message when its content comes to mention m, which may be
// nil: those before of what it still mentions, and new ones of a time. Nothing is changed.
func (m *Mentions) Occur(before []Occurrence, time int64) (now []Occurrence) {
	if m == nil {
		return nil
	}
	add := func(o Occurrence) {
		if i := slices.IndexFunc(before, func(b Occurrence) bool { return b.Cause == o.Cause && b.Account == o.Account }); i >= 0 {
			o = before[i]
		}
		now = append(now, o)
	}
	for _, account := range m.Accounts {
		add(Occurrence{Cause: CauseName, Account: account, Time: time})
	}
	if m.Everyone {
		add(Occurrence{Cause: CauseEveryone, Time: time})
	}
	if m.Here {
		add(Occurrence{Cause: CauseHere, Online: m.Online, Time: time})
	}
	return now
}

// Size returns the bytes of the ids.
func (m *Mentions) Size() (n int) {
	if m == nil {
		return 0
	}
	for _, id := range m.Accounts {
		n += len(id)
	}
	for _, id := range m.Online {
		n += len(id)
	}
	return n
}

// Mention is a message that mentions an account.
type Mention struct {
	Seq   uint64
	Time  int64 // as Occurrence has it
	Cause Cause // the most direct one
}

// MaxMentions is how many messages Store.Mentions returns at most, those that come last. Nobody
// reads more of them one by one, and what others can make somebody's server do stays bounded.
const MaxMentions = 1000

// LastMentions leaves the last ones of some mentions, which are ascending, that Store.Mentions
// returns.
func LastMentions(found []Mention) []Mention { return found[max(0, len(found)-MaxMentions):] }

// MentionOf returns what occurrences of a message mean for an account; false if they do not
// concern it. Time is the one of the cause.
func MentionOf(account string, seq uint64, occurrences []Occurrence) (m Mention, ok bool) {
	for i := range occurrences {
		o := &occurrences[i]
		if o.Concerns(account) && (!ok || o.Cause < m.Cause) {
			m, ok = Mention{seq, o.Time, o.Cause}, true
		}
	}
	return m, ok
}
