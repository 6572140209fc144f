package people

import (
	"encoding/json"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"

	"kaban/internal/store"
)

// FaultKind is what is wrong with a document.
type FaultKind uint8

// The kinds of faults.
const (
	FaultEntry     FaultKind = iota + 1 // an entry of an index whose value is missing
	FaultUnindexed                      // a value that lacks entries of indexes
	FaultAccount                        // it belongs to an account that is missing
	FaultRoom                           // it is a membership in a room that is missing
)

// Fault is a document that does not fit the others, as where some of them were lost.
type Fault struct {
	Kind    FaultKind
	Key     string // of the document
	Missing string // the key of what is missing
}

func (f *Fault) Error() string {
	switch f.Kind {
	case FaultEntry:
		return fmt.Sprintf("the document %q refers to %q, which is missing", f.Key, f.Missing)
	case FaultUnindexed:
		return fmt.Sprintf("the document %q cannot be found by %q, which is missing", f.Key, f.Missing)
	case FaultRoom:
		return fmt.Sprintf("the document %q is a membership in the room %q, which is missing", f.Key, f.Missing)
	}
	return fmt.Sprintf("the document %q belongs to %q, which is missing", f.Key, f.Missing)
}

// kept is a table without its type.
type kept interface {
	// label is the name of the table.
	label() string
	// entriesOf returns the keys of the entries that a value has in indexes.
	entriesOf(d *store.Document) ([]string, error)
	// replace adds or replaces a value and its entries.
	replace(tx store.Tx, d *store.Document) error
	// drop removes a value and its entries.
	drop(tx store.Tx, d *store.Document) error
}

// surveyed are the tables in which faults are sought: those without which accounts and rooms do not work.
var surveyed = []kept{
	&Accounts.Table, &Credentials.Table, &Secrets.Table, &Invites.Table, &Links.Table, &Blocks, &Rooms.Table, &Members.Table,
	&Files.Table, &Blobs.Table, &Pushes.Table, &Hooks.Table, &Tasks.Table,
}

func tableNamed(name string) kept {
	for _, t := range surveyed {
		if t.label() == name {
			return t
		}
	}
	return nil
}

func (t *Table[T]) label() string { return t.name }

func (t *Table[T]) entriesOf(d *store.Document) (keys []string, _ error) {
	v, err := t.decode(d.Value)
	if err != nil {
		return nil, err
	}
	for _, x := range t.indexes {
		for _, k := range x.keys(&v) {
			keys = append(keys, t.entry(x.name, x.full(k, t.key(&v))))
		}
	}
	return keys, nil
}

func (t *Table[T]) replace(tx store.Tx, d *store.Document) error {
	v, err := t.decode(d.Value)
	if err != nil {
		return err
	}
	return t.Put(tx, &v)
}

func (t *Table[T]) drop(tx store.Tx, d *store.Document) error {
	v, err := t.decode(d.Value)
	if err != nil {
		return err
	}
	return t.Delete(tx, t.key(&v)...)
}

// owned are the tables whose values belong to accounts, with the fields that name them.
var owned = map[string][]string{
	Credentials.name: {"account"}, Secrets.name: {"account"}, Members.name: {"account"}, Pushes.name: {"account"},
	Tasks.name: {"account"}, Links.name: {"account"}, Blocks.name: {"account", "blocked"},
}

// Survey finds faults in two passes over all documents: it notes the keys first, as hashes, since there may be
// millions. It is for one goroutine.
type Survey struct {
	seed maphash.Seed
	keys map[uint64]struct{}
}

// NewSurvey returns a Survey of nothing.
func NewSurvey() *Survey { return &Survey{maphash.MakeSeed(), make(map[uint64]struct{})} }

// Note is the first pass.
func (s *Survey) Note(d *store.Document) {
	name, _, _ := strings.Cut(d.Key, "/")
	if name, _, _ = strings.Cut(name, "."); tableNamed(name) != nil {
		s.keys[maphash.String(s.seed, d.Key)] = struct{}{}
	}
}

func (s *Survey) has(key string) bool {
	_, has := s.keys[maphash.String(s.seed, key)]
	return has
}

// Faults is the second pass: what is wrong with a document.
func (s *Survey) Faults(d *store.Document) (faults []Fault) {
	add := func(kind FaultKind, missing string) {
		if !s.has(missing) {
			faults = append(faults, Fault{kind, d.Key, missing})
		}
	}
	name, _, _ := strings.Cut(d.Key, "/")
	if name, _, isEntry := strings.Cut(name, "."); isEntry {
		if tableNamed(name) != nil {
			add(FaultEntry, name+"/"+string(d.Value))
		}
		return faults
	}
	t := tableNamed(name)
	if t == nil {
		return nil
	}
	entries, err := t.entriesOf(d)
	if err != nil {
		return nil // a check reports values that are no JSON elsewhere
	}
	for _, entry := range entries {
		add(FaultUnindexed, entry)
	}
	var of map[string]any
	if json.Unmarshal(d.Value, &of) != nil {
		return faults
	}
	for _, field := range owned[name] {
		if account, ok := of[field].(string); ok && account != "" {
			add(FaultAccount, store.Key(Accounts.name, account))
		}
	}
	if room, ok := of["room"].(string); ok && name == Members.name {
		add(FaultRoom, store.Key(Rooms.name, room))
	}
	return slices.Clip(faults)
}
