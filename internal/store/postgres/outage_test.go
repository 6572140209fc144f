//go:build unix

package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"kaban"
	"kaban/internal/store"
	"kaban/internal/store/postgres/postgrestest"
	"kaban/internal/store/storetest"
)

// lateness is how much later than its patience a call may end on a busy machine.
const lateness = 3 * time.Second

// calls are all calls of a store that need the database, for a room with an entry and one without.
func calls(t *testing.T, s *Store, id string) map[string]func(context.Context) error {
	room := storetest.RoomName(t, "lobby")
	age := store.Age{Before: 1 << 60, Now: 1 << 61}
	general := storetest.Writes(storetest.Draft(t, "lobby", "ann", id+"-general", "hello"))
	general[0].Decide = func(store.Tx) error { return nil }
	return map[string]func(context.Context) error{
		"Append": func(ctx context.Context) error {
			return s.Append(ctx, storetest.Writes(storetest.Draft(t, "lobby", "ann", id, "hello")), make([]store.Result, 1))
		},
		"Append to a new room": func(ctx context.Context) error {
			return s.Append(ctx, storetest.Writes(storetest.Draft(t, "room-"+id, "ann", id, "hello")), make([]store.Result, 1))
		},
		"Append with a decision": func(ctx context.Context) error { return s.Append(ctx, general, make([]store.Result, 1)) },
		"Update": func(ctx context.Context) error {
			return s.Update(ctx, func(tx store.Tx) error { return tx.Put("a", []byte(id)) })
		},
		"View": func(ctx context.Context) error {
			return s.View(ctx, func(tx store.Tx) error { _, err := tx.Get("a"); return err })
		},
		"Rooms":    func(ctx context.Context) error { _, err := s.Rooms(ctx); return err },
		"States":   func(ctx context.Context) error { _, err := s.States(ctx, []kaban.RoomName{room}); return err },
		"Room":     func(ctx context.Context) error { _, err := s.Room(ctx, room); return err },
		"Read":     func(ctx context.Context) error { _, err := s.Read(ctx, room, store.Page{Limit: 1}); return err },
		"History":  func(ctx context.Context) error { _, err := s.History(ctx, room, store.Page{Limit: 1}); return err },
		"Tallies":  func(ctx context.Context) error { _, err := s.Tallies(ctx, "ann", []kaban.RoomName{room}); return err },
		"CountTo":  func(ctx context.Context) error { _, err := s.CountTo(ctx, room, "ann", 1, store.Mark{}); return err },
		"Mentions": func(ctx context.Context) error { _, err := s.Mentions(ctx, room, "ann", 0, 1); return err },
		"MayMention": func(ctx context.Context) error {
			_, err := s.MayMention(ctx, "ann", []store.Run{{Room: room, Last: 1}})
			return err
		},
		"ForgetMentions": func(ctx context.Context) error { _, err := s.ForgetMentions(ctx, 1, 1); return err },
		"Old":            func(ctx context.Context) error { _, _, err := s.Old(ctx, room, age); return err },
		"Cut":            func(ctx context.Context) error { _, err := s.Cut(ctx, room, age, 1); return err },
		"Redact":         func(ctx context.Context) error { return s.Redact(ctx, room, []store.Redaction{{Seq: 1}}) },
	}
}

// callAll makes all calls at once. They must end in time, with an error that says that the database
// is away.
func callAll(t *testing.T, s *Store, id string) {
	t.Helper()
	began := time.Now()
	var calling sync.WaitGroup
	for name, call := range calls(t, s, id) {
		calling.Go(func() {
			err := call(context.Background())
			if took := time.Since(began); took > s.patience+lateness {
				t.Errorf("%s has taken %v", name, took)
			}
			writes := strings.HasPrefix(name, "Append") || name == "Update" || name == "Cut" || name == "Redact"
			if !errors.Is(err, store.ErrUnavailable) && !(writes && errors.Is(err, store.ErrUnknown)) {
				t.Errorf("%s: %v, want %v", name, err, store.ErrUnavailable)
			}
		})
	}
	calling.Wait()
}

