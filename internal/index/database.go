package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"

	sqlite3 "modernc.org/sqlite"
	sqlite "modernc.org/sqlite/lib"

	"kaban"
)

// version is the version of the schema and of the terms; an index of another one is made
// anew.
const version = 4

var (
	errUnusable = errors.New("the search index cannot be used")
	errMissing  = fmt.Errorf("%w: there is none", errUnusable)
)

const schema = `
CREATE TABLE meta (
	id      INTEGER PRIMARY KEY CHECK (id = 1),
	version INTEGER NOT NULL,
	epoch   TEXT    NOT NULL, -- of the store
	secret  TEXT    NOT NULL, -- for numbers and the terms of authors
	built   INTEGER NOT NULL  -- 1: it has come to the end of all logs
) STRICT;
CREATE TABLE rooms (
	id        INTEGER PRIMARY KEY,
	name      TEXT    NOT NULL,
	cursor    INTEGER NOT NULL, -- the last seq that was read
	indexed   INTEGER NOT NULL, -- messages since the last mark
	marked    INTEGER NOT NULL, -- the order of the last mark + 1
	forgotten INTEGER NOT NULL DEFAULT 0 -- up to this seq, nothing is left
) STRICT;
-- Where the message with an order is: the items of a chunk are its orders, each a room and a seq.
CREATE TABLE chunks (
	id    INTEGER PRIMARY KEY,
	since INTEGER NOT NULL, -- the earliest and the latest time in it
	until INTEGER NOT NULL,
	items BLOB    NOT NULL
) STRICT;
-- Some places of each room, between which the others are.
CREATE TABLE marks (
	room  INTEGER NOT NULL,
	seq   INTEGER NOT NULL,
	place INTEGER NOT NULL, -- its order
	PRIMARY KEY (room, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE pins (place INTEGER PRIMARY KEY) STRICT;
-- The volumes. Each has a table v and its id with the terms.
CREATE TABLE volumes (
	id    INTEGER PRIMARY KEY,
	dirty INTEGER NOT NULL, -- messages whose terms were hidden since it was purged
	whole INTEGER NOT NULL  -- 1: it is full, and its terms were put together
) STRICT;
`

// database is an open index.
type database struct {
	write  *sql.DB // one connection
	read   *sql.DB // the same in memory
	secret string
	built  bool
	chunks chunkCache

	mu         sync.Mutex // guards all below
	statements map[statement]*sql.Stmt
	structures map[uint64][]byte // of volumes, perhaps of earlier ones; see withVolume
}

func (d *database) structureOf(volume uint64) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.structures[volume]
}

func (d *database) keepStructure(volume uint64, structure []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.structures == nil {
		d.structures = make(map[uint64][]byte)
	}
	d.structures[volume] = structure
}

// statement is a query about a volume, whose table stands for each %s, or about none.
type statement struct {
	query  string
	volume uint64
}

// prepared returns the statement of a query for searches. It is prepared once: that takes as
// long as the query itself. They are closed with the database, or when their volume is dropped.
func (d *database) prepared(ctx context.Context, query string, volume uint64) (*sql.Stmt, error) {
	key := statement{query, volume}
	d.mu.Lock()
	stmt := d.statements[key]
	d.mu.Unlock()
	if stmt != nil {
		return stmt, nil
	}
	stmt, err := d.read.PrepareContext(ctx, strings.ReplaceAll(query, "%s", table(volume)))
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if other := d.statements[key]; other != nil { // another search was faster
		return other, stmt.Close()
	}
	if d.statements == nil {
		d.statements = make(map[statement]*sql.Stmt)
	}
	d.statements[key] = stmt
	return stmt, nil
}

// unprepare closes the statements about a volume that was dropped. What is reading ends first.
func (d *database) unprepare(volume uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.structures, volume)
	for key, stmt := range d.statements {
		if key.volume == volume && strings.Contains(key.query, "%s") {
			stmt.Close() // nothing depends on it
			delete(d.statements, key)
		}
	}
}

// again runs a search, and once more if a statement was closed that it was about to use.
func (d *database) again(work func() error) error {
	err := work()
	if err != nil && strings.Contains(err.Error(), "statement is closed") {
		err = work()
	}
	return err
}

