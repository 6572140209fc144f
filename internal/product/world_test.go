// Package product tests the whole server: every front end agrees with package access
// about who may do what.
package product

import (
	"errors"
	"flag"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"kaban"
	"kaban/internal/account"
	"kaban/internal/chat"
	"kaban/internal/conn"
	"kaban/internal/dispatch"
	"kaban/internal/files/disk"
	"kaban/internal/files/keep"
	"kaban/internal/files/upload"
	"kaban/internal/hook"
	"kaban/internal/index"
	"kaban/internal/limit"
	peers "kaban/internal/peer"
	"kaban/internal/people"
	"kaban/internal/server"
	"kaban/internal/store"
	"kaban/internal/store/memory"
	"kaban/internal/web"
)

var (
	everything = flag.Bool("everything", false, "try every scenario over every front end instead of a sample")
	seed       = flag.Uint64("seed", 0, "of the sample; 0 picks one")
)

// patience is how long a test waits for an answer.
const patience = 2 * time.Minute

func TestMain(m *testing.M) {
	flag.Parse()
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	os.Exit(m.Run())
}

// sample returns whether each of a number of things is tried: one in rarity of them,
// or all.
func sample(t *testing.T, rarity int) func() bool {
	t.Helper()
	if *everything || rarity <= 1 {
		return func() bool { return true }
	}
	name := fnv.New64a()
	name.Write([]byte(t.Name()))
	r := rand.New(rand.NewPCG(*seed, name.Sum64()))
	t.Logf("one in %d: -seed %d", rarity, *seed)
	return func() bool { return r.IntN(rarity) == 0 }
}

// world is a claimed, open server. Its people are the owner olga, the admin ada, the
// members mia, opal, tina and ten others, and the guest gus. vic is a visitor.
type world struct {
	t          *testing.T
	front      driver
	store      store.Store
	index      *index.Index
	dispatcher *dispatch.Dispatcher
	address    string // of kaban/1 over TCP
	url        string // of HTTP
	accounts   *account.Service
	hooks      *hook.Service
	operator   hook.By
	web        *web.Server
	http       *http.Client
	tokens     map[string]string // what is shown without a cookie: secrets of devices and tokens
	cookies    map[string]string // of browsers
	peers      map[string]*peer
	invites    []string // ids of invites of the operator
	rooms      int
	secrets    int // tokens of single scenarios so far
	ids        int // of acts so far
	count      int // requests that were compared
}

// roles are the subjects of the scenarios by their server role.
var roles = map[kaban.Role]string{
	kaban.RoleVisitor: "vic", kaban.RoleGuest: "gus", kaban.RoleMember: "mia", kaban.RoleAdmin: "ada", kaban.RoleOwner: "olga",
}

// targets are members to whom something is done, each in one action.
var targets = []string{"kicked", "banned", "unbanned", "muted", "unmuted", "risen", "appointed", "raised"}

// newWorld returns a server as "kaban serve" puts it together, and a front end to try.
func newWorld(t *testing.T, front driver) *world {
	t.Helper()
	w := &world{
		t: t, front: front, tokens: make(map[string]string), cookies: make(map[string]string), peers: make(map[string]*peer),
		http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}, Timeout: patience},
	}
	s := memory.New(0)
	w.store = s
	d, err := dispatch.New(t.Context(), s, dispatch.Options{})
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	c, err := chat.New(t.Context(), d, chat.Options{
		Rooms: limit.NewLimiter("rooms", limit.Rate{Count: 1 << 20, Per: time.Second}, func() time.Duration { return time.Since(start) }),
	})
	if err != nil {
		t.Fatal(err)
	}
	w.dispatcher = d
	w.index = index.Open(s, "", index.Options{Eager: true})
	d.SetOnGrown(w.index.Grew)
	c.SetIndex(w.index)
	// No connection waits for a time-out: their clock stands still.
	m, err := conn.New(conn.Config{Submit: c.Submit, Clock: func() time.Duration { return 0 }})
	if err != nil {
		t.Fatal(err)
	}
	slowly := func() time.Time { return start.Add(time.Since(start) / 100) } // sign-ins stay fresh, however long it takes
	w.accounts = account.New(s, account.Options{Now: slowly, Hashes: 2, OnRevoked: c.Revoke, OnChanged: c.AccountChanged, OnSettings: c.SettingChanged})
	w.hooks, w.operator = hook.New(w.accounts), hook.By{User: c.Operator(), Actor: account.Operator()}
	w.populate()
	lines := server.New(server.Config{Accounts: w.accounts}, c, m)
	keys, err := account.NewPasskeys(s, []string{"http://localhost:6480"}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	if w.web, err = web.New(web.Config{Accounts: w.accounts, Passkeys: keys, Files: keeper(t)}, c, lines); err != nil {
		t.Fatal(err)
	}
	var stopped []<-chan error
	w.address, stopped = w.serve(lines.Serve, conn.ErrClosed, stopped)
	address, stopped := w.serve(w.web.Serve, web.ErrClosed, stopped)
	w.url = "http://" + address
	t.Cleanup(func() {
		w.http.CloseIdleConnections()
		w.web.Close()
		m.Close()
		for _, err := range stopped {
			if err := <-err; err != nil {
				t.Error(err)
			}
		}
		c.Close()
		d.Close()
		w.index.Close()
		s.Close()
		if n := m.Panics(); n != 0 {
			t.Errorf("%d handlers panicked", n)
		}
	})
	return w
}

