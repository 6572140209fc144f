package torture

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"kaban/internal/store/journal"
)

// place is a failpoint, and how often a server passes it in a short life under load.
type place struct {
	name  string
	times int
}

// everywhere are the failpoints that do not depend on the store.
var everywhere = []place{
	{"publish.before", 60},
	{"write.after", 500},
	{"replay.page", 60},
}

// inDatabase are those of a PostgreSQL.
var inDatabase = []place{
	{"append.before-commit", 60},
	{"append.after-commit", 60},
	{"database.sent", 150},
	{"rooms.made", 1},
}

// inDirectory are those of a data directory.
var inDirectory = []place{
	{"append.before-commit", 2},
	{"append.after-commit", 2},
	{"append.merged", 60},
	{"journal.written", 60},
	{"journal.synced", 60},
	{"journal.segment", 3},
	{"journal.recycled", 3},
	{"merge.before-commit", 60},
	{"merge.after-commit", 60},
	{"checkpoint.write", 200},
}

// perDatabase is the number of deaths before a campaign starts a new database,
// because the whole database is checked after each.
const perDatabase = 40

// inFlight is the minimum number of messages in flight when a server dies.
const inFlight = 100

// everybody is the crowd of these campaigns.
func everybody(t *testing.T, address string) *crowd {
	c := newCrowd(t, address)
	for i := range 4 {
		c.send(fmt.Sprint("sender-", i), 64)
	}
	c.watch("watcher")
	c.listen("listener-a", 3)
	c.listen("listener-b", 1<<30)
	c.stall("stalled")
	c.amend("amender")
	return c
}

// end waits until a server with a failpoint has died, or kills it. It reports
// whether the failpoint was reached.
func end(h *host, random *rand.Rand, deadly syscall.Signal, failpoint bool) bool {
	if failpoint && h.ended(2*time.Second) {
		h.crash(random, func() {})
		return true
	}
	if !failpoint {
		time.Sleep(time.Duration(random.IntN(150)) * time.Millisecond)
	}
	h.crash(random, func() { h.signal(deadly); <-h.exited })
	return false
}

// died reports whether the server was killed, and did not end by itself. A loss of power
// that fails is a panic.
func (h *host) died() bool {
	status, ok := h.process.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signal() == syscall.SIGKILL
}

// campaign repeatedly kills servers while a crowd talks, and checks the stored
// messages after each death. From time to time it starts a new database. Every
// other death is at a failpoint, and only deaths under load count.
func campaign(t *testing.T, times int, faults func(h *host, random *rand.Rand) []string, deadly syscall.Signal) {
	random := random(t)
	died := make(map[string]int)
	counted, atFailpoints, idle := 0, 0, 0
	for counted < times {
		h := newHost(t)
		h.start()
		c := everybody(t, h.address)
		h.kill()
		for range min(perDatabase, times-counted) {
			env, name := faults(h, random), ""
			if 2*atFailpoints <= counted {
				places := h.places(everywhere, inDirectory, inDatabase)
				place := places[random.IntN(len(places))]
				name = place.name
				env = append(env, fmt.Sprintf("KABAN_FAILPOINT=%s:%d", name, 1+random.IntN(place.times)))
			}
			before := c.history.Acks()
			h.start(env...)
			if name == "" { // not before there is load
				for deadline := time.Now().Add(patience); time.Now().Before(deadline) && !h.ended(0); time.Sleep(time.Millisecond) {
					if c.history.Acks() > before && c.history.InFlight() >= inFlight {
						break
					}
				}
			}
			if !end(h, random, deadly, name != "") {
				name = "at random"
			}
			if !h.died() {
				t.Fatalf("death %d (%s, %s): the server ended with %v:\n%s", counted+1, name, strings.Join(env, " "), h.err, h.log)
			}
			h.check(c.history, fmt.Sprintf("death %d (%s, %s)", counted+1, name, strings.Join(env, " ")))
			if c.history.InFlight() < inFlight {
				if idle++; idle > times {
					t.Fatalf("too few messages are in flight: %d of %d deaths were idle", idle, idle+counted)
				}
				continue
			}
			died[name]++
			counted++
			if name != "at random" {
				atFailpoints++
			}
		}
		h.start()
		c.settle("watcher")
		h.stop()
		c.end()
		h.check(c.history, "at the end")
		if problems := c.history.CheckComplete(); len(problems) > 0 {
			t.Fatalf("not acknowledged: %q", problems)
		}
		t.Logf("%d of %d deaths, %d messages acknowledged with this database: no fault", counted, times, c.history.Acks())
	}
	t.Logf("died %v; %d more with less than %d messages in flight", died, idle, inFlight)
}

