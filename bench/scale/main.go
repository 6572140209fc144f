// Command scale simulates people on several nodes: it spreads connections over nodes and rooms, and
// prints what that asks of a node, of the bus and of the database, at measured prices.
// docs/cluster.md has its figures and where the prices come from.
package main

import (
	"flag"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"sort"
	"text/tabwriter"
)

// Prices, in microseconds of a processor or in bytes, measured on one machine.
const (
	rowCPU      = 14.0  // PostgreSQL, a message: 1,000 rooms
	stateCPU    = 2.3   // PostgreSQL, a room of a comparison: BenchmarkStates
	maxResting  = 1000  // rooms without readers in a comparison
	storedCPU   = 9.0   // a node, a message that it stores
	hintCPU     = 1.3   // a node, a hint of another node: BenchmarkHint
	deliveryCPU = 1.1   // a node, a delivery in a room of 1,000
	nameCPU     = 0.55  // a node, a name in a snapshot of another node: BenchmarkSnapshot
	nameBytes   = 18.3  // on the bus: BenchmarkSnapshot
	nameHeap    = 125.0 // of a name on another node: BenchmarkSnapshot
	connection  = 1500.0
	hintBytes   = 350.0
	walBytes    = 533.0
)

// What the program does.
const (
	snapshotSeconds = 10.0
	maxNames        = 256 // in a room on a node; beyond there is a count only
)

// world is what is simulated.
type world struct {
	connections, rooms, nodes int
	joined                    int     // rooms of a connection
	skew                      float64 // the size of the n-th largest room is as n to the power of -skew
	chat                      float64 // the messages of a room are as its size to the power of this
	messages                  float64 // a second, in all rooms
	seed                      uint64
}

// crowd is who is where: members[room][node].
type crowd [][]int

// settle has each connection choose a node and its rooms.
func settle(w *world) crowd {
	random := rand.New(rand.NewPCG(w.seed, 1))
	upTo := make([]float64, w.rooms) // the share of all rooms up to one
	sum := 0.0
	for i := range upTo {
		sum += math.Pow(float64(i+1), -w.skew)
		upTo[i] = sum
	}
	members := make(crowd, w.rooms)
	for i := range members {
		members[i] = make([]int, w.nodes)
	}
	mine := make(map[int]bool, w.joined)
	for range w.connections {
		node := random.IntN(w.nodes)
		clear(mine)
		for range 4 * w.joined { // large rooms come up more than once
			if len(mine) == w.joined {
				break
			}
			mine[min(sort.SearchFloat64s(upTo, random.Float64()*sum), w.rooms-1)] = true
		}
		for room := range mine {
			members[room][node]++
		}
	}
	return members
}

// load is what it takes.
type load struct {
	memberships, largest      int
	inUse                     float64 // rooms with readers on a node
	interested                float64 // nodes with readers, of a message
	names                     float64 // that a node tells of
	audience                  float64 // of a message
	delivered                 float64 // a second, on a node
	database, comparing       float64 // processors of PostgreSQL
	delivering, hearing, face float64 // processors of a node
	memory, memoryOfNames     float64 // bytes of a node
	snapshots, hints          float64 // bytes a second that a node receives
	wal                       float64 // bytes a second
}

func weigh(w *world, members crowd) *load {
	l := new(load)
	nodes, talk := float64(w.nodes), 0.0
	for _, at := range members {
		size, interested := 0, 0
		for _, n := range at {
			size += n
			if n > 0 {
				interested++
			}
			if n <= maxNames {
				l.names += float64(n) / nodes
			}
		}
		said := math.Pow(float64(size), w.chat)
		talk += said
		l.memberships += size
		l.largest = max(l.largest, size)
		l.inUse += float64(interested) / nodes
		l.interested += said * float64(interested)
		l.audience += said * float64(size)
	}
	l.interested /= talk
	l.audience /= talk
	const second = 1e6 // microseconds
	l.delivered = w.messages * l.audience / nodes
	l.database = w.messages * rowCPU / second
	l.comparing = nodes * (l.inUse + min(float64(w.rooms)-l.inUse, maxResting)) * stateCPU / second
	l.wal = w.messages * walBytes
	others := nodes - 1
	l.delivering = (l.delivered*deliveryCPU + w.messages/nodes*storedCPU) / second
	l.hearing = w.messages * others / nodes * hintCPU / second
	l.face = others * l.names / snapshotSeconds * nameCPU / second
	l.hints = w.messages * others / nodes * hintBytes
	l.snapshots = others * l.names / snapshotSeconds * nameBytes
	l.memoryOfNames = others * l.names * nameHeap
	l.memory = float64(w.connections)/nodes*connection + l.memoryOfNames
	return l
}

func (l *load) print(to io.Writer, w *world) error {
	const mib = 1 << 20
	t := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	row := func(what, format string, a ...any) { fmt.Fprintf(t, "%s\t%s\n", what, fmt.Sprintf(format, a...)) }
	row("connections, nodes, rooms", "%d, %d, %d", w.connections, w.nodes, w.rooms)
	row("memberships; the largest room", "%d; %d", l.memberships, l.largest)
	row("messages a second; audience of one", "%.0f; %.0f", w.messages, l.audience)
	row("a node: rooms with readers", "%.0f", l.inUse)
	row("a message: nodes with readers", "%.1f", l.interested)
	row("a node: deliveries a second", "%.0f", l.delivered)
	row("a node: processors for deliveries and appends", "%.2f", l.delivering)
	row("a node: processors for hints", "%.3f", l.hearing)
	row("a node: processors for who is on other nodes", "%.2f", l.face)
	row("a node: MiB/s of hints", "%.2f", l.hints/mib)
	row("a node: MiB/s of who is on other nodes", "%.1f", l.snapshots/mib)
	row("a node: MiB of memory", "%.0f", l.memory/mib)
	row("a node: MiB of it for who is on other nodes", "%.0f", l.memoryOfNames/mib)
	row("PostgreSQL: processors for appends", "%.2f", l.database)
	row("PostgreSQL: processors for comparisons", "%.2f", l.comparing)
	row("PostgreSQL: MiB/s of WAL", "%.1f", l.wal/mib)
	return t.Flush()
}

func main() {
	var w world
	flag.IntVar(&w.connections, "connections", 1_000_000, "connections")
	flag.IntVar(&w.rooms, "rooms", 10_000, "rooms with people")
	flag.IntVar(&w.nodes, "nodes", 20, "nodes")
	flag.IntVar(&w.joined, "joined", 5, "rooms of a connection")
	flag.Float64Var(&w.skew, "skew", 0.8, "the n-th largest room has a size as n to the power of -skew")
	flag.Float64Var(&w.chat, "chat", 0.3, "the messages of a room are as its size to the power of this")
	flag.Float64Var(&w.messages, "messages", 2000, "messages a second in all rooms")
	flag.Uint64Var(&w.seed, "seed", 1, "of the choices")
	flag.Parse()
	if w.connections < 1 || w.rooms < 1 || w.nodes < 1 || w.joined < 1 || w.messages < 0 {
		fmt.Fprintln(os.Stderr, "scale: connections, rooms, nodes and joined must be at least 1, and messages at least 0")
		os.Exit(2)
	}
	if err := weigh(&w, settle(&w)).print(os.Stdout, &w); err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		os.Exit(1)
	}
}