// A server that is there and does not answer holds up no call for longer than its patience. When it
// answers again, the store works again by itself.
func TestSilence(t *testing.T) {
	const patience = 2 * time.Second
	server := postgrestest.Start(t)
	url := server.Database(t)
	p := newProxy(t, server.Address)
	s := open(t, server.Via(p.address, postgrestest.Name(url)), Options{Patience: patience})
	for name, call := range calls(t, s, "before") { // so that there are connections, and rooms are known
		if err := call(t.Context()); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	p.silence(true)
	callAll(t, s, "silent")
	began := time.Now()
	s.Size()
	if took := time.Since(began); took > sizeTimeout+lateness {
		t.Errorf("Size has taken %v", took)
	}
	p.silence(false)
	began = time.Now()
	for id := 0; ; id++ {
		err := s.Append(t.Context(), storetest.Writes(storetest.Draft(t, "lobby", "ann", fmt.Sprint("after-", id), "hello")), make([]store.Result, 1))
		if err == nil {
			break
		}
		if time.Since(began) > 10*time.Second {
			t.Fatalf("10 s after the silence: %v", err)
		}
	}
	err := s.View(t.Context(), func(tx store.Tx) error { // one that begins before the silence
		p.silence(true)
		began = time.Now()
		_, first := tx.Get("a")
		_, second := tx.Get("b")
		return errors.Join(first, second)
	})
	if took := time.Since(began); took > patience+lateness || !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("a View in the silence: %v, after %v", err, took)
	}
}

// Dead connections are not found one after the other.
func TestDeadConnections(t *testing.T) {
	server := postgrestest.Start(t)
	url := server.Database(t)
	p := newProxy(t, server.Address)
	s := open(t, server.Via(p.address, postgrestest.Name(url)), Options{Patience: (writers - 1) * pingTimeout})
	for name, pool := range map[string]*pgxpool.Pool{"writers": s.writers, "readers": s.readers} {
		var held []*pgxpool.Conn
		for range pool.Config().MaxConns {
			c, err := pool.Acquire(t.Context())
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			held = append(held, c)
		}
		for _, c := range held {
			c.Release()
		}
	}
	p.deafen()
	time.Sleep(3 * time.Second / 2) // so that they are tried before they are used
	if err := s.Append(t.Context(), storetest.Writes(storetest.Draft(t, "lobby", "ann", "a", "hello")), make([]store.Result, 1)); err != nil {
		t.Errorf("Append: %v", err)
	}
	began := time.Now()
	if _, err := s.Rooms(t.Context()); err != nil || time.Since(began) > lateness {
		t.Errorf("Rooms: %v, after %v", err, time.Since(began))
	}
}

// Settings of a role that would end what must not end, or keep what must not stay, have no effect.
func TestSettingsOfRoles(t *testing.T) {
	url := postgrestest.Database(t)
	role := "hasty_" + postgrestest.Name(url)
	execute(t, url, "CREATE ROLE "+role+" LOGIN SUPERUSER")
	t.Cleanup(func() { execute(t, url, "DROP OWNED BY "+role+" CASCADE; DROP ROLE "+role) })
	for setting, value := range map[string]string{
		"statement_timeout": "1", "lock_timeout": "0", "idle_in_transaction_session_timeout": "0", "client_connection_check_interval": "0",
		"default_transaction_read_only": "on", "default_transaction_isolation": "serializable",
	} {
		execute(t, url, "ALTER ROLE "+role+" SET "+setting+" = '"+value+"'")
	}
	s := open(t, strings.Replace(url, "user=kaban", "user="+role, 1), Options{Careless: true, Patience: 10 * time.Second})
	c, err := s.writers.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Release()
	for setting, want := range map[string]string{
		"statement_timeout": "0", "lock_timeout": "8s", "idle_in_transaction_session_timeout": "6s", "client_connection_check_interval": "2s",
		"default_transaction_read_only": "off", "default_transaction_isolation": "read committed", "application_name": "kaban", "session_authorization": role,
	} {
		var got string
		if err := c.QueryRow(t.Context(), "SELECT current_setting($1)", setting).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %q, %v; want %q", setting, got, err, want)
		}
	}
}