// openFile opens a database in a file, or in memory.
func openFile(ctx context.Context, path string, create bool) (*database, error) {
	if path == "" {
		db, err := connect(":memory:", nil, 1)
		if err != nil {
			return nil, err
		}
		return &database{write: db, read: db}, nil
	}
	mode := "rw"
	if create {
		mode = "rwc"
	}
	if create { // what SQLite makes beside it has the same mode
		f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
		if err == nil {
			err = f.Close()
		}
		if err != nil {
			return nil, err
		}
	}
	write, err := connect(path, url.Values{
		"mode": {mode},
		// Losing the last seconds in a power failure is no harm: they are read again.
		"_pragma": {"busy_timeout(5000)", "journal_mode(WAL)", "synchronous(NORMAL)", "secure_delete(1)", "wal_autocheckpoint(2000)", "journal_size_limit(0)"},
	}, 1)
	if err != nil {
		return nil, err
	}
	read, err := connect(path, url.Values{"mode": {mode}, "_pragma": {"busy_timeout(5000)", "query_only(1)"}}, readers)
	if err != nil {
		return nil, errors.Join(err, write.Close())
	}
	d := &database{write: write, read: read}
	if err := write.PingContext(ctx); err != nil {
		return nil, errors.Join(err, d.close())
	}
	return d, nil
}

// readers is how many searches look into the index at the same time.
const readers = 2

func connect(path string, values url.Values, conns int) (*sql.DB, error) {
	name := path
	if values != nil {
		path = filepath.ToSlash(path)
		if !strings.HasPrefix(path, "/") { // C:/…
			path = "/" + path
		}
		values["_error_rc"] = []string{"1"}
		name = "file://" + (&url.URL{Path: path}).EscapedPath() + "?" + values.Encode()
	}
	connector, err := sqlite3.NewConnector(name)
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	return db, nil
}

// create makes an empty index.
func create(ctx context.Context, path, epoch, secret string) (*database, error) {
	d, err := openFile(ctx, path, true)
	if err != nil {
		return nil, err
	}
	err = d.transact(func(tx *sql.Tx) error {
		if _, err := tx.Exec(schema); err != nil {
			return err
		}
		_, err := tx.Exec("INSERT INTO meta VALUES (1, ?, ?, ?, 0)", version, epoch, secret)
		return err
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("create the search index: %w", err), d.close())
	}
	d.secret = secret
	return d, nil
}

func (d *database) close() error {
	err := d.read.Close()
	if d.write != d.read {
		err = errors.Join(err, d.write.Close())
	}
	return err
}

// transact runs work in a transaction. What is begun is not interrupted.
func (d *database) transact(work func(tx *sql.Tx) error) error {
	tx, err := d.write.Begin()
	if err != nil {
		return err
	}
	if err := work(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// readMeta reads what the index says of itself. An empty epoch is any.
func (d *database) readMeta(ctx context.Context, epoch string) error {
	var number, built int
	var of string
	err := d.write.QueryRowContext(ctx, "SELECT version, epoch, secret, built FROM meta").Scan(&number, &of, &d.secret, &built)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return fmt.Errorf("%w: it was not made to the end", errUnusable)
	case err != nil && codeOf(err) == sqlite.SQLITE_ERROR: // no such table
		return fmt.Errorf("%w: %w", errUnusable, err)
	case err != nil:
		return err
	case number != version:
		return fmt.Errorf("%w: it is of version %d, not %d", errUnusable, number, version)
	case of != epoch && epoch != "":
		return fmt.Errorf("%w: it is of other data", errUnusable)
	}
	d.built = built == 1
	return nil
}

func (d *database) readRooms(ctx context.Context) (all []*room, err error) {
	rows, err := d.write.QueryContext(ctx, "SELECT id, name, cursor, indexed, marked, forgotten FROM rooms")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		r := new(room)
		var name string
		if err := rows.Scan(&r.id, &name, &r.cursor, &r.indexed, &r.marked, &r.forgotten); err != nil {
			return nil, err
		}
		if r.name, err = kaban.ParseAnyRoom(name); err != nil {
			return nil, fmt.Errorf("%w: name of a room: %w", errUnusable, err)
		}
		all = append(all, r)
	}
	return all, rows.Err()
}

// codeOf returns the primary result code of an error of SQLite, or 0.
func codeOf(err error) int {
	if e, ok := errors.AsType[*sqlite3.Error](err); ok {
		return e.Code() & 0xFF
	}
	return 0
}

// isDamage reports whether an error means that the file is not what it should be.
func isDamage(err error) bool {
	switch codeOf(err) {
	case sqlite.SQLITE_CORRUPT, sqlite.SQLITE_NOTADB, sqlite.SQLITE_FORMAT:
		return true
	}
	return errors.Is(err, errUnusable)
}
