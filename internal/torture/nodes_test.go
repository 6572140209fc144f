package torture

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"kaban/internal/childtest"
	"kaban/internal/store/postgres"
	"kaban/internal/store/postgres/postgrestest"
)

// nodesOfCluster is how many nodes a campaign has.
const nodesOfCluster = 3

// databaseName is the name of the database of a campaign.
const databaseName = "cluster"

// nodes are a cluster: servers on one PostgreSQL, each with ways of its own to everything, and one address
// for clients.
type nodes struct {
	t        *testing.T
	embedded bool // the bus is within the nodes
	all      []*node
	front    *front
	losing   losing

	primary, standby *postgrestest.Server // standby is nil if there is none

	busAddress string
	bus        *exec.Cmd // nil if embedded

	mu         sync.Mutex // guards violations
	violations []string
	exits      atomic.Int64 // of nodes by themselves
}

// node is one of them.
type node struct {
	of       *nodes
	tcp, web string
	state    string
	data     string // the URL of the database, with its ways
	flags    []string
	database []*way
	others   []*way // to the bus, or to the other nodes

	ready   atomic.Bool // for new clients, as it says
	ending  atomic.Bool // it is not started again
	keeping sync.WaitGroup

	mu      sync.Mutex // guards all below
	process *exec.Cmd
	log     *logTail
}

// startNodes starts a cluster. With a standby, each commit waits for it.
func startNodes(t *testing.T, embedded, standby bool) *nodes {
	t.Helper()
	c := &nodes{t: t, embedded: embedded, primary: postgrestest.Start(t)}
	if err := c.primary.Exec(t.Context(), "postgres", "CREATE DATABASE "+databaseName); err != nil {
		t.Fatal(err)
	}
	if standby {
		c.standby = postgrestest.StartStandby(t, c.primary, "wal_retrieve_retry_interval=200ms")
		c.primary.Confirm(t)
	}
	if !embedded {
		c.busAddress = childtest.Address(t)
		c.startBus()
		t.Cleanup(c.killBus)
	}
	for i := range nodesOfCluster {
		c.all = append(c.all, c.newNode(i))
	}
	if embedded {
		c.introduce()
	}
	for i, n := range c.all {
		n.keeping.Go(n.keep)
		if i == 0 {
			c.awaitReady() // it makes the tables
		}
	}
	t.Cleanup(c.end)
	c.front = newFront(t, c.all)
	c.awaitReady()
	return c
}

func (c *nodes) newNode(i int) *node {
	n := &node{
		of: c, tcp: childtest.Address(c.t), web: childtest.Address(c.t),
		state: filepath.Join(c.t.TempDir(), fmt.Sprint("node-", i)),
	}
	servers := []*postgrestest.Server{c.primary}
	if c.standby != nil {
		servers = append(servers, c.standby)
	}
	var hosts []string
	for _, s := range servers {
		w := newWay(c.t, s.Address, &c.losing)
		n.database = append(n.database, w)
		hosts = append(hosts, w.address)
	}
	n.data = (&url.URL{Scheme: "postgres", User: url.User("kaban"), Host: strings.Join(hosts, ","), Path: "/" + databaseName, RawQuery: "sslmode=disable"}).String()
	if !c.embedded {
		w := newWay(c.t, c.busAddress, nil)
		n.others, n.flags = []*way{w}, []string{"--bus", "nats://" + w.address}
	}
	return n
}

// introduce gives nodes with a bus within them the addresses of each other.
func (c *nodes) introduce() {
	for _, n := range c.all {
		n.flags = []string{"--bus", "embedded", "--bus-listen", childtest.Address(c.t)}
	}
	for _, n := range c.all {
		for _, other := range c.all {
			if other == n {
				continue
			}
			w := newWay(c.t, other.flags[3], nil)
			n.others, other.others = append(n.others, w), append(other.others, w)
			n.flags = append(n.flags, "--peers", w.address)
		}
	}
}

// violation records something that must not happen.
func (c *nodes) violation(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.violations = append(c.violations, fmt.Sprintf(format, args...))
}

// logs returns the ends of the logs of all nodes.
func (c *nodes) logs() string {
	var b strings.Builder
	for i, n := range c.all {
		n.mu.Lock()
		text := n.log.String()
		n.mu.Unlock()
		fmt.Fprintf(&b, "node %d:\n%s\n", i, text[max(0, len(text)-2500):])
	}
	return b.String()
}

// awaitReady waits until all nodes that were started take clients.
func (c *nodes) awaitReady() {
	c.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		missing := 0
		for _, n := range c.all {
			n.mu.Lock()
			started := n.process != nil
			n.mu.Unlock()
			if n.ready.Store(n.isReady()); started && !n.ready.Load() { // so that the front knows it at once
				missing++
			}
		}
		if missing == 0 {
			return
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("%d nodes are not ready:\n%s", missing, c.logs())
		}
	}
}

// begin starts the process of a node.
func (n *node) begin() (*exec.Cmd, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.log = &logTail{ready: make(chan struct{})}
	// Small pages and tails, so that readers are often behind.
	args := append([]string{
		"serve", "--data", n.data, "--state", n.state, "--listen", "tcp://" + n.tcp, "--listen", "http://" + n.web,
		"--tail-size", "4", "--tail-budget", "1", "--page-size", "50", "--heartbeat", "1s",
	}, n.flags...)
	n.process = exec.Command(binary, args...)
	n.process.Stderr = n.log
	childtest.Bind(n.process, syscall.SIGKILL)
	return n.process, n.process.Start()
}

