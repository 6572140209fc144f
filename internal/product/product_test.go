// Package product tests the whole server: every front end agrees with package access
// about who may do what.
package product

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/account"
	"kaban/internal/chat"
	"kaban/internal/conn"
	"kaban/internal/dispatch"
	"kaban/internal/server"
	"kaban/internal/store/memory"
)

// patience is how long a test waits for an answer.
const patience = 30 * time.Second

const password = "correct horse battery"

// world is a claimed, open server. Its people are the owner olga, the admin ada, the
// members mia, opal, tina and ten others, and the guest gus. vic is a visitor.
type world struct {
	t       *testing.T
	address string
	tokens  map[string]string
	peers   map[string]*peer
	rooms   int
	count   int // of requests that were compared
}

// roles are the subjects of the scenarios by their server role.
var roles = map[kaban.Role]string{
	kaban.RoleVisitor: "vic", kaban.RoleGuest: "gus", kaban.RoleMember: "mia", kaban.RoleAdmin: "ada", kaban.RoleOwner: "olga",
}

// targets are members to whom something is done, each in one action.
var targets = []string{"kicked", "banned", "unbanned", "muted", "unmuted", "risen", "appointed"}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, tokens: make(map[string]string), peers: make(map[string]*peer)}
	s := memory.New(0)
	d, err := dispatch.New(t.Context(), s, dispatch.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := chat.New(t.Context(), d, chat.Options{})
	if err != nil {
		t.Fatal(err)
	}
	m, err := conn.New(conn.Config{Submit: c.Submit})
	if err != nil {
		t.Fatal(err)
	}
	accounts := account.New(s, account.Options{Hashes: 2, OnRevoked: c.Revoke, OnChanged: c.AccountChanged, OnSettings: c.SettingChanged})
	w.populate(accounts)
	front := server.New(server.Config{Accounts: accounts}, c, m)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.address = l.Addr().String()
	served := make(chan error, 1)
	go func() { served <- front.Serve(l) }()
	t.Cleanup(func() {
		m.Close()
		<-served
		d.Close()
		s.Close()
		if n := m.Panics(); n != 0 {
			t.Errorf("%d handlers panicked", n)
		}
	})
	return w
}

// populate makes the accounts, with a token each.
func (w *world) populate(accounts *account.Service) {
	w.t.Helper()
	operator, ctx := account.Operator(), w.t.Context()
	if _, err := accounts.MakeOwner(ctx, "olga", password); err != nil {
		w.t.Fatal(err)
	}
	names := map[string]kaban.Role{"gus": kaban.RoleGuest, "ada": kaban.RoleAdmin, "mia": kaban.RoleMember, "opal": kaban.RoleMember, "tina": kaban.RoleMember, "invited": kaban.RoleMember}
	for _, name := range targets {
		names[name] = kaban.RoleMember
	}
	for name, role := range names {
		if _, _, err := accounts.AddAccount(ctx, operator, account.NewPerson{NewAccount: account.NewAccount{Username: name, Password: password}, Role: role}); err != nil {
			w.t.Fatal(err)
		}
	}
	for _, name := range []string{"olga", "gus", "ada", "mia", "opal", "tina"} {
		_, secret, err := accounts.MakeToken(ctx, operator, account.NewToken{Username: name, Name: "test", Expires: time.Hour})
		if err != nil {
			w.t.Fatal(err)
		}
		w.tokens[name] = secret
	}
	if err := accounts.Set(ctx, operator, "access", "open"); err != nil {
		w.t.Fatal(err)
	}
}

// peer is a connection that speaks kaban/1.
type peer struct {
	t      *testing.T
	conn   net.Conn
	reader *bufio.Reader
	refs   int
	ids    int
	name   string
}

// as returns the connection of somebody.
func (w *world) as(name string) *peer {
	w.t.Helper()
	if p := w.peers[name]; p != nil {
		return p
	}
	c, err := net.Dial("tcp", w.address)
	if err != nil {
		w.t.Fatal(err)
	}
	p := &peer{t: w.t, conn: c, reader: bufio.NewReader(c), name: name}
	w.t.Cleanup(func() { c.Close() })
	hello := frame{"type": "hello", "version": 1, "username": name}
	if token := w.tokens[name]; token != "" {
		hello = frame{"type": "hello", "version": 1, "token": token}
	}
	if code := p.ask(hello); code != "" {
		w.t.Fatalf("hello of %s: %s", name, code)
	}
	w.peers[name] = p
	return p
}

