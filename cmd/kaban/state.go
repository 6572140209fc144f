package main

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"os"
	"sync"
	"time"

	"kaban/internal/disk"
	"kaban/internal/dispatch"
	"kaban/internal/store"
)

// statusPath is where the admin socket, and nothing else, has the state of a server.
const statusPath = "/v1/admin/status"

// reindexPath is where it takes the request to make the search index anew.
const reindexPath = "/v1/admin/reindex"

// statusReport is the state of a server, as "kaban status --json" prints it. What does
// not exist is left out.
type statusReport struct {
	Version     string            `json:"version"`
	Process     int               `json:"process"`
	Data        string            `json:"data"`
	Started     time.Time         `json:"started"`
	Uptime      int64             `json:"uptime_seconds"`
	Listeners   []string          `json:"listeners"`
	Connections connectionReport  `json:"connections"`
	Messages    messageReport     `json:"messages"`
	Refused     *refusedReport    `json:"messages_refused,omitempty"`
	Rooms       int               `json:"rooms"`
	Journal     journalReport     `json:"journal"`
	Disk        diskReport        `json:"disk"`
	Search      searchReport      `json:"search"`
	Database    *databaseReport   `json:"database,omitempty"`              // that several nodes share
	Bus         *busReport        `json:"bus,omitempty"`                   // between these nodes
	Certificate *time.Time        `json:"certificate_not_after,omitempty"` // when the first one ends
	Certs       []certReport      `json:"certificates,omitempty"`
	Backup      *backupReport     `json:"backup,omitempty"`
	Problems    map[string]string `json:"problems,omitempty"` // what could not be found out, and why
}

type connectionReport struct {
	Clients    int `json:"clients"` // over TCP, TLS and WebSocket, those that have not said hello included
	MaxClients int `json:"max_clients"`
	TCP        int `json:"tcp"`
	TLS        int `json:"tls"`
	WebSocket  int `json:"websocket"`
	HTTP       int `json:"http"`    // streams included
	Streams    int `json:"streams"` // of events
}

// messageReport has what was stored: messages, edits, reactions and changes of rooms. What clients repeat, and what is
// refused, does not count.
type messageReport struct {
	PerSecond float64 `json:"per_second"` // over the last seconds
	PerMinute int64   `json:"per_minute"` // in the last minute
	Total     int64   `json:"total"`      // since the start
}

// refusedReport says that messages are refused.
type refusedReport struct {
	Since  time.Time `json:"since"`
	Reason string    `json:"reason"`
}

// diskIsFull is why messages are refused.
const diskIsFull = "the disk is full"

// refusedBy returns whether a store refuses messages at the moment; nil if it does not.
func refusedBy(kept store.Store) *refusedReport {
	if r, ok := kept.(store.Refusing); ok {
		if since, err := r.Refusing(); err != nil {
			return &refusedReport{since.UTC().Truncate(time.Second), diskIsFull}
		}
	}
	return nil
}

// refusing returns a function for /readyz.
func refusing(kept store.Store, l *line) func() string {
	return func() string {
		switch {
		case refusedBy(kept) != nil:
			return diskIsFull
		case l.isAway():
			return databaseIsAway
		}
		return ""
	}
}

type journalReport struct {
	Unmerged int64 `json:"unmerged"`
	Files    int64 `json:"file_bytes"`
	WAL      int64 `json:"wal_bytes"`
}

type diskReport struct {
	Database int64 `json:"database_bytes"`
	Used     int64 `json:"used_bytes"` // by the data directory
	Free     int64 `json:"free_bytes,omitempty"`
	Total    int64 `json:"total_bytes,omitempty"`
}

// searchReport is how far the search index is.
type searchReport struct {
	Behind   uint64 `json:"behind"` // entries that it has not read
	Lag      int64  `json:"lag_ms"` // for how long
	Building bool   `json:"building,omitempty"`
	Indexed  uint64 `json:"indexed"` // messages that it has read since it was made
	Bytes    int64  `json:"bytes"`
}

type backupReport struct {
	Every    int64      `json:"every_seconds"`
	Keep     int        `json:"keep"`
	Dir      string     `json:"dir"`
	Count    int        `json:"count"`
	Bytes    int64      `json:"bytes"`
	Last     *time.Time `json:"last,omitempty"`
	LastSize int64      `json:"last_bytes,omitempty"`
	Next     *time.Time `json:"next,omitempty"` // left out while one is made
	Remarks  []string   `json:"remarks,omitempty"`
	Failures int        `json:"failures,omitempty"`
	Error    string     `json:"error,omitempty"` // of the last attempt
}

// serverState is what a running server knows about itself.
type serverState struct {
	command   *serveCommand
	kept      store.Store
	shared    *services
	run       *running
	endpoints []*endpoint
	clients   int // that it takes
	rate      *rate
	started   time.Time
}

// handler answers questions about the state, and passes on all others.
func (s *serverState) handler(others http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", others)
	mux.HandleFunc("GET "+statusPath, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(s.report(r.Context()))
	})
	mux.HandleFunc("POST "+reindexPath, func(w http.ResponseWriter, _ *http.Request) {
		s.shared.index.Rebuild()
		w.WriteHeader(http.StatusNoContent)
	})
	return mux
}

