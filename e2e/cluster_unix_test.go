//go:build unix

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"kaban/client"
	"kaban/internal/childtest"
	"kaban/internal/store/postgres/postgrestest"
)

// cluster is some nodes on one database, and the way of clients to them.
type cluster struct {
	t        *testing.T
	database string
	flags    []string // of all nodes

	mu    sync.Mutex // guards all below
	nodes []*node
}

// node is one of the servers.
type node struct {
	*host
	state string
	away  atomic.Bool // clients are not sent there
}

func startCluster(t *testing.T, database string, flags ...string) *cluster {
	t.Helper()
	return &cluster{t: t, database: database, flags: flags}
}

// start starts another node with some more flags, and waits until it is ready.
func (c *cluster) start(flags ...string) *node {
	c.t.Helper()
	n := c.begin(flags...)
	c.ready(n)
	return n
}

// startPeers starts some nodes that have a bus within themselves, and returns the addresses of that.
func (c *cluster) startPeers(count int) (peers []string) {
	c.t.Helper()
	for range count {
		address, release, err := childtest.Reserve()
		if err != nil {
			c.t.Fatal(err)
		}
		c.t.Cleanup(release)
		peers = append(peers, address)
	}
	for _, address := range peers {
		c.start("--bus-listen", address, "--peers", strings.Join(peers, ","))
	}
	return peers
}

// begin starts another node.
func (c *cluster) begin(flags ...string) *node {
	c.t.Helper()
	n := &node{state: filepath.Join(c.t.TempDir(), "node")}
	args := append([]string{"serve", "--data", c.database, "--state", n.state, "--listen", "tcp://127.0.0.1:0", "--listen", "http://127.0.0.1:0"}, c.flags...)
	n.host = &host{log: command(c.t, append(args, flags...)...)}
	n.log.begin()
	return n
}

// ready waits until clients can come to a node.
func (c *cluster) ready(n *node) {
	c.t.Helper()
	n.log.await("msg=ready")
	n.tcp, n.web = n.after(c.t, "msg=listening url=tcp://"), n.after(c.t, "msg=listening url=http://")
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nodes = append(c.nodes, n)
}

// all returns the nodes that were ready once.
func (c *cluster) all() []*node {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.nodes)
}

// dial is the way of a client that begins at one node, and goes on with the next one when that is away, as a
// load balancer has it.
func (c *cluster) dial(first int) func(ctx context.Context) (net.Conn, error) {
	return func(ctx context.Context) (conn net.Conn, err error) {
		nodes := c.all()
		for i := range nodes {
			n := nodes[(first+i)%len(nodes)]
			if n.away.Load() {
				continue
			}
			if conn, err = new(net.Dialer).DialContext(ctx, "tcp", n.tcp); err == nil {
				return conn, nil
			}
		}
		return nil, errors.Join(errors.New("no node is there"), err)
	}
}

// join has a client begin at a node, and join the lobby.
func (c *cluster) join(name string, at int) *client.Room {
	c.t.Helper()
	session := client.New(client.Options{Dial: c.dial(at), MaxBackoff: 100 * time.Millisecond})
	c.t.Cleanup(func() { session.Close() })
	if err := session.Connect("", name); err != nil {
		c.t.Fatal(err)
	}
	room, err := session.Join(within(c.t, patience), "lobby", client.After(client.Cursor{}))
	if err != nil {
		c.t.Fatalf("%s at node %d: %v", name, at, err)
	}
	return room
}

func within(t *testing.T, limit time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	return ctx
}

// readers are clients that note what they read.
type readers struct {
	t       *testing.T
	reading sync.WaitGroup
	mu      sync.Mutex // guards all below
	seqs    map[string][]uint64
	texts   map[uint64]string
}

// read has a client at each of some nodes note what it reads, until the test ends.
func (c *cluster) read(nodes ...int) *readers {
	r := &readers{t: c.t, seqs: make(map[string][]uint64), texts: make(map[uint64]string)}
	ctx, cancel := context.WithCancel(c.t.Context())
	c.t.Cleanup(func() { cancel(); r.reading.Wait() })
	for _, at := range nodes {
		name := fmt.Sprint("reader-", at)
		room := c.join(name, at)
		r.seqs[name] = nil
		r.reading.Go(func() {
			for m, err := range room.Messages(ctx) {
				if err != nil {
					if ctx.Err() == nil {
						c.t.Errorf("%s: %v", name, err)
					}
					return
				}
				r.note(name, m.Seq, m.Content)
			}
		})
	}
	return r
}

// note checks that a message is the next one, and what others have read under its number.
func (r *readers) note(name string, seq uint64, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if last := r.seqs[name]; len(last) > 0 && seq <= last[len(last)-1] {
		r.t.Errorf("%s reads %d after %d", name, seq, last[len(last)-1])
	}
	if other, ok := r.texts[seq]; ok && other != text {
		r.t.Errorf("%s reads %q as no. %d, and somebody else %q", name, text, seq, other)
	}
	r.seqs[name], r.texts[seq] = append(r.seqs[name], seq), text
}