// serve serves at a free port, and adds how that ends.
func (w *world) serve(serve func(net.Listener, peers.Rules) error, closed error, others []<-chan error) (address string, all []<-chan error) {
	w.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() {
		err := serve(l, peers.Loopback())
		if errors.Is(err, closed) {
			err = nil
		}
		served <- err
	}()
	return l.Addr().String(), append(others, served)
}

// populate makes the accounts, with a token and a session each.
func (w *world) populate() {
	w.t.Helper()
	owner, err := w.accounts.MakeOwner(w.t.Context(), "olga", "")
	if err != nil {
		w.t.Fatal(err)
	}
	w.signIn("olga", owner.Link)
	w.add("gus", kaban.RoleGuest)
	w.add("ada", kaban.RoleAdmin)
	for _, name := range append([]string{"mia", "opal", "tina", "invited"}, targets...) {
		w.add(name, kaban.RoleMember)
	}
	maps.Copy(w.tokens, w.cookies)
	w.addBots()
	w.set("access", "open")
}

// add makes an account with a session.
func (w *world) add(name string, role kaban.Role) {
	w.t.Helper()
	_, link, err := w.accounts.AddAccount(w.t.Context(), account.Operator(), account.NewPerson{NewAccount: account.NewAccount{Username: name}, Role: role})
	if err != nil {
		w.t.Fatal(err)
	}
	w.signIn(name, link)
}

func (w *world) signIn(name, link string) {
	w.t.Helper()
	session, err := w.accounts.SignInWithLink(w.t.Context(), link, "", account.Device{Name: "test"})
	if err != nil {
		w.t.Fatal(err)
	}
	w.cookies[name] = session.Secret
}

// token makes a token. Its account may know of the rooms, or did so once: what it may do
// with the token afterwards does not depend on the moment of the making.
func (w *world) token(n account.NewToken) (id, secret string) {
	w.t.Helper()
	rooms := n.Rooms
	n.Name, n.Expires, n.Rooms = "test", time.Hour, nil
	info, secret, err := w.accounts.MakeToken(w.t.Context(), account.Operator(), n)
	if err != nil {
		w.t.Fatal(err)
	}
	if len(rooms) == 0 {
		return info.ID, secret
	}
	if err := w.store.Update(w.t.Context(), func(tx store.Tx) error {
		kept, err := people.Secrets.WithID(tx, info.ID)
		for _, text := range rooms {
			room, err := kaban.ParseAnyRoom(text)
			if err != nil {
				return err
			}
			kept.Rooms = append(kept.Rooms, room.Key())
		}
		return errors.Join(err, people.Secrets.Put(tx, &kept))
	}); err != nil {
		w.t.Fatal(err)
	}
	return info.ID, secret
}

// ownerOfBots returns a member that has not the most bots yet.
func (w *world) ownerOfBots() string { return targets[w.count%len(targets)] }

// set changes a setting.
func (w *world) set(key, value string) {
	w.t.Helper()
	if err := w.accounts.Set(w.t.Context(), account.Operator(), key, value); err != nil {
		w.t.Fatal(err)
	}
}

// reconnectEvery is how many rooms are made before accounts connect anew: a connection
// can be in 1,000 rooms, and the op is in all of them.
const reconnectEvery = 500

// newRoom returns a name that no room has.
func (w *world) newRoom() string {
	if w.rooms++; w.rooms%reconnectEvery == 0 {
		for name, p := range w.peers {
			if w.cookies[name] != "" {
				p.wire.Close()
				delete(w.peers, name)
			}
		}
	}
	return fmt.Sprintf("room%05d", w.rooms)
}

// keeper returns one over a directory of the test.
func keeper(t *testing.T) *keep.Keeper {
	t.Helper()
	dir := t.TempDir()
	blobs, err := disk.Open(filepath.Join(dir, "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	staging, err := upload.Open(upload.Config{Dir: filepath.Join(dir, "uploads"), Limits: upload.DefaultLimits()})
	if err != nil {
		t.Fatal(err)
	}
	return keep.New(keep.Config{Staging: staging, Store: blobs, Pictures: copies{}})
}