// report looks at everything.
func (s *serverState) report(ctx context.Context) *statusReport {
	r := &statusReport{
		Version: programVersion(), Process: os.Getpid(), Data: s.command.Data,
		Started: s.started.UTC().Truncate(time.Second), Uptime: int64(time.Since(s.started) / time.Second), Problems: make(map[string]string),
	}
	failed := func(what string, err error) {
		if err != nil {
			r.Problems[what] = oneLine{err}.Error()
		}
	}
	for _, e := range s.endpoints {
		r.Listeners = append(r.Listeners, e.scheme.name+"://"+e.listener.Addr().String())
	}
	n := &r.Connections
	n.Clients, n.MaxClients = s.run.manager.Clients(), s.clients
	open := s.run.lines.Stats().Connections
	n.TCP, n.TLS, n.WebSocket = open["tcp"], open["tls"], open["websocket"]
	n.HTTP, n.Streams = s.run.pages.Open()
	r.Messages, r.Refused = s.rate.report(), refusedBy(s.kept)
	r.Database, r.Bus = s.shared.line.reports(ctx)
	rooms, err := s.rooms(ctx)
	r.Rooms = len(rooms)
	failed("rooms", err)
	if watched, ok := s.kept.(store.Watched); ok {
		size := watched.Size()
		r.Journal.Unmerged, r.Disk.Database, r.Journal.WAL = size.JournalEntries, size.Files["database"], size.Files["wal"]
		r.Journal.Files = size.Files["journal"]
	}
	r.Disk.Used, err = disk.Used(s.command.home().dir())
	failed("data", err)
	space, err := disk.SpaceOf(s.command.home().dir())
	r.Disk.Free, r.Disk.Total = space.Free, space.Total
	failed("disk", err)
	if s.run.certs != nil {
		r.Certificate = timeOrNil(s.run.certs.NotAfter())
		r.Certs = certReports(s.run.certs.States())
	}
	found := s.shared.index.Status()
	r.Search = searchReport{Behind: found.Behind, Lag: found.Lag.Milliseconds(), Building: found.Building, Indexed: found.Indexed, Bytes: found.Bytes}
	failed("search", found.Problem)
	r.Backup = s.backup()
	return r
}

// rooms returns all rooms. It does not wait for a database that has just not answered.
func (s *serverState) rooms(ctx context.Context) ([]store.Room, error) {
	if s.shared.line.isAway() {
		return nil, errors.New(databaseIsAway)
	}
	return s.kept.Rooms(ctx)
}

// backup returns the state of the backups, or nil if there are none.
func (s *serverState) backup() *backupReport {
	if s.shared.backups == nil {
		return nil
	}
	now := s.shared.backups.Status()
	b := &backupReport{
		Every: int64(s.command.BackupEvery / time.Second), Keep: s.command.BackupKeep, Dir: s.command.backupDir(),
		Count: now.Count, Bytes: now.Bytes, Remarks: now.Remarks, LastSize: now.Last.Bytes, Failures: now.Failures,
	}
	if !now.Last.Time.IsZero() {
		b.Last = &now.Last.Time
	}
	if !now.Next.IsZero() {
		next := now.Next.UTC().Truncate(time.Second)
		b.Next = &next
	}
	if now.Err != nil {
		b.Error = now.Err.Error()
	}
	return b
}

// How messages a second are measured: a counter that there is anyway is read from time
// to time, so that a message costs nothing more.
const (
	rateEvery  = 2 * time.Second
	rateLong   = time.Minute
	rateShort  = 10 * time.Second
	rateDigits = 10 // parts of a message a second
)

// stored returns how many messages were stored, as the metric kaban_messages_total counts them.
func stored(d *dispatch.Dispatcher) func() int64 {
	return func() int64 { return int64(d.Stats().Messages) }
}

// rate measures how fast a counter grows.
type rate struct {
	read func() int64

	mu      sync.Mutex
	samples []sample // the oldest first; those of the last rateLong, and one before
}

type sample struct {
	at    time.Time
	count int64
}

func newRate(read func() int64) *rate {
	return &rate{read: read, samples: []sample{{time.Now(), read()}}}
}

// sample reads the counter until ctx ends.
func (r *rate) sample(ctx context.Context) {
	ticker := time.NewTicker(rateEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			r.add()
		}
	}
}

func (r *rate) add() {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	r.samples = append(r.samples, sample{now, r.read()})
	for len(r.samples) > 2 && now.Sub(r.samples[1].at) >= rateLong {
		r.samples = append(r.samples[:0], r.samples[1:]...)
	}
}

// report returns the present rates. A server that has just started has those since then.
func (r *rate) report() messageReport {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := sample{time.Now(), r.read()}
	return messageReport{
		PerSecond: math.Round(r.sinceLocked(now, rateShort)*rateDigits) / rateDigits,
		PerMinute: int64(math.Round(r.sinceLocked(now, rateLong) * min(now.at.Sub(r.samples[0].at), rateLong).Seconds())),
		Total:     now.count,
	}
}

// sinceLocked returns the events a second from the newest sample that is old enough, or
// else the oldest.
func (r *rate) sinceLocked(now sample, long time.Duration) float64 {
	from := r.samples[0]
	for _, s := range r.samples[1:] {
		if now.at.Sub(s.at) >= long {
			from = s
		}
	}
	elapsed := now.at.Sub(from.at).Seconds()
	if elapsed <= 0 {
		return 0
	}
	return float64(now.count-from.count) / elapsed
}
