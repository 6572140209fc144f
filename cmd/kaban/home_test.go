package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"kaban"
	"kaban/internal/bus/local"
	"kaban/internal/push"
	"kaban/internal/store"
	"kaban/internal/store/memory"
	"kaban/internal/store/postgres"
)

// A password in the URL of a database goes to the driver and to nothing that is shown.
func TestThePasswordIsTakenOut(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("from a file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		data, file, shown, driver string
		warns                     bool
	}{
		{"postgres://kaban@db/chat", "", "postgres://kaban@db/chat", "postgres://kaban@db/chat", false},
		{"postgresql://kaban@db/chat", "", "postgresql://kaban@db/chat", "postgresql://kaban@db/chat", false},
		{"postgres://kaban:p%40ss@db/chat", "", "postgres://kaban@db/chat", "postgres://kaban:p%40ss@db/chat", true},
		{"postgres://kaban@db/chat?sslmode=verify-full&password=hidden", "", "postgres://kaban@db/chat?sslmode=verify-full", "postgres://kaban:hidden@db/chat?sslmode=verify-full", true},
		{"postgres://kaban@db/chat", file, "postgres://kaban@db/chat", "postgres://kaban:from%20a%20file@db/chat", false},
		{"postgres://kaban@a:1,b:2/chat?target_session_attrs=read-write", file, "postgres://kaban@a:1,b:2/chat?target_session_attrs=read-write", "postgres://kaban:from%20a%20file@a:1,b:2/chat?target_session_attrs=read-write", false},
		{"postgres:///chat?host=/run/postgresql", "", "postgres:///chat?host=/run/postgresql", "postgres:///chat?host=/run/postgresql", false},
	} {
		d := dataFlags{Data: test.data, nodeFlags: nodeFlags{State: "node", DataPasswordFile: test.file}}
		for range 2 { // the second time changes nothing
			if err := d.check(); err != nil {
				t.Fatalf("%s: %v", test.data, err)
			}
		}
		if d.Data != test.shown || d.dir() != "node" {
			t.Errorf("%s is shown as %s, with the directory %s", test.data, d.Data, d.dir())
		}
		address, warning, err := d.home().url()
		if address != test.driver || (warning != "") != test.warns || err != nil {
			t.Errorf("%s: the driver gets %s, warning %q, %v", test.data, address, warning, err)
		}
	}
}

func TestWhatIsNoDatabase(t *testing.T) {
	for _, test := range []struct {
		data, file, state, want string
	}{
		{"postgres://kaban:secret%zz@db/chat", "", "node", "the URL of the database cannot be read"},
		{"postgres://kaban:secret@db/chat", "file", "node", "take it out of the URL"},
		{"postgres://kaban@db/chat?sslpassword=secret", "", "node", "must not be in the URL"},
		{"postgres://kaban:secret@db/chat", "", "", "--state: name a directory"},
		{"mysql://kaban:secret@db/chat", "", "node", "a database is named as postgres://ROLE@HOST/NAME"},
		{"host=db user=kaban password=secret", "", "node", "a database is named as postgres://ROLE@HOST/NAME"},
		{"user=kaban password = secret", "", "node", "a database is named as postgres://ROLE@HOST/NAME"},
		{"postgres:kaban:secret@db/chat", "", "node", "a database is named as postgres://ROLE@HOST/NAME"},
		{"PostgreSQL:/kaban:secret@db/chat", "", "node", "a database is named as postgres://ROLE@HOST/NAME"},
		{"kaban:secret@db/chat", "", "node", "a database is named as postgres://ROLE@HOST/NAME"},
		{"", "", "node", "name the server's data directory"},
	} {
		d := dataFlags{Data: test.data, nodeFlags: nodeFlags{State: test.state, DataPasswordFile: test.file}}
		err := d.check()
		if _, ok := errors.AsType[usageError](err); !ok || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v, want %q and no password", test.data, err, test.want)
		}
	}
	for _, data := range []string{"kaban-data", "./host=a", "/srv/kaban:a@b", "chat@example.org", "postgres", "a:b/c@d"} {
		if err := checkDirectory(data); err != nil {
			t.Errorf("the directory %s: %v", data, err)
		}
	}
	at := home{data: "postgres://kaban@db/chat"}
	if err := at.without("postgres://kaban:p%40ss@db/chat", errors.New(`cannot use "p@ss" or "p%40ss"`)); strings.Contains(err.Error(), "ss\"") {
		t.Errorf("an error shows a password: %v", err)
	}
}