// The locks of a node that does nothing any more are released while others still wait for them.
func TestFrozenNode(t *testing.T) {
	url := postgrestest.Database(t)
	const patience = 10 * time.Second // two fifths of it are left on a busy machine, too
	frozen, s := open(t, url, Options{Careless: true, Patience: patience}), open(t, url, Options{Careless: true, Patience: patience})
	storetest.Append(t, s, storetest.Draft(t, "lobby", "ann", "first", "hello"))
	for i, lock := range []string{"SELECT FROM rooms FOR UPDATE", fmt.Sprintf("SELECT pg_advisory_xact_lock(%d)", documentsLock)} {
		c, err := frozen.writers.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Release()
		if _, err := c.Exec(t.Context(), "BEGIN"); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Exec(t.Context(), lock); err != nil {
			t.Fatal(err)
		}
		batch := storetest.Writes(storetest.Draft(t, "lobby", "ann", fmt.Sprint("a", i), "hello"))
		batch[0].Decide = func(store.Tx) error { return nil }
		began := time.Now()
		if err := s.Append(t.Context(), batch, make([]store.Result, 1)); err != nil {
			t.Errorf("%s: %v, after %v", lock, err, time.Since(began))
		}
	}
	// One that only reads may compute for longer.
	err := s.View(t.Context(), func(tx store.Tx) error {
		time.Sleep(patience)
		_, err := tx.Get("a")
		return err
	})
	if err != nil {
		t.Errorf("a long View: %v", err)
	}
}

