// Package people is the schema of everything that a server keeps beside its logs:
// accounts and their credentials, rooms and their members, the audit. Each type is
// a table of documents; see store.Tx. The package holds no rules: packages account
// and chat decide what may be written.
package people

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"

	"kaban/internal/store"
)

// Errors that callers distinguish with errors.Is.
var (
	// ErrNotFound means that there is no such document.
	ErrNotFound = errors.New("there is no such document")
	// ErrExists means that another document has the same value where it must be
	// unique. An *ExistsError is one.
	ErrExists = errors.New("there is such a document already")
	// errDecode means that a document is there and cannot be read.
	errDecode = fmt.Errorf("%w", store.ErrDamaged)
)

// ExistsError names the index in which a value exists already.
type ExistsError struct{ Table, Index string }

func (e *ExistsError) Error() string {
	return fmt.Sprintf("another document of %s has the same %s", e.Table, e.Index)
}

// Unwrap makes every ExistsError an ErrExists.
func (e *ExistsError) Unwrap() error { return ErrExists }

// Table keeps values of one type. The functions that compute keys must be pure.
// Methods run in the transaction of the given Tx.
type Table[T any] struct {
	name    string
	key     func(*T) []string
	indexes []index[T]
}

// index finds the values of a table by other keys than their own.
type index[T any] struct {
	name   string
	unique bool
	keys   func(*T) [][]string // none if the value is not in the index
}

// document is the key of a value, or of those under a prefix of its parts.
func (t *Table[T]) document(key []string) string {
	return store.Key(append([]string{t.name}, key...)...)
}

// has reports whether a key is that of a value of the table, and not of an entry of an index.
func (t *Table[T]) has(key string) bool {
	table, _, _ := strings.Cut(key, "/")
	return table == t.name
}

// entry is the key of an entry of an index.
func (t *Table[T]) entry(index string, key []string) string {
	return store.Key(append([]string{t.name + "." + index}, key...)...)
}

// Get returns the value with a key, or ErrNotFound.
func (t *Table[T]) Get(tx store.Tx, key ...string) (T, error) {
	var v T
	data, err := tx.Get(t.document(key))
	switch {
	case err != nil:
		return v, err
	case data == nil:
		return v, fmt.Errorf("%s: %w", t.name, ErrNotFound)
	}
	return t.decode(data)
}

// getAll returns the values with some keys, in their order. One that there is not is
// ErrNotFound.
func (t *Table[T]) getAll(tx store.Tx, keys [][]string) ([]T, error) {
	documents := make([]string, len(keys))
	for i, key := range keys {
		documents[i] = t.document(key)
	}
	found, err := tx.GetAll(documents)
	if err != nil {
		return nil, err
	}
	values := make([]T, len(keys))
	for i, data := range found {
		if data == nil {
			return nil, fmt.Errorf("%s: %w", t.name, ErrNotFound)
		}
		if values[i], err = t.decode(data); err != nil {
			return nil, err
		}
	}
	return values, nil
}

// readable returns the values with some keys, in their order: the zero value for one that there is not, and for
// one that is damaged. It asks the store once.
func (t *Table[T]) readable(tx store.Tx, keys [][]string) ([]T, error) {
	documents := make([]string, len(keys))
	for i, key := range keys {
		documents[i] = t.document(key)
	}
	found, err := tx.GetAll(documents)
	if err != nil {
		return nil, err
	}
	values := make([]T, len(keys))
	for i, data := range found {
		if data == nil {
			continue
		}
		if v, err := t.decode(data); err == nil {
			values[i] = v
		}
	}
	return values, nil
}

// readableBy is readable for values that a unique index has. It asks the store twice.
func (t *Table[T]) readableBy(tx store.Tx, index string, keys [][]string) ([]T, error) {
	entries := make([]string, len(keys))
	for i, key := range keys {
		entries[i] = t.entry(index, key)
	}
	found, err := tx.GetAll(entries)
	if err != nil {
		return nil, err
	}
	primary := make([][]string, len(keys)) // no parts are the key of no value
	for i, entry := range found {
		if entry != nil {
			primary[i] = store.KeyParts(string(entry))
		}
	}
	return t.readable(tx, primary)
}

