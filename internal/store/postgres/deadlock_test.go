//go:build unix

package postgres

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"kaban"
	"kaban/internal/store"
	"kaban/internal/store/postgres/postgrestest"
	"kaban/internal/store/storetest"
)

// Appends of both kinds, updates and cuts over the same rooms in all orders never wait for each other
// in a circle.
func TestNoDeadlocks(t *testing.T) {
	const rooms, workers, rounds = 12, 6, 40
	url := postgrestest.Database(t)
	handles := []*Store{open(t, url, Options{Careless: true, Patience: waiting}), open(t, url, Options{Careless: true, Patience: waiting})}
	name := func(i int) string { return fmt.Sprint("room-", i) }
	for i := range rooms {
		storetest.Append(t, handles[i%2], storetest.Draft(t, name(i), "ann", "first", "hello"))
	}
	var working sync.WaitGroup
	for w := range workers {
		working.Go(func() {
			random := rand.New(rand.NewPCG(uint64(w), 1))
			for round := range rounds {
				s := handles[random.IntN(2)]
				order := random.Perm(rooms)[:6]
				if err := mix(t, s, random, name, order, fmt.Sprint(w, "-", round)); err != nil {
					t.Errorf("worker %d, round %d: %v", w, round, err)
				}
			}
		})
	}
	working.Wait()
	for _, s := range handles {
		s.Close()
	}
	if got := deadlocks(t, url); got != 0 {
		t.Errorf("%d deadlocks", got)
	}
}

// mix does something with some rooms in an order.
func mix(t *testing.T, s *Store, random *rand.Rand, name func(int) string, order []int, id string) error {
	ctx, what := context.Background(), random.IntN(4)
	if what == 3 {
		return s.Update(ctx, func(tx store.Tx) error {
			for _, i := range order[:3] {
				if err := tx.Bump(storetest.RoomName(t, name(i))); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if what == 2 {
		_, err := s.Cut(ctx, storetest.RoomName(t, name(order[0])), store.Age{Before: 1 << 60, Now: 1 << 61}, 1)
		return err
	}
	if random.IntN(3) == 0 {
		order = order[:1] // an append to one room locks it in another way
	}
	var drafts []kaban.Draft
	for _, i := range order {
		drafts = append(drafts, storetest.Draft(t, name(i), "ann", id, "hello"))
	}
	batch := storetest.Writes(drafts...)
	if what == 1 { // the decision locks another room
		batch[0].Decide = func(tx store.Tx) error {
			return errors.Join(tx.Put("a", []byte(id)), tx.Bump(storetest.RoomName(t, name(random.IntN(12)))))
		}
	}
	results := make([]store.Result, len(batch))
	if err := s.Append(ctx, batch, results); err != nil {
		return err
	}
	for _, got := range results {
		if got.Err != nil || got.Duplicate {
			return fmt.Errorf("%+v", got)
		}
	}
	return nil
}

// deadlocks returns how many deadlocks a database has seen, when nobody uses it any more.
func deadlocks(t *testing.T, url string) (n int) {
	t.Helper()
	c, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	for until := time.Now().Add(waiting); ; time.Sleep(5 * time.Millisecond) {
		var others int
		err := c.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'").Scan(&others)
		if err == nil && others == 0 {
			err = c.QueryRow(t.Context(), "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").Scan(&n)
			if err == nil {
				return n
			}
		}
		if err != nil || time.Now().After(until) {
			t.Fatalf("%d sessions, %v", others, err)
		}
	}
}
