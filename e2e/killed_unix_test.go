//go:build unix

package e2e

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kaban/client"
	"kaban/internal/store/postgres/postgrestest"
)

var lostClients = flag.Int("lostclients", 40, "clients of a node that is killed, such as 10000")

// In the log of PostgreSQL: the beginning of a query for a page, with its process, and the line behind that, with the room,
// the bounds and the limit of bytes. By that it is for a reader, and not for the search index.
var (
	pageQuery  = regexp.MustCompile(`\[(\d+)\] LOG: .* execute [^:]*: SELECT r\.head, r\.oldest, e\.\*`)
	pageBounds = regexp.MustCompile(`\[(\d+)\] DETAIL:  parameters: \$1 = ('[^']*', \$2 = '[^']*', \$3 = '[^']*'), \$4 = '[^']*', \$5 = '(\d+)'`)
)

// pagesOfReaders counts queries by their room and bounds.
func pagesOfReaders(log string) map[string]int {
	const bytes = "65536" // of dispatch.pageBytes
	asked := make(map[string]int)
	process := ""
	for line := range strings.Lines(log) {
		if query := pageQuery.FindStringSubmatch(line); query != nil {
			process = query[1]
		} else if bounds := pageBounds.FindStringSubmatch(line); bounds != nil && bounds[1] == process {
			if process = ""; bounds[3] == bytes {
				asked[bounds[2]]++
			}
		}
	}
	return asked
}

// readInOrder has a client of a room read until ctx ends. It reports a message that is lost or repeated, and notes the number
// of the last one in seen.
func readInOrder(ctx context.Context, t *testing.T, i int, room *client.Room, seen *atomic.Uint64) {
	for m, err := range room.Messages(ctx) {
		if ctx.Err() != nil {
			return
		}
		if last := seen.Load(); err != nil || m.Seq != last+1 {
			t.Errorf("client %d reads no. %d after %d: %v", i, m.Seq, last, err)
			return
		}
		seen.Store(m.Seq)
	}
}

// The clients of a node that is killed go on at another one, with nothing lost or repeated, and the database is asked for
// what they have missed once for each room and range, not once for each client.
func TestClientsOfAKilledNode(t *testing.T) {
	t.Parallel()
	rooms := min(50, max(1, *lostClients/10))
	database := postgrestest.Start(t, "log_min_duration_statement=0")
	c := startCluster(t, database.Database(t), "--bus", "embedded", "--max-clients", fmt.Sprint(*lostClients+1000))
	c.startPeers(2)

	ctx, cancel := context.WithCancel(t.Context())
	var reading sync.WaitGroup
	t.Cleanup(func() { cancel(); reading.Wait() })
	seen := make([]atomic.Uint64, *lostClients) // by client: the number of its last message
	join := func(name, room string, at int) (*client.Room, error) {
		session := client.New(client.Options{Dial: c.dial(at)})
		t.Cleanup(func() { session.Close() })
		if err := session.Connect("", name); err != nil {
			return nil, err
		}
		return session.Join(within(t, patience), room, client.After(client.Cursor{}))
	}
	var joining sync.WaitGroup
	places := make(chan struct{}, 64) // of those that come at once
	for i := range seen {
		joining.Go(func() {
			places <- struct{}{}
			room, err := join(fmt.Sprint("client-", i), fmt.Sprint("room-", i%rooms), 0)
			if <-places; err != nil {
				t.Errorf("client %d: %v", i, err)
				return
			}
			reading.Go(func() { readInOrder(ctx, t, i, room, &seen[i]) })
		})
	}
	joining.Wait()
	// Nobody reads at the other node, so it has nothing in memory of what is said there.
	say := func(at *node, count int) (last uint64) {
		for i := range count {
			for room := range rooms {
				body := fmt.Sprintf(`{"id": "%d-%d-%s", "username": "writer", "content": "hello"}`, i, room, at.web)
				answer, err := impatient.Post(fmt.Sprintf("http://%s/v1/rooms/room-%d/messages", at.web, room), "application/json", strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				var receipt struct{ Seq uint64 }
				err = json.NewDecoder(answer.Body).Decode(&receipt)
				if answer.Body.Close(); err != nil || receipt.Seq == 0 {
					t.Fatalf("a message is answered with %s: %v", answer.Status, err)
				}
				last = receipt.Seq
			}
		}
		return last
	}
	await := func(last uint64) {
		t.Helper()
		for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
			behind := 0
			for i := range seen {
				if seen[i].Load() < last {
					behind++
				}
			}
			if behind == 0 {
				return
			}
			if time.Now().After(deadline) || t.Failed() {
				t.Fatalf("%d of %d clients have not read no. %d", behind, len(seen), last)
			}
		}
	}
	killed, other := c.all()[0], c.all()[1]
	await(say(killed, 10))

	log, err := os.Stat(database.LogFile())
	if err != nil {
		t.Fatal(err)
	}
	killed.away.Store(true)
	if err := killed.log.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	await(say(other, 20))
	took := time.Since(began)
	t.Logf("%d clients are back after %v", len(seen), took.Round(10*time.Millisecond))

	text, err := os.ReadFile(database.LogFile())
	if err != nil {
		t.Fatal(err)
	}
	asked := pagesOfReaders(string(text[log.Size():]))
	t.Logf("the database was asked for %d pages of %d rooms", len(asked), rooms)
	if len(asked) == 0 && len(seen) > 1000 { // few are back before anything is said
		t.Error("no query for a page is in the log of the database")
	}
	for what, times := range asked {
		if times > 1 && took < 25*time.Second { // a page is kept for 30 s
			t.Errorf("the database was asked %d times for $1 = %s", times, what)
		}
	}
}