func (t *Table[T]) decode(data []byte) (v T, err error) {
	if err := json.Unmarshal(data, &v); err != nil {
		return v, fmt.Errorf("%w: a document of %s: %w", errDecode, t.name, err)
	}
	return v, nil
}

// Put adds or replaces a value. If another one has the same value in a unique
// index, it returns an *ExistsError and changes nothing. One that is damaged is replaced only
// where no index may have it.
func (t *Table[T]) Put(tx store.Tx, v *T) error {
	key := t.key(v)
	var old T
	known := false
	if len(t.indexes) > 0 {
		var err error
		old, err = t.Get(tx, key...)
		known = err == nil
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
	}
	primary := store.Key(key...)
	for _, x := range t.indexes {
		if !x.unique {
			continue
		}
		for _, k := range x.keys(v) {
			switch holder, err := tx.Get(t.entry(x.name, k)); {
			case err != nil:
				return err
			case holder != nil && string(holder) != primary:
				return &ExistsError{t.name, x.name}
			}
		}
	}
	if known {
		if err := t.removeFromIndexes(tx, &old); err != nil {
			return err
		}
	}
	for _, x := range t.indexes {
		for _, k := range x.keys(v) {
			if err := tx.Put(t.entry(x.name, x.full(k, key)), []byte(primary)); err != nil {
				return err
			}
		}
	}
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode a document of %s: %w", t.name, err)
	}
	return tx.Put(t.document(key), data)
}

// full returns the parts of an entry's key. Entries of an index that is not unique
// end with the key of their value.
func (x *index[T]) full(k, key []string) []string {
	if x.unique {
		return k
	}
	return append(append([]string{}, k...), store.Key(key...))
}

// removeFromIndexes removes the entries of a value. Where entries were lost, another value may have
// a unique one by now, and keeps it.
func (t *Table[T]) removeFromIndexes(tx store.Tx, v *T) error {
	primary := store.Key(t.key(v)...)
	for _, x := range t.indexes {
		for _, k := range x.keys(v) {
			entry := t.entry(x.name, x.full(k, t.key(v)))
			if x.unique {
				switch holder, err := tx.Get(entry); {
				case err != nil:
					return err
				case string(holder) != primary:
					continue
				}
			}
			if err := tx.Delete(entry); err != nil {
				return err
			}
		}
	}
	return nil
}

// Delete removes the value with a key, if there is one.
func (t *Table[T]) Delete(tx store.Tx, key ...string) error {
	v, err := t.Get(tx, key...)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := t.removeFromIndexes(tx, &v); err != nil {
		return err
	}
	return tx.Delete(t.document(key))
}

// discard removes the value with a key, damaged or not. Entries of a damaged one stay in the indexes, as where documents
// were lost.
func (t *Table[T]) discard(tx store.Tx, key ...string) error {
	err := t.Delete(tx, key...)
	if errors.Is(err, errDecode) {
		err = tx.Delete(t.document(key))
	}
	return err
}

// List returns up to limit values, ascending by key, whose keys begin with the
// parts of a prefix and come after the parts of another key (empty is all), and
// whether there are more.
func (t *Table[T]) List(tx store.Tx, prefix, after []string, limit int) (values []T, more bool, err error) {
	found, more, err := scan(tx, t.document(prefix), t.document(after), len(after) > 0, limit)
	if err != nil {
		return nil, false, err
	}
	values, err = t.decodeAll(found)
	return values, more, err
}

func (t *Table[T]) decodeAll(found []store.Document) (values []T, err error) {
	for _, d := range found {
		v, err := t.decode(d.Value)
		if err != nil {
			return nil, err
		}
		values = append(values, v)
	}
	return values, nil
}

// All calls visit for every value, ascending by key, until it returns false.
func (t *Table[T]) All(tx store.Tx, visit func(*T) bool) error {
	return all(func(after []string, limit int) ([]T, bool, error) { return t.List(tx, nil, after, limit) }, t.key, visit)
}

