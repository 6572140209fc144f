//go:build unix

package e2e

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"kaban/client"
	"kaban/internal/store/postgres/postgrestest"
)

// The clients of a node that is drained go on at another one, with nothing lost or repeated. The log has how long
// they were away: within a second, on a machine that is not busy.
func TestClientsOfADrainedNode(t *testing.T) {
	t.Parallel()
	const clients = 100
	c := startCluster(t, postgrestest.LastingDatabase(t), "--bus", "embedded")
	c.startPeers(2)
	drained := c.all()[0]

	ctx, cancel := context.WithCancel(t.Context())
	var reading sync.WaitGroup
	t.Cleanup(func() { cancel(); reading.Wait() })
	var mu sync.Mutex                      // guards away
	away := make(map[int][]time.Duration)  // by client
	seen := make([]atomic.Uint64, clients) // by client: the number of its last message
	for i := range seen {
		var left time.Time
		session := client.New(client.Options{Dial: c.dial(0), OnState: func(s client.State) {
			switch {
			case s.Status == client.Offline && left.IsZero():
				left = time.Now()
			case s.Status == client.Online && !left.IsZero():
				mu.Lock()
				away[i] = append(away[i], time.Since(left))
				mu.Unlock()
				left = time.Time{}
			}
		}})
		t.Cleanup(func() { session.Close() })
		if err := session.Connect("", fmt.Sprint("client-", i)); err != nil {
			t.Fatal(err)
		}
		room, err := session.Join(within(t, patience), "lobby", client.After(client.Cursor{}))
		if err != nil {
			t.Fatalf("client %d: %v", i, err)
		}
		reading.Go(func() { readInOrder(ctx, t, i, room, &seen[i]) })
	}
	writer := c.join("writer", 1)
	send(t, writer, 10, "before")
	drained.away.Store(true)
	if err := drained.log.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	back := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(away)
	}
	var last uint64
	for deadline := time.Now().Add(patience); back() < clients; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d clients are back", back(), clients)
		}
		last = send(t, writer, 1, "meanwhile")
	}
	for i := range seen {
		for deadline := time.Now().Add(patience); seen[i].Load() < last; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) || t.Failed() {
				t.Fatalf("client %d has read no. %d of %d", i, seen[i].Load(), last)
			}
		}
	}
	if code := drained.log.finish(); code != 0 {
		t.Errorf("a node that is drained exits with %d:\n%s", code, drained.log)
	}
	var all []time.Duration
	for i, times := range away {
		if all = append(all, times...); len(times) != 1 {
			t.Errorf("client %d was away %d times", i, len(times))
		}
	}
	slices.Sort(all)
	t.Logf("%d clients were away for %v, %v in the median, %v at most", len(away), all[0], all[len(all)/2], all[len(all)-1])
}
