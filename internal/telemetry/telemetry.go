// Package telemetry shows what a server counts to Prometheus, and serves profiles. It is
// the only package that knows a library of metrics: all others count with their own
// atomics and return a snapshot. A scrape takes one snapshot of each package, without
// walking connections.
package telemetry

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"kaban/internal/account"
	"kaban/internal/backup"
	"kaban/internal/bus"
	"kaban/internal/chat"
	"kaban/internal/conn"
	"kaban/internal/disk"
	"kaban/internal/dispatch"
	"kaban/internal/index"
	"kaban/internal/push"
	"kaban/internal/server"
	"kaban/internal/store"
	"kaban/internal/web"
)

// Sources return the present numbers. Each must be safe for concurrent use and must not
// block. The metrics of a source that is nil do not exist.
type Sources struct {
	Version     string // of the program
	Connections func() conn.Stats
	Dispatcher  func() dispatch.Stats
	Lines       func() server.Stats // kaban/1
	Pages       func() web.Stats    // HTTP
	Chat        func() chat.Counts
	Accounts    func() account.Stats
	Limits      func() map[string]uint64 // how often each was exceeded, by its name
	Store       func() store.Size
	Search      func() index.Status
	Pushes      func() push.Stats // to browsers
	// Backups are those on a schedule.
	Backups func() backup.Status
	// Disk returns the room of the disk with the data directory.
	Disk func() (disk.Space, error)
	// Certificate returns the end of the certificate in use; the zero Time if there is
	// none yet.
	Certificate func() time.Time
	// Database and Bus are those of a node that shares its database with others, and Nodes is how many
	// of these are connected to it.
	Database func() Database
	Bus      func() bus.Stats
	Nodes    func() int
}

// snapshot is what one scrape reads.
type snapshot struct {
	version     string
	connections conn.Stats
	dispatcher  dispatch.Stats
	lines       server.Stats
	pages       web.Stats
	chat        chat.Counts
	accounts    account.Stats
	limits      map[string]uint64
	store       store.Size
	search      index.Status
	pushes      push.Stats
	backups     backup.Status
	disk        disk.Space
	diskError   error
	certificate time.Time
	clusterSnapshot
}

// take fills in what a source returns, if there is one.
func take[T any](to *T, source func() T) {
	if source != nil {
		*to = source()
	}
}

func (s *Sources) snapshot() *snapshot {
	n := &snapshot{version: s.Version}
	take(&n.connections, s.Connections)
	take(&n.dispatcher, s.Dispatcher)
	take(&n.lines, s.Lines)
	take(&n.pages, s.Pages)
	take(&n.chat, s.Chat)
	take(&n.accounts, s.Accounts)
	take(&n.limits, s.Limits)
	take(&n.store, s.Store)
	take(&n.search, s.Search)
	take(&n.pushes, s.Pushes)
	take(&n.backups, s.Backups)
	take(&n.certificate, s.Certificate)
	take(&n.database, s.Database)
	take(&n.bus, s.Bus)
	take(&n.nodes, s.Nodes)
	if s.Disk != nil {
		n.disk, n.diskError = s.Disk()
	}
	return n
}

// collector is a prometheus.Collector.
type collector struct {
	sources   Sources
	metrics   []*metric // those that have their source
	described []*prometheus.Desc
}

// newCollector returns the collector of all metrics that have a source.
func newCollector(sources Sources) *collector {
	c := &collector{sources: sources}
	for _, m := range slices.Concat(metrics, clusterMetrics) {
		if m.needs == nil || m.needs(&sources) {
			c.metrics = append(c.metrics, &m)
			c.described = append(c.described, prometheus.NewDesc(m.name, m.help, m.labels, nil))
		}
	}
	return c
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range c.described {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(to chan<- prometheus.Metric) {
	n := c.sources.snapshot()
	for i, m := range c.metrics {
		m.collect(n, sink{desc: c.described[i], kind: m.kind, to: to})
	}
}

// NewRegistry returns a registry with the metrics of a server, of Go's runtime and of
// the process.
func NewRegistry(sources Sources) (*prometheus.Registry, error) {
	r := prometheus.NewRegistry()
	for _, c := range []prometheus.Collector{
		newCollector(sources), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return r, nil
}