// Each calls visit for every value, ascending by key, whose key begins with the parts of a prefix; nil stands for
// one that is damaged. So that one hides none of the others.
func (t *Table[T]) Each(tx store.Tx, prefix []string, visit func(key []string, v *T)) error {
	return t.Some(tx, prefix, math.MaxInt, visit)
}

// Some is Each for up to limit values.
func (t *Table[T]) Some(tx store.Tx, prefix []string, limit int, visit func(key []string, v *T)) error {
	var last []string
	for more := true; more && limit > 0; {
		var found []store.Document
		var err error
		if found, more, err = scan(tx, t.document(prefix), t.document(last), len(last) > 0, min(limit, maxPage)); err != nil {
			return err
		}
		limit -= len(found)
		for _, d := range found {
			last = store.KeyParts(d.Key)[1:]
			if v, err := t.decode(d.Value); err != nil {
				visit(last, nil)
			} else {
				visit(last, &v)
			}
		}
	}
	return nil
}

// Find returns the value that a unique index has, or ErrNotFound.
func (t *Table[T]) find(tx store.Tx, index string, key ...string) (T, error) {
	primary, err := tx.Get(t.entry(index, key))
	switch {
	case err != nil:
		var none T
		return none, err
	case primary == nil:
		var none T
		return none, fmt.Errorf("%s by %s: %w", t.name, index, ErrNotFound)
	}
	return t.Get(tx, store.KeyParts(string(primary))...)
}

// listBy is List over the entries of an index: prefix and after are parts of its
// keys, and those of an index that is not unique end with store.Key of the value's
// key. An entry whose value is missing, as where documents were lost, is passed over.
func (t *Table[T]) listBy(tx store.Tx, index string, prefix, after []string, limit int) (values []T, more bool, err error) {
	from, to := store.KeysUnder(t.entry(index, prefix))
	if len(after) > 0 {
		from = max(from, t.entry(index, after)+"\x00")
	}
	for {
		found, err := tx.Scan(from, to, limit+1-len(values))
		if err != nil {
			return nil, false, err
		}
		keys := make([]string, len(found))
		for i, d := range found {
			keys[i] = t.document(store.KeyParts(string(d.Value)))
		}
		there, err := tx.GetAll(keys)
		if err != nil {
			return nil, false, err
		}
		full := len(found) == limit+1-len(values)
		for _, data := range there {
			if data == nil {
				continue
			}
			if len(values) == limit {
				return values, true, nil
			}
			v, err := t.decode(data)
			if err != nil {
				return nil, false, err
			}
			values = append(values, v)
		}
		if !full {
			return values, false, nil
		}
		from = found[len(found)-1].Key + "\x00"
	}
}

// scan returns the documents under a key, and whether there are more than limit.
func scan(tx store.Tx, prefix, after string, hasAfter bool, limit int) (found []store.Document, more bool, err error) {
	from, to := store.KeysUnder(prefix)
	if hasAfter {
		from = max(from, after+"\x00")
	}
	if found, err = tx.Scan(from, to, limit+1); err != nil {
		return nil, false, err
	}
	if more = len(found) > limit; more {
		found = found[:limit]
	}
	return found, more, nil
}

// scanBack is scan descending: the last documents under a prefix that come from a key on, and
// before another one ("" is none).
func scanBack(tx store.Tx, prefix, least, before string, limit int) (found []store.Document, more bool, err error) {
	from, to := store.KeysUnder(prefix)
	if before != "" {
		to = min(to, before)
	}
	if found, err = tx.ScanBack(max(from, least), to, limit+1); err != nil {
		return nil, false, err
	}
	if more = len(found) > limit; more {
		found = found[:limit]
	}
	return found, more, nil
}

// maxPage is the number of documents that all, and a repair, read at a time.
const maxPage = 1000

// all calls visit for every value that a function of pages returns, in order,
// until visit returns false.
func all[T any](page func(after []string, limit int) ([]T, bool, error), after func(*T) []string, visit func(*T) bool) error {
	var last []string
	for {
		values, more, err := page(last, maxPage)
		if err != nil {
			return err
		}
		for i := range values {
			if !visit(&values[i]) {
				return nil
			}
		}
		if !more {
			return nil
		}
		last = after(&values[len(values)-1])
	}
}