// clock shifts the server's clock by up to ten hours.
func clock(random *rand.Rand) string {
	return fmt.Sprintf("KABAN_FAULT_CLOCK=%dm", random.IntN(1200)-600)
}

// A killed process leaves its writes in the page cache, so this tests the order of
// events, not the disk.
func TestKills(t *testing.T) {
	campaign(t, *kills, func(_ *host, random *rand.Rand) []string { return []string{clock(random)} }, syscall.SIGKILL)
}

// Here some or all unsynced data is lost as well: with the death of the process that wrote
// it, or only with that of a later one, because the first was killed, even by a failed
// sync, and the next found everything.
func TestLosses(t *testing.T) {
	onlyDirectory(t, "what a PostgreSQL syncs is its own: TestKills crashes it")
	campaign(t, *losses, func(h *host, random *rand.Rand) []string {
		kept := h.data + ".kept"
		disk := fmt.Sprintf("KABAN_FAULT_DISK=lose,seed=%d", random.Uint32())
		if _, err := os.Stat(kept); err == nil {
			disk += ",kept=" + kept
		}
		switch random.IntN(6) {
		case 0, 1:
			disk += ",keep=" + kept
		case 2: // a failed sync kills it
			disk += fmt.Sprintf(",keep=%s,of=*.s*,failsync=%d", kept, 1+random.IntN(60))
		}
		return []string{clock(random), disk}
	}, syscall.SIGUSR1)
}

// The controls of TestLosses: without syncs there must be a loss. Otherwise the
// disk loses nothing and proves nothing. Without those of SQLite only merged messages
// are lost, once the journal does without them.
func TestLossesAreFoundWithoutSyncs(t *testing.T) {
	onlyDirectory(t, "that of a PostgreSQL is TestLossesOfADatabaseAreFound")
	random := random(t)
	for _, c := range []struct {
		name, fault, disk string
		ready             func(h *host, c *crowd) bool // for a loss
	}{
		{"the journal", "", "lose,nosync", func(_ *host, c *crowd) bool { return c.history.Acks() >= 500 }},
		{"SQLite", "KABAN_FAULT_SYNCHRONOUS=off", "lose", func(h *host, _ *crowd) bool { return h.has("*.spare") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			for range 20 {
				if found := loseOnce(t, c.ready, c.fault, fmt.Sprintf("KABAN_FAULT_DISK=%s,seed=%d", c.disk, random.Uint32())); found != "" {
					t.Log("found:", found)
					return
				}
			}
			t.Errorf("nothing was lost without syncs and with a disk that loses unsynced data")
		})
	}
}

// loseOnce loses power when it can harm, and returns the harm.
func loseOnce(t *testing.T, ready func(*host, *crowd) bool, faults ...string) string {
	t.Helper()
	h := newHost(t)
	h.start()
	c := everybody(t, h.address)
	h.kill()
	h.start(faults...)
	h.wait("nothing can be lost", func() bool { return ready(h, c) })
	h.losePower()
	c.end()
	stored, err := h.stored()
	if err != nil {
		return err.Error()
	}
	if problems := c.history.Check(stored); len(problems) > 0 {
		return fmt.Sprintf("%d faults, the first is: %s", len(problems), problems[0])
	}
	return ""
}