type frame map[string]any

// ask sends a request and returns the code of the answer, or "" if it is no error.
func (p *peer) ask(f frame) (code string) {
	p.t.Helper()
	a := p.answer(f)
	if a["type"] != "error" {
		return ""
	}
	code, _ = a["code"].(string)
	return code
}

// answer sends a request and returns the answer.
func (p *peer) answer(f frame) frame {
	p.t.Helper()
	p.refs++
	ref := fmt.Sprint("r", p.refs)
	f["ref"] = ref
	line, err := json.Marshal(f)
	if err != nil {
		p.t.Fatal(err)
	}
	p.conn.SetDeadline(time.Now().Add(patience))
	if _, err := p.conn.Write(append(line, '\n')); err != nil {
		p.t.Fatalf("%s: %s: %v", p.name, line, err)
	}
	for {
		text, err := p.reader.ReadString('\n')
		if err != nil {
			p.t.Fatalf("%s: %s: no answer: %v", p.name, line, err)
		}
		var a frame
		if err := json.Unmarshal([]byte(text), &a); err != nil {
			p.t.Fatal(err)
		}
		if a["type"] == "ping" {
			fmt.Fprintln(p.conn, `{"type":"pong"}`)
		}
		if a["ref"] == ref {
			return a
		}
	}
}

// must is ask for a request that must succeed.
func (p *peer) must(f frame) {
	p.t.Helper()
	if code := p.ask(f); code != "" {
		p.t.Fatalf("%s: %v: %s", p.name, f, code)
	}
}

// act returns a request about somebody in a room, with a new id.
func (p *peer) act(what, room, subject string, more frame) frame {
	p.ids++
	f := frame{"type": what, "room": room, "id": fmt.Sprint(p.name, ".", p.ids), "username": subject}
	if subject == "" {
		delete(f, "username")
	}
	for k, v := range more {
		f[k] = v
	}
	return f
}

// scenario is somebody's place in a room.
type scenario struct {
	role     kaban.Role
	kind     kaban.RoomKind
	flags    kaban.RoomFlags
	rank     kaban.RoomRole // 0 is outside
	standing access.Standing
}

func (s scenario) String() string {
	return fmt.Sprintf("%s, %s in %s room, flags %d, standing %d", s.role, s.rank, s.kind, s.flags, s.standing)
}

// possible reports whether there can be such a scenario.
func (s scenario) possible() bool {
	switch {
	case s.kind != kaban.RoomPublic && s.role == kaban.RoleVisitor && s.rank != 0,
		s.role == kaban.RoleVisitor && s.rank > kaban.RoomRoleMember,
		s.rank != 0 && s.standing == access.Banned, // a ban ends the membership
		s.kind == kaban.RoomPrivate && s.role == kaban.RoleVisitor && s.standing != access.Good:
		return false
	case s.kind == kaban.RoomDirect:
		return s.flags == 0 && s.rank <= kaban.RoomRoleMember && s.standing == access.Good
	}
	return true
}

// each visits all scenarios.
func each(visit func(scenario)) {
	for role := kaban.RoleVisitor; role <= kaban.RoleOwner; role++ {
		for _, kind := range []kaban.RoomKind{kaban.RoomPublic, kaban.RoomPrivate, kaban.RoomDirect} {
			for _, flags := range []kaban.RoomFlags{0, kaban.FlagAnnounce, kaban.FlagLocked, kaban.FlagArchived} {
				for rank := kaban.RoomRole(0); rank <= kaban.RoomRoleOp; rank++ {
					for standing := access.Banned; standing <= access.Good; standing++ {
						if s := (scenario{role, kind, flags, rank, standing}); s.possible() {
							visit(s)
						}
					}
				}
			}
		}
	}
}

