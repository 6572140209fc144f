package chat

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/dispatch"
	"kaban/internal/people"
	"kaban/internal/store"
	"kaban/internal/store/memory"
	"kaban/internal/store/sqlite"
	"kaban/internal/store/storetest"
)

// TestEverybodyReadsWhatTheTableGives has people, guests, a bot and visitors do everything
// that makes entries, in rooms of all kinds: they join, are invited, leave, are kicked and
// banned and come back, lose their roles, read, stall in the middle of an entry, are cut and
// resume. A model of rooms and logs, with the table of package access, says what each may do
// and read. Each reader is given every entry that the table gives it at the commit exactly
// once, in order, or is told to leave or to begin anew, and nothing else. What it makes of
// them is what the model has. At every moment each may have the files that the table gives it, of messages
// and one's own, and no others.
func TestEverybodyReadsWhatTheTableGives(t *testing.T) {
	counts := make(map[string]int)
	defer func() { t.Logf("%v", counts) }()
	dir := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		s, rounds := store.Store(memory.New(0)), 10
		if rapid.IntRange(0, 7).Draw(rt, "on disk") == 7 { // which takes longer
			counts["on disk"]++
			onDisk, err := sqlite.Open(t.Context(), filepath.Join(dir, fmt.Sprint(counts["on disk"])), sqlite.Options{})
			if err != nil {
				rt.Fatal(err)
			}
			rt.Cleanup(func() { onDisk.Close() })
			s, rounds = onDisk, 3
		}
		m := newModel(t, rt, s, counts)
		step := func(do func()) func(*rapid.T) {
			return func(rt *rapid.T) {
				m.rt = rt
				do()
				m.settle()
			}
		}
		actions := map[string]func(*rapid.T){
			"moderate": step(m.moderate), "moderate ": step(m.moderate), "alter": step(m.set), "name": step(m.setTopic), "part": step(m.part),
			"promote": step(m.promote), "admit": step(m.admit), "cut": step(m.cutLog),
			"enter": step(m.enter), "enter ": step(m.enter), "leave": step(m.leave), "read": step(m.read), "read ": step(m.read), "page": step(m.page), "look": step(m.look),
			"say": step(m.say), "say ": step(m.say), "upload": step(m.share), "attach": step(m.attach), "fetch": step(m.fetchFile), "fetch ": step(m.fetchFile), "change": step(m.change), "change ": step(m.change),
			"forget": step(m.chat.dispatcher.Reencode),
		}
		for range rounds {
			rt.Repeat(actions)
		}
		m.rt = rt
		m.finish()
	})
}

// tester is a rapid.T where a testing.TB is asked for.
type tester struct {
	testing.TB
	rt *rapid.T
}

func (t tester) Cleanup(f func())          { t.rt.Cleanup(f) }
func (t tester) Helper()                   { t.rt.Helper() }
func (t tester) Error(a ...any)            { t.rt.Error(a...) }
func (t tester) Errorf(f string, a ...any) { t.rt.Errorf(f, a...) }
func (t tester) Fail()                     { t.rt.Fail() }
func (t tester) FailNow()                  { t.rt.FailNow() }
func (t tester) Failed() bool              { return t.rt.Failed() }
func (t tester) Fatal(a ...any)            { t.rt.Fatal(a...) }
func (t tester) Fatalf(f string, a ...any) { t.rt.Fatalf(f, a...) }
func (t tester) Log(a ...any)              { t.rt.Log(a...) }
func (t tester) Logf(f string, a ...any)   { t.rt.Logf(f, a...) }
func (t tester) Name() string              { return t.rt.Name() }
func (t tester) Skip(a ...any)             { t.rt.Skip(a...) }
func (t tester) SkipNow()                  { t.rt.SkipNow() }
func (t tester) Skipf(f string, a ...any)  { t.rt.Skipf(f, a...) }

// model is a server and what it has to be like.
type model struct {
	*town
	city
	rt      *rapid.T
	devices []*device
	counts  map[string]int // how often something happened
}

// device is a reader of a room. It keeps what it knows when it is cut.
type device struct {
	name    string // of its user
	den     *den
	s       *Subscription // nil while it is not there
	waker   bell
	watches bool
	from    uint64 // the first entry that its user may see
	next    uint64 // the entry that comes next
	partial []byte // of that entry
	ended   string // why it has to leave; "" if it may stay
	// resynced is set if it began anew since it sent something.
	resynced bool
	texts    texts
	view     view
}

// bell is a Waker that rings.
type bell chan struct{}

func (b bell) Wake(a *Audience) {
	a.Members() // so that the next entry rings, too
	b.WakeOne(nil)
}

func (b bell) WakeOne(*Subscription) {
	select {
	case b <- struct{}{}:
	default:
	}
}

const visitor = "vic"

// everyone begins with all but the anonymous reader.
var everyone = []string{"ann", "bob", "cat", "adam", "gus", "robo", visitor, ""}

