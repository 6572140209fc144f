package telemetry_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"kaban"
	"kaban/internal/account"
	"kaban/internal/backup"
	"kaban/internal/conn"
	"kaban/internal/hook"
	"kaban/internal/limit"
	"kaban/internal/store/storetest"
	"kaban/internal/telemetry"
	"kaban/internal/tlstest"
)

// move is what makes a metric move.
type move struct {
	name   string
	labels []string
	by     func(*fixture)
}

// moves has at least one row for each metric of Kaban.
var moves = []move{
	{"kaban_connections", []string{"tcp"}, func(f *fixture) { f.dial() }},
	{"kaban_connections", []string{"tls"}, func(f *fixture) { f.dialTLS(f.tls) }},
	{"kaban_connections", []string{"websocket"}, openWebSocket},
	{"kaban_connections", []string{"events"}, func(f *fixture) { f.get(http.MethodGet, "/v1/rooms/lobby/events", "") }},
	{"kaban_connections", []string{"http"}, func(f *fixture) {
		c, err := net.Dial("tcp", f.http)
		must(f.t, err)
		f.t.Cleanup(func() { c.Close() })
	}},
	{"kaban_clients", nil, func(f *fixture) { f.hello() }},
	{"kaban_connections_opened_total", nil, func(f *fixture) { f.dial() }},
	{"kaban_connections_refused_total", nil, func(f *fixture) {
		ours, theirs := net.Pipe()
		theirs.Close()
		f.manager.Refuse(ours, nil, func() []byte { return []byte("no") })
	}},
	{"kaban_connections_ended_total", []string{"hung_up"}, func(f *fixture) {
		f.hello().conn.(*net.TCPConn).CloseWrite()
	}},
	{"kaban_connections_ended_total", []string{"lost"}, func(f *fixture) {
		c := f.hello()
		c.conn.(*net.TCPConn).SetLinger(0)
		c.conn.Close()
	}},
	{"kaban_connections_ended_total", []string{"slow_consumer"}, takeNothing},
	{"kaban_connections_ended_total", []string{"violation"}, func(f *fixture) {
		c := f.dial()
		c.say("%s", strings.Repeat("no frame\n", 20))
	}},
	{"kaban_connections_blocked", nil, takeNothing},
	{"kaban_received_bytes_total", nil, func(f *fixture) { f.hello() }},
	{"kaban_sent_bytes_total", nil, func(f *fixture) { f.hello() }},
	{"kaban_panics_total", nil, func(f *fixture) {
		ours, theirs := net.Pipe()
		f.t.Cleanup(func() { theirs.Close() })
		f.manager.Delegate(ours, broken{})
	}},

	{"kaban_messages_total", nil, sendOne},
	{"kaban_duplicates_total", nil, func(f *fixture) {
		c := f.member("lobby")
		c.send("lobby", "again", "twice")
		c.send("lobby", "again", "twice")
	}},
	{"kaban_sends_refused_total", nil, func(f *fixture) {
		c := f.member("lobby")
		c.send("lobby", "other", "one")
		c.say(`{"type":"send","room":"lobby","id":"other","content":"another"}`)
		c.expect("error")
	}},
	{"kaban_sends_queued", nil, func(f *fixture) {
		c := f.member("lobby")
		f.store.appends.Lock()
		f.t.Cleanup(sync.OnceFunc(f.store.appends.Unlock))
		for i := range 20 {
			c.say(`{"type":"send","room":"lobby","id":"queued%d","content":"x"}`, i)
			time.Sleep(time.Millisecond) // so that a commit takes some, and the rest waits
		}
	}},
	{"kaban_deliveries_total", nil, func(f *fixture) { // to a socket
		reader := f.member("lobby")
		sendOne(f)
		reader.expect("message")
	}},
	{"kaban_deliveries_total", nil, func(f *fixture) { // to a stream; the sender's own message is no delivery
		f.get(http.MethodGet, "/v1/rooms/lobby/events", "")
		sendOne(f)
	}},
	{"kaban_ack_seconds", nil, sendOne},
	{"kaban_commit_seconds", nil, sendOne},
	{"kaban_commit_sends", nil, sendOne},
	{"kaban_commits_failed_total", nil, func(f *fixture) {
		c := f.member("lobby")
		f.store.failing.Store(true)
		defer f.store.failing.Store(false)
		c.say(`{"type":"send","room":"lobby","id":"fails","content":"x"}`)
		c.expect("error")
	}},

	{"kaban_rooms", nil, func(f *fixture) { f.member("another-room") }},
	{"kaban_tail_bytes", nil, func(f *fixture) {
		f.member("tail")
		c := f.member("tail")
		c.send("tail", "tail", strings.Repeat("x", 1000))
	}},
	{"kaban_cursors_behind", nil, func(f *fixture) {
		fill(f, "behind")
		f.store.reads.Lock()
		f.t.Cleanup(f.store.reads.Unlock)
		resume(f, "behind")
	}},
	{"kaban_cursor_pages_total", nil, func(f *fixture) {
		fill(f, "pages")
		resume(f, "pages")
	}},

	{"kaban_joins_total", nil, func(f *fixture) { f.member("lobby") }},
	{"kaban_watches_total", nil, func(f *fixture) { f.get(http.MethodGet, "/v1/rooms/lobby/events", "") }},
	{"kaban_history_pages_total", nil, func(f *fixture) {
		c := f.member("lobby")
		c.say(`{"type":"history","room":"lobby","limit":5}`)
		c.expect("history")
	}},
	{"kaban_searches_total", nil, func(f *fixture) {
		c := f.hello()
		c.say(`{"type":"search","query":"word"}`)
		c.expect("found")
	}},
	{"kaban_rooms_made_total", nil, func(f *fixture) { f.member("made") }},
	{"kaban_errors_total", []string{"bad_json"}, func(f *fixture) { f.hello().say("{") }},
	{"kaban_errors_total", []string{"id_conflict"}, func(f *fixture) { // of a receipt
		c := f.member("lobby")
		c.send("lobby", "conflict", "one")
		c.say(`{"type":"send","room":"lobby","id":"conflict","content":"two"}`)
		c.expect("error")
	}},
	{"kaban_errors_total", []string{"bad_room"}, func(f *fixture) { f.get(http.MethodGet, "/v1/rooms/%20", "") }},              // of an operation
	{"kaban_errors_total", []string{"bad_json"}, func(f *fixture) { f.get(http.MethodPost, "/v1/rooms/lobby/messages", "{") }}, // of its body
	{"kaban_errors_total", []string{"not_found"}, func(f *fixture) { f.get(http.MethodPost, "/hooks/none", "{}") }},            // of a handler
	{"kaban_rate_limited_total", []string{"account_messages_per_second"}, func(f *fixture) { f.limits.Messages.Reserve(limit.NameKey("a"), 1000) }},
	{"kaban_rate_limited_total", []string{"account_rooms_per_hour"}, func(f *fixture) {
		for f.limits.Rooms.Check(limit.NameKey("a"), 1) == nil {
		}
	}},
	{"kaban_rate_limited_total", []string{"account_connections"}, func(f *fixture) {
		for err := error(nil); err == nil; {
			_, err = f.limits.AccountConnections.Enter(limit.NameKey("a"))
		}
	}},
	{"kaban_sign_ins_total", []string{"ok"}, func(f *fixture) {
		session, err := f.accounts.SignInWithPassword(f.t.Context(), withPassword(f, "anna"), password, account.Device{})
		must(f.t, err)
		f.t.Log(session.Principal.Account.Username, "has signed in")
	}},
	{"kaban_sign_ins_total", []string{"failed"}, func(f *fixture) { wrongPassword(f, "nobody") }},
	{"kaban_sign_ins_total", []string{"delayed"}, func(f *fixture) {
		for range 6 {
			wrongPassword(f, "somebody")
		}
	}},
	{"kaban_password_hashes_total", nil, func(f *fixture) { wrongPassword(f, "nobody") }},
	{"kaban_password_hashes_waiting", nil, func(f *fixture) { f.hashMuch(50) }},
	{"kaban_password_hashes_refused_total", nil, func(f *fixture) { f.hashMuch(2100) }},
	{"kaban_webhooks_total", []string{"refused"}, func(f *fixture) { f.get(http.MethodPost, "/hooks/none", "{}") }},
	{"kaban_webhooks_total", []string{"stored"}, func(f *fixture) {
		withPassword(f, "anna")
		room, err := kaban.ParseRoomName("hooks")
		must(f.t, err)
		key, _, err := f.hooks.Add(f.t.Context(), f.operator, hook.NewHook{Room: room})
		must(f.t, err)
		f.get(http.MethodPost, "/hooks/"+key, `{"text":"built"}`)
	}},

	{"kaban_journal_entries", nil, sendOne},
	{"kaban_journal_bytes", nil, sendOne},
	{"kaban_store_bytes", []string{"wal"}, func(f *fixture) { fill(f, "disk") }},
	{"kaban_store_bytes", []string{"journal"}, fillSegment},
	{"kaban_disk_free_bytes", nil, func(f *fixture) { f.disk.Free++ }},
	{"kaban_disk_size_bytes", nil, func(f *fixture) { f.disk.Total++ }},
	{"kaban_search_lag_seconds", nil, func(f *fixture) { f.search.Lag = time.Minute }},
	{"kaban_search_behind", nil, func(f *fixture) { f.search.Behind = 7 }},
	{"kaban_search_bytes", nil, func(f *fixture) { f.search.Bytes = 1 << 20 }},
	{"kaban_pushes_total", []string{"delivered"}, func(f *fixture) { f.pushes.Delivered++ }},
	{"kaban_pushes_total", []string{"replaced"}, func(f *fixture) { f.pushes.Replaced++ }},
	{"kaban_pushes_total", []string{"withdrawn"}, func(f *fixture) { f.pushes.Withdrawn++ }},
	{"kaban_pushes_total", []string{"expired"}, func(f *fixture) { f.pushes.Expired++ }},
	{"kaban_pushes_total", []string{"displaced"}, func(f *fixture) { f.pushes.Displaced++ }},
	{"kaban_pushes_total", []string{"gone"}, func(f *fixture) { f.pushes.Gone++ }},
	{"kaban_pushes_total", []string{"refused"}, func(f *fixture) { f.pushes.Refused++ }},
	{"kaban_pushes_total", []string{"lost"}, func(f *fixture) { f.pushes.Lost++ }},
	{"kaban_pushes_waiting", nil, func(f *fixture) { f.pushes.Queued = 7 }},
	{"kaban_push_attempts_total", nil, func(f *fixture) { f.pushes.Attempts++ }},
	{"kaban_push_services_resting", nil, func(f *fixture) { f.pushes.Resting = 1 }},
	{"kaban_push_subscriptions_dropped_total", nil, func(f *fixture) { f.pushes.Dropped++ }},
	{"kaban_backup_failures", nil, func(f *fixture) { f.backups.Failures++ }},
	{"kaban_backup_last_success_timestamp_seconds", nil, func(f *fixture) { f.backups.Last.Time = time.Now() }},
	{"kaban_certificate_expiry_timestamp_seconds", nil, func(f *fixture) { f.certificate = f.certificate.Add(time.Hour) }},

	{"kaban_database_response_seconds", nil, func(f *fixture) { f.database.Response = time.Second }},
	{"kaban_database_failures_total", nil, func(f *fixture) { f.database.Failures++ }},
	{"kaban_database_connections", []string{"used"}, func(f *fixture) { f.database.Open, f.database.Used = 3, 2 }},
	{"kaban_database_connections", []string{"idle"}, func(f *fixture) { f.database.Open, f.database.Used = 3, 2 }},
	{"kaban_database_connections_limit", nil, func(f *fixture) { f.database.Most = 16 }},
	{"kaban_database_timeline", nil, func(f *fixture) { f.database.Timeline++ }},
	{"kaban_bus_nodes", nil, func(f *fixture) { f.nodes = 2 }},
	{"kaban_bus_connects_total", nil, func(f *fixture) { f.bus.Connects++ }},
	{"kaban_bus_hints_total", []string{"published"}, func(f *fixture) { f.bus.Published++ }},
	{"kaban_bus_hints_total", []string{"dropped"}, func(f *fixture) { f.bus.Dropped++ }},
	{"kaban_bus_hints_total", []string{"received"}, func(f *fixture) { f.bus.Received++ }},
	{"kaban_bus_hints_total", []string{"forged"}, func(f *fixture) { f.bus.Forged++ }},
	{"kaban_bus_hints_total", []string{"malformed"}, func(f *fixture) { f.bus.Malformed++ }},
	{"kaban_bus_slow_total", nil, func(f *fixture) { f.bus.Slow++ }},
	{"kaban_peer_entries_total", nil, func(f *fixture) { f.peers.Believed++ }},
	{"kaban_peer_questions_total", nil, func(f *fixture) { f.peers.Asked++ }},
	{"kaban_peer_foreign_total", nil, func(f *fixture) { f.peers.Foreign++ }},
	{"kaban_peer_comparisons_total", nil, func(f *fixture) { f.peers.Compared++ }},
	{"kaban_peer_rooms_behind_total", nil, func(f *fixture) { f.peers.Behind++ }},
	{"kaban_peer_rooms_ahead_total", nil, func(f *fixture) { f.peers.Ahead++ }},
}