// stage makes the room of a scenario with some members. Its op is opal.
func (w *world) stage(s scenario, members ...string) (room string) {
	w.t.Helper()
	op, name := w.as("opal"), roles[s.role]
	if s.kind == kaban.RoomDirect {
		return w.stageDirect(s)
	}
	w.rooms++
	room = fmt.Sprintf("room%05d", w.rooms)
	op.must(frame{"type": "create", "room": room, "kind": s.kind.String()})
	op.must(frame{"type": "join", "room": room})
	for _, target := range members {
		op.must(op.act("invite", room, target, nil))
	}
	switch {
	case s.role == kaban.RoleVisitor && (s.rank != 0 || s.standing != access.Good):
		w.as(name).must(frame{"type": "join", "room": room})
		if s.rank == 0 && s.standing == access.Muted {
			defer w.as(name).must(frame{"type": "part", "room": room})
		}
	case s.rank != 0:
		op.must(op.act("invite", room, name, nil))
		if s.rank > kaban.RoomRoleMember {
			op.must(op.act("role", room, name, frame{"role": s.rank.String()}))
		}
	}
	switch s.standing {
	case access.Banned:
		op.must(op.act("ban", room, name, nil))
	case access.Muted:
		op.must(op.act("mute", room, name, nil))
	}
	if s.flags != 0 {
		op.must(op.act("set", room, "", frame{"flags": s.flags.Texts()}))
	}
	return room
}

func (w *world) stageDirect(s scenario) (room string) {
	w.t.Helper()
	op := w.as("opal")
	with := []string{"tina"}
	if s.rank != 0 {
		with = []string{roles[s.role]}
	}
	a := op.answer(frame{"type": "direct", "usernames": with})
	room, _ = a["room"].(string)
	if !strings.HasPrefix(room, "@") {
		w.t.Fatalf("direct room: %v", a)
	}
	return room
}

// facts returns what a decision in the scenario depends on.
func (s scenario) facts() access.Facts {
	f := access.Facts{
		Server: access.Server{Claim: access.Claimed, Local: true, Admission: access.Open, MembersCreate: true, MembersInvite: true},
		Who:    access.Identity{Role: s.role, Active: true, Named: true, Person: true, Reach: access.ReachServer, Writes: true},
		Room:   access.NewRoom(s.kind, s.flags, s.kind != kaban.RoomDirect),
		Membership: access.Membership{
			Role: s.rank, Standing: s.standing,
		},
		Target: access.Target{Reachable: true},
	}
	return f
}

// step is an action as a request.
type step struct {
	action  access.Action
	request func(p *peer, room string) frame
	facts   func(*access.Facts) // about the target
}

// member sets the facts about a member of the server and the room.
func member(f *access.Facts) {
	f.Target.Whom, f.Target.Role, f.Target.RoomRole, f.Target.Standing = access.Other, kaban.RoleMember, kaban.RoomRoleMember, access.Good
	f.Target.SharesRoom = true
}

func stranger(f *access.Facts) {
	member(f)
	f.Target.RoomRole, f.Target.SharesRoom = 0, false
}

func toMember(f *access.Facts) {
	member(f)
	f.Target.NewRoomRole = kaban.RoomRoleSpeaker
}

func acts(what, subject string, more frame) func(*peer, string) frame {
	return func(p *peer, room string) frame { return p.act(what, room, subject, more) }
}

func requests(what string, more frame) func(*peer, string) frame {
	return func(_ *peer, room string) frame {
		f := frame{"type": what, "room": room}
		for k, v := range more {
			f[k] = v
		}
		return f
	}
}

// steps are in an order in which none changes what a later one depends on.
var steps = []step{
	{access.Read, requests("history", nil), nil},
	{access.Read, requests("members", nil), nil},
	{access.Mark, requests("read", frame{"seq": 1}), nil},
	{access.Mark, requests("notify", frame{"level": "none"}), nil},
	{access.SetTopic, acts("topic", "", frame{"topic": "x"}), nil},
	{access.Invite, acts("invite", "invited", nil), stranger},
	{access.Kick, acts("kick", "kicked", nil), member},
	{access.Ban, acts("ban", "banned", nil), member},
	{access.Unban, acts("unban", "unbanned", nil), member},
	{access.Mute, acts("mute", "muted", nil), member},
	{access.Unmute, acts("unmute", "unmuted", nil), member},
	{access.SetRoomRole, acts("role", "risen", frame{"role": "speaker"}), toMember},
	{access.SetHistory, acts("set", "", frame{"history": "all"}), nil},
	{access.SetRoomRole, acts("role", "appointed", frame{"role": "op"}), func(f *access.Facts) {
		member(f)
		f.Target.NewRoomRole = kaban.RoomRoleOp
	}},
	{access.Create, requests("create", frame{"kind": "public"}), nil},
	{access.CreatePrivate, requests("create", frame{"kind": "private"}), nil},
}