func newModel(t *testing.T, rt *rapid.T, s store.Store, counts map[string]int) *model {
	m := &model{rt: rt, counts: counts}
	m.admission = access.Open
	m.town = newTownOver(tester{t, rt}, s, dispatch.Options{
		PresenceDelay: time.Hour,
		TailBytes:     rapid.SampledFrom([]int{1, 2 << 10, 256 << 10}).Draw(rt, "tail"),
		PageEntries:   rapid.SampledFrom([]int{1, 3, 500}).Draw(rt, "page"),
	}, Options{})
	m.robot("bob", kaban.RoleMember)
	m.people = map[string]*citizen{
		"olga": {role: kaban.RoleOwner}, "adam": {role: kaban.RoleAdmin}, "ann": {role: kaban.RoleMember}, "bob": {role: kaban.RoleMember},
		"cat": {role: kaban.RoleMember}, "gus": {role: kaban.RoleGuest}, "robo": {role: kaban.RoleMember, owner: "bob"},
	}
	m.found("ann", "square", kaban.RoomPublic)
	m.found("bob", "yard", kaban.RoomPublic)
	m.found("ann", "cellar", kaban.RoomPrivate)
	m.found("bob", "attic", kaban.RoomPrivate)
	for _, d := range m.dens {
		by := d.log[0].By
		m.post(by, d, "the first", 0, true)
		m.post(by, d, "the second", 2, true)
		m.postPaper(by, d, m.newPaper(by))          // which some of those that come may not see
		if rapid.Bool().Draw(rt, "the bot first") { // it may have been in the room for longer than its owner
			m.act(by, d, nil, m.to("robo", access.Invite))
		}
		if rapid.Bool().Draw(rt, "joined") {
			m.act(by, d, nil, Act{Change: people.RoomChange{History: people.HistoryJoined}})
		}
		for _, name := range []string{"ann", "bob", "gus", "robo", "robo"} {
			if rapid.Bool().Draw(rt, name) {
				m.act(by, d, nil, m.to(name, access.Invite))
			}
		}
	}
	m.open("ann", "bob")
	m.open("bob", "robo", "cat")
	for range 3 {
		m.enter()
	}
	return m
}

// found makes a room.
func (m *model) found(by, name string, kind kaban.RoomKind) {
	m.create(by, name, kind)
	d := m.addDen(storetest.RoomName(m.t, name), kind, by)
	d.seats[by] = seat{kaban.RoomRoleOp, 1}
}

// open opens a direct room.
func (m *model) open(by string, others ...string) {
	var with []kaban.Username
	for _, name := range others {
		with = append(with, storetest.Username(m.t, name))
	}
	name, err := m.user(by).Direct(m.t.Context(), with)
	if err != nil {
		m.rt.Fatal(err)
	}
	d := m.addDen(name, kaban.RoomDirect, by)
	for _, name := range append(others, by) {
		d.seats[name] = seat{kaban.RoomRoleMember, 1}
	}
}

func (m *model) addDen(name kaban.RoomName, kind kaban.RoomKind, by string) *den {
	d := &den{name: name, seats: map[string]seat{}, banned: map[string]bool{}, muted: map[string]bool{}, texts: texts{}, oldest: 1}
	d.Kind = kind
	content, err := people.EncodeChange(people.RoomChange{Change: people.ChangeCreated, Kind: kind})
	if err != nil {
		m.rt.Fatal(err)
	}
	d.add(kaban.KindRoom, by, 0, content)
	m.dens = append(m.dens, d)
	return d
}

// as returns somebody as a user.
func (m *model) as(name string) User {
	switch name {
	case "":
		return m.chat.As(kaban.Identity{}, netip.Addr{})
	case visitor:
		return m.visitor(name, netip.Addr{})
	}
	return m.user(name)
}

func (m *model) pick(what string, among ...string) string {
	return rapid.SampledFrom(among).Draw(m.rt, what)
}

func (m *model) pickDen() *den { return m.dens[rapid.IntRange(0, len(m.dens)-1).Draw(m.rt, "room")] }

// someone picks an op of a room, a member, or anybody.
func (m *model) someone(what string, d *den) string {
	var ops, members []string
	for _, name := range slices.Sorted(maps.Keys(d.seats)) {
		if members = append(members, name); d.seats[name].role == kaban.RoomRoleOp {
			ops = append(ops, name)
		}
	}
	switch n := rapid.IntRange(0, 5).Draw(m.rt, "which"); {
	case n < 2 && len(ops) > 0:
		return m.pick(what, ops...)
	case n < 5 && len(members) > 0:
		return m.pick(what, members...)
	}
	return m.pick(what, append([]string{"robo", visitor}, everyone[:7]...)...)
}

// pickDevice returns a reader that is there, or nil.
func (m *model) pickDevice() *device {
	var there []*device
	for _, d := range m.devices {
		if d.s != nil {
			there = append(there, d)
		}
	}
	if len(there) == 0 {
		return nil
	}
	return there[rapid.IntRange(0, len(there)-1).Draw(m.rt, "device")]
}

// isHere reports whether the visitor is in a room.
func (m *model) isHere(d *den) bool {
	return slices.ContainsFunc(m.devices, func(r *device) bool {
		return r.den == d && r.name == visitor && r.s != nil && !r.watches && r.ended == ""
	})
}

