package people

import (
	"strings"

	"kaban/internal/store"
)

// SubjectKind is what kind of thing a Subject is.
type SubjectKind uint8

// The kinds of subjects.
const (
	SubjectAccount  SubjectKind = iota + 1 // Account
	SubjectSecret                          // a secret of Account is gone
	SubjectSetting                         // ID is its key
	SubjectRoom                            // Room
	SubjectMember                          // Account in Room
	SubjectPush                            // ID of Account
	SubjectExpelled                        // the identity ID has to leave Room
	SubjectTaken                           // another node has taken over the visitor's name with the key ID
	SubjectErased                          // another node has erased what Account has written
	SubjectCut                             // the front of Room was cut, and the search index of another node has forgotten it
)

// Subject is what a change of documents is about, for servers on the same store that have not
// made the change. They read it again, and the subject says nothing else.
type Subject struct {
	Kind    SubjectKind
	Account string
	Room    string // the key
	ID      string
}

// Keys of documents that Subjects are known by.
const (
	secretEntry = "secret.account"
	pushEntry   = "push.account"
	expelled    = "expelled" // no documents; see ExpelledKey
	taken       = "taken"    // no documents; see TakenKey
	erased      = "erased"   // no documents; see ErasedKey
)

// NewsTable is the table of package news.
const NewsTable = "news"

// IsNews reports whether other servers on the store have to know that a document was written, or
// removed (gone).
func IsNews(key string, gone bool) bool {
	table, _, _ := strings.Cut(key, "/")
	switch table {
	case Accounts.name, Settings.name, Retentions.name, Rooms.name, Members.name, Cuts.name, pushEntry, expelled, taken, erased:
		return true
	}
	return table == secretEntry && gone // else it was made, or used
}

// ExpelledKey returns what stands for a document in the news where somebody without an account is
// thrown out of a room: no document says so.
func ExpelledKey(room, identity string) string { return store.Key(expelled, room, identity) }

// TakenKey returns what stands for a document in the news where a node takes over the name of a
// visitor from another one.
func TakenKey(name string) string { return store.Key(taken, name) }

// ErasedKey returns what stands for a document in the news where a node has erased all that an account has written,
// as far as the store and its own files have it.
func ErasedKey(account string) string { return store.Key(erased, account) }

// SubjectOf returns what a document for which IsNews is true is about. ok is false for what this
// version does not know.
func SubjectOf(key string) (s Subject, ok bool) {
	parts := store.KeyParts(key)
	if len(parts) < 2 {
		return Subject{}, false
	}
	table, rest := parts[0], parts[1:]
	switch {
	case table == Accounts.name:
		return Subject{Kind: SubjectAccount, Account: rest[0]}, true
	case table == secretEntry:
		return Subject{Kind: SubjectSecret, Account: rest[0]}, true
	case table == Settings.name:
		return Subject{Kind: SubjectSetting, ID: rest[0]}, true
	case table == Retentions.name:
		return Subject{Kind: SubjectSetting, ID: SettingRetention}, true
	case table == Rooms.name:
		return Subject{Kind: SubjectRoom, Room: rest[0]}, true
	case table == Cuts.name:
		return Subject{Kind: SubjectCut, Room: rest[0]}, true
	case table == taken:
		return Subject{Kind: SubjectTaken, ID: rest[0]}, true
	case table == erased:
		return Subject{Kind: SubjectErased, Account: rest[0]}, true
	case len(rest) < 2:
		return Subject{}, false
	case table == Members.name:
		return Subject{Kind: SubjectMember, Room: rest[0], Account: rest[1]}, true
	case table == pushEntry:
		return Subject{Kind: SubjectPush, Account: rest[0], ID: store.KeyParts(rest[1])[0]}, true
	case table == expelled:
		return Subject{Kind: SubjectExpelled, Room: rest[0], ID: rest[1]}, true
	}
	return Subject{}, false
}