// fixed are metrics that do not move while a server runs.
var fixed = []string{"kaban_build_info", "kaban_tail_limit_bytes", "kaban_database_info"}

// falling are metrics that are 1 while all is well. TestAlertsFire and TestWhatIsAwayIsZero move them.
var falling = []string{"kaban_database_up", "kaban_bus_connected"}

const password = "correct horse battery staple"

func sendOne(f *fixture) {
	f.names++
	f.member("lobby").send("lobby", fmt.Sprint("one", f.names), "hello")
}

// fill sends more to a room than memory holds of it.
func fill(f *fixture, room string) {
	c := f.member(room)
	for i := range 30 {
		c.send(room, fmt.Sprint(i), strings.Repeat("x", 1000))
	}
}

// fillSegment appends more than a segment of the journal has room for.
func fillSegment(f *fixture) {
	batch := make([]kaban.Draft, 600)
	for range 2 {
		for i := range batch {
			batch[i] = storetest.Draft(f.t, "lobby", "filler", kaban.NewMessageID().String(), strings.Repeat("x", 4000))
		}
		storetest.Append(f.t, f.store, batch...) // the first one adds the author, in the database
	}
}

// resume joins a room from its first message on.
func resume(f *fixture, room string) {
	c := f.hello()
	c.say(`{"type":"join","room":%q,"epoch":%q,"after":1}`, room, f.store.Epoch())
	c.expect("joined")
}