// expel has the readers of somebody in a room leave.
func (m *model) expel(name string, d *den, why string) {
	for _, r := range m.devices {
		if r.den == d && r.name == name && r.s != nil && r.ended == "" {
			r.ended = why
			m.counts[why]++
		}
	}
}

// settle has everybody leave that may not read a room any more.
func (m *model) settle() {
	for _, r := range m.devices {
		if r.s != nil && access.Can(access.Read, m.facts(r.name, r.den, !r.watches)) != access.Allowed {
			m.expel(r.name, r.den, reasonGone)
		}
	}
}

// act carries out an act, over a device if there is one.
func (m *model) act(by string, d *den, over *device, a Act) {
	here := m.isHere(d)
	allowed := m.verdict(by, d, &a, over != nil, here)
	a.Room, a.ID = d.name, m.id()
	m.rt.Logf("%q: %v of %q in %s, role %v, topic %q, change %+v: allowed %t", by, a.Action, a.Subject, d.name, a.Role, a.Topic, a.Change, allowed)
	var s *Subscription
	if over != nil {
		s = over.s
	}
	u := m.as(by)
	send, err := u.Act(s, 0, a)
	if err != nil {
		m.rt.Fatal(err)
	}
	if allowed {
		kind, content, err := body(&a)
		if err != nil {
			m.rt.Fatal(err)
		}
		d.add(kind, by, 0, content)
		m.apply(d, &a)
		switch {
		case a.Action != 0:
			m.counts[fmt.Sprint(a.Action)]++
		case a.Change.Kind != 0:
			m.counts["make private"]++
		default:
			m.counts["set"]++
		}
		switch {
		case a.Subject.IsZero():
		case a.Action == access.Kick:
			m.expel(a.Subject.String(), d, people.ChangeKicked)
		case a.Action == access.Ban:
			m.expel(a.Subject.String(), d, people.ChangeBanned)
		}
		m.settle()
	}
	if over != nil {
		m.submit(over, send, allowed)
		return
	}
	if _, err = u.Commit(m.t.Context(), send); (err == nil) != allowed {
		m.rt.Fatalf("%q: %v of %q in %s: %v, allowed %t", by, a.Action, a.Subject, d.name, err, allowed)
	}
}

// anyhow returns a device of somebody by which something may be done in a room, or nil.
func (m *model) anyhow(name string, d *den) *device {
	for _, r := range m.devices {
		if r.den == d && r.name == name && r.s != nil && !r.watches && r.ended == "" && rapid.Bool().Draw(m.rt, "over it") {
			return r
		}
	}
	return nil
}

func (m *model) moderate() {
	d := m.pickDen()
	by, whom := m.someone("by", d), m.pick("whom", everyone[:7]...)
	if r := m.pickDevice(); r != nil && r.name != "" && rapid.Bool().Draw(m.rt, "a reader") {
		d, whom = r.den, r.name
		by = m.someone("by", d)
	}
	a := m.to(whom, rapid.SampledFrom([]access.Action{
		access.Invite, access.Invite, access.Invite, access.Kick, access.Ban, access.Unban, access.Unban, access.Mute, access.Unmute, access.SetRoomRole,
	}).Draw(m.rt, "action"))
	if a.Action == access.SetRoomRole {
		a.Role = rapid.SampledFrom([]kaban.RoomRole{kaban.RoomRoleMember, kaban.RoomRoleSpeaker, kaban.RoomRoleOp}).Draw(m.rt, "role")
	}
	m.act(by, d, m.anyhow(by, d), a)
}

func (m *model) setTopic() {
	d := m.pickDen()
	by := m.someone("by", d)
	m.act(by, d, m.anyhow(by, d), Act{Action: access.SetTopic, Topic: m.pick("topic", "", "bread", "wine")})
}

// set changes one thing of a room, or several.
func (m *model) set() {
	d := m.pickDen()
	by := m.someone("by", d)
	var c people.RoomChange
	bits := rapid.SampledFrom([]int{1, 1, 2, 2, 3, 4, 4, 7, 8, 8}).Draw(m.rt, "of what")
	if bits&1 != 0 {
		flags := rapid.SampledFrom([]kaban.RoomFlags{0, 0, kaban.FlagAnnounce, kaban.FlagLocked, kaban.FlagAnnounce | kaban.FlagLocked}).Draw(m.rt, "flags").Texts()
		c.Flags = &flags
	}
	if bits&2 != 0 {
		c.History = rapid.SampledFrom([]people.History{people.HistoryAll, people.HistoryJoined}).Draw(m.rt, "history")
	}
	if bits&4 != 0 {
		archived := rapid.IntRange(0, 3).Draw(m.rt, "archived") == 0
		c.Archived = &archived
	}
	if bits&8 != 0 {
		c.Kind = kaban.RoomPrivate
	}
	m.act(by, d, m.anyhow(by, d), Act{Change: c})
}