// last are steps after which nothing else is asked, so each has a room of its own.
var last = []step{
	{access.Join, requests("join", nil), nil},
	{access.Part, requests("part", nil), nil},
	{access.MakePrivate, acts("set", "", frame{"kind": "private"}), nil},
	{access.SetFlags, acts("set", "", frame{"flags": []string{"locked"}}), nil},
	{access.Archive, acts("set", "", frame{"archived": true}), nil},
	{access.Unarchive, acts("set", "", frame{"archived": false}), nil},
	{access.SetRoomRole, func(p *peer, room string) frame { return p.act("role", room, p.name, frame{"role": "member"}) }, func(f *access.Facts) {
		f.Target.Whom, f.Target.Role, f.Target.RoomRole, f.Target.Standing = access.Self, f.Who.Role, f.Membership.Role, f.Membership.Standing
		f.Target.NewRoomRole = kaban.RoomRoleMember
	}},
}

// code returns how an answer reports a verdict.
func code(v access.Verdict) string {
	if v == access.Allowed {
		return ""
	}
	return v.String()
}

// decides returns the action that a request is.
func (s step) decides(f *access.Facts) access.Action {
	if s.action == access.SetRoomRole && f.Target.NewRoomRole == kaban.RoomRoleOp && f.Who.Role >= kaban.RoleAdmin && f.Membership.Role == 0 {
		return access.Appoint
	}
	return s.action
}

// check takes a step and compares the answer with the function.
func (w *world) check(s scenario, room string, step step) {
	w.t.Helper()
	f := s.facts()
	if step.facts != nil {
		step.facts(&f)
	}
	if (step.action == access.Create || step.action == access.CreatePrivate) && s.kind == kaban.RoomDirect {
		return // a name that cannot be created
	}
	action, p := step.decides(&f), w.as(roles[s.role])
	w.count++
	if got, want := p.ask(step.request(p, room)), code(access.Can(action, f)); got != want {
		w.t.Errorf("%v: %v answers %q, want %q", s, action, got, want)
	}
}

// TestKaban1Agrees tries everything from every place in a room.
func TestKaban1Agrees(t *testing.T) {
	w := newWorld(t)
	each(func(s scenario) {
		room := w.stage(s, append([]string{"tina"}, targets...)...)
		for _, step := range steps {
			w.check(s, room, step)
		}
		w.checkSend(s, room)
		w.checkList(s, room)
	})
	t.Logf("%d requests", w.count)
}

// TestKaban1AgreesAboutRooms tries what changes the room or one's place in it.
func TestKaban1AgreesAboutRooms(t *testing.T) {
	for i, step := range last {
		t.Run(fmt.Sprintf("%d %v", i, step.action), func(t *testing.T) {
			w := newWorld(t)
			each(func(s scenario) { w.check(s, w.stage(s), step) })
			t.Logf("%d requests", w.count)
		})
	}
}

// checkSend subscribes in the way that the scenario has, and sends.
func (w *world) checkSend(s scenario, room string) {
	w.t.Helper()
	p, f := w.as(roles[s.role]), s.facts()
	read := code(access.Can(access.Read, f))
	if s.rank != 0 {
		p.must(frame{"type": "join", "room": room})
	} else if got := p.ask(frame{"type": "watch", "room": room}); got != read {
		w.t.Errorf("%v: watch answers %q, want %q", s, got, read)
	}
	w.count += 2
	send := p.act("send", room, "", frame{"content": "hello"})
	if got, want := p.ask(send), code(access.Can(access.Send, f)); got != want {
		w.t.Errorf("%v: send answers %q, want %q", s, got, want)
	}
	if s.rank == 0 && read == "" {
		p.must(frame{"type": "unwatch", "room": room})
	}
}

// checkList looks for the room in the list of rooms.
func (w *world) checkList(s scenario, room string) {
	w.t.Helper()
	want := s.kind != kaban.RoomDirect && access.Can(access.Know, s.facts()) == access.Allowed &&
		(s.kind == kaban.RoomPublic || s.rank != 0)
	w.count++
	a := w.as(roles[s.role]).answer(frame{"type": "rooms", "after": before(room), "limit": 1})
	rooms, _ := a["rooms"].([]any)
	listed := false
	for _, r := range rooms {
		entry, _ := r.(map[string]any)
		listed = listed || entry["room"] == room
	}
	if listed != want {
		w.t.Errorf("%v: in the list of rooms: %t, want %t", s, listed, want)
	}
}

// before returns a text that sorts right before a name.
func before(name string) string {
	return name[:len(name)-1] + string(name[len(name)-1]-1) + "zzz"
}
