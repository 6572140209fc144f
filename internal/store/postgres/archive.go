package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"kaban"
	"kaban/internal/store"
)

// errBackup is what Backup returns.
var errBackup = errors.New("a database of PostgreSQL is backed up with its own tools: pg_dump, or archiving its WAL")

// archivePatience is for how long an archive waits for whoever gets its rows.
const archivePatience = 24 * time.Hour

// Archive implements store.Archive on a database that nodes may be using.
type Archive struct {
	conn *pgx.Conn
}

// OpenArchive connects to a database with the newest schema. Its errors say what to do.
func OpenArchive(ctx context.Context, url string) (*Archive, error) {
	config, err := parse(url, archivePatience)
	if err != nil {
		return nil, err
	}
	config.ConnConfig.RuntimeParams["application_name"] = "kaban archive"
	c, err := pgx.ConnectConfig(ctx, config.ConnConfig)
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	// A setting of the connection would count as that of a standby where the URL asks for target_session_attrs=read-write.
	if _, err := c.Exec(ctx, "SET default_transaction_read_only = on"); err != nil {
		return nil, errors.Join(fmt.Errorf("open the database: %w", err), c.Close(ctx))
	}
	if err := isReadable(ctx, c); err != nil {
		return nil, errors.Join(err, c.Close(ctx))
	}
	return &Archive{c}, nil
}

// isReadable returns nil if a database has the newest schema.
func isReadable(ctx context.Context, c *pgx.Conn) error {
	scripts, err := migrations()
	if err != nil {
		return err
	}
	switch version, err := versionOf(ctx, c); {
	case err != nil:
		return fmt.Errorf("read the version of the schema: %w", err)
	case version == 0:
		return fmt.Errorf("there is no store in %s", placeOf(c.Config()))
	case version > len(scripts):
		return fmt.Errorf("%w: its version is %d, and this program knows %d", ErrNewer, version, len(scripts))
	}
	return refuseOlder(ctx, c)
}

// Close implements store.Archive.
func (a *Archive) Close() error { return a.conn.Close(context.Background()) }

// Lost implements store.Archive: what was acknowledged is in the database.
func (a *Archive) Lost(context.Context) error { return nil }

// Backup implements store.Archive.
func (a *Archive) Backup(context.Context, string, func(done, total int64)) (*store.Report, error) {
	return nil, errBackup
}

// at runs a function in a transaction that sees one moment.
func (a *Archive) at(ctx context.Context, run func(tx pgx.Tx) error) error {
	options := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	return pgx.BeginTxFunc(ctx, a.conn, options, run)
}

const archivedRoomsQuery = "SELECT name, head, oldest, revision FROM rooms WHERE " + listed + " ORDER BY name"

// Rooms implements store.Archive.
func (a *Archive) Rooms(ctx context.Context) (rooms []store.Room, err error) {
	err = a.at(ctx, func(tx pgx.Tx) error {
		rooms, err = archivedRooms(ctx, tx)
		return err
	})
	return rooms, err
}

func archivedRooms(ctx context.Context, tx pgx.Tx) ([]store.Room, error) {
	rows, err := tx.Query(ctx, archivedRoomsQuery)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scanRoom)
}

// Export implements store.Archive.
func (a *Archive) Export(ctx context.Context, only []kaban.RoomName, to store.Receiver) error {
	return a.at(ctx, func(tx pgx.Tx) error {
		if len(only) == 0 && to.Document != nil {
			if err := eachDocument(ctx, tx, to.Document); err != nil {
				return err
			}
		}
		rooms, err := archivedRooms(ctx, tx)
		if err != nil {
			return err
		}
		asked := make(map[string]bool)
		for _, name := range only {
			asked[name.Key()] = true
		}
		for i := range rooms {
			if len(only) > 0 && !asked[rooms[i].Name.Key()] {
				continue
			}
			if err := exportRoom(ctx, tx, &rooms[i], to); err != nil {
				return err
			}
		}
		return nil
	})
}

// rowsAtOnce is how many rows are read at a time.
const rowsAtOnce = 2000

// eachDocument passes on the documents, by key.
func eachDocument(ctx context.Context, c querier, pass func(*store.Document) error) error {
	last := []byte{}
	for {
		rows, err := c.Query(ctx, "SELECT key, value FROM documents WHERE key > $1 ORDER BY key LIMIT $2", last, rowsAtOnce)
		if err != nil {
			return err
		}
		n := 0
		var key, value []byte
		_, err = pgx.ForEachRow(rows, []any{&key, &value}, func() error {
			n++
			last = append(last[:0], key...)
			return pass(&store.Document{Key: string(key), Value: value})
		})
		if err != nil || n < rowsAtOnce {
			return err
		}
	}
}

