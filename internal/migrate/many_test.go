//go:build unix

package migrate

import (
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"testing"
	"time"

	"kaban"
	"kaban/internal/store"
	"kaban/internal/store/postgres"
	"kaban/internal/store/postgres/postgrestest"
	"kaban/internal/store/storetest"
)

var moved = flag.Int("moved", 0, "how many messages TestManyMessages moves; 0 skips it")

// TestManyMessages moves many messages there and back, each way with three interruptions.
func TestManyMessages(t *testing.T) {
	if *moved == 0 {
		t.Skip("-moved N runs it")
	}
	first, last := t.TempDir(), t.TempDir()
	url := postgrestest.Start(t, "shared_buffers=256MB", "max_wal_size=4GB").Database(t)
	open := func(dir string) func() store.Movable {
		return func() store.Movable { return inDirectory(t, dir) }
	}
	database := func() store.Movable {
		s, err := postgres.Open(t.Context(), url, postgres.Options{Moving: true, Patience: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	began := time.Now()
	fillMany(t, first, *moved)
	t.Logf("filled with %d messages in %v", *moved, time.Since(began))
	interruptedRuns(t, "to PostgreSQL", open(first), database)
	interruptedRuns(t, "from PostgreSQL", database, open(last))
	want := hashOf(t, directoryArchive(t, first))
	for name, got := range map[string][32]byte{"the database": hashOf(t, databaseArchive(t, url)), "the last directory": hashOf(t, directoryArchive(t, last))} {
		if got != want {
			t.Errorf("the export of %s is another one", name)
		}
	}
}

// fillMany imports messages of 200 authors in 50 rooms, with an edit, a reaction or an answer now and
// then.
func fillMany(t *testing.T, dir string, messages int) {
	s := inDirectory(t, dir)
	defer s.Close()
	const rooms, authors = 50, 200
	var names [rooms]kaban.RoomName
	var people [authors]kaban.Identity
	for i := range names {
		names[i] = storetest.RoomName(t, fmt.Sprint("room-", i))
	}
	for i := range people {
		people[i] = kaban.Account(fmt.Sprint(i), storetest.Username(t, fmt.Sprint("user", i)))
	}
	batch := make([]store.Record, 0, 10_000)
	for i := range messages {
		id, err := kaban.ParseMessageID(fmt.Sprintf("id-%010d", i))
		if err != nil {
			t.Fatal(err)
		}
		seq := uint64(i/rooms + 1)
		r := store.Record{Draft: kaban.Draft{Author: people[i%authors], Room: names[i%rooms], ID: id, Kind: kaban.KindMessage, Body: fmt.Sprint("message ", i, ", as long as most of them are in a chat of a team")}, Seq: seq, Time: 1_700_000_000_000 + int64(i)}
		if seq > 10 {
			switch i % 97 {
			case 1, 2, 3:
				r.Kind, r.Target, r.Body = kaban.KindReact, 1+seq/2, "+👍"
			case 4:
				r.Kind, r.Target, r.Body = kaban.KindEdit, 1+seq/2, "edited"
			case 5:
				r.Target = 1 + seq/2
			}
		}
		if batch = append(batch, r); len(batch) == cap(batch) || i == messages-1 {
			if _, err := s.Import(t.Context(), batch); err != nil {
				t.Fatal(err)
			}
			batch = batch[:0]
		}
	}
}

// interruptedRuns moves with three interruptions, and logs how fast that is.
func interruptedRuns(t *testing.T, way string, open, openTo func() store.Movable) {
	t.Helper()
	var copying, comparing time.Duration
	for i := range 4 {
		ctx, cancel := context.WithCancel(t.Context())
		from, to := open(), openTo()
		began, compared := time.Now(), time.Time{}
		report, err := Run(ctx, from, to, Options{Progress: func(phase Phase, done, total uint64) {
			if phase == Comparing && compared.IsZero() {
				compared = time.Now()
			}
			if i < 3 && phase == Copying && done >= total/4*uint64(i+1) {
				cancel()
			}
		}})
		cancel()
		ended := time.Now()
		from.Close()
		to.Close()
		switch {
		case i < 3 && errors.Is(err, context.Canceled):
			copying += ended.Sub(began)
		case i == 3 && err == nil:
			copying, comparing = copying+compared.Sub(began), ended.Sub(compared)
			t.Logf("%s: %d entries: copied in %v (%.0f/s), compared in %v (%.0f/s), in all %.0f/s; the last run copied %d", way, report.Entries, copying, float64(report.Entries)/copying.Seconds(),
				comparing, float64(report.Entries)/comparing.Seconds(), float64(report.Entries)/(copying+comparing).Seconds(), report.Copied)
		default:
			t.Fatalf("%s, run %d: %v", way, i, err)
		}
	}
}

// hashOf returns the hash of an export.
func hashOf(t *testing.T, a store.Archive) (sum [32]byte) {
	t.Helper()
	defer a.Close()
	hash := sha256.New()
	err := a.Export(t.Context(), nil, store.Receiver{
		Document: func(d *store.Document) error { fmt.Fprintf(hash, "%q %q\n", d.Key, d.Value); return nil },
		Front:    func(f *store.Front) error { fmt.Fprintf(hash, "%v\n", *f); return nil },
		Record:   func(r *store.Record) error { fmt.Fprintf(hash, "%v\n", *r); return nil },
		Damaged:  func(err error) error { return err },
	})
	if err != nil {
		t.Fatal(err)
	}
	hash.Sum(sum[:0])
	return sum
}