// takeNothing has a client take none of its output.
func takeNothing(f *fixture) {
	fill(f, "much")
	c := f.member("much")
	c.conn.(*net.TCPConn).SetReadBuffer(4 << 10)
	c.conn.SetWriteDeadline(time.Now().Add(2 * time.Second))
	for range 5000 { // until the server reads no more, or has given the client up
		if _, err := fmt.Fprintf(c.conn, "{\"type\":\"history\",\"room\":\"much\",\"limit\":30}\n"); err != nil {
			return
		}
	}
}

func openWebSocket(f *fixture) { f.webSocket("ws://" + f.http) }

// webSocket opens a WebSocket at the server with an address.
func (f *fixture) webSocket(address string) {
	f.t.Helper()
	trusting := &http.Client{Transport: &http.Transport{TLSClientConfig: tlstest.Client()}}
	c, response, err := websocket.Dial(f.t.Context(), address+"/v1/socket", &websocket.DialOptions{HTTPClient: trusting})
	must(f.t, err)
	if response.Body != nil {
		response.Body.Close()
	}
	f.t.Cleanup(func() { c.CloseNow() })
}

// withPassword returns the name of a new account with the password.
func withPassword(f *fixture, name string) string {
	f.t.Helper()
	_, err := f.accounts.MakeOwner(f.t.Context(), name, password)
	must(f.t, err)
	return name
}

