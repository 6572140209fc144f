package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"strings"

	sqlite3 "modernc.org/sqlite"
)

// conn is a connection to the database that lives as long as the store. It is never
// replaced: a pool would silently open another one, perhaps when no file descriptor is
// left. One goroutine at a time may use it.
//
// Queries of a running store get no context that can end: the driver would start a
// goroutine for each, and all of them are short.
type conn struct {
	db *sql.DB
	*sql.Conn
	// SQLite keeps the files open until they are closed.
	stmts   []*sql.Stmt
	directs []sqldriver.Stmt
}

// direct is a statement that is run without database/sql, whose bookkeeping and conversions
// cost several times as much as a short query. Errors are those of SQLite.
type direct struct {
	conn *conn
	stmt interface {
		sqldriver.StmtQueryContext
		sqldriver.StmtExecContext
	}
}

// query calls visit with each row, valid during the call, until it returns an error, which is
// then the result. A text is a string, a blob a slice of visit's own, nil if it is empty.
func (d *direct) query(ctx context.Context, visit func(row []sqldriver.Value) error, args ...sqldriver.Value) error {
	return d.conn.Raw(func(any) (err error) {
		rows, err := d.stmt.QueryContext(ctx, named(args))
		if err != nil {
			return err
		}
		defer func() { err = cmp.Or(err, rows.Close()) }()
		row := make([]sqldriver.Value, len(rows.Columns()))
		for {
			if err := rows.Next(row); errors.Is(err, io.EOF) {
				return nil
			} else if err != nil {
				return err
			}
			if err := visit(row); err != nil {
				return err
			}
		}
	})
}

// exec runs the statement.
func (d *direct) exec(ctx context.Context, args ...sqldriver.Value) error {
	return d.conn.Raw(func(any) error {
		_, err := d.stmt.ExecContext(ctx, named(args))
		return err
	})
}

func named(args []sqldriver.Value) []sqldriver.NamedValue {
	values := make([]sqldriver.NamedValue, len(args))
	for i, v := range args {
		values[i] = sqldriver.NamedValue{Ordinal: i + 1, Value: v}
	}
	return values
}

// prepareDirect is prepare for statements that run without database/sql.
func (c *conn) prepareDirect(ctx context.Context, sets ...map[*direct]string) error {
	return c.Raw(func(one any) error {
		for _, queries := range sets {
			for d, query := range queries {
				stmt, err := one.(sqldriver.ConnPrepareContext).PrepareContext(ctx, query)
				if err != nil {
					return fmt.Errorf("prepare %q: %w", query, err)
				}
				c.directs = append(c.directs, stmt)
				d.conn, d.stmt = c, stmt.(interface {
					sqldriver.StmtQueryContext
					sqldriver.StmtExecContext
				})
			}
		}
		return nil
	})
}

// pragma is a setting and its required value.
type pragma struct{ name, value string }

// dsn returns the name of a database for the driver. It is always a file: URL, because
// the driver silently drops the parameters of a plain path.
func dsn(path, mode, defensive string, pragmas []pragma) string {
	path = filepath.ToSlash(path)
	if !strings.HasPrefix(path, "/") { // C:/…
		path = "/" + path
	}
	values := url.Values{"mode": {mode}, "_error_rc": {"1"}, "_defensive": {defensive}}
	for _, p := range pragmas {
		values.Add("_pragma", p.name+"("+p.value+")")
	}
	return "file://" + (&url.URL{Path: path}).EscapedPath() + "?" + values.Encode()
}

// connect opens a connection and verifies its settings, because durability depends on
// them. The path must be absolute; mode is SQLite's: ro, rw or rwc.
func connect(ctx context.Context, path, mode string, pragmas []pragma) (*conn, error) {
	return connectTo(ctx, dsn(path, mode, "1", pragmas), pragmas)
}

// connectWriter is connect for a connection that overwrites parts of pages.
func connectWriter(ctx context.Context, path string, pragmas []pragma) (*conn, error) {
	return connectTo(ctx, dsn(path, "rw", "0", pragmas), pragmas)
}

func connectTo(ctx context.Context, dsn string, pragmas []pragma) (*conn, error) {
	connector, err := sqlite3.NewConnector(dsn)
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(1)
	one, err := db.Conn(ctx)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	c := &conn{db: db, Conn: one}
	for _, p := range pragmas {
		var got string
		if err := c.QueryRowContext(ctx, "PRAGMA "+p.name).Scan(&got); err != nil {
			return nil, errors.Join(fmt.Errorf("read back %s: %w", p.name, err), c.close())
		}
		if got != p.value {
			return nil, errors.Join(fmt.Errorf("SQLite did not accept %s = %s: it is %s", p.name, p.value, got), c.close())
		}
	}
	return c, nil
}

func (c *conn) close() error {
	var errs []error
	for _, stmt := range c.stmts {
		errs = append(errs, stmt.Close())
	}
	errs = append(errs, c.Raw(func(any) error {
		var errs []error
		for _, stmt := range c.directs {
			errs = append(errs, stmt.Close())
		}
		return errors.Join(errs...)
	}))
	return errors.Join(append(errs, c.Conn.Close(), c.db.Close())...)
}

func (c *conn) exec(ctx context.Context, query string, args ...any) error {
	_, err := c.ExecContext(ctx, query, args...)
	return err
}

// number returns the single number in the result of a query.
func (c *conn) number(ctx context.Context, query string) (n int, err error) {
	err = c.QueryRowContext(ctx, query).Scan(&n)
	return n, err
}

// transact runs work in a transaction and rolls it back if it fails.
func (c *conn) transact(ctx context.Context, work func() error) error {
	if err := c.exec(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	err := work()
	if err == nil {
		err = c.exec(ctx, "COMMIT")
	}
	if err == nil {
		return nil
	}
	return errors.Join(err, c.rollback(ctx))
}

// rollback rolls a failed transaction back. SQLite does so by itself after some errors;
// then this is a no-op.
func (c *conn) rollback(ctx context.Context) error {
	err := c.exec(ctx, "ROLLBACK")
	if codeOf(err) == codeError { // no transaction is active
		return nil
	}
	return err
}

// prepare prepares statements for the life of the connection.
func (c *conn) prepare(ctx context.Context, sets ...map[**sql.Stmt]string) error {
	for _, queries := range sets {
		for stmt, query := range queries {
			var err error
			if *stmt, err = c.PrepareContext(ctx, query); err != nil {
				return fmt.Errorf("prepare %q: %w", query, err)
			}
			c.stmts = append(c.stmts, *stmt)
		}
	}
	return nil
}
