package e2e

import (
	"encoding/json"
	"flag"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"kaban/internal/childtest"
	"kaban/internal/store/postgres/postgrestest"
)

var nodeCosts = flag.Int("nodecosts", 0, "measure what nodes cost, this many times, on an idle machine; else the measurements are short")

// loaded is what kaban bench has found.
type loaded struct {
	DeliveriesPerSecond float64 `json:"deliveries_per_second"`
	Server              struct {
		MicrosPerDelivery float64 `json:"micros_per_delivery"`
	}
	Latency struct {
		P50 float64 `json:"p50_ms"`
		P99 float64 `json:"p99_ms"`
	}
}

// load runs kaban bench, with readers at a server and senders at another one, or the same.
func load(t *testing.T, readers, senders *host, args ...string) loaded {
	t.Helper()
	times := []string{"--warm-up", "1s", "--duration", "4s"}
	if *nodeCosts == 0 {
		times = []string{"--warm-up", "50ms", "--duration", "200ms"}
	}
	args = slices.Concat([]string{"bench"}, args, times, []string{"--server", "tcp://" + readers.tcp, "--pid", fmt.Sprint(readers.log.Process.Pid), "--json"})
	if senders != readers {
		args = append(args, "--senders-at", "tcp://"+senders.tcp)
	}
	c := command(t, args...)
	c.begin()
	if code := c.finish(); code != 0 {
		t.Fatalf("kaban %s ends with %d: %s", strings.Join(args, " "), code, c)
	}
	var found loaded
	text := c.String()
	if err := json.NewDecoder(strings.NewReader(text[max(0, strings.Index(text, "{")):])).Decode(&found); err != nil {
		t.Fatalf("kaban %s says %q: %v", strings.Join(args, " "), text, err)
	}
	return found
}

// fraction returns a number as it is where costs are measured, and a twentieth of it otherwise.
func fraction(n int) string {
	if *nodeCosts == 0 {
		n /= 20
	}
	return fmt.Sprint(n)
}

// workload is what kaban bench is told.
type workload struct {
	name string
	args []string
}

func fanouts() []workload {
	return []workload{
		{"1 room × 1,000, 4 senders, 1,024 in flight", []string{"fanout", "--members", fraction(1000), "--senders", "4", "--in-flight", "1024"}},
		{"1 room × 1,000, 4 senders, 32 in flight", []string{"fanout", "--members", fraction(1000), "--senders", "4", "--in-flight", "32"}},
		{"1 room × 5,000, 4 senders, 256 in flight", []string{"fanout", "--members", fraction(5000), "--senders", "4", "--in-flight", "256"}},
		{"100 rooms × 10, one sender each, 16 in flight each", []string{"rooms", "--rooms", fraction(100), "--members", "10", "--senders", "1", "--in-flight", "16"}},
	}
}

// TestCostsOfADatabase measures what messages cost a server over PostgreSQL, against one with a directory. The
// database has a processor of its own, as on its own machine, and both servers share another one with the load.
func TestCostsOfADatabase(t *testing.T) {
	if *nodeCosts == 0 || runtime.NumCPU() < 2 {
		t.Skip("it needs -nodecosts, and two processors")
	}
	childtest.PinSelf(t, 0)
	server := postgrestest.Start(t)
	server.Pin(t, 1)
	directory := startHost(t, t.TempDir())
	alone := startCluster(t, server.Database(t), "--max-clients", "10000").start()
	for _, w := range fanouts() {
		t.Run(w.name, func(t *testing.T) {
			var speeds, costs []float64
			for range *nodeCosts {
				files, rows := load(t, directory, directory, w.args...), load(t, alone.host, alone.host, w.args...)
				speeds = append(speeds, rows.DeliveriesPerSecond/files.DeliveriesPerSecond)
				costs = append(costs, rows.Server.MicrosPerDelivery/files.Server.MicrosPerDelivery)
				t.Logf("deliveries/s, and µs of the server each: directory %.0f, %.2f; PostgreSQL %.0f, %.2f",
					files.DeliveriesPerSecond, files.Server.MicrosPerDelivery, rows.DeliveriesPerSecond, rows.Server.MicrosPerDelivery)
			}
			t.Logf("PostgreSQL to directory: deliveries/s %s, µs %s", middle(speeds), middle(costs))
		})
	}
}

// TestCostsOfNodes measures the same where all share the processors; what a reader costs the node that it is at, if the sender
// is at another node; and how late messages are there. What is checked is that nothing gets lost or repeated, which kaban
// bench does.
func TestCostsOfNodes(t *testing.T) {
	if *nodeCosts == 0 {
		t.Parallel()
	}
	directory := startHost(t, t.TempDir())
	alone := startCluster(t, postgrestest.LastingDatabase(t), "--max-clients", "10000").start()
	c := startCluster(t, postgrestest.LastingDatabase(t), "--bus", "embedded", "--max-clients", "10000")
	c.startPeers(2)
	one, other := c.all()[0], c.all()[1]

	for _, w := range fanouts() {
		t.Run(w.name, func(t *testing.T) {
			var speeds, costs, elsewhere []float64
			for range max(1, *nodeCosts) {
				files, rows := load(t, directory, directory, w.args...), load(t, alone.host, alone.host, w.args...)
				near, far := load(t, one.host, one.host, w.args...), load(t, one.host, other.host, w.args...)
				speeds = append(speeds, rows.DeliveriesPerSecond/files.DeliveriesPerSecond)
				costs = append(costs, rows.Server.MicrosPerDelivery/files.Server.MicrosPerDelivery)
				elsewhere = append(elsewhere, far.Server.MicrosPerDelivery/near.Server.MicrosPerDelivery)
				t.Logf("deliveries/s, and µs of the readers' node each: directory %.0f, %.2f; PostgreSQL %.0f, %.2f; sender at the same of two nodes %.0f, %.2f; at the other one %.0f, %.2f",
					files.DeliveriesPerSecond, files.Server.MicrosPerDelivery, rows.DeliveriesPerSecond, rows.Server.MicrosPerDelivery,
					near.DeliveriesPerSecond, near.Server.MicrosPerDelivery, far.DeliveriesPerSecond, far.Server.MicrosPerDelivery)
			}
			t.Logf("PostgreSQL to directory: deliveries/s %s, µs %s; sender at the other node to the same: µs %s", middle(speeds), middle(costs), middle(elsewhere))
		})
	}
	for _, w := range []workload{
		{"1 room × 100, 1,000 messages a second", []string{"latency", "--members", "100", "--senders", "4", "--rate", fraction(1000)}},
		{"100 rooms × 10, 1,000 messages a second", []string{"latency", "--rooms", fraction(100), "--members", "10", "--senders", "1", "--rate", fraction(1000)}},
	} {
		t.Run(w.name, func(t *testing.T) {
			for range max(1, *nodeCosts) {
				near, far := load(t, one.host, one.host, w.args...), load(t, one.host, other.host, w.args...)
				t.Logf("p50 and p99 in ms, from when a message was due: %.2f and %.2f at the same node, %.2f and %.2f at the other one", near.Latency.P50, near.Latency.P99, far.Latency.P50, far.Latency.P99)
			}
		})
	}
}

// middle shows the median of ratios, and the range.
func middle(ratios []float64) string {
	slices.Sort(ratios)
	return fmt.Sprintf("%.2f (%.2f to %.2f)", ratios[len(ratios)/2], ratios[0], ratios[len(ratios)-1])
}
