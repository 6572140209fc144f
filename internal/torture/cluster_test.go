package torture

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The lengths of campaigns of several nodes; make cluster has longer ones.
var (
	clusterToo        = flag.Bool("cluster", false, "torture three nodes on one database, too")
	clusterWriters    = flag.Int("cluster.writers", 16, "people that write")
	clusterRooms      = flag.Int("cluster.rooms", 10, "rooms that they write to")
	clusterKills      = flag.Int("cluster.kills", 1, "kills of a node, as many stops of one, and as many kills of the bus")
	clusterCrashes    = flag.Int("cluster.crashes", 1, "crashes or restarts of the database")
	clusterFailovers  = flag.Int("cluster.failovers", 0, "failovers to a synchronous standby")
	clusterPartitions = flag.Int("cluster.partitions", 1, "partitions of each length between nodes and the database, and as many between nodes and the bus")
	clusterEmbedded   = flag.Bool("cluster.embedded", false, "also with a bus within the nodes")
	clusterLengths    = flag.String("cluster.lengths", "1s", "how long partitions are, separated by commas")
	clusterAnswers    = flag.Int64("cluster.answers", 20, "commits that get lost, or their answers")
)

// Three nodes behind one address share a database and a bus. Nodes, the bus and the database die, all can be
// parted from each other, answers to commits get lost, and somebody on the bus lies. Nothing that was acknowledged
// is lost, changed or there twice, every reader reads every message once and in order, and whoever is kicked reads and
// writes nothing.
func TestNodes(t *testing.T) {
	if !*clusterToo {
		t.Skip("takes up to a minute: -cluster, make cluster")
	}
	t.Run("NATS", func(t *testing.T) { tortureNodes(t, false) })
	t.Run("embedded", func(t *testing.T) {
		if !*clusterEmbedded {
			t.Skip("one bus is enough for a few faults; -cluster.embedded tries the other")
		}
		tortureNodes(t, true)
	})
}

// torment are the faults of one campaign.
type torment struct {
	*nodes
	talk *talk

	mu   sync.Mutex // guards did
	did  map[string]int
	lost error // why the campaign ended early
}

func tortureNodes(t *testing.T, embedded bool) {
	random := random(t)
	began := time.Now()
	failovers := *clusterFailovers
	if embedded {
		failovers = 0 // nothing about them depends on the bus
	}
	c := startNodes(t, embedded, failovers > 0)
	exiles := newExiles(t, c)
	k := newTalk(t, c, *clusterWriters, *clusterRooms)
	if !embedded {
		newRogue(t, c)
	}
	m := &torment{nodes: c, talk: k, did: make(map[string]int)}
	m.require(k.await(20))
	c.losing.left.Store(*clusterAnswers)
	m.run(random, failovers)
	c.heal()
	c.awaitReady()
	m.require(k.await(20))
	exiles.end()
	m.require(k.hush())
	stored, err := k.stored(t.Context())
	m.require(err)
	m.require(k.settle(stored))
	m.require(exiles.check(t.Context()))
	c.mu.Lock()
	problems := append(c.violations, k.check(stored)...)
	c.mu.Unlock()
	if len(problems) > 0 {
		t.Errorf("%d violations, the first are\n%s\n%s", len(problems), strings.Join(problems[:min(len(problems), 10)], "\n"), c.logs())
	}
	t.Logf("%v in %v, %d requests to commit lost, %d ends of nodes by themselves; %d messages of %d writers in %d rooms, %d readers, at most %v without an ack: %d faults",
		m.did, time.Since(began).Round(time.Second), c.losing.lost.Load(), c.exits.Load(), k.acks.Load(), k.writers, len(k.rooms), len(k.readers), k.pause.Round(time.Millisecond), len(problems))
}

// require ends the test with what is known if something has failed.
func (m *torment) require(err error) {
	m.t.Helper()
	if err == nil {
		return
	}
	m.nodes.mu.Lock()
	violations := m.violations
	m.nodes.mu.Unlock()
	m.t.Fatalf("%v; done so far: %v\nviolations: %q\n%s\nthe database:\n%s", err, m.did, violations[:min(len(violations), 10)], m.logs(), m.primary.Log())
}