// A directory belongs to one node at a time, and to no server with data of its own.
func TestANodeTakesItsDirectory(t *testing.T) {
	at := home{"postgres://kaban@127.0.0.1:1/chat", nodeFlags{State: filepath.Join(t.TempDir(), "node")}}
	if at.isMade() {
		t.Error("the directory is there before")
	}
	release, err := at.take()
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(at.dir()); err != nil || info.Mode().Perm() != 0o700 || !at.isMade() {
		t.Errorf("the directory: %v, %v", info, err)
	}
	if _, err := at.take(); !isInUse(err) {
		t.Errorf("a second node: %v", err)
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
	at.node.State = t.TempDir()
	s, err := openImporter(t.Context(), at.node.State)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := at.take(); err == nil || !strings.Contains(err.Error(), "it is the data directory of another server") {
		t.Errorf("a data directory: %v", err)
	}
}

// state is an error of PostgreSQL.
type state string

func (s state) Error() string    { return "FATAL: no (SQLSTATE " + string(s) + ")" }
func (s state) SQLState() string { return string(s) }

func TestErrorsOfADatabaseSayWhatToDo(t *testing.T) {
	refused := &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	for _, test := range []struct {
		err  error
		want string
	}{
		{state("28P01"), "--data-password-file"},
		{fmt.Errorf("open: %w", state("3D000")), "createdb"},
		{state("42501"), "the role that owns"},
		{state("99999"), "SQLSTATE 99999"},
		{fmt.Errorf("%w: no answer within 5s: %w", store.ErrUnavailable, context.DeadlineExceeded), "is PostgreSQL running there, and is anything between it and this machine? If synchronous_standby_names is set, every commit waits"},
		{fmt.Errorf("%w: %w", store.ErrUnavailable, postgres.ErrNoStandby), "is away: bring it back, or name another"},
		{fmt.Errorf("%w: %w", store.ErrUnavailable, refused), "connection refused; is PostgreSQL running there"},
		{fmt.Errorf("%w: %w", store.ErrUnavailable, state("53300")), "raise max_connections"},
		{fmt.Errorf("failed to connect:\n\tdb1: %w\n\tdb1: %w\n\tdb2: %w", refused, refused, refused), "failed to connect: db1: dial: connection refused; db2: dial: connection refused; is PostgreSQL running there"},
	} {
		got := explainDatabase(test.err)
		blames := strings.Contains(got.Error(), "standby") != strings.Contains(test.want, "standby") && !errors.Is(test.err, postgres.ErrNoStandby)
		if !strings.Contains(got.Error(), test.want) || !errors.Is(got, test.err) || blames {
			t.Errorf("%v: %v", test.err, got)
		}
	}
	if err := fmt.Errorf("%w: %w", store.ErrUnavailable, state("55P03")); !isAway(explainDatabase(err)) {
		t.Errorf("%v is final", err)
	}
	if err := explainDatabase(nil); err != nil {
		t.Error(err)
	}
	// The driver's own errors, by a database that is not there.
	_, err := openStore(home{"postgres://kaban@127.0.0.1:1/chat?sslmode=disable", nodeFlags{password: "hidden"}}, nil, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "is PostgreSQL running there") || strings.ContainsAny(err.Error(), "\n\t") || strings.Contains(err.Error(), "hidden") {
		t.Errorf("a database that is away: %v", err)
	}
}

// A node is named with its database. Only its state is asked for without one, and a variable of a node keeps
// nobody from another data directory.
func TestANodeWithoutItsDatabase(t *testing.T) {
	for _, test := range []struct {
		data, state string
		refused     bool
	}{
		{defaultData, "node1", true},
		{defaultData, defaultState, false},
		{"elsewhere", "node1", false},
		{"postgres://kaban@127.0.0.1/chat", "node1", false},
	} {
		d := dataFlags{Data: test.data, nodeFlags: nodeFlags{State: test.state}}
		if err := d.check(); (err != nil) != test.refused || err != nil && !strings.Contains(err.Error(), "name its database, too") {
			t.Errorf("%+v: %v", test, err)
		}
	}
	dir := t.TempDir()
	c := statusCommand{dataFlags: dataFlags{Data: defaultData, nodeFlags: nodeFlags{State: dir}}, Every: time.Second}
	if err := c.Run(streams{}); err == nil || !strings.Contains(err.Error(), "no node is running on "+dir) {
		t.Errorf("the status of a node: %v", err)
	}
	if serve, err := loadFile(writeFile(t, "state = \"node1\"\n")); err != nil {
		t.Error(err)
	} else if _, _, err := serve.validate(); err == nil || !strings.Contains(err.Error(), "state node1: only a node has such a directory") {
		t.Errorf("a server: %v", err)
	}
}

// A server says what does not fit, for data of its own and for a database.
func TestFlagsOfANode(t *testing.T) {
	const database = "data = \"postgres://kaban@127.0.0.1/chat\"\n"
	for _, test := range []struct{ file, want string }{
		{database, ""},
		{database + "[cluster]\nbus = \"embedded\"\npeers = [\"node1:6450\", \"node2:6450\"]\n", ""},
		{database + "[cluster]\nbus = \"tls://a:4222,b:4222\"\nuser = \"kaban\"\npassword_file = \"x\"\n", ""},
		{"[cluster]\nbus = \"embedded\"\n", "line 2: cluster.bus: several nodes have their messages in one database"},
		{database + "[cluster]\nbus = \"http://a\"\n", "line 3: cluster.bus: it must be local, embedded"},
		{database + "[cluster]\nbus = \"nats://a,http://b\"\n", "cluster.bus: it must be local"},
		{database + "[cluster]\npeers = [\"node1:6450\"]\n", "line 3: cluster.peers: only nodes with --bus embedded"},
		{database + "[cluster]\nbus = \"embedded\"\npeers = [\"node1\"]\n", `cluster.peers: "node1" is not like HOST:PORT`},
		{database + "[cluster]\nlisten = \"6450\"\n", "cluster.listen"},
		{database + "[cluster]\nuser = \"kaban\"\npassword_file = \"x\"\n", "it is for a NATS of your own"},
		{database + "[cluster]\nbus = \"nats://a\"\nuser = \"kaban\"\n", "belong together"},
		{database + "[backup]\nevery = \"24h\"\n", "back it up with what is made for PostgreSQL"},
		{database + "[tls.acme]\nhosts = [\"chat.example.org\"]\n", "several nodes cannot ask for one certificate"},
		{"files = \"x\"\n", "files are in the data directory"},
		{database + "files = \"x\"\n[s3]\nendpoint = \"https://s3.example.org\"\nbucket = \"chat\"\naccess_key = \"id\"\nsecret_key_file = \"x\"\n", "name one place for them"},
	} {
		c, err := loadFile(writeFile(t, test.file))
		if err == nil {
			_, _, err = c.validate()
		}
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: %v, want %q", test.file, err, test.want)
		}
	}
	c := busFlags{Bus: "tls://a:4222, b:4222,nats://c"}
	if got := fmt.Sprint(c.servers()); got != "[tls://a:4222 tls://b:4222 nats://c]" {
		t.Errorf("the servers are %s", got)
	}
}