// await waits until all have read all messages up to one, each of them once.
func (r *readers) await(last uint64, limit time.Duration) {
	r.t.Helper()
	behind := func() (names []string) {
		r.mu.Lock()
		defer r.mu.Unlock()
		for name, seqs := range r.seqs {
			if n := len(seqs); n == 0 || seqs[n-1] < last {
				names = append(names, fmt.Sprint(name, " has ", n))
			}
		}
		return names
	}
	for deadline := time.Now().Add(limit); len(behind()) > 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatalf("after %v, not everybody has read no. %d: %v", limit, last, behind())
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, seqs := range r.seqs {
		for i, seq := range seqs {
			if seq != seqs[0]+uint64(i) {
				r.t.Fatalf("%s reads %d as its message %d: one is missing", name, seq, i)
			}
		}
	}
}

// send sends some messages and returns the number of the last one.
func send(t *testing.T, room *client.Room, count int, what string) (last uint64) {
	t.Helper()
	for i := range count {
		receipt, err := room.Send(within(t, patience), fmt.Sprint(what, " ", i))
		if err != nil {
			t.Fatalf("%s %d: %v", what, i, err)
		}
		if receipt.Seq <= last {
			t.Fatalf("%s %d is acknowledged as no. %d, after %d", what, i, receipt.Seq, last)
		}
		last = receipt.Seq
	}
	return last
}

// A node that starts while the standby of its database is away waits for it, or for a signal.
func TestAStartWithoutAStandby(t *testing.T) {
	t.Parallel()
	database := postgrestest.Start(t)
	c := startCluster(t, database.Database(t))
	first := c.start()
	if err := first.log.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := first.log.finish(); code != 0 {
		t.Fatalf("the first node exits with %d:\n%s", code, first.log)
	}
	database.ConfirmByNobody(t)
	t.Cleanup(func() { database.ConfirmAlone(t) })
	ended, late := c.begin(), c.begin()
	ended.log.await("waiting for the database")
	if err := ended.log.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := ended.log.finish(); code != 0 {
		t.Errorf("a node that waits exits with %d after a signal:\n%s", code, ended.log)
	}
	late.log.await("waiting for the database")
	database.ConfirmAlone(t)
	c.ready(late)
}

// Messages that a client sends without waiting for each keep their order while the database is away for longer
// than a send waits for it.
func TestOrderWhileTheDatabaseIsAway(t *testing.T) {
	t.Parallel()
	database := postgrestest.Start(t)
	c := startCluster(t, database.Database(t))
	c.start()
	room, readers := c.join("ann", 0), c.read(0)
	var last *client.Pending
	count := 0
	post := func(during time.Duration) {
		t.Helper()
		for begin := time.Now(); time.Since(begin) < during; time.Sleep(10 * time.Millisecond) {
			pending, err := room.Post(within(t, patience), fmt.Sprint(count))
			if err != nil {
				t.Fatal(err)
			}
			last, count = pending, count+1
		}
	}
	post(time.Second)
	for range 2 {
		database.Crash(t)
		post(6 * time.Second)
		database.Restart(t)
		post(time.Second)
	}
	receipt, err := last.Wait(within(t, patience))
	if err != nil {
		t.Fatal(err)
	}
	readers.await(receipt.Seq, patience)
	readers.mu.Lock()
	defer readers.mu.Unlock()
	if len(readers.texts) != count {
		t.Fatalf("%d messages are read, and %d were sent", len(readers.texts), count)
	}
	for seq := receipt.Seq; seq > receipt.Seq-uint64(count); seq-- {
		if want := fmt.Sprint(count - 1 - int(receipt.Seq-seq)); readers.texts[seq] != want {
			t.Fatalf("no. %d is %s, and not %s", seq, readers.texts[seq], want)
		}
	}
}