func wrongPassword(f *fixture, name string) {
	_, err := f.accounts.SignInWithPassword(f.t.Context(), name, "wrong", account.Device{Address: "192.0.2.7"})
	if _, delayed := errors.AsType[*account.WaitError](err); !delayed && !errors.Is(err, account.ErrAuthFailed) {
		f.t.Errorf("a wrong password: %v", err)
	}
}

// hashMuch has many ask for a hash until the test ends.
func (f *fixture) hashMuch(askers int) {
	ctx, cancel := context.WithCancel(context.Background())
	var asking sync.WaitGroup
	f.t.Cleanup(func() {
		cancel()
		asking.Wait()
	})
	for i := range askers {
		asking.Go(func() {
			address := netip.AddrFrom4([4]byte{198, 51, byte(i >> 8), byte(i)}).String()
			f.accounts.SignInWithPassword(ctx, fmt.Sprint("nobody", i), "wrong", account.Device{Address: address})
		})
	}
}

// broken is a protocol with a front that panics.
type broken struct{}

func (broken) Front(netip.Addr) (conn.Front, *conn.Handler, netip.Addr) {
	return panicking{}, new(conn.Handler), netip.Addr{}
}
func (broken) TurnAway(time.Duration) []byte { return nil }

type panicking struct{ conn.Front }