// run has faults come at random, of each kind one after the other.
func (m *torment) run(random *rand.Rand, failovers int) {
	lanes := [][]func(*rand.Rand){nil, nil, nil, nil, nil}
	add := func(lane, times int, fault func(*rand.Rand)) {
		for range times {
			lanes[lane] = append(lanes[lane], fault)
		}
	}
	add(0, *clusterKills, m.killNode)
	add(0, *clusterKills, m.stopNode)
	add(1, *clusterCrashes, m.crash)
	add(1, failovers, m.failOver)
	if !m.embedded {
		add(2, *clusterKills, m.killTheBus)
	}
	for text := range strings.SplitSeq(*clusterLengths, ",") {
		length, err := time.ParseDuration(text)
		m.require(err)
		add(3, *clusterPartitions, func(random *rand.Rand) { m.part(random, "database", length) })
		add(4, *clusterPartitions, func(random *rand.Rand) { m.part(random, "bus", length) })
	}
	var group sync.WaitGroup
	for _, lane := range lanes {
		random := rand.New(rand.NewPCG(random.Uint64(), 0))
		random.Shuffle(len(lane), func(i, j int) { lane[i], lane[j] = lane[j], lane[i] })
		group.Go(func() {
			for _, fault := range lane {
				if m.failed() {
					return
				}
				fault(random)
				if err := m.talk.await(20); err != nil {
					m.fail(err)
				}
			}
		})
	}
	group.Wait()
	for deadline := time.Now().Add(patience); m.losing.left.Load() > 0 && time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if err := m.talk.await(20); err != nil {
			m.fail(err)
			break
		}
	}
	m.require(m.lost)
}

// fail ends the campaign.
func (m *torment) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lost = err
}

func (m *torment) failed() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.lost != nil || m.t.Failed()
}

// count counts a fault.
func (m *torment) count(what string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.did[what]++
}

// wait is a pause of up to a limit.
func wait(random *rand.Rand, limit time.Duration) {
	time.Sleep(time.Duration(random.Int64N(int64(limit))))
}

func (m *torment) killNode(random *rand.Rand) {
	wait(random, 300*time.Millisecond)
	m.all[random.IntN(nodesOfCluster)].signal(syscall.SIGKILL)
	m.count("nodes killed")
}

func (m *torment) stopNode(random *rand.Rand) {
	n := m.all[random.IntN(nodesOfCluster)]
	n.signal(syscall.SIGSTOP)
	wait(random, 6*time.Second)
	n.signal(syscall.SIGCONT)
	m.count("nodes stopped")
}

func (m *torment) killTheBus(random *rand.Rand) {
	m.killBus()
	wait(random, 3*time.Second)
	m.startBus()
	m.count("buses killed")
}

// crash ends the database at once or in order, and starts it again.
func (m *torment) crash(random *rand.Rand) {
	if random.IntN(2) == 0 {
		m.primary.Crash(m.t)
		wait(random, 2*time.Second)
		m.count("databases crashed")
	} else {
		m.count("databases restarted")
	}
	m.primary.Restart(m.t)
}

// failOver has the standby take over. The primary has crashed, or it goes on beside it for a while.
func (m *torment) failOver(random *rand.Rand) {
	crash := random.IntN(3) > 0
	m.failover(crash)
	if crash {
		m.count("failovers")
	} else {
		m.count("failovers with the old primary there")
	}
	if err := m.talk.await(20); err != nil {
		m.fail(err)
		return
	}
	if crash && random.IntN(2) == 0 {
		m.standby.Restart(m.t) // as a primary, as it was
		if err := m.talk.await(20); err != nil {
			m.fail(err)
			return
		}
	}
	m.follow()
}

// part parts a node from the database, or from the bus, which are the other nodes if it is within them.
func (m *torment) part(random *rand.Rand, from string, length time.Duration) {
	n := m.all[random.IntN(nodesOfCluster)]
	ways := n.database
	if from == "bus" {
		ways = n.others
	}
	how := []condition{stalled, cut}[random.IntN(2)]
	for _, w := range ways {
		w.set(how)
	}
	time.Sleep(length)
	for _, w := range ways {
		w.set(open)
	}
	m.count(fmt.Sprintf("partitions from the %s of %v", from, length))
	wait(random, length)
}