// A failed sync ends the server with an error, and acknowledged messages stay. Those of the
// search index, search.db, do not count: it works again without a new start.
func TestFailedSyncs(t *testing.T) {
	onlyDirectory(t, "a sync that fails crashes a PostgreSQL, as TestKills does; TestFaultsBesideADatabase has those of the node")
	t.Logf("-torture.seed %d", *seed)
	for n := 1; n <= *syncs; {
		h := newHost(t)
		h.start()
		c := everybody(t, h.address)
		h.stop()
		for end := n + perDatabase/8; n < end && n <= *syncs; n++ {
			h.start(fmt.Sprintf("KABAN_FAULT_DISK=failsync=%d,of=[^s]*", n))
			h.failed(fmt.Sprintf("sync %d", n))
			h.check(c.history, fmt.Sprintf("sync %d", n))
		}
		h.start()
		c.settle("watcher")
		h.stop()
		c.end()
		h.check(c.history, "at the end")
		t.Logf("%d of %d syncs failed, %d messages acknowledged with this database: no fault", n-1, *syncs, c.history.Acks())
	}
}

// The same for syncs that are rare among all. Only those of matching names count: a
// segment keeps the name under which it was opened, that of a spare.
func TestFailedSyncsOfEachStep(t *testing.T) {
	onlyDirectory(t, "a sync that fails crashes a PostgreSQL, as TestKills does; TestFaultsBesideADatabase has those of the node")
	t.Logf("-torture.seed %d", *seed)
	for _, step := range []struct {
		name, of string
		first    int
	}{
		{"segments", "*.s*", 1},
		{"appends", "*.s*", 40},
		{"names of segments", "journal", 1},
		{"merges", "kaban.db-wal", 1},
		{"checkpoints", "kaban.db", 1},
	} {
		t.Run(step.name, func(t *testing.T) {
			h := newHost(t)
			h.start()
			c := everybody(t, h.address)
			h.stop()
			for n := step.first; n <= step.first+*syncs/40; n++ {
				h.start(fmt.Sprintf("KABAN_FAULT_DISK=failsync=%d,of=%s", n, step.of))
				h.failed(fmt.Sprintf("sync %d of %s", n, step.of))
				h.check(c.history, fmt.Sprintf("sync %d of %s", n, step.of))
			}
			h.start()
			c.settle("watcher")
			h.stop()
			c.end()
			h.check(c.history, "at the end")
		})
	}
}

// The same for the syncs of a shutdown, until none of them fails.
func TestFailedSyncsOfTheEnd(t *testing.T) {
	onlyDirectory(t, "a store that leaves a PostgreSQL writes nothing")
	t.Logf("-torture.seed %d", *seed)
	h := newHost(t)
	h.start()
	c := everybody(t, h.address)
	h.stop()
	for n := 1; n <= *syncs; n++ {
		before := c.history.Acks()
		h.start(fmt.Sprintf("KABAN_FAULT_DISK=later,failsync=%d,of=[^s]*", n)) // the search index may fail
		c.hush(false)
		h.wait("nothing is acknowledged", func() bool { return c.history.Acks() >= before+500 })
		c.settle("watcher")
		h.change()
		h.signal(syscall.SIGTERM)
		if !h.ended(patience) {
			t.Fatalf("sync %d of the end failed and the server keeps running:\n%s", n, h.log)
		}
		// A database that keeps everything in its WAL is sound, so the code may be zero.
		if !inputOutput.MatchString(h.log.String()) {
			if n == 1 || h.err != nil {
				t.Errorf("sync %d of the end failed, or there is none, and the server ended with %v:\n%s", n, h.err, h.log)
			}
			t.Logf("an end has %d syncs", n-1)
			break
		}
		h.check(c.history, fmt.Sprintf("sync %d of the end", n))
	}
	h.start()
	c.settle("watcher")
	h.stop()
	c.end()
	h.check(c.history, "at the end")
}

// inputOutput is the error of a failed sync, by SQLite and by Go.
var inputOutput = regexp.MustCompile("disk I/O error|input/output error")

// failed checks that the server ends because of an injected fault.
func (h *host) failed(fault string) {
	h.t.Helper()
	if !h.ended(patience) {
		h.t.Fatalf("%s failed and the server keeps running:\n%s", fault, h.log)
	}
	if h.process.ProcessState.ExitCode() != 1 {
		h.t.Errorf("%s failed and the server ended with %v:\n%s", fault, h.err, h.log)
	}
	if !inputOutput.MatchString(h.log.String()) {
		h.t.Errorf("%s failed and the log does not say so:\n%s", fault, h.log)
	}
}