func (panicking) Fill() error     { panic("the test has it panic") }
func (panicking) Next() conn.Need { return conn.NeedInput }
func (panicking) Close()          {}

func TestEveryMetricMoves(t *testing.T) {
	for _, row := range moves {
		t.Run(strings.Join(append([]string{row.name}, row.labels...), "/"), func(t *testing.T) {
			f := start(t)
			before := f.value(row.name, row.labels...)
			row.by(f)
			eventually(t, row.name, func() bool { return f.value(row.name, row.labels...) > before })
		})
	}
}

// TestEveryMetricHasARow finds metrics that nothing is known to move.
func TestEveryMetricHasARow(t *testing.T) {
	f := start(t)
	known := slices.Concat(fixed, falling)
	for _, row := range moves {
		known = append(known, row.name)
	}
	for name := range families(t, f.registry) {
		ours := strings.HasPrefix(name, "kaban_")
		if foreign := strings.HasPrefix(name, "go_") || strings.HasPrefix(name, "process_"); ours == foreign {
			t.Errorf("%s has no prefix of this program", name)
		}
		if ours && !slices.Contains(known, name) {
			t.Errorf("%s has no row in moves: nothing shows that it counts anything", name)
		}
	}
	for _, name := range known {
		if families(t, f.registry)[name] == nil {
			t.Errorf("%s has a row in moves and is no metric", name)
		}
	}
}

func TestFixedMetrics(t *testing.T) {
	f := start(t)
	if got := f.value("kaban_tail_limit_bytes"); got != 1<<20 {
		t.Errorf("kaban_tail_limit_bytes is %g, and the fixture's --tail-budget is 1 MiB", got)
	}
	labels := families(t, f.registry)["kaban_build_info"].GetMetric()[0].GetLabel()
	if got := labels[1].GetValue(); got != "1.2.3" {
		t.Errorf("the version in kaban_build_info is %q", got)
	}
}

