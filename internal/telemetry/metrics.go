package telemetry

import (
	"runtime"

	"github.com/prometheus/client_golang/prometheus"

	"kaban/internal/conn"
)

// metric is a row of the table.
type metric struct {
	name, help string
	kind       prometheus.ValueType // of no meaning to a histogram
	labels     []string             // each has as many values as are fixed in the code
	// needs reports whether there is a source; nil: it is always there.
	needs   func(*Sources) bool
	collect func(*snapshot, sink)
}

// Short forms of the kinds.
const (
	counter = prometheus.CounterValue
	gauge   = prometheus.GaugeValue
	buckets = prometheus.UntypedValue
)

// The sources.
func ofConnections(s *Sources) bool { return s.Connections != nil }
func ofDispatcher(s *Sources) bool  { return s.Dispatcher != nil }
func ofFrontEnds(s *Sources) bool   { return s.Lines != nil && s.Pages != nil }
func ofDeliveries(s *Sources) bool  { return s.Connections != nil && s.Pages != nil }
func ofPages(s *Sources) bool       { return s.Pages != nil }
func ofChat(s *Sources) bool        { return s.Chat != nil }
func ofAccounts(s *Sources) bool    { return s.Accounts != nil }
func ofLimits(s *Sources) bool      { return s.Limits != nil }
func ofStore(s *Sources) bool       { return s.Store != nil }
func ofSearch(s *Sources) bool      { return s.Search != nil }
func ofPushes(s *Sources) bool      { return s.Pushes != nil }
func ofDisk(s *Sources) bool        { return s.Disk != nil }
func ofBackups(s *Sources) bool     { return s.Backups != nil }
func ofCertificate(s *Sources) bool { return s.Certificate != nil }

// Classic buckets, as powers of two: 61 us to 32 s, and 1 to 1,024 sends.
const (
	shortestPower, longestPower = -14, 5
	smallestPower, largestPower = 0, 10
)