// A server that gets SIGTERM under load shuts down gracefully, with exit code 0,
// and keeps every acknowledged message.
func TestDrains(t *testing.T) {
	t.Logf("-torture.seed %d", *seed)
	for done := 0; done < *drains; {
		h := newHost(t)
		h.start()
		c := everybody(t, h.address)
		for end := done + perDatabase; done < end && done < *drains; done++ {
			before := c.history.Acks()
			for deadline := time.Now().Add(patience); c.history.Acks() < before+500; time.Sleep(time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("nothing is acknowledged:\n%s", h.log)
				}
			}
			h.signal(syscall.SIGTERM)
			if !h.ended(patience) || h.err != nil {
				t.Fatalf("drain %d ended with %v:\n%s", done+1, h.err, h.log)
			}
			h.check(c.history, fmt.Sprintf("drain %d", done+1))
			h.start()
		}
		c.settle("watcher")
		h.stop()
		c.end()
		h.check(c.history, "at the end")
		t.Logf("%d of %d drains, %d messages acknowledged with this database: no fault", done, *drains, c.history.Acks())
	}
}

// A full disk rejects messages as long as it is full, and loses none. If only the journal
// has no room, messages go into the database until it has. While an archive holds
// the journal the server needs new segments.
func TestFullDisk(t *testing.T) {
	onlyDirectory(t, "TestFullServer of its package has a PostgreSQL that is full, and TestFaultsBesideADatabase a full disk beside it")
	for _, c := range []struct {
		name, faults string
		alone        bool // only the journal is full
	}{
		{"the database", "full=3000000", false},
		{"everything", "later,full=1", false},
		{"new segments", "later,space=0", true},
		{"the middle of a new segment", "later,space=1000000", true},
		{"the name of a new segment", "later,create=0", true},
	} {
		t.Run(c.name, func(t *testing.T) { fill(t, c.faults, c.alone) })
	}
}

func fill(t *testing.T, faults string, alone bool) {
	h := newHost(t)
	h.start("KABAN_FAULT_DISK=" + faults)
	c := everybody(t, h.address)
	h.wait("nothing is acknowledged", func() bool { return c.history.Acks() >= 500 })
	const refused = "the store failed"
	sign := refused
	if alone {
		hold, err := journal.Take(filepath.Join(h.data, "journal"))
		if err != nil {
			t.Fatal(err)
		}
		defer hold.Release()
		sign = "the journal has no room"
	}
	if strings.HasPrefix(faults, "later") {
		h.change()
	}
	h.wait("the disk does not fill up", func() bool { return strings.Contains(h.log.String(), sign) })
	acked := c.history.Acks()
	if alone {
		var written time.Time // to the journal
		h.wait("it acknowledges nothing without the journal", func() bool {
			if now := lastWrite(t, h.data); !now.Equal(written) {
				written, acked = now, c.history.Acks()
			}
			return c.history.Acks() >= acked+500
		})
	} else {
		time.Sleep(200 * time.Millisecond) // it stays full for a while
	}
	acked, files := c.history.Acks(), journalFiles(t, h.data)
	h.change()
	h.wait("it does not recover", func() bool { return c.history.Acks() >= acked+1000 })
	if alone {
		h.wait("the journal gets no new file", func() bool { return !slices.Equal(files, journalFiles(t, h.data)) })
	}
	c.settle("watcher")
	if log := h.log.String(); strings.Contains(log, refused) == alone || strings.Contains(log, "the store works again") == alone {
		t.Errorf("the log must say that messages were refused, and no longer are, unless only the journal was full:\n%s", log)
	}
	h.stop()
	c.end()
	h.check(c.history, "at the end")
}

// journalFiles returns the names of a server's segments and spares.
func journalFiles(t *testing.T, data string) (names []string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(data, "journal", "*.s*"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// lastWrite returns when a segment was last written to.
func lastWrite(t *testing.T, data string) (last time.Time) {
	t.Helper()
	for _, name := range journalFiles(t, data) {
		if info, err := os.Stat(name); err == nil && strings.HasSuffix(name, ".segment") && info.ModTime().After(last) {
			last = info.ModTime()
		}
	}
	return last
}