// TestWhatIsAwayIsZero: a database and a bus that are away are seen as that.
func TestWhatIsAwayIsZero(t *testing.T) {
	f := start(t)
	f.database.Epoch = "E"
	if labels := families(t, f.registry)["kaban_database_info"].GetMetric()[0].GetLabel(); labels[0].GetValue() != "E" {
		t.Errorf("the epoch in kaban_database_info is %v", labels)
	}
	for _, name := range falling {
		if got := f.value(name); got != 1 {
			t.Errorf("%s is %g while all is well", name, got)
		}
	}
	f.database.Up, f.bus.Connected = false, false
	for _, name := range falling {
		if got := f.value(name); got != 0 {
			t.Errorf("%s is %g while it is away", name, got)
		}
	}
}

// TestNothingIsShownThatIsNotThere: a server in memory has no disk, and one without TLS
// no certificate.
func TestNothingIsShownThatIsNotThere(t *testing.T) {
	r, err := telemetry.NewRegistry(telemetry.Sources{})
	must(t, err)
	for name := range families(t, r) {
		if strings.HasPrefix(name, "kaban_") && name != "kaban_build_info" {
			t.Errorf("%s has no source", name)
		}
	}
	f := start(t)
	f.diskError, f.certificate, f.backups = errTrouble, time.Time{}, backup.Status{}
	for _, name := range []string{"kaban_backup_last_success_timestamp_seconds", "kaban_disk_free_bytes", "kaban_disk_size_bytes", "kaban_certificate_expiry_timestamp_seconds"} {
		if families(t, f.registry)[name] != nil {
			t.Errorf("%s is shown, and nobody knows it", name)
		}
	}
}

// TestConnectionsCountOnce: each connection counts for its own front end and for no other,
// encrypted or not, until it ends.
func TestConnectionsCountOnce(t *testing.T) {
	tests := []struct {
		name, frontEnd string
		open           func(*fixture)
	}{
		{"tcp", "tcp", func(f *fixture) { f.dial() }},
		{"tls", "tls", func(f *fixture) { f.dialTLS(f.tls) }},
		{"ws", "websocket", openWebSocket},
		{"wss", "websocket", func(f *fixture) { f.webSocket("wss://" + f.https) }},
		{"https", "http", func(f *fixture) { f.dialTLS(f.https) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := start(t)
			tt.open(f)
			is := func(wanted float64) bool {
				return f.value("kaban_connections") == wanted && f.value("kaban_connections", tt.frontEnd) == wanted
			}
			eventually(t, "one connection of "+tt.frontEnd+" and no other", func() bool { return is(1) })
			f.web.Close()
			f.manager.Close()
			eventually(t, "none of "+tt.frontEnd, func() bool { return is(0) })
		})
	}
}

// TestGaugesGoDown: what has ended is not counted any more.
func TestGaugesGoDown(t *testing.T) {
	f := start(t)
	names := [][]string{{"kaban_connections", "tcp"}, {"kaban_connections", "websocket"}, {"kaban_clients"}, {"kaban_connections_blocked"}}
	c := f.member("lobby")
	socket, _, err := websocket.Dial(t.Context(), "ws://"+f.http+"/v1/socket", nil)
	must(t, err)
	takeNothing(f)
	for _, n := range names[:3] {
		if f.value(n[0], n[1:]...) == 0 {
			t.Errorf("%q is 0", n)
		}
	}
	c.conn.Close()
	socket.CloseNow()
	f.manager.Close()
	for _, n := range names {
		eventually(t, fmt.Sprint(n, " goes back to 0"), func() bool { return f.value(n[0], n[1:]...) == 0 })
	}
}
