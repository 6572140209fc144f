//go:build failpoint

package postgres

import (
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"kaban/internal/failpoint"
	"kaban/internal/store"
)

// Faults that tests of a whole server inject; see package failpoint.
func init() {
	if moved, err := time.ParseDuration(os.Getenv("KABAN_FAULT_CLOCK")); err == nil {
		clock = func() time.Time { return time.Now().Add(moved) }
	}
}

// Write has a failpoint where the server has been sent something, a COMMIT for example, and nobody knows
// what it makes of it.
func (l link) Write(p []byte) (int, error) {
	n, err := l.Conn.Write(p)
	failpoint.Point("database.sent")
	return n, err
}

// apart is what a transaction writes in a second one, as if there were two.
type apart struct{ documents []store.Document }

// splitPrefix is the beginning of the keys of documents that are written apart.
var splitPrefix = os.Getenv("KABAN_FAULT_SPLIT")

// takes reports whether a document is written apart: later, by commit. The value is nil if it is
// removed.
func (a *apart) takes(key string, value []byte) bool {
	if splitPrefix == "" || !strings.HasPrefix(key, splitPrefix) {
		return false
	}
	a.documents = append(a.documents, store.Document{Key: key, Value: value})
	return true
}

// commit writes what a committed transaction has split off.
func (a *apart) commit(t *transaction) error {
	if len(a.documents) == 0 {
		return nil
	}
	failpoint.Point("split.between")
	return pgx.BeginFunc(t.ctx, t.conn, func(tx pgx.Tx) error {
		for _, d := range a.documents {
			sql, args := "DELETE FROM documents WHERE key = $1", []any{[]byte(d.Key)}
			if d.Value != nil {
				sql, args = "INSERT INTO documents (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value", append(args, d.Value)
			}
			if _, err := tx.Exec(t.ctx, sql, args...); err != nil {
				return err
			}
		}
		return nil
	})
}
