package main

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	_ "modernc.org/sqlite" // the driver that Kaban uses

	"kaban"
	"kaban/internal/store"
	"kaban/internal/store/sqlite"
)

const (
	plainFile   = "file and fsync"
	plainSQLite = "plain SQLite"
)

var batches = []int{1, 16, 256, 1024}

func diskName(batch int) string { return fmt.Sprintf("disk-%d", batch) }

// content is a content of the load generator.
var content = strings.Repeat("abcdefghi ", 10)

// disk measures durable writes without a server: the floor of every ack.
func (m *meter) disk() error {
	for _, batch := range batches {
		rows, err := m.appendFile(batch)
		if err != nil {
			return err
		}
		m.record.Figures.add(diskName(batch), plainFile, perSecond, rows)
		if rows, err = m.insertRows(batch); err != nil {
			return err
		}
		m.record.Figures.add(diskName(batch), plainSQLite, perSecond, rows)
		fmt.Fprintf(os.Stderr, "%s: %s\n", diskName(batch), m.record.Figures[diskName(batch)][plainSQLite].last())
	}
	return nil
}

// repeatFor returns how many rows per second a step achieves.
func (m *meter) repeatFor(rows int, step func() error) (float64, error) {
	begin, done := time.Now(), 0
	for time.Since(begin) < m.duration {
		if err := errors.Join(step(), m.ctx.Err()); err != nil {
			return 0, err
		}
		done += rows
	}
	return float64(done) / time.Since(begin).Seconds(), nil
}

// appendFile appends the bytes of a batch to a file and syncs it.
func (m *meter) appendFile(batch int) (rows float64, err error) {
	f, err := os.Create(filepath.Join(m.scratch, "plain"))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	data := []byte(strings.Repeat(content+"\n", batch))
	return m.repeatFor(batch, func() error {
		_, err := f.Write(data)
		return errors.Join(err, f.Sync())
	})
}