// part has somebody leave a room for good, or hide it.
func (m *model) part() {
	by, d := m.pick("by", everyone[:7]...), m.pickDen()
	_, in := d.seats[by]
	allowed := by != visitor && in && access.Can(access.Part, m.facts(by, d, false)) == access.Allowed
	m.rt.Logf("%q parts %s: allowed %t", by, d.name, allowed)
	if err := m.as(by).Part(m.t.Context(), d.name); (err == nil) != allowed {
		m.rt.Fatalf("%q parts %s: %v, allowed %t", by, d.name, err, allowed)
	}
	if !allowed {
		return
	}
	m.counts["part"]++
	if d.Kind == kaban.RoomPrivate {
		content, err := people.EncodeChange(people.MemberChange{Subject: by, Change: people.ChangeLeft})
		if err != nil {
			m.rt.Fatal(err)
		}
		d.add(kaban.KindMember, by, 0, content)
	}
	if d.Kind != kaban.RoomDirect {
		delete(d.seats, by)
	}
	m.expel(by, d, reasonGone)
}

// promote gives an account another role on the server, or suspends it, or neither.
func (m *model) promote() {
	name := m.pick("whom", "", "", "", "bob", "cat", "gus", "robo")
	if name == "" {
		return
	}
	p := m.people[name]
	p.role, p.suspended = rapid.SampledFrom([]kaban.Role{kaban.RoleGuest, kaban.RoleMember, kaban.RoleMember}).Draw(m.rt, "role"), rapid.IntRange(0, 4).Draw(m.rt, "suspended") == 0
	m.rt.Logf("%s is %s, suspended %t", name, p.role, p.suspended)
	err := m.store.Update(m.t.Context(), func(tx store.Tx) error {
		a, err := people.Accounts.Get(tx, "id-"+name)
		if err != nil {
			return err
		}
		if a.Role, a.Status = p.role, people.StatusActive; p.suspended {
			a.Status = people.StatusSuspended
		}
		return people.Accounts.Put(tx, &a)
	})
	if err != nil {
		m.rt.Fatal(err)
	}
	m.chat.AccountChanged("id-" + name)
	m.counts["promote"]++
}

// admit changes whether the server takes visitors.
func (m *model) admit() {
	m.admission = rapid.SampledFrom([]access.Admission{access.InviteOnly, access.Open, access.Open, access.Open}).Draw(m.rt, "admission")
	err := m.store.Update(m.t.Context(), func(tx store.Tx) error {
		return people.Settings.Put(tx, &people.Setting{Key: people.SettingAccess, Value: m.admission.String()})
	})
	if err != nil {
		m.rt.Fatal(err)
	}
	m.chat.SettingChanged(people.SettingAccess)
}

// cutLog takes entries from the front of a log, as retention does.
func (m *model) cutLog() {
	d := m.pickDen()
	most := rapid.SampledFrom([]int{0, 0, 0, 0, 1, 2, 5}).Draw(m.rt, "most")
	if most == 0 {
		return
	}
	n, err := m.chat.dispatcher.Cut(m.t.Context(), d.name, store.Age{Before: math.MaxInt64, Now: math.MaxInt64}, most)
	if want := min(most, len(d.log)+1-int(d.oldest)); err != nil || n != want {
		m.rt.Fatalf("%d entries are cut from %s: %v, want %d", n, d.name, err, want)
	}
	m.rt.Logf("%d entries are cut from %s", n, d.name)
	for range n {
		delete(d.texts, d.oldest)
		d.oldest++
	}
	m.counts["cut"] += n
}

// enter has somebody join or watch a room: as a new reader, or as one that comes back.
func (m *model) enter() {
	var away []*device
	for _, r := range m.devices {
		if r.s == nil {
			away = append(away, r)
		}
	}
	if len(away) > 0 && rapid.IntRange(0, 2).Draw(m.rt, "again") > 0 {
		r := away[rapid.IntRange(0, len(away)-1).Draw(m.rt, "device")]
		m.subscribe(r, Start{After: r.next - 1, Resume: true, Epoch: m.chat.Epoch()})
		return
	}
	r := &device{den: m.pickDen(), waker: make(bell, 1)}
	if r.name = m.someone("who", r.den); rapid.IntRange(0, 7).Draw(m.rt, "nobody") == 0 {
		r.name = ""
	}
	r.watches = r.name == "" || rapid.IntRange(0, 3).Draw(m.rt, "watches") == 0
	start := Start{}
	if rapid.Bool().Draw(m.rt, "from before") {
		start = Start{After: rapid.Uint64Range(0, r.den.head()).Draw(m.rt, "after"), Resume: true}
	}
	if m.subscribe(r, start); r.s != nil {
		m.devices = append(m.devices, r)
	}
}