// A directory for files is that of one database, and a directory without its mark is one that is not mounted.
func TestADirectoryForFilesIsMarked(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "files")
	for _, step := range []struct {
		owner  string
		before bool
		want   string
	}{
		{"one", true, "is it mounted?"},
		{"one", false, ""},
		{"one", true, ""},
		{"one", false, ""}, // another node
		{"two", false, "has the files of another database"},
	} {
		err := checkShared(dir, step.owner, step.before)
		if step.want == "" && err != nil || step.want != "" && (err == nil || !strings.Contains(err.Error(), step.want)) {
			t.Errorf("%+v: %v", step, err)
		}
	}
}

// Nodes that start at once on a new directory for files all get it, and of two databases one.
func TestADirectoryForFilesIsMarkedAtOnce(t *testing.T) {
	for range 100 {
		dir := filepath.Join(t.TempDir(), "files")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		var errs [8]error
		var starting sync.WaitGroup
		begin := make(chan struct{})
		for i := range errs {
			starting.Go(func() {
				<-begin
				errs[i] = checkShared(dir, fmt.Sprint("database-", i/4), false)
			})
		}
		close(begin)
		starting.Wait()
		first, second := errors.Join(errs[:4]...), errors.Join(errs[4:]...)
		refused := first
		if first == nil {
			refused = second
		}
		if refused == nil || first != nil && second != nil || strings.Count(refused.Error(), "has the files of another database") != 4 {
			t.Fatalf("one: %v, two: %v", first, second)
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
			t.Fatalf("the directory has %v, %v", entries, err)
		}
	}
}