// insertRows commits a batch of rows like Kaban's store.
func (m *meter) insertRows(batch int) (rows float64, err error) {
	dir, err := os.MkdirTemp(m.scratch, "plain-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "plain.db")+"?_pragma=journal_mode(wal)&_pragma=synchronous(full)")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(m.ctx, `CREATE TABLE entries (place INTEGER PRIMARY KEY, time INTEGER NOT NULL, kind INTEGER NOT NULL,
		user INTEGER NOT NULL, username TEXT, id TEXT NOT NULL, content TEXT NOT NULL) STRICT;
		CREATE UNIQUE INDEX ids ON entries (place >> 40, user, id)`); err != nil {
		return 0, err
	}
	insert, err := db.PrepareContext(m.ctx, "INSERT INTO entries VALUES (?, ?, 1, ?, NULL, ?, ?)")
	if err != nil {
		return 0, err
	}
	defer insert.Close()
	place := 0
	return m.repeatFor(batch, func() error {
		tx, err := db.BeginTx(m.ctx, nil)
		if err != nil {
			return err
		}
		prepared := tx.StmtContext(m.ctx, insert)
		for range batch {
			place++
			if _, err := prepared.ExecContext(m.ctx, place, place, place%16, fmt.Sprint(place), content); err != nil {
				return errors.Join(err, tx.Rollback())
			}
		}
		return tx.Commit()
	})
}

// sizes are the numbers of messages in the databases.
func (m *meter) sizes() (sizes []int) {
	for n := 10_000; n <= m.growth; n *= 10 {
		sizes = append(sizes, n)
	}
	return sizes
}

func storeName(n int) string { return fmt.Sprintf("store-%d", n) }

// store builds ever larger databases and measures the effect on users.
func (m *meter) store() error {
	for _, n := range m.sizes() {
		dir, err := os.MkdirTemp(m.scratch, "store-")
		if err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "building a database of %d messages\n", n)
		if err := fillStore(m.ctx, dir, n); err != nil {
			return fmt.Errorf("build a database of %d messages: %w", n, err)
		}
		if info, err := os.Stat(filepath.Join(dir, "kaban.db")); err == nil {
			m.record.Figures.add(storeName(n), kabanDurable, sizeMiB, float64(info.Size())/(1<<20))
		}
		for range max(m.runs, 3) {
			if err := m.useStore(n, dir); err != nil {
				return fmt.Errorf("with %d messages: %w", n, err)
			}
		}
		fmt.Fprintf(os.Stderr, "%s:%s\n", storeName(n), m.record.Figures[storeName(n)][kabanDurable].last())
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	return nil
}

// fillStore adds messages of a hundred people to one room.
func fillStore(ctx context.Context, dir string, n int) (err error) {
	s, err := sqlite.Open(ctx, dir, sqlite.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	room, err := kaban.ParseRoomName("growth")
	if err != nil {
		return err
	}
	var people []kaban.Message
	for i := range 100 {
		name, err := kaban.ParseUsername(fmt.Sprintf("person-%d", i+100))
		if err != nil {
			return err
		}
		said, err := kaban.NewMessage(name, content, kaban.MaxContentCeiling)
		if err != nil {
			return err
		}
		people = append(people, said)
	}
	const batch = 10_000
	dispatches, results := make([]store.Write, batch), make([]store.Result, batch)
	for done := 0; done < n; done += batch {
		for i := range dispatches {
			id, err := kaban.ParseMessageID(fmt.Sprintf("m-%d", done+i))
			if err != nil {
				return err
			}
			dispatches[i].Draft = people[i%len(people)].Draft(kaban.Visitor(people[i%len(people)].Username()), room, id)
		}
		if err := s.Append(ctx, dispatches, results); err != nil {
			return err
		}
	}
	return nil
}

// useStore starts a server on a database and sends the requests of a client.
func (m *meter) useStore(n int, dir string) (err error) {
	p, err := m.start(kabanDurable, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	add := func(metric string, d time.Duration) {
		m.record.Figures.add(storeName(n), kabanDurable, metric, float64(d.Microseconds())/1000)
	}
	add(startMillis, p.started)
	conn, err := net.Dial("tcp", strings.TrimPrefix(p.address, "tcp://"))
	if err != nil {
		return err
	}
	defer conn.Close()
	c := &asker{conn: conn, answers: bufio.NewReaderSize(conn, 128<<10)}
	if _, err := c.ask(`{"type":"hello","version":1,"username":"reader"}`, "welcome"); err != nil {
		return err
	}
	const times = 20
	for i := range times {
		took, err := c.ask(`{"type":"join","room":"growth"}`+"\n"+`{"type":"history","room":"growth","limit":50}`, "history")
		if err != nil {
			return err
		}
		add(joinMillis, took)
		if _, err := c.ask(`{"type":"part","room":"growth"}`, "parted"); err != nil {
			return err
		}
		// A different page each time, around the middle.
		if took, err = c.ask(fmt.Sprintf(`{"type":"history","room":"growth","after":%d,"limit":50}`, n/4+i*n/2/times), "history"); err != nil {
			return err
		}
		add(pageMillis, took)
	}
	return nil
}

// asker sends requests and waits for the answers.
type asker struct {
	conn    net.Conn
	answers *bufio.Reader
}

func (a *asker) ask(request, answer string) (time.Duration, error) {
	if err := a.conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return 0, err
	}
	begin := time.Now()
	if _, err := fmt.Fprintln(a.conn, request); err != nil {
		return 0, err
	}
	for {
		line, err := a.answers.ReadString('\n')
		switch {
		case err != nil:
			return 0, err
		case strings.HasPrefix(line, `{"type":"`+answer+`"`):
			return time.Since(begin), nil
		case strings.HasPrefix(line, `{"type":"error"`):
			return 0, fmt.Errorf("the server answered %s", line)
		}
	}
}