// Three nodes have NATS within themselves. What is said at one reaches readers at all, in order and once,
// whatever ends: a node that is killed, the database, a node that is drained. If the database is another one, a
// node ends by itself.
func TestThreeNodes(t *testing.T) {
	t.Parallel()
	database := postgrestest.Start(t)
	c := startCluster(t, database.Database(t), "--bus", "embedded")
	peers := c.startPeers(3)
	readers := c.read(0, 1, 2)
	writers := []*client.Room{c.join("ann", 0), c.join("bob", 1), c.join("cleo", 0)}

	var group sync.WaitGroup
	var last atomic.Uint64
	for i, w := range writers {
		group.Go(func() {
			seq := send(t, w, 30, fmt.Sprint("together ", i))
			for {
				before := last.Load()
				if before >= seq || last.CompareAndSwap(before, seq) {
					return
				}
			}
		})
	}
	group.Wait()
	readers.await(last.Load(), patience)
	c.wantStatus(c.all()[0], 2)
	_, answer := c.all()[2].hello(t, fields{"username": "ann"})
	must(t, "a visitor's name that another node has", answer, `"code":"username_taken"`)

	killed, drained := c.all()[2], c.all()[1]
	killed.away.Store(true)
	if err := killed.log.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	readers.await(send(t, writers[1], 10, "after a kill"), patience)

	began := time.Now()
	database.Crash(t)
	c.wantAway(c.all()[0])
	late := c.begin("--bus-listen", "127.0.0.1:0", "--peers", strings.Join(peers, ","))
	late.log.await("waiting for the database")
	database.Restart(t)
	up := time.Now()
	c.ready(late)
	readers.await(send(t, writers[0], 1, "after a restart of the database"), patience)
	if took := time.Since(up); took > 30*time.Second { // 10 s, on a machine that is not busy
		t.Errorf("%v after the database was back, and %v after it went, the first message is stored", took, time.Since(began))
	}

	drained.away.Store(true)
	if err := drained.log.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := drained.log.finish(); code != 0 {
		t.Errorf("a node that is drained exits with %d:\n%s", code, drained.log)
	}
	readers.await(send(t, writers[1], 10, "after a drain"), patience)

	// A failover that may have lost something, as far as a node can see it.
	kaban(t, os.DevNull, "epoch", "keep", "--data", c.database)
	const failover = `UPDATE store SET epoch = 'ANOTHER'; SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()`
	if err := database.Exec(t.Context(), postgrestest.Name(c.database), failover); err != nil {
		t.Fatal(err)
	}
	for _, n := range []*node{c.all()[0], late} {
		if code, log := n.log.finish(), n.log.String(); code != 1 || !strings.Contains(log, "the database has another history now") {
			t.Errorf("a node whose database was replaced exits with %d:\n%s", code, log)
		}
	}
}

// clusterStatus is what a node says of its database and its bus.
type clusterStatus struct {
	Rooms    int
	Database struct {
		Up       bool
		Timeline int
	}
	Bus struct {
		Connected bool
		Nodes     int
	}
	Problems map[string]string
}

// status returns what a node says of itself.
func (c *cluster) status(n *node) (s clusterStatus) {
	c.t.Helper()
	out := filepath.Join(c.t.TempDir(), "status.json")
	kaban(c.t, out, "status", "--json", "--data", c.database, "--state", n.state)
	text, err := os.ReadFile(out)
	if err != nil {
		c.t.Fatal(err)
	}
	if err := json.Unmarshal(text, &s); err != nil {
		c.t.Fatal(err)
	}
	return s
}

// wantStatus checks what a node says while it has its database and its bus.
func (c *cluster) wantStatus(n *node, others int) {
	c.t.Helper()
	s := c.status(n)
	if !s.Database.Up || s.Database.Timeline == 0 || s.Rooms == 0 || !s.Bus.Connected || s.Bus.Nodes != others || len(s.Problems) != 0 {
		c.t.Errorf("the status of a node is %+v", s)
	}
}

// wantAway checks what a node says while its database does not answer.
func (c *cluster) wantAway(n *node) {
	c.t.Helper()
	s := c.status(n)
	if s.Database.Up || s.Problems["rooms"] == "" {
		c.t.Errorf("the status of a node without its database is %+v", s)
	}
}

// startNATS starts a NATS of the operator.
func startNATS(t *testing.T, port int) *server.Server {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: port, NoLog: true, NoSigs: true, Username: "kaban", Password: "password-of-the-bus"})
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(s.Start)
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
		serving.Wait()
	})
	if !s.ReadyForConnections(patience) {
		t.Fatal("NATS does not start")
	}
	return s
}

// Without its bus, a cluster goes on, and only news of other nodes come later. Its secrets are in no log.
func TestTheBusIsAway(t *testing.T) {
	t.Parallel()
	bus := startNATS(t, server.RANDOM_PORT)
	address := bus.Addr().(*net.TCPAddr)
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("password-of-the-bus\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	database := postgrestest.Start(t).Database(t)
	c := startCluster(t, strings.Replace(database, "user=kaban", "user=kaban&password=password-of-the-role", 1),
		"--bus", "nats://"+address.String(), "--bus-user", "kaban", "--bus-password-file", password)
	c.start()
	c.start()
	readers := c.read(0, 1)
	ann := c.join("ann", 0)
	readers.await(send(t, ann, 3, "with the bus"), patience)

	bus.Shutdown()
	bus.WaitForShutdown()
	began := time.Now()
	readers.await(send(t, ann, 3, "without the bus"), patience)
	t.Logf("without the bus, messages came within %v", time.Since(began)) // 2 s, on a machine that is not busy

	startNATS(t, address.Port)
	for _, n := range c.all() {
		n.log.until(func() bool { return strings.Count(n.log.String(), "connected to the bus") >= 2 })
	}
	readers.await(send(t, ann, 3, "with the bus again"), patience)
	for _, n := range c.all() {
		for _, secret := range []string{"password-of-the-bus", "password-of-the-role"} {
			if strings.Contains(n.log.String(), secret) {
				t.Errorf("the log of a node has %s:\n%s", secret, n.log)
			}
		}
		if !strings.Contains(n.log.String(), "the password of the database is in its URL") {
			t.Errorf("a password in a URL is not warned of:\n%s", n.log)
		}
	}
}