// subscribe has a reader join or watch its room. Where it cannot go on it begins anew when
// it comes back.
func (m *model) subscribe(r *device, start Start) {
	d, u, ctx := r.den, m.as(r.name), m.t.Context()
	what, action := "joins", access.Join
	if r.watches {
		what, action = "watches", access.Read
	}
	allowed := access.Can(action, m.facts(r.name, d, false)) == access.Allowed
	m.rt.Logf("%q %s %s with %+v: allowed %t", r.name, what, d.name, start, allowed)
	var s *Subscription
	var joined Joined
	var err error
	if r.watches {
		s, joined, err = u.Watch(ctx, r.waker, loud{}, d.name, start)
	} else {
		var place Place
		if place, err = u.Find(ctx, d.name, start); err == nil {
			s, joined, err = u.Join(r.waker, u, loud{}, place)
		}
	}
	if _, in := d.seats[r.name]; allowed && !r.watches && m.people[r.name] != nil && !in {
		d.seats[r.name] = seat{kaban.RoomRoleMember, 1}
	}
	from := m.from(r.name, d)
	kept := !start.Resume || start.After+1 >= max(from, d.oldest)
	var resync *ResyncError
	switch {
	case !allowed && err != nil && !errors.As(err, &resync):
		return
	case allowed && !kept && errors.As(err, &resync):
		r.next = d.head() + 1 // it begins anew
		r.texts, r.view = texts{}, d.seen()
		m.counts["resync"]++
		return
	case !allowed || !kept || err != nil || joined.Head != d.head():
		m.rt.Fatalf("%q %s %s, from %d, with %+v: %v, at %d; allowed %t, kept %t", r.name, what, d.name, from, start, err, joined.Head, allowed, kept)
	}
	m.counts[what]++
	again := r.texts != nil
	r.s, r.from, r.ended, r.partial = s, from, "", nil
	if again {
		return
	}
	if r.texts = (texts{}); start.Resume {
		r.next, r.view = start.After+1, m.viewAt(d, start.After)
		return
	}
	r.next, r.view = d.head()+1, d.seen()
	page, err := u.History(ctx, d.name, Query{Limit: rapid.SampledFrom([]int{1, 5, 500}).Draw(m.rt, "limit")})
	if err != nil {
		m.rt.Fatal(err)
	}
	for i := range page.Entries {
		if e := &page.Entries[i]; e.Kind == kaban.KindMessage {
			r.texts[e.Seq] = folded(e, page.AsOf)
		}
	}
}

// viewAt returns what a log says of a room up to a seq.
func (m *model) viewAt(d *den, seq uint64) (v view) {
	for i := range d.log[:seq] {
		if err := v.take(&d.log[i]); err != nil {
			m.rt.Fatal(err)
		}
	}
	return v
}

// leave cuts a reader.
func (m *model) leave() {
	if r := m.pickDevice(); r != nil {
		m.cut(r)
	}
}

func (m *model) cut(r *device) {
	m.as(r.name).Leave(r.s, false)
	r.s, r.partial, r.ended = nil, nil, ""
	m.counts["leave"]++
}

// read has a reader read everything, or a few bytes.
func (m *model) read() {
	r := m.pickDevice()
	if r == nil {
		return
	}
	if rapid.Bool().Draw(m.rt, "all") {
		m.readAll(r)
		return
	}
	most := rapid.SampledFrom([]int{1, 60, 150, 1000}).Draw(m.rt, "bytes")
	for some := true; some && r.s != nil && most > 0; {
		before := r.next
		if _, some = m.take(r, most); r.next != before || len(r.partial) > 0 {
			break
		}
	}
	if r.s != nil {
		r.s.Rest()
		r.s.Rise()
	}
}

// readAll has a reader read until there is no more, and wants it to be at the head, or gone.
func (m *model) readAll(r *device) {
	ended := r.ended
	for some := true; some && r.s != nil; {
		if receipt, more := m.take(r, 1<<20); receipt != nil {
			m.rt.Fatalf("%q has a receipt of nothing: %+v", r.name, receipt)
		} else {
			some = more
		}
	}
	switch {
	case ended != "" && r.s != nil:
		m.rt.Fatalf("%q stays in %s, want it to leave: %s", r.name, r.den.name, ended)
	case r.s == nil:
		return
	case r.next != r.den.head()+1:
		m.rt.Fatalf("%q has read all of %s before %d, the head is %d", r.name, r.den.name, r.next, r.den.head())
	}
	m.compare(r)
}

// take has a reader take what comes next, up to some bytes of frames. It returns a receipt, if that
// is what came, and false if nothing came.
func (m *model) take(r *device, most int) (receipt *Receipt, some bool) {
	segment := r.s.Next()
	switch {
	default:
		return nil, false
	case segment.Behind:
		m.fetch(r)
	case segment.Receipt != nil:
		return segment.Receipt, true
	case segment.Expelled != nil:
		if got := segment.Expelled.Reason; got != r.ended || len(r.partial) > 0 {
			m.rt.Fatalf("%q has to leave %s: %s, want %q, in the middle of %q", r.name, r.den.name, got, r.ended, r.partial)
		}
		m.cut(r)
	case segment.Frames != nil:
		n, begun := min(most, len(segment.Frames)), len(r.partial) > 0
		r.partial = append(r.partial, segment.Frames[:n]...)
		if rest := r.s.Advance(&segment, n); rest != 0 {
			m.rt.Fatalf("%d bytes are left over", rest)
		}
		m.consume(r, begun)
	}
	return nil, true
}

