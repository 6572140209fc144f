package export

import (
	"errors"
	"slices"
	"strings"

	"kaban"
	"kaban/internal/store"
)

// Documents are documents, sorted by key, as a transaction that only reads them.
type Documents []store.Document

// errNoLog means that documents alone say nothing about the logs of rooms.
var errNoLog = errors.New("an export has no log beside its documents")

func (d Documents) find(key string) (int, bool) {
	return slices.BinarySearchFunc(d, key, func(d store.Document, key string) int { return strings.Compare(d.Key, key) })
}

// Get implements store.Tx.
func (d Documents) Get(key string) ([]byte, error) {
	if i, ok := d.find(key); ok {
		return slices.Clone(d[i].Value), nil
	}
	return nil, nil
}

// GetAll implements store.Tx.
func (d Documents) GetAll(keys []string) (values [][]byte, err error) {
	for _, key := range keys {
		value, err := d.Get(key)
		if err != nil {
			return nil, err
		}
		values = append(values, value)
	}
	return values, nil
}

// Scan implements store.Tx.
func (d Documents) Scan(from, to string, limit int) ([]store.Document, error) {
	if err := store.CheckLimit(limit); err != nil {
		return nil, err
	}
	begin, _ := d.find(from)
	end, _ := d.find(to)
	return slices.Clone(d[begin:max(begin, min(end, begin+limit))]), nil
}

// ScanBack implements store.Tx.
func (d Documents) ScanBack(from, to string, limit int) ([]store.Document, error) {
	if err := store.CheckLimit(limit); err != nil {
		return nil, err
	}
	begin, _ := d.find(from)
	end, _ := d.find(to)
	found := slices.Clone(d[max(begin, end-limit):max(begin, end)])
	slices.Reverse(found)
	return found, nil
}

// Put implements store.Tx. It returns ErrReadOnly.
func (Documents) Put(string, []byte) error { return store.ErrReadOnly }

// Delete implements store.Tx. It returns ErrReadOnly.
func (Documents) Delete(string) error { return store.ErrReadOnly }

// Bump implements store.Tx. It returns ErrReadOnly.
func (Documents) Bump(kaban.RoomName) error { return store.ErrReadOnly }

// Head implements store.Tx. It fails.
func (Documents) Head(kaban.RoomName) (uint64, error) { return 0, errNoLog }

// Counts implements store.Tx. It fails.
func (Documents) Counts(kaban.RoomName, string) (store.Counts, error) {
	return store.Counts{}, errNoLog
}

// Revision implements store.Tx. It fails.
func (Documents) Revision(kaban.RoomName) (uint64, error) { return 0, errNoLog }
