package news

import (
	"strings"

	"kaban/internal/people"
	"kaban/internal/store"
)

// tx notes what a transaction changes.
type tx struct {
	store.Tx
	keys  []string        // that may be news, in the order in which they were changed first
	gone  map[string]bool // those keys: whether the document was removed last
	bytes int             // of the keys
	all   bool            // there were too many
}

// Put implements store.Tx.
func (t *tx) Put(key string, value []byte) error {
	err := t.Tx.Put(key, value)
	if err == nil {
		t.note(key, false)
	}
	return err
}

// Delete implements store.Tx.
func (t *tx) Delete(key string) error {
	err := t.Tx.Delete(key)
	if err == nil {
		t.note(key, true)
	}
	return err
}

// note notes that a document was written or removed. What is removed and then written again was
// written.
func (t *tx) note(key string, gone bool) {
	if t.all || !people.IsNews(key, true) {
		return
	}
	if _, known := t.gone[key]; !known {
		if len(t.keys) == maxKeys || t.bytes+len(key) > maxBytes {
			t.all = true
			return
		}
		t.keys, t.bytes = append(t.keys, key), t.bytes+len(key)
	}
	if t.gone == nil {
		t.gone = make(map[string]bool)
	}
	t.gone[key] = gone
}

// text returns the keys of the news, or "" if there are none.
func (t *tx) text() string {
	if t.all {
		return everything
	}
	var keys []string
	for _, key := range t.keys {
		if people.IsNews(key, t.gone[key]) {
			keys = append(keys, key)
		}
	}
	return strings.Join(keys, separator)
}

// Note adds a key to the news of a transaction without changing a document. It does nothing in
// a transaction of a store that is alone.
func Note(in store.Tx, key string) {
	if t, ok := in.(*tx); ok {
		t.note(key, true)
	}
}