func (m *model) fetch(r *device) {
	err := r.s.Fetch(m.t.Context())
	var resync *ResyncError
	switch {
	case err == nil:
	case errors.Is(err, ErrChanged):
		m.counts["changed"]++
		m.cut(r)
	case errors.As(err, &resync) && r.next < r.den.oldest && resync.Damaged == nil:
		r.next, r.partial, r.resynced = resync.Head+1, nil, true
		r.texts, r.view = texts{}, r.den.seen()
		m.counts["resync"]++
	default:
		m.rt.Fatalf("%q reads %d of %s, kept from %d on: %v", r.name, r.next, r.den.name, r.den.oldest, err)
	}
}

// consume checks the whole entries that a reader was given. begun is set if a part of the first
// was given before: that one is given to the end, whatever happens.
func (m *model) consume(r *device, begun bool) {
	for len(r.partial) > 0 {
		if r.ended != "" && !begun {
			m.rt.Fatalf("%q, which has to leave %s (%s), is given %q", r.name, r.den.name, r.ended, r.partial)
		}
		i := slices.Index(r.partial, '\n')
		if i < 0 {
			return
		}
		var e shown
		if err := json.Unmarshal(r.partial[:i], &e); err != nil {
			m.rt.Fatalf("%q: %v", r.partial[:i], err)
		}
		r.partial, begun = r.partial[i+1:], false
		m.checkEntry(r, &e)
	}
}

// checkEntry compares an entry that a reader was given with the log.
func (m *model) checkEntry(r *device, e *shown) {
	d := r.den
	if e.Seq != r.next || e.Room != d.name.String() || e.Seq > d.head() || e.Seq < r.from {
		m.rt.Fatalf("%q, from %d, in %s, is given %+v, want %d of %d", r.name, r.from, d.name, e, r.next, d.head())
	}
	kept, want := &d.log[e.Seq-1], d.log[e.Seq-1]
	switch {
	case kept.Kind.IsChange() && kept.Target < r.from:
		want = shown{Room: kept.Room, Seq: kept.Seq}
		m.counts["void"]++
	case e.Kind == kaban.KindMessage && e.Deleted:
		want.Deleted, want.Edited, want.Content = m.isDeleted(d, e.Seq), e.Edited, ""
	case e.Kind == kaban.KindMessage && e.Edited > 0:
		version := &d.log[min(e.Edited, d.head())-1]
		if want.Edited, want.Content = e.Edited, version.Content; version.Kind != kaban.KindEdit || version.Target != e.Seq {
			m.rt.Fatalf("%q is given %+v, edited by %+v", r.name, e, version)
		}
	case e.Kind == kaban.KindEdit && e.Content == "":
		if t := d.texts[kept.Target]; t != nil && !t.Deleted && t.Edited == e.Seq {
			m.rt.Fatalf("%q is given no text of %+v", r.name, kept)
		}
		want.Content = ""
	}
	if *e != want {
		m.rt.Fatalf("%q, from %d, is given %+v, want %+v", r.name, r.from, e, want)
	}
	m.note(r, e)
}

func (m *model) isDeleted(d *den, seq uint64) bool {
	return slices.ContainsFunc(d.log, func(e shown) bool { return e.Kind == kaban.KindDelete && e.Target == seq })
}

// note has a reader fold an entry in.
func (m *model) note(r *device, e *shown) {
	r.next++
	r.texts.take(e)
	if err := r.view.take(e); err != nil {
		m.rt.Fatal(err)
	}
	m.counts["entries"]++
}

// compare compares what a reader at the head knows with the model.
func (m *model) compare(r *device) {
	d := r.den
	for seq, t := range r.texts {
		if want := d.texts[seq]; want != nil && !t.equals(want) {
			m.rt.Fatalf("%q knows message %d of %s as %+v, want %+v", r.name, seq, d.name, t, want)
		}
	}
	want := d.seen()
	if r.view.People == nil {
		want.People = nil
	}
	if got := fmt.Sprintf("%+v", r.view); got != fmt.Sprintf("%+v", want) {
		m.rt.Fatalf("%q knows %s as %s, want %+v", r.name, d.name, got, want)
	}
	m.counts["compared"]++
}

// submit submits a send over a device, and compares its receipt. What is stored is in the
// model's log already.
func (m *model) submit(r *device, send Send, stored bool) {
	ended := r.ended
	r.resynced = false
	m.chat.Submit([]Send{send})
	for {
		receipt, some := m.take(r, 1<<20)
		switch {
		case r.s == nil: // an entry has changed in the middle, and the receipt is lost
			return
		case receipt == nil && some:
			continue
		case receipt == nil:
			if r.s.Outstanding() == 0 {
				m.rt.Fatalf("%q has no receipt", r.name)
			}
			<-r.waker // it is not committed yet
			continue
		case (receipt.Err == nil) != stored:
			m.rt.Fatalf("%q in %s: %+v: %v, want it stored %t", r.name, r.den.name, send.Draft, receipt.Err, stored)
		case receipt.Err == nil && !receipt.Duplicate && r.resynced && receipt.Seq < r.next: // it began anew behind it
		case receipt.Err == nil && !receipt.Duplicate && ended == "":
			if receipt.Seq != r.next || receipt.Seq != r.den.head() {
				m.rt.Fatalf("%q in %s: the receipt of %d comes as %d", r.name, r.den.name, r.den.head(), receipt.Seq)
			}
			m.note(r, &r.den.log[receipt.Seq-1])
		}
		return
	}
}