// keep starts the node each time that it has ended, as a service manager does.
func (n *node) keep() {
	for !n.ending.Load() {
		process, err := n.begin()
		if err != nil {
			n.of.violation("a node does not start: %v", err)
			return
		}
		err = process.Wait()
		n.ready.Store(false)
		n.mu.Lock()
		text := n.log.String()
		n.mu.Unlock()
		if strings.Contains(text, "panic:") || strings.Contains(text, "another history") {
			n.of.violation("a node has ended: %v\n%s", err, text[max(0, len(text)-3000):])
		}
		if process.ProcessState.Exited() && !n.ending.Load() {
			n.of.exits.Add(1)
			n.of.t.Logf("a node ended by itself: %v\n%s", err, text[max(0, len(text)-600):])
			time.Sleep(100 * time.Millisecond)
		}
	}
}

// signal sends the process a signal.
func (n *node) signal(s syscall.Signal) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.process.Process.Signal(s)
}

// isReady asks the node whether it takes clients.
func (n *node) isReady() bool {
	response, err := balancing.Get("http://" + n.web + "/readyz")
	if err != nil {
		return false
	}
	defer response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// balancing asks nodes how they are.
var balancing = http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

// end ends all nodes.
func (c *nodes) end() {
	for _, n := range c.all {
		n.ending.Store(true)
		n.mu.Lock()
		if n.process != nil {
			n.process.Process.Kill() // also one that is stopped
		}
		n.mu.Unlock()
	}
	for _, n := range c.all {
		n.keeping.Wait()
	}
}

// heal ends all faults of ways.
func (c *nodes) heal() {
	c.losing.left.Store(0)
	for _, n := range c.all {
		for _, w := range append(n.database, n.others...) {
			w.set(open)
		}
	}
}

// failover has the standby take over. The server that was the primary has ended before, or is only cut off from
// its standby and goes on.
func (c *nodes) failover(crash bool) {
	c.t.Helper()
	if err := postgres.KeepEpoch(c.t.Context(), c.primary.URL(databaseName)); err != nil {
		c.t.Fatal(err)
	}
	if crash {
		c.primary.Crash(c.t)
	}
	c.standby.Promote(c.t)
	c.primary, c.standby = c.standby, c.primary
}

// follow makes a standby of the server that was the primary.
func (c *nodes) follow() {
	c.t.Helper()
	c.standby.Follow(c.t, c.primary)
	c.primary.Confirm(c.t)
}

// busRole makes the test binary a NATS server at the address that it holds.
const busRole = "TORTURE_BUS"

// serveBus runs a NATS server until the process is killed.
func serveBus(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	o := &server.Options{Host: host, NoLog: true, NoSigs: true}
	if _, err := fmt.Sscan(port, &o.Port); err != nil {
		return err
	}
	s, err := server.NewServer(o)
	if err != nil {
		return err
	}
	s.Start()
	if !s.ReadyForConnections(patience) {
		return errors.New("NATS does not start")
	}
	s.WaitForShutdown()
	return nil
}

func (c *nodes) startBus() {
	c.bus = exec.Command(os.Args[0])
	c.bus.Env = append(os.Environ(), busRole+"="+c.busAddress)
	c.bus.Stderr = os.Stderr
	childtest.Bind(c.bus, syscall.SIGKILL)
	if err := c.bus.Start(); err != nil {
		c.t.Error(err)
	}
}

func (c *nodes) killBus() {
	c.bus.Process.Kill()
	_ = c.bus.Wait() // it was killed
}

// front is the one address that clients know: a load balancer that asks nodes whether they are ready, and sends
// new connections to those that are.
type front struct {
	address string
	all     []*node
}

func newFront(t *testing.T, all []*node) *front {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &front{l.Addr().String(), all}
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	for _, n := range all {
		serving.Go(func() {
			for ; ctx.Err() == nil; time.Sleep(200 * time.Millisecond) {
				n.ready.Store(n.isReady())
			}
		})
	}
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { f.serve(ctx, conn) })
		}
	})
	t.Cleanup(func() {
		cancel()
		l.Close()
		serving.Wait()
	})
	return f
}

func (f *front) serve(ctx context.Context, near net.Conn) {
	defer near.Close()
	far := f.pick()
	if far == nil {
		return
	}
	defer far.Close()
	defer context.AfterFunc(ctx, func() { near.Close(); far.Close() })()
	var back sync.WaitGroup
	back.Go(func() {
		io.Copy(near, far)
		near.Close()
	})
	io.Copy(far, near)
	far.Close()
	back.Wait()
}

// pick connects to a node that is ready, or returns nil.
func (f *front) pick() net.Conn {
	for _, i := range rand.Perm(len(f.all)) {
		if n := f.all[i]; n.ready.Load() {
			if conn, err := net.DialTimeout("tcp", n.tcp, time.Second); err == nil {
				return conn
			}
		}
	}
	return nil
}