// exportRoom passes on the front of a room and its entries.
func exportRoom(ctx context.Context, tx pgx.Tx, r *store.Room, to store.Receiver) error {
	if r.Oldest > 1 && to.Front != nil {
		if err := fronts(ctx, tx, []string{r.Name.Key()}, to.Front); err != nil {
			return err
		}
	}
	next := r.Oldest
	missing := func(until uint64) error {
		for ; next < until; next++ {
			if err := to.Damaged(&store.DamagedError{Room: r.Name, Seq: next, Err: errMissing}); err != nil {
				return err
			}
		}
		return nil
	}
	err := eachEntry(ctx, tx, r, func(e *store.Entry) error {
		if err := missing(e.Seq); err != nil {
			return err
		}
		next = e.Seq + 1
		record, err := store.RecordOf(r.Name, e)
		if err != nil {
			return to.Damaged(&store.DamagedError{Room: r.Name, Seq: e.Seq, Err: err})
		}
		return to.Record(record)
	})
	if err != nil {
		return err
	}
	return missing(r.Head + 1)
}

// eachEntry passes on the entries of a room that are there, as rows of the table have them.
func eachEntry(ctx context.Context, tx pgx.Tx, r *store.Room, pass func(*store.Entry) error) error {
	for after := r.Oldest - 1; after < r.Head; {
		rows, err := tx.Query(ctx, "SELECT "+entryColumns+" FROM entries e JOIN rooms r ON r.id = e.room WHERE r.key = $1 AND e.seq > $2 AND e.seq <= $3 ORDER BY e.seq LIMIT $4",
			r.Name.Key(), int64(after), int64(r.Head), rowsAtOnce)
		if err != nil {
			return err
		}
		n := 0
		var f entryRow
		_, err = pgx.ForEachRow(rows, f.entry(), func() error {
			n++
			e := f.Entry
			after = e.Seq
			return pass(&e)
		})
		if err != nil || n < rowsAtOnce {
			return err
		}
	}
	return nil
}

// Check implements store.Archive. PostgreSQL itself knows whether its pages are sound. Each room is of one moment, and not all
// of them of the same: as long as a transaction sees an old moment, PostgreSQL keeps every row of rooms that there was since
// then, and each append takes longer than the one before.
func (a *Archive) Check(ctx context.Context) (*store.Report, error) {
	report := new(store.Report)
	rooms, err := a.Rooms(ctx)
	for i := 0; err == nil && i < len(rooms); i++ {
		err = a.at(ctx, func(tx pgx.Tx) error {
			health, err := checkRoom(ctx, tx, rooms[i].Name.Key())
			report.Rooms = append(report.Rooms, health)
			return err
		})
	}
	if err == nil {
		err = checkRest(ctx, a.conn, report)
	}
	if err != nil {
		return nil, err
	}
	err = eachDocument(ctx, a.conn, func(d *store.Document) error {
		report.Documents++
		if err := d.Check(); err != nil {
			report.Problems = append(report.Problems, (&store.DocumentError{Key: d.Key, Err: err}).Error())
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return report, nil
}

// checkRoom reads the entries of a room.
func checkRoom(ctx context.Context, tx pgx.Tx, key string) (h store.Health, err error) {
	rows, err := tx.Query(ctx, "SELECT name, head, oldest, revision FROM rooms WHERE key = $1", key)
	if err != nil {
		return h, err
	}
	if h.Room, err = pgx.CollectExactlyOneRow(rows, scanRoom); err != nil {
		return h, err
	}
	var messages uint64
	complain := func(err error) error {
		if h.Trouble == "" {
			h.Trouble = err.Error()
		}
		return nil
	}
	err = exportRoom(ctx, tx, &h.Room, store.Receiver{Damaged: complain, Record: func(one *store.Record) error {
		h.Entries++
		switch one.Kind {
		case kaban.KindMessage:
			messages++
		case kaban.KindLost:
			h.Lost++
		}
		return nil
	}})
	if err != nil || h.Trouble != "" {
		return h, err
	}
	var counted uint64
	if err := tx.QueryRow(ctx, "SELECT messages - front FROM rooms WHERE key = $1", key).Scan(&counted); err != nil {
		return h, err
	}
	if counted != messages {
		h.Trouble = fmt.Sprintf("it has %d messages, and %d are counted", messages, counted)
	}
	return h, nil
}

// orphans count rows that belong to nothing.
var orphans = []struct{ query, problem string }{
	{"SELECT count(*) FROM entries e LEFT JOIN rooms r ON r.id = e.room WHERE r.id IS NULL OR e.seq > r.head OR e.seq BETWEEN 0 AND r.oldest - 1", "%d entries are of no log"},
	{"SELECT count(*) FROM states s LEFT JOIN entries e ON e.room = s.room AND e.seq = s.seq AND e.kind = 1 WHERE e.room IS NULL", "%d states are of no message"},
	{"SELECT count(*) FROM reactions s LEFT JOIN entries e ON e.room = s.room AND e.seq = s.seq AND e.kind = 1 WHERE e.room IS NULL", "%d reactions are to no message"},
	{"SELECT count(*) FROM mentions s LEFT JOIN entries e ON e.room = s.room AND e.seq = s.seq AND e.kind = 1 WHERE e.room IS NULL", "%d mentions are by no message"},
}

// checkRest looks for rows that belong to nothing.
func checkRest(ctx context.Context, c querier, report *store.Report) error {
	for _, o := range orphans {
		var n uint64
		if err := c.QueryRow(ctx, o.query).Scan(&n); err != nil {
			return err
		}
		if n > 0 {
			report.Problems = append(report.Problems, fmt.Sprintf(o.problem, n))
		}
	}
	return nil
}