// say has somebody say something, or answer a message, as a member or by a post.
func (m *model) say() {
	if r := m.pickDevice(); r != nil && !r.watches && rapid.IntRange(0, 2).Draw(m.rt, "over it") > 0 {
		content, target, fits := m.drawMessage(r.den, r.from)
		allowed := fits && r.ended == "" && access.Can(access.Send, m.facts(r.name, r.den, true)) == access.Allowed
		m.rt.Logf("%q says %q in %s: allowed %t", r.name, content, r.den.name, allowed)
		message, err := kaban.NewMessage(m.as(r.name).Identity().Name(), content, 100)
		if err != nil {
			m.rt.Fatal(err)
		}
		send, err := m.as(r.name).Draft(r.s, 0, m.id(), message, target)
		if err != nil {
			m.rt.Fatal(err)
		}
		if allowed {
			r.den.add(kaban.KindMessage, r.name, target, content)
			m.counts["send"]++
		}
		m.submit(r, send, allowed)
		return
	}
	d := m.pickDen()
	by := m.someone("by", d)
	content, target, fits := m.drawMessage(d, m.from(by, d))
	m.post(by, d, content, target, fits)
}

// post has somebody say something without a device. fits says whether it may answer the target.
func (m *model) post(by string, d *den, content string, target uint64, fits bool) {
	allowed := fits && access.Can(access.Post, m.facts(by, d, false)) == access.Allowed
	m.rt.Logf("%q posts %q in %s: allowed %t", by, content, d.name, allowed)
	if _, _, err := m.as(by).Post(m.t.Context(), d.name, m.id(), content, target); (err == nil) != allowed {
		m.rt.Fatalf("%q posts to %s: %v, allowed %t", by, d.name, err, allowed)
	}
	if allowed {
		d.add(kaban.KindMessage, by, target, content)
		m.counts["post"]++
	}
}

// drawMessage draws a message, and reports whether what it answers, if anything, can be
// answered by somebody who sees entries from one on.
func (m *model) drawMessage(d *den, from uint64) (content string, target uint64, fits bool) {
	content = fmt.Sprint("text ", m.ids)
	if rapid.IntRange(0, 2).Draw(m.rt, "answer") > 0 {
		return content, 0, true
	}
	target = rapid.Uint64Range(1, d.head()).Draw(m.rt, "target")
	t := d.target(target, from)
	return content, target, t != nil && !t.Deleted
}

// change has somebody change a message.
func (m *model) change() {
	d := m.pickDen()
	by := m.someone("by", d)
	over := m.anyhow(by, d)
	from := m.from(by, d)
	c := Change{
		Kind:   rapid.SampledFrom([]kaban.Kind{kaban.KindEdit, kaban.KindEdit, kaban.KindReact, kaban.KindReact, kaban.KindPin, kaban.KindDelete}).Draw(m.rt, "kind"),
		Target: m.pickTarget(d),
	}
	f := m.facts(by, d, over != nil)
	t := d.target(c.Target, from)
	f.Target.Author = t != nil && t.By == by
	allowed := t != nil && !t.Deleted
	known, body := false, ""
	action := access.Edit
	switch c.Kind {
	case kaban.KindEdit:
		c.Content = fmt.Sprint("edited ", m.ids)
		if rapid.Bool().Draw(m.rt, "based") {
			c.Base = rapid.Uint64Range(1, d.head()).Draw(m.rt, "base")
			allowed = allowed && c.Base == max(t.Edited, c.Target)
		}
		body = c.Content
	case kaban.KindDelete:
		c.Reason = m.pick("reason", "", "because")
		action, body = access.Delete, c.Reason
	case kaban.KindReact:
		c.Emoji, c.On = m.pick("emoji", "👍", "🎉"), rapid.IntRange(0, 2).Draw(m.rt, "on") > 0
		action, body = access.React, kaban.Switch(c.On, c.Emoji)
		known = t != nil && t.Reactions[c.Emoji+" "+by] == c.On
	default:
		c.On = rapid.Bool().Draw(m.rt, "on")
		action, body = access.Pin, kaban.Switch(c.On, "")
		known = t != nil && t.Pinned == c.On
	}
	allowed = allowed && access.Can(action, f) == access.Allowed
	m.rt.Logf("%q changes %s: %+v: allowed %t", by, d.name, c, allowed)
	id := m.id()
	if allowed && !known {
		d.add(c.Kind, by, c.Target, body)
		m.counts[fmt.Sprint(action)]++
	}
	if over == nil {
		if receipt, _, err := m.as(by).Change(m.t.Context(), d.name, id, c); (err == nil) != allowed || allowed && receipt.Duplicate != known {
			m.rt.Fatalf("%q changes %s: %+v: %v, duplicate %t; allowed %t, known %t", by, d.name, c, err, receipt.Duplicate, allowed, known)
		}
		return
	}
	send, err := m.as(by).DraftChange(over.s, 0, d.name, id, c)
	if err != nil {
		m.rt.Fatal(err)
	}
	m.submit(over, send, allowed)
}