// metrics are all metrics but those of a node (clusterMetrics), of Go and the process. docs/metrics.md is written
// from both tables.
var metrics = []metric{
	{"kaban_build_info", "Always 1. The labels say which program runs.", gauge, []string{"version", "go"}, nil, func(n *snapshot, s sink) {
		s.put(1, n.version, runtime.Version())
	}},

	// Connections.
	{"kaban_connections", "Open connections by front end: tcp, tls and websocket speak kaban/1, events are streams of a room, http is every other connection of HTTP.", gauge, []string{"frontend"}, ofFrontEnds, func(n *snapshot, s sink) {
		each(s, n.lines.Connections)
		s.put(float64(n.pages.Streams), "events")
		s.put(float64(max(n.pages.Connections-n.pages.Streams, 0)), "http")
	}},
	{"kaban_clients", "Connections of kaban/1 that have said hello.", gauge, nil, ofConnections, func(n *snapshot, s sink) { s.put(float64(n.connections.Clients)) }},
	{"kaban_connections_opened_total", "Connections of kaban/1 that were accepted.", counter, nil, ofConnections, func(n *snapshot, s sink) { s.put(float64(n.connections.Opened)) }},
	{"kaban_connections_refused_total", "Connections of kaban/1 that were turned away before they were served: the server is full, or they come from where none may come.", counter, nil, ofConnections, func(n *snapshot, s sink) { s.put(float64(n.connections.Refused)) }},
	{"kaban_connections_ended_total", "Connections of kaban/1 that have ended, by reason. slow_consumer: the client took no byte for 30 s. lost: the connection broke.", counter, []string{"reason"}, ofConnections, func(n *snapshot, s sink) {
		for i, ended := range n.connections.Ended {
			s.put(float64(ended), conn.Reason(i).String())
		}
	}},
	{"kaban_connections_blocked", "Connections of kaban/1 with output that the client does not take at the moment.", gauge, nil, ofConnections, func(n *snapshot, s sink) { s.put(float64(n.connections.Blocked)) }},
	{"kaban_received_bytes_total", "Bytes read from connections of kaban/1.", counter, nil, ofConnections, func(n *snapshot, s sink) { s.put(float64(n.connections.ReadBytes)) }},
	{"kaban_sent_bytes_total", "Bytes written to connections of kaban/1.", counter, nil, ofConnections, func(n *snapshot, s sink) { s.put(float64(n.connections.Written)) }},
	{"kaban_panics_total", "Panics that ended one connection. Anything but 0 is a defect.", counter, nil, ofConnections, func(n *snapshot, s sink) { s.put(float64(n.connections.Panics)) }},

	// Messages.
	{"kaban_messages_total", "Entries that were stored: messages, edits, reactions and changes of rooms.", counter, nil, ofDispatcher, func(n *snapshot, s sink) { s.put(float64(n.dispatcher.Messages)) }},
	{"kaban_duplicates_total", "Sends that were stored before and are acknowledged again.", counter, nil, ofDispatcher, func(n *snapshot, s sink) { s.put(float64(n.dispatcher.Duplicates)) }},
	{"kaban_sends_refused_total", "Sends that were taken and not stored.", counter, nil, ofDispatcher, func(n *snapshot, s sink) { s.put(float64(n.dispatcher.Refused)) }},
	{"kaban_sends_queued", "Sends that wait for the next commit.", gauge, nil, ofDispatcher, func(n *snapshot, s sink) { s.put(float64(n.dispatcher.Queued)) }},
	{"kaban_deliveries_total", "Entries given to readers, each as often as it has readers.", counter, nil, ofDeliveries, func(n *snapshot, s sink) {
		s.put(float64(n.connections.Deliveries + n.pages.Deliveries))
	}},
	{"kaban_ack_seconds", "Time from the read of a send until it is stored, which is when its ack and the message go out.", buckets, nil, ofDispatcher, func(n *snapshot, s sink) {
		s.histogram(n.dispatcher.AckSeconds, shortestPower, longestPower)
	}},
	{"kaban_commit_seconds", "Time that the store takes for a batch, with its sync to the disk.", buckets, nil, ofDispatcher, func(n *snapshot, s sink) {
		s.histogram(n.dispatcher.CommitSeconds, shortestPower, longestPower)
	}},
	{"kaban_commit_sends", "Sends in a batch.", buckets, nil, ofDispatcher, func(n *snapshot, s sink) {
		s.histogram(n.dispatcher.CommitSends, smallestPower, largestPower)
	}},
	{"kaban_commits_failed_total", "Batches that the store did not take. Their senders were told so.", counter, nil, ofDispatcher, func(n *snapshot, s sink) { s.put(float64(n.dispatcher.FailedCommits)) }},

	// Readers.
	{"kaban_rooms", "Rooms in memory.", gauge, nil, ofDispatcher, func(n *snapshot, s sink) { s.put(float64(n.dispatcher.Rooms)) }},
	{"kaban_tail_bytes", "Memory of the newest entries of all rooms.", gauge, nil, ofDispatcher, func(n *snapshot, s sink) { s.put(float64(n.dispatcher.TailBytes)) }},
	{"kaban_tail_limit_bytes", "What kaban_tail_bytes stays below: --tail-budget.", gauge, nil, ofDispatcher, func(n *snapshot, s sink) { s.put(float64(n.dispatcher.TailLimit)) }},
	{"kaban_cursors_behind", "Readers of kaban/1 that wait for entries from the database at the moment.", gauge, nil, ofConnections, func(n *snapshot, s sink) { s.put(float64(n.connections.Behind)) }},
	{"kaban_cursor_pages_total", "Pages that readers behind the newest entries in memory have read from the database.", counter, nil, ofDispatcher, func(n *snapshot, s sink) { s.put(float64(n.dispatcher.Fetches)) }},

	// What people do, and what they may not.
	{"kaban_joins_total", "Times that a connection began to follow a room as a member.", counter, nil, ofChat, func(n *snapshot, s sink) { s.put(float64(n.chat.Joins)) }},
	{"kaban_watches_total", "Times that a connection began to follow a room without being a member.", counter, nil, ofChat, func(n *snapshot, s sink) { s.put(float64(n.chat.Watches)) }},
	{"kaban_history_pages_total", "Pages of history that were asked for.", counter, nil, ofChat, func(n *snapshot, s sink) { s.put(float64(n.chat.Pages)) }},
	{"kaban_searches_total", "Pages of hits that searches have returned.", counter, nil, ofChat, func(n *snapshot, s sink) { s.put(float64(n.chat.Searches)) }},
	{"kaban_rooms_made_total", "Rooms made by joining them.", counter, nil, ofChat, func(n *snapshot, s sink) { s.put(float64(n.chat.NewRooms)) }},
	{"kaban_errors_total", "Errors that clients were given, over kaban/1 and HTTP, by code. docs/protocol.md explains the codes.", counter, []string{"code"}, ofFrontEnds, func(n *snapshot, s sink) {
		sum := make(map[string]uint64, len(n.lines.Errors))
		for code, errors := range n.lines.Errors {
			sum[string(code)] = errors + n.pages.Errors[code]
		}
		each(s, sum)
	}},
	{"kaban_rate_limited_total", "Times that a limit refused somebody or made somebody wait, by the name of the setting in [limits].", counter, []string{"limit"}, ofLimits, func(n *snapshot, s sink) { each(s, n.limits) }},
	{"kaban_sign_ins_total", "Sign-ins and confirmations by outcome. failed: the secret is wrong. delayed: too many were wrong before. Requests with a valid token or the secret of a device are not counted.", counter, []string{"outcome"}, ofAccounts, func(n *snapshot, s sink) { each(s, n.accounts.SignIns) }},
	{"kaban_password_hashes_total", "Hashes of passwords that were computed.", counter, nil, ofAccounts, func(n *snapshot, s sink) { s.put(float64(n.accounts.Hashes)) }},
	{"kaban_password_hashes_waiting", "Requests that wait for their turn to hash a password.", gauge, nil, ofAccounts, func(n *snapshot, s sink) { s.put(float64(n.accounts.Hashing)) }},
	{"kaban_password_hashes_refused_total", "Requests that were refused because too many wait for a hash, or this one waited for 30 s.", counter, nil, ofAccounts, func(n *snapshot, s sink) { s.put(float64(n.accounts.Busy)) }},
	{"kaban_webhooks_total", "Requests to incoming webhooks by outcome: stored or refused.", counter, []string{"outcome"}, ofPages, func(n *snapshot, s sink) {
		s.put(float64(n.pages.Hooks), "stored")
		s.put(float64(n.pages.HookRefused), "refused")
	}},

	// The search index.
	{"kaban_search_lag_seconds", "For how long the search index has not been complete: 0 if it has read everything, well below a second usually. While it is made anew, or does not work, it grows.", gauge, nil, ofSearch, func(n *snapshot, s sink) { s.put(n.search.Lag.Seconds()) }},
	{"kaban_search_behind", "Entries that the search index has not read.", gauge, nil, ofSearch, func(n *snapshot, s sink) { s.put(float64(n.search.Behind)) }},
	{"kaban_search_bytes", "Size of the files of the search index.", gauge, nil, ofSearch, func(n *snapshot, s sink) { s.put(float64(n.search.Bytes)) }},

	// Pushes to browsers.
	{"kaban_pushes_total", "Pushes to browsers that have ended, by how. replaced: by a later one of the room. withdrawn: read elsewhere, or not wanted any more. expired: not deliverable for a day. displaced: the queue was full. gone: the subscription has ended. refused: by the push service. lost: the server ended.", counter, []string{"outcome"}, ofPushes, func(n *snapshot, s sink) {
		each(s, map[string]uint64{
			"delivered": n.pushes.Delivered, "replaced": n.pushes.Replaced, "withdrawn": n.pushes.Withdrawn, "expired": n.pushes.Expired,
			"displaced": n.pushes.Displaced, "gone": n.pushes.Gone, "refused": n.pushes.Refused, "lost": n.pushes.Lost,
		})
	}},
	{"kaban_pushes_waiting", "Pushes to browsers that wait or are being sent.", gauge, nil, ofPushes, func(n *snapshot, s sink) {
		s.put(float64(n.pushes.Queued + n.pushes.InFlight))
	}},
	{"kaban_push_attempts_total", "Requests to push services.", counter, nil, ofPushes, func(n *snapshot, s sink) { s.put(float64(n.pushes.Attempts)) }},
	{"kaban_push_services_resting", "Push services that do not answer, or ask to be left alone for a while.", gauge, nil, ofPushes, func(n *snapshot, s sink) { s.put(float64(n.pushes.Resting)) }},
	{"kaban_push_subscriptions_dropped_total", "Subscriptions of browsers that were dropped: the push service does not know them, or has failed for a week.", counter, nil, ofPushes, func(n *snapshot, s sink) { s.put(float64(n.pushes.Dropped)) }},

	// The disk.
	{"kaban_journal_entries", "Entries that are not merged into the table yet. Above 4,096 some are, of reactions above 8,192.", gauge, nil, ofStore, func(n *snapshot, s sink) { s.put(float64(n.store.JournalEntries)) }},
	{"kaban_journal_bytes", "Bytes of their content.", gauge, nil, ofStore, func(n *snapshot, s sink) { s.put(float64(n.store.JournalBytes)) }},
	{"kaban_store_bytes", "Size of the files of the database.", gauge, []string{"file"}, ofStore, func(n *snapshot, s sink) {
		for _, file := range []string{"database", "journal", "wal"} {
			s.put(float64(n.store.Files[file]), file)
		}
	}},
	{"kaban_disk_free_bytes", "Free space of the disk with the data directory.", gauge, nil, ofDisk, func(n *snapshot, s sink) {
		if n.diskError == nil {
			s.put(float64(n.disk.Free))
		}
	}},
	{"kaban_disk_size_bytes", "Size of the disk with the data directory.", gauge, nil, ofDisk, func(n *snapshot, s sink) {
		if n.diskError == nil {
			s.put(float64(n.disk.Total))
		}
	}},
	{"kaban_backup_failures", "Attempts to make a backup on the schedule that have failed since the last one that succeeded.", gauge, nil, ofBackups, func(n *snapshot, s sink) { s.put(float64(n.backups.Failures)) }},
	{"kaban_backup_last_success_timestamp_seconds", "Begin of the newest backup on the schedule, in seconds since 1970 UTC.", gauge, nil, ofBackups, func(n *snapshot, s sink) {
		if !n.backups.Last.Time.IsZero() {
			s.put(float64(n.backups.Last.Time.Unix()))
		}
	}},
	{"kaban_certificate_expiry_timestamp_seconds", "End of the certificate in use, in seconds since 1970 UTC.", gauge, nil, ofCertificate, func(n *snapshot, s sink) {
		if !n.certificate.IsZero() {
			s.put(float64(n.certificate.Unix()))
		}
	}},
}
