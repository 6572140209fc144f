package people

import (
	"slices"

	"kaban/internal/store"
)

// Erasure is the erasing of what an account has written, and how far that is. It stays, as a
// report that has no texts.
type Erasure struct {
	Account string `json:"account"`
	// Authors are the ids of the identities that it has written as; nil once it is done,
	// because names of visitors are personal.
	Authors []string `json:"authors,omitempty"`
	// Until is when what an author wrote ends, in milliseconds since 1970 UTC, of those of whom
	// not all is: whoever has used the name of a visitor after it was linked is somebody else.
	Until map[string]int64 `json:"until,omitempty"`
	Since int64            `json:"since"`
	Done  int64            `json:"done,omitempty"` // 0 until nothing is left in any file
	// Version is that of the server that has begun it, see ErasureVersion.
	Version int `json:"version,omitempty"`
	// Audited is set once the audit has nothing of the account that is to go.
	Audited bool `json:"audited,omitempty"`
	// Room is the key of the last room that is finished, Deleted is set once all are. Counted is the
	// key of the room that is counted below and not finished.
	Room    string `json:"room,omitempty"`
	Counted string `json:"counted,omitempty"`
	Deleted bool   `json:"deleted,omitempty"`

	// Bots and Hooks are how many of its programs it has written as, too.
	Bots  int `json:"bots,omitempty"`
	Hooks int `json:"hooks,omitempty"`

	// A room is counted before anything in it is erased, so what a server that was killed has done is
	// counted once. An erasure that begins anew adds what was left.
	Messages  int64 `json:"messages"`        // deleted
	Reactions int64 `json:"reactions"`       // taken back
	Texts     int64 `json:"texts,omitempty"` // topics and reasons, taken out of entries
	Rooms     int64 `json:"rooms"`           // with any of them
}

// Wrote reports whether the erasure is of what an author wrote at a time.
func (e *Erasure) Wrote(author string, time int64) bool {
	until, ends := e.Until[author]
	return slices.Contains(e.Authors, author) && (!ends || time <= until)
}

// ErasureVersion is increased when erasures reach something that they did not reach before. One of
// an older version that is under way begins anew, because it may have passed over that:
//
//   - 1: direct rooms, and topics and reasons.
const ErasureVersion = 1

// Erasures has all erasures by account.
var Erasures = erasures{Table[Erasure]{
	name: "erasure",
	key:  func(e *Erasure) []string { return []string{e.Account} },
}}

type erasures struct{ Table[Erasure] }

// Next returns the first erasure that is not done of those whose accounts sort after one;
// ErrNotFound if there is none, or store.ErrDamaged if all that may be left are damaged.
func (t *erasures) Next(tx store.Tx, account string) (Erasure, error) {
	var after []string
	if account != "" {
		after = []string{account}
	}
	damage := error(ErrNotFound)
	for more := true; more; {
		var page []store.Document
		var err error
		if page, more, err = scan(tx, t.document(nil), t.document(after), len(after) > 0, erasurePage); err != nil {
			return Erasure{}, err
		}
		for i := range page {
			after = store.KeyParts(page[i].Key)[1:]
			e, err := t.decode(page[i].Value)
			if err != nil {
				damage = err
			} else if e.Done == 0 {
				return e, nil
			}
		}
	}
	return Erasure{}, damage
}

// erasurePage is how many erasures are read at a time.
const erasurePage = 100