// All nodes sign pushes with one key: that of the data directory that the first one has put into its own, if there is one.
func TestPushesHaveOneKey(t *testing.T) {
	first, second := t.TempDir(), t.TempDir()
	want, _, err := push.OpenKey(first)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := push.OpenKey(second); err != nil {
		t.Fatal(err)
	}
	for i, dirs := range [][]string{{first, second, t.TempDir()}, {t.TempDir(), second}} {
		kept, err := openStore(home{data: inMemory}, nil, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		defer kept.Close()
		var keys []string
		for _, dir := range dirs {
			key, err := commonPushKey(kept, dir)
			if err != nil {
				t.Fatal(err)
			}
			keys = append(keys, key.Public())
		}
		if keys[0] != keys[1] || (keys[0] == want.Public()) != (i == 0) {
			t.Errorf("in %v, nodes have the keys %v, and the first has %s", dirs, keys, want)
		}
	}
}

// What a status says of a node.
func TestLinesOfANode(t *testing.T) {
	two := 2
	for _, test := range []struct {
		database databaseReport
		bus      busReport
		want     []string
	}{
		{databaseReport{Up: true, Response: 0.31, Timeline: 3, Used: 1, Limit: 16}, busReport{Kind: busEmbedded, Connected: true, Nodes: &two, Published: 1234}, []string{"answers in 310µs, timeline 3, 1 of at most 16 connections in use", "embedded, 2 other nodes connected; 1,234 hints sent"}},
		{databaseReport{}, busReport{Kind: "nats"}, []string{"DOES NOT ANSWER", "nats, NOT CONNECTED"}},
		{databaseReport{Up: true}, busReport{Kind: busLocal, Connected: true}, []string{"answers", "none (--bus), so news of other nodes come a second late"}},
	} {
		lines := clusterLines(&statusReport{Database: &test.database, Bus: &test.bus})
		for i, want := range test.want {
			if !strings.Contains(lines[i], want) {
				t.Errorf("got %q, want %q", lines[i], want)
			}
		}
	}
}

// A password that is in the text of an error, as kaban may be, does not hide what the error is.
func TestAnErrorWithoutAPassword(t *testing.T) {
	at := home{data: "postgres://kaban@db/chat"}
	err := at.without("postgres://kaban:kaban@db/chat", fmt.Errorf("user=kaban: %w", &net.OpError{Op: "dial", Err: errors.New("refused")}))
	if !isAway(explainDatabase(err)) || strings.Contains(err.Error(), "kaban") {
		t.Errorf("%v: away is %t", err, isAway(err))
	}
}

// A database is away also if what is in its place hangs up, as a proxy does.
func TestADatabaseThatHangsUp(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var accepting sync.WaitGroup
	defer accepting.Wait()
	defer l.Close()
	accepting.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conn.(*net.TCPConn).CloseWrite()
			io.Copy(io.Discard, conn)
			conn.Close()
		}
	})
	at := home{data: "postgres://kaban@" + l.Addr().String() + "/kaban?sslmode=disable"}
	if _, err := openStore(at, nil, slog.New(slog.DiscardHandler)); err == nil || !isAway(err) {
		t.Errorf("away is %t: %v", isAway(err), err)
	}
}

// A status is that of now, also if the node has not asked its database since that went.
func TestAStatusAsksTheDatabase(t *testing.T) {
	kept := &awayStore{Store: memory.New(memory.DefaultWindow)}
	l := &line{bus: new(local.Network).Open(), kept: kept, log: slog.New(slog.DiscardHandler)}
	for _, away := range []bool{false, true, false} {
		kept.away = away
		if database, _ := l.reports(t.Context()); database.Up == away {
			t.Errorf("while the database is away (%t), it is reported as up (%t)", away, database.Up)
		}
	}
}

// awayStore is a store that may be away.
type awayStore struct {
	store.Store
	away bool
}

func (s *awayStore) Room(ctx context.Context, name kaban.RoomName) (store.Room, error) {
	if s.away {
		return store.Room{}, store.ErrUnavailable
	}
	return s.Store.Room(ctx, name)
}
