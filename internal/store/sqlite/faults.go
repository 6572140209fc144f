//go:build failpoint

package sqlite

import (
	"os"
	"strings"
	"time"

	"kaban/internal/failpoint"
	"kaban/internal/store"
)

// Faults that tests of a whole server inject; see package failpoint.
func init() {
	if os.Getenv("KABAN_FAULT_SYNCHRONOUS") == "off" {
		for _, pragmas := range [][]pragma{common, writerPragmas, readerPragmas} {
			for i := range pragmas {
				if pragmas[i].name == "synchronous" {
					pragmas[i].value = "0"
				}
			}
		}
	}
	if moved, err := time.ParseDuration(os.Getenv("KABAN_FAULT_CLOCK")); err == nil {
		clock = func() time.Time { return time.Now().Add(moved) }
	}
}

// apart is what a batch writes in a second transaction, as if there were two.
type apart struct{ documents []store.Document }

// splitPrefix is the beginning of the keys of documents that are written apart.
var splitPrefix = os.Getenv("KABAN_FAULT_SPLIT")

// takes reports whether a document is written apart: later, by commit. The value is
// nil if it is removed.
func (s *apart) takes(key string, value []byte) bool {
	if splitPrefix == "" || !strings.HasPrefix(key, splitPrefix) {
		return false
	}
	s.documents = append(s.documents, store.Document{Key: key, Value: value})
	return true
}

// commit writes what a committed batch has split off.
func (s *apart) commit(b *batch) error {
	if len(s.documents) == 0 {
		return nil
	}
	failpoint.Point("split.between")
	if err := b.stmts.begin.exec(b.ctx); err != nil {
		return err
	}
	for _, d := range s.documents {
		var err error
		if d.Value == nil {
			err = b.stmts.deleteDocument.exec(b.ctx, d.Key)
		} else {
			err = b.stmts.putDocument.exec(b.ctx, d.Key, d.Value, b.sum.document(d.Key, d.Value))
		}
		if err != nil {
			return err
		}
	}
	s.documents = nil
	return b.stmts.commit.exec(b.ctx)
}