// pickTarget returns any entry, or more likely a message.
func (m *model) pickTarget(d *den) uint64 {
	if seqs := slices.Sorted(maps.Keys(d.texts)); len(seqs) > 0 && rapid.IntRange(0, 4).Draw(m.rt, "a message") > 0 {
		return rapid.SampledFrom(seqs).Draw(m.rt, "target")
	}
	return rapid.Uint64Range(1, d.head()).Draw(m.rt, "target")
}

// page reads a page of a room.
func (m *model) page() {
	by, d := m.pick("by", everyone...), m.pickDen()
	q := Query{Limit: rapid.SampledFrom([]int{1, 3, 500}).Draw(m.rt, "limit")}
	if q.HasAfter = rapid.Bool().Draw(m.rt, "forward"); q.HasAfter {
		q.After = rapid.Uint64Range(0, d.head()).Draw(m.rt, "after")
	}
	if q.HasBefore = rapid.Bool().Draw(m.rt, "bounded"); q.HasBefore {
		q.Before = rapid.Uint64Range(1, d.head()+1).Draw(m.rt, "before")
	}
	allowed := access.Can(access.Read, m.facts(by, d, false)) == access.Allowed
	page, err := m.as(by).History(m.t.Context(), d.name, q)
	if (err == nil) != allowed {
		m.rt.Fatalf("%q reads a page of %s: %v, allowed %t", by, d.name, err, allowed)
	}
	if !allowed {
		return
	}
	first, last := max(m.from(by, d), d.oldest, q.After+1), d.head()
	if q.HasBefore {
		last = min(last, q.Before-1)
	}
	var want []uint64
	for seq := first; seq <= last; seq++ {
		if !d.log[seq-1].Kind.IsChange() {
			want = append(want, seq)
		}
	}
	more := len(want) > q.Limit
	if more && q.HasAfter {
		want = want[:q.Limit]
	} else if more {
		want = want[len(want)-q.Limit:]
	}
	var got []uint64
	for i := range page.Entries {
		e := &page.Entries[i]
		got = append(got, e.Seq)
		kept := &d.log[e.Seq-1]
		if e.Kind != kaban.KindMessage && show(d.name.String(), e) != *kept {
			m.rt.Fatalf("%q reads %+v in a page, want %+v", by, e, kept)
		}
		if e.Kind == kaban.KindMessage && !folded(e, 0).equals(d.texts[e.Seq]) {
			m.rt.Fatalf("%q reads %+v in a page, want %+v", by, folded(e, 0), d.texts[e.Seq])
		}
	}
	if !slices.Equal(got, want) || page.AsOf != d.head() {
		m.rt.Fatalf("%q, from %d, reads %v of %s as of %d with %+v, want %v as of %d", by, m.from(by, d), got, d.name, page.AsOf, q, want, d.head())
	}
	m.counts["page"]++
}

// look asks who is in a room, and as an account for its state. An account may have hidden a
// direct room.
func (m *model) look() {
	by, d := m.pick("by", everyone...), m.pickDen()
	f := m.facts(by, d, false)
	allowed := access.Can(access.Read, f) == access.Allowed
	page, err := m.as(by).Members(m.t.Context(), d.name, "", 0)
	here := ""
	if m.isHere(d) {
		here = visitor
	}
	if (err == nil) != allowed || allowed && !slices.Equal(page.Usernames, d.usernames(here)) {
		m.rt.Fatalf("%q sees %q in %s: %v, want %q, allowed %t", by, page.Usernames, d.name, err, d.usernames(here), allowed)
	}
	for _, p := range page.People {
		if s, in := d.seats[p.Username]; in && s.role != p.Role {
			m.rt.Fatalf("%q sees %s as %s of %s, want %s", by, p.Username, p.Role, d.name, s.role)
		}
	}
	s, in := d.seats[by]
	if !in || !allowed {
		return
	}
	state, in, err := m.as(by).State(m.t.Context(), d.name)
	got, want := view{state.Kind, state.Flags, state.History, state.Topic, nil}, d.view
	if want.History == "" {
		want.History = people.HistoryAll
	}
	if want.Kind != kaban.RoomPrivate {
		want.History = ""
	}
	if in = in || d.Kind == kaban.RoomDirect; err != nil || !in || fmt.Sprint(got) != fmt.Sprint(want) || state.Role != s.role || state.Head != d.head() {
		m.rt.Fatalf("%q sees %s as %+v: %v, in %t, want %+v, %s at %d", by, d.name, state, err, in, want, s.role, d.head())
	}
}

// finish has everybody read to the end.
func (m *model) finish() {
	for _, r := range m.devices {
		if r.s != nil {
			m.readAll(r)
		}
		if r.s != nil {
			m.cut(r)
		}
	}
}