// A call that has given up leaves nothing behind that others wait for.
func TestAbandonedLocks(t *testing.T) {
	url := postgrestest.Database(t)
	hasty, s := open(t, url, Options{Careless: true, Patience: time.Second}), open(t, url, Options{Careless: true, Patience: waiting})
	storetest.Append(t, s, storetest.Draft(t, "lobby", "ann", "first", "hello"))
	holder := connect(t, url)
	if _, err := holder.Exec(t.Context(), "BEGIN; SELECT FROM rooms FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	draft := storetest.Draft(t, "lobby", "ann", "a", "hello")
	began := time.Now()
	err := hasty.Append(t.Context(), storetest.Writes(draft), make([]store.Result, 1))
	if took := time.Since(began); took > time.Second+lateness || !errors.Is(err, store.ErrUnavailable) && !errors.Is(err, store.ErrUnknown) {
		t.Errorf("without the lock: %v, after %v", err, took)
	}
	if _, err := holder.Exec(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if got := storetest.Append(t, s, draft)[0]; got.Seq != 2 || got.Err != nil {
		t.Errorf("afterwards: %+v, want seq 2", got)
	}
	wantOnce(t, s, 2)
}

// An id that another node uses in a room that it is just making is known, whatever has come first.
func TestRoomInTheMaking(t *testing.T) {
	url := postgrestest.Database(t)
	a, b := open(t, url, Options{Careless: true, Patience: waiting}), open(t, url, Options{Careless: true, Patience: waiting})
	storetest.Append(t, a, storetest.Draft(t, "lobby", "ann", "first", "hello"))
	draft := storetest.Draft(t, "new", "ann", "a", "hello")
	batch := storetest.Writes(storetest.Draft(t, "lobby", "ann", "second", "hello"), draft)
	batch[1].Refusal = errors.New("no") // so a does not make the room
	holder := connect(t, url)
	if _, err := holder.Exec(t.Context(), "BEGIN; SELECT FROM rooms FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	results := make([]store.Result, 2)
	done := make(chan error)
	go func() { done <- a.Append(context.Background(), batch, results) }()
	waitFor(t, b, 1) // its locks are of a moment without the room
	storetest.Append(t, b, draft)
	if _, err := holder.Exec(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got := results[1]; got.Seq != 1 || !got.Duplicate || got.Err != nil {
		t.Errorf("the used id: %+v, want a duplicate of 1", got)
	}
	if got := results[0]; got.Seq != 2 || got.Err != nil {
		t.Errorf("beside it: %+v, want seq 2", got)
	}
}

// States are those of the rooms that are asked for, if they exist, and damage in a name takes nothing from them.
func TestStates(t *testing.T) {
	url := postgrestest.Database(t)
	s := open(t, url, Options{Careless: true, Patience: waiting})
	var names []kaban.RoomName
	for i := range 3 {
		names = append(names, storetest.RoomName(t, fmt.Sprint("room-", i)))
		storetest.Append(t, s, storetest.Draft(t, fmt.Sprint("room-", i), "ann", "a", "hello"))
	}
	if err := s.Update(t.Context(), func(tx store.Tx) error { return tx.Bump(names[1]) }); err != nil {
		t.Fatal(err)
	}
	execute(t, url, `UPDATE rooms SET name = '!' WHERE key = 'room-2'`)
	got, err := s.States(t.Context(), []kaban.RoomName{names[1], names[2], storetest.RoomName(t, "nowhere")})
	slices.SortFunc(got, func(a, b store.Room) int { return strings.Compare(a.Name.Key(), b.Name.Key()) })
	want := []store.Room{{Name: names[2], Head: 1, Oldest: 1}, {Name: names[1], Head: 1, Oldest: 1, Revision: 1}} // 1 looks like l
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	if _, err := s.Room(t.Context(), names[2]); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("a room with a damaged name: %v", err)
	}
}

// The size of the database is asked for every half minute, and not at each scrape.
func TestSize(t *testing.T) {
	s := open(t, postgrestest.Database(t), Options{Careless: true, Patience: waiting})
	size := func() int64 { return s.Size().Files["database"] }
	if got := size(); got < 1<<20 {
		t.Errorf("the database has %d bytes", got)
	}
	s.sized.bytes.Store(7)
	if got := size(); got != 7 {
		t.Errorf("asked again at once, the database has %d bytes", got)
	}
	before := s.now().Add(-sizeEvery)
	s.sized.asked.Store(&before)
	if got := size(); got < 1<<20 {
		t.Errorf("half a minute later, the database has %d bytes", got)
	}
}

// A server without room for messages is one that refuses them, until it has stored some again.
func TestFullServer(t *testing.T) {
	url := postgrestest.Database(t)
	s := open(t, url, Options{Careless: true, Patience: waiting})
	storetest.Append(t, s, storetest.Draft(t, "lobby", "ann", "a", "hello"))
	execute(t, url, `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no space left' USING ERRCODE = '53100'; END $$;
		CREATE TRIGGER refuse BEFORE INSERT ON entries EXECUTE FUNCTION refuse()`)
	draft := storetest.Draft(t, "lobby", "ann", "b", "hello")
	if err := s.Append(t.Context(), storetest.Writes(draft), make([]store.Result, 1)); !errors.Is(err, store.ErrFull) {
		t.Errorf("Append: %v, want %v", err, store.ErrFull)
	}
	if since, err := s.Refusing(); since.IsZero() || !errors.Is(err, store.ErrFull) {
		t.Errorf("Refusing: %v, %v; want %v", since, err, store.ErrFull)
	}
	execute(t, url, "DROP TRIGGER refuse ON entries")
	storetest.Append(t, s, draft)
	if since, err := s.Refusing(); !since.IsZero() || err != nil {
		t.Errorf("Refusing afterwards: %v, %v", since, err)
	}
}

// A server that ends a connection while it is inspected is away, and not one that cannot be used.
func TestALostInspection(t *testing.T) {
	url := postgrestest.Database(t)
	killer := connect(t, url)
	for name, lose := range map[string]func(c *pgx.Conn) error{
		"closed": func(c *pgx.Conn) error { return c.Close(t.Context()) },
		"ended by the server": func(c *pgx.Conn) error {
			_, err := killer.Exec(t.Context(), "SELECT pg_terminate_backend($1, 10000)", c.PgConn().PID())
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := connect(t, url)
			if err := lose(c); err != nil {
				t.Fatal(err)
			}
			if _, err := inspect(t.Context(), c.PgConn()); !errors.Is(err, store.ErrUnavailable) {
				t.Errorf("got %v, want %v", err, store.ErrUnavailable)
			}
		})
	}
	c := connect(t, url)
	if _, err := c.Exec(t.Context(), "BEGIN; SELECT 1/0"); err == nil {
		t.Fatal("a division by zero")
	}
	if _, err := inspect(t.Context(), c.PgConn()); err == nil || errors.Is(err, store.ErrUnavailable) {
		t.Errorf("in a transaction that has failed: %v, want an error that does not pass", err)
	}
}

// What another attempt may mend is tried again, and clients are told to come back. Anything else is said at once.
func TestWhatPasses(t *testing.T) {
	for code, want := range map[string]bool{
		"53200": true,  // out of memory
		"53300": true,  // too many connections
		"40P01": true,  // a deadlock
		"08006": true,  // a connection failure
		"53100": false, // a full disk, which has an error of its own
		"23505": false, // a key twice
		"42P01": false, // no such table
		"XX001": false, // damage
	} {
		if got := isPassing(&pgconn.PgError{Code: code, Severity: "ERROR"}); got != want {
			t.Errorf("%s passes: %v", code, got)
		}
	}
}
