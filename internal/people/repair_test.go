package people

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"kaban"
	"kaban/internal/store"
)

// furnished returns documents of five accounts, two rooms with members, and what belongs to them.
func furnished(t *testing.T) documents {
	t.Helper()
	tx := documents{}
	for i, name := range []string{"alice", "Bob10", "carol", "dave", "eve"} {
		id := fmt.Sprint("id", i)
		role := kaban.RoleMember
		if i == 1 {
			role = kaban.RoleOwner
		}
		must(t, Accounts.Put(tx, &Account{ID: id, Username: name, Role: role, Status: StatusActive}))
		must(t, Credentials.Put(tx, &Credential{Kind: CredentialPassword, ID: id, Account: id}))
		must(t, Secrets.Put(tx, &Secret{Hash: "hash" + id, ID: "secret" + id, Account: id, Kind: SecretDevice}))
	}
	must(t, Accounts.Put(tx, &Account{ID: "bot", Username: "helper", Role: kaban.RoleMember, Status: StatusActive, Bot: true, Owner: "id1"}))
	for _, name := range []string{"ops", "secret"} {
		r := Room{Key: name, Name: name, Kind: kaban.RoomPrivate}
		for i := range 5 {
			role := kaban.RoomRoleMember
			if i == 2 {
				role = kaban.RoomRoleOp
			}
			must(t, Enter(tx, "epoch", &r, &Member{Room: name, Account: fmt.Sprint("id", i), Role: role}))
		}
	}
	direct := Room{Key: "direct", Name: "direct", Kind: kaban.RoomDirect, People: []string{"id0", "id1"}}
	must(t, Enter(tx, "epoch", &direct, &Member{Room: "direct", Account: "id0"}))
	must(t, Enter(tx, "epoch", &direct, &Member{Room: "direct", Account: "id1"}))
	must(t, Blocks.Put(tx, &Block{Account: "id0", Blocked: "id4"}))
	if faults, err := Faults(tx); err != nil || len(faults) > 0 {
		t.Fatalf("nothing is missing, and there are faults: %v, %v", faults, err)
	}
	return tx
}

// wrote returns what the log of the lobby says after accounts have written there.
func wrote(t *testing.T, authors ...kaban.Identity) *Logged {
	t.Helper()
	logs := NewLogged()
	for i, by := range authors {
		note(t, logs, "lobby", uint64(i)+1, by, kaban.KindMessage, "text")
	}
	return logs
}

// note adds an entry to what logs say. Its time is its number.
func note(t *testing.T, logs *Logged, room string, seq uint64, by kaban.Identity, kind kaban.Kind, body string) {
	t.Helper()
	name, err := kaban.ParseAnyRoom(room)
	must(t, err)
	logs.Note(&store.Record{Draft: kaban.Draft{Author: by, Room: name, Kind: kind, Body: body}, Seq: seq, Time: int64(seq)})
}

// noteChange adds a change of a room to what logs say.
func noteChange(t *testing.T, logs *Logged, room string, seq uint64, change RoomChange) {
	t.Helper()
	body, err := EncodeChange(change)
	must(t, err)
	note(t, logs, room, seq, kaban.Account("id0", username(t, "alice")), kaban.KindRoom, body)
}

// Whatever document is missing, a survey says so, the lists of people work, and nothing refers to it any more once that
// is made good.
func TestRepairOfEachMissingDocument(t *testing.T) {
	whole := furnished(t)
	for key := range whole {
		t.Run(key, func(t *testing.T) {
			tx := furnished(t)
			delete(tx, key)
			found, _, err := Accounts.InOrder(tx, "", 100)
			if want := 6; err != nil || len(found) < want-1 {
				t.Errorf("%d accounts in order, %v", len(found), err)
			}
			faults, err := Faults(tx)
			if err != nil || len(faults) == 0 && key != "block/id0/id4" {
				t.Errorf("faults without %s: %v, %v", key, faults, err)
			}
			if _, err := Repair(tx, wrote(t, kaban.Account("id1", username(t, "Bob10"))), 5); err != nil {
				t.Fatal(err)
			}
			if faults, err := Faults(tx); err != nil || len(faults) > 0 {
				t.Errorf("after the repair: %v, %v", faults, err)
			}
			for _, name := range []string{"ops", "secret"} {
				r, err := Rooms.Get(tx, name)
				n := 0
				must(t, Members.All(tx, name, func(*Member) bool { n++; return true }))
				if err != nil || r.Members != n || r.Kind != kaban.RoomPrivate {
					t.Errorf("the room %+v has %d members, %v", r, n, err)
				}
			}
		})
	}
}

// An account that is lost comes back with the name by which it wrote, and with its role, password and memberships.
func TestRepairMakesAccountsAnew(t *testing.T) {
	tx := furnished(t)
	delete(tx, "account/id1")
	delete(tx, "account/bot")
	delete(tx, "account/id4") // with its name: too little is left
	delete(tx, store.Key("account.name", "eve"))
	delete(tx, "account/id3") // with its role
	delete(tx, store.Key("account.role", "member", "active", "id3"))
	delete(tx, "room/ops")
	done, err := Repair(tx, wrote(t, kaban.Account("id1", username(t, "Bob10")), kaban.Bot("bot", username(t, "other"))), 5)
	if err != nil || !slices.Equal(done.Accounts, []string{"Bob10", "helper"}) || !slices.Equal(done.Suspended, []string{"dave"}) || !slices.Equal(done.Lost, []string{"id4"}) || !slices.Equal(done.Rooms, []string{"ops"}) || done.Left == 0 {
		t.Errorf("%+v, %v", done, err)
	}
	a, err := Accounts.Named(tx, username(t, "bob10"))
	if err != nil || a.ID != "id1" || a.Role != kaban.RoleOwner || a.Status != StatusActive || a.Created != 5 {
		t.Errorf("the owner is %+v, %v", a, err)
	}
	if b, err := Accounts.Named(tx, username(t, "helper")); err != nil || !b.Bot || b.Owner != "id1" {
		t.Errorf("the bot is %+v, %v", b, err)
	}
	if found, _, err := Credentials.Of(tx, "id1", CredentialPassword, 2); err != nil || len(found) != 1 {
		t.Errorf("%d passwords, %v", len(found), err)
	}
	if d, err := Accounts.Named(tx, username(t, "dave")); err != nil || d.Status != StatusSuspended || d.Role != kaban.RoleGuest {
		t.Errorf("an account of unknown role is %+v, %v", d, err)
	}
	for key := range tx {
		if slices.Contains(store.KeyParts(key), "id4") {
			t.Errorf("%s is left of an account that is lost", key)
		}
	}
	if r, err := Rooms.Get(tx, "ops"); err != nil || r.Kind != kaban.RoomPrivate || r.Members != 4 {
		t.Errorf("the room is %+v, %v", r, err)
	}
	if again, err := Repair(tx, NewLogged(), 6); err != nil || !again.IsZero() {
		t.Errorf("once more: %+v, %v", again, err)
	}
}

// A list goes on behind entries whose values are missing, also if they fill its page.
func TestListsPassOverMissingValues(t *testing.T) {
	tx := documents{}
	for i := range 8 {
		must(t, Accounts.Put(tx, &Account{ID: fmt.Sprint("id", i), Username: fmt.Sprintf("ann%d", i+2), Role: kaban.RoleMember, Status: StatusActive}))
	}
	for i := range 5 {
		delete(tx, fmt.Sprint("account/id", i))
	}
	found, more, err := Accounts.InOrder(tx, "", 2)
	if err != nil || !more || len(found) != 2 || found[0].ID != "id5" || found[1].ID != "id6" {
		t.Errorf("%+v, more %v, %v", found, more, err)
	}
	found, more, err = Accounts.InOrder(tx, username(t, found[1].Username).Key(), 2)
	if err != nil || more || len(found) != 1 || found[0].ID != "id7" {
		t.Errorf("then %+v, more %v, %v", found, more, err)
	}
}

// A room whose document is lost never becomes more open than it was: its log says what it is, and what is not known is
// the narrower thing.
func TestRepairOpensNoRoom(t *testing.T) {
	visitor := kaban.Visitor(username(t, "ann"))
	public := RoomChange{Change: ChangeCreated, Kind: kaban.RoomPublic}
	private := RoomChange{Change: ChangeSettings, Kind: kaban.RoomPrivate}
	const narrow = kaban.FlagAnnounce | kaban.FlagLocked
	for name, c := range map[string]struct {
		write func(logs *Logged)
		want  Room // none if the kind is 0
	}{
		"only messages of accounts": {
			func(logs *Logged) {
				note(t, logs, "deep", 1, kaban.Account("id0", username(t, "alice")), kaban.KindMessage, "x")
			},
			Room{Kind: kaban.RoomPrivate, Flags: narrow, History: HistoryJoined},
		},
		"cut":         {func(logs *Logged) { n, _ := kaban.ParseAnyRoom("deep"); logs.Front(n) }, Room{Kind: kaban.RoomPrivate, Flags: narrow, History: HistoryJoined}},
		"made public": {func(logs *Logged) { noteChange(t, logs, "deep", 1, public) }, Room{Kind: kaban.RoomPublic}},
		"made public, archived, then private": {func(logs *Logged) {
			archived, announce := true, []string{"announce"}
			noteChange(t, logs, "deep", 1, public)
			noteChange(t, logs, "deep", 2, RoomChange{Change: ChangeSettings, Archived: &archived})
			noteChange(t, logs, "deep", 3, RoomChange{Change: ChangeSettings, Flags: &announce, History: HistoryAll})
			noteChange(t, logs, "deep", 4, private)
		}, Room{Kind: kaban.RoomPrivate, Flags: kaban.FlagArchived | kaban.FlagAnnounce, History: HistoryAll}},
		"made public, and then a gap": {func(logs *Logged) {
			noteChange(t, logs, "deep", 1, public)
			note(t, logs, "deep", 3, kaban.Account("id0", username(t, "alice")), kaban.KindMessage, "x")
		}, Room{Kind: kaban.RoomPrivate, Flags: narrow, History: HistoryJoined}},
		"made public, and then an entry that was lost before": {func(logs *Logged) {
			noteChange(t, logs, "deep", 1, public)
			note(t, logs, "deep", 2, visitor, kaban.KindLost, "")
		}, Room{Kind: kaban.RoomPrivate, Flags: narrow, History: HistoryJoined}},
		"visitors wrote": {func(logs *Logged) { note(t, logs, "deep", 1, visitor, kaban.KindMessage, "x") }, Room{}},
		"visitors wrote, then it changed": {func(logs *Logged) {
			note(t, logs, "deep", 1, visitor, kaban.KindMessage, "x")
			noteChange(t, logs, "deep", 2, private)
		}, Room{Kind: kaban.RoomPrivate, Flags: narrow, History: HistoryJoined}},
		"the log is lost, too": {func(*Logged) {}, Room{}},
	} {
		t.Run(name, func(t *testing.T) {
			tx, logs := furnished(t), NewLogged()
			c.write(logs)
			done, err := Repair(tx, logs, 5)
			r, got := Rooms.Get(tx, "deep")
			if stored := got == nil; err != nil || stored != (c.want.Kind != 0) || r.Kind != c.want.Kind || r.Flags != c.want.Flags || r.History != c.want.History {
				t.Errorf("the room is %+v, %v, want %+v; %+v, %v", r, got, c.want, done, err)
			}
			if closed := slices.Equal(done.Closed, []string{"deep"}); closed != (c.want.Kind == kaban.RoomPrivate) || done.Access == done.IsZero() {
				t.Errorf("it reports %+v", done)
			}
		})
	}
}

// The lobby, which nobody creates, stays public, also where messages were lost. It is private if its log says so.
func TestRepairKeepsTheLobby(t *testing.T) {
	visitor := kaban.Visitor(username(t, "ann"))
	tx, logs := documents{}, NewLogged()
	note(t, logs, "lobby", 1, visitor, kaban.KindMessage, "x")
	note(t, logs, "lobby", 5, kaban.Account("id0", username(t, "alice")), kaban.KindMessage, "x")
	if done, err := Repair(tx, logs, 5); err != nil || !done.IsZero() || len(tx) > 0 {
		t.Errorf("%+v, %v; %q", done, err, tx)
	}
	noteChange(t, logs, "lobby", 6, RoomChange{Change: ChangeSettings, Kind: kaban.RoomPrivate})
	if done, err := Repair(tx, logs, 5); err != nil || !slices.Equal(done.Closed, []string{"lobby"}) {
		t.Errorf("%+v, %v", done, err)
	}
}

// A room is private if only entries of its members are left, and one that is there stays as it is.
func TestRepairTakesEntriesOfMembersForRooms(t *testing.T) {
	tx := furnished(t)
	for i := range 5 {
		delete(tx, store.Key("member", "ops", fmt.Sprint("id", i)))
		delete(tx, store.Key("member", "secret", fmt.Sprint("id", i)))
	}
	delete(tx, "room/ops")
	topic := Room{Key: "secret", Name: "secret", Kind: kaban.RoomPrivate, Topic: "ours", History: HistoryAll}
	must(t, Rooms.Put(tx, &topic))
	done, err := Repair(tx, NewLogged(), 5)
	if err != nil || !slices.Equal(done.Closed, []string{"ops"}) || !slices.Equal(done.Announce, []string{"ops"}) || len(done.Rooms)+len(done.Public) > 0 {
		t.Errorf("%+v, %v", done, err)
	}
	if r, err := Rooms.Get(tx, "ops"); err != nil || r.Kind != kaban.RoomPrivate || r.Members != 0 || r.History != HistoryJoined {
		t.Errorf("the room is %+v, %v", r, err)
	}
	if r, err := Rooms.Get(tx, "secret"); err != nil || r.Topic != "ours" || r.History != HistoryAll {
		t.Errorf("the other room is %+v, %v", r, err)
	}
}

// Where documents were lost, nobody comes in by a setting that may be among them.
func TestRepairClosesTheDoor(t *testing.T) {
	for set, want := range map[string]string{"": "closed", "open": "open", "signup": "signup"} {
		tx := furnished(t)
		if set != "" {
			must(t, Settings.Put(tx, &Setting{Key: SettingAccess, Value: set}))
		}
		delete(tx, "room/ops")
		done, err := Repair(tx, NewLogged(), 5)
		if s, got := Settings.Get(tx, SettingAccess); err != nil || got != nil || s.Value != want || done.Access != (set == "") {
			t.Errorf("after %q access is %+v, %v; %+v, %v", set, s, got, done, err)
		}
	}
	tx := furnished(t)
	if done, err := Repair(tx, NewLogged(), 5); err != nil || done.Access {
		t.Errorf("%+v, %v", done, err)
	}
	if _, err := Settings.Get(tx, SettingAccess); err == nil {
		t.Error("access is closed where nothing was lost")
	}
}

// A direct room comes back as one, whether the index of its people is left or not, and people find it by each other.
func TestRepairKeepsDirectRoomsDirect(t *testing.T) {
	for _, indexed := range []bool{true, false} {
		tx, name := furnished(t), kaban.NewDirectRoom().String()
		room := Room{Key: name, Name: name, Kind: kaban.RoomDirect, People: []string{"id2", "id3"}}
		must(t, Enter(tx, "epoch", &room, &Member{Room: name, Account: "id3"}))
		must(t, Enter(tx, "epoch", &room, &Member{Room: name, Account: "id2"}))
		delete(tx, store.Key("room", name))
		if !indexed {
			delete(tx, store.Key("room.people", "id2", "id3"))
		}
		done, err := Repair(tx, NewLogged(), 5)
		r, found := Rooms.Of(tx, []string{"id3", "id2"})
		if err != nil || found != nil || r.Key != name || r.Kind != kaban.RoomDirect || r.Members != 2 || r.Flags != 0 || !slices.Equal(done.Rooms, []string{name}) {
			t.Errorf("indexed %v: the room is %+v, %v; %+v, %v", indexed, r, found, done, err)
		}
	}
}

// A direct room that has lost some of its people does not take the place of another one between those that are left.
func TestRepairOfADirectRoomBesideAnother(t *testing.T) {
	tx := furnished(t)
	pair, trio := kaban.NewDirectRoom().String(), kaban.NewDirectRoom().String()
	for name, people := range map[string][]string{pair: {"id2", "id3"}, trio: {"id2", "id3", "id4"}} {
		room := Room{Key: name, Name: name, Kind: kaban.RoomDirect, People: people}
		for _, id := range people {
			must(t, Enter(tx, "epoch", &room, &Member{Room: name, Account: id}))
		}
	}
	for _, key := range []string{store.Key("room", trio), store.Key("room.people", "id2", "id3", "id4"), store.Key("room.people", "id2", "id3"), store.Key("member", trio, "id4"), store.Key("member.account", "id4", trio)} {
		delete(tx, key)
	}
	if _, err := Repair(tx, NewLogged(), 5); err != nil {
		t.Fatal(err)
	}
	r, err := Rooms.Get(tx, trio)
	if of, found := Rooms.Of(tx, []string{"id2", "id3"}); err != nil || r.Kind != kaban.RoomDirect || len(r.People) > 0 || r.Members != 2 || found != nil || of.Key != pair {
		t.Errorf("the room is %+v, %v, and the pair has %+v, %v", r, err, of, found)
	}
}

// A bot whose owner is lost comes back as a bot, if at all, and is suspended: nobody limits it.
func TestRepairKeepsBotsLimited(t *testing.T) {
	for name, c := range map[string]struct {
		logs       *Logged
		lose       func(tx documents)
		bot        bool
		suspended  bool
		ownerKnown bool
	}{
		"with an owner":                    {logs: NewLogged(), bot: true, ownerKnown: true},
		"its messages say so":              {logs: wrote(t, kaban.Bot("bot", username(t, "helper"))), lose: loseOwner, bot: true, suspended: true},
		"it has tokens and nothing else":   {logs: NewLogged(), lose: loseOwner, bot: true, suspended: true},
		"a person has messages and tokens": {logs: wrote(t, kaban.Account("bot", username(t, "helper"))), lose: loseOwner},
		"a person has tokens and a password": {logs: NewLogged(), lose: func(tx documents) {
			loseOwner(tx)
			must(t, Credentials.Put(tx, &Credential{Kind: CredentialPassword, ID: "bot", Account: "bot"}))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			tx := furnished(t)
			must(t, Secrets.Put(tx, &Secret{Hash: "hash", ID: "token", Account: "bot", Kind: SecretToken}))
			delete(tx, "account/bot")
			if c.lose != nil {
				c.lose(tx)
			}
			done, err := Repair(tx, c.logs, 5)
			a, found := Accounts.Get(tx, "bot")
			if err != nil || found != nil || a.Bot != c.bot || (a.Status == StatusSuspended) != c.suspended || (a.Owner == "id1") != c.ownerKnown {
				t.Errorf("the account is %+v, %v; %+v, %v", a, found, done, err)
			}
			if slices.Contains(done.Suspended, "helper") != c.suspended || slices.Contains(done.Accounts, "helper") == c.suspended {
				t.Errorf("it reports %+v", done)
			}
		})
	}
}

func loseOwner(tx documents) { delete(tx, store.Key("account.owner", "id1", "bot")) }

// An account that is there keeps its name, also where the index lacks it and a lost account wrote under the same one.
func TestRepairTakesNobodysName(t *testing.T) {
	tx := furnished(t)
	delete(tx, store.Key("account.name", username(t, "alice").Key()))
	delete(tx, "account/id3")
	delete(tx, store.Key("account.name", "dave"))
	done, err := Repair(tx, wrote(t, kaban.Account("id3", username(t, "Alice"))), 5)
	a, found := Accounts.Named(tx, username(t, "alice"))
	if err != nil || found != nil || a.ID != "id0" || !slices.Equal(done.Lost, []string{"id3"}) || done.Indexed != 1 {
		t.Errorf("alice is %+v, %v; %+v, %v", a, found, done, err)
	}
}

// A value that is removed leaves alone the entry that another one has in its place.
func TestDeleteLeavesEntriesOfOthers(t *testing.T) {
	tx := furnished(t)
	name := store.Key("account.name", "dave")
	tx[name] = []byte("id0")
	must(t, Accounts.Delete(tx, "id3"))
	if string(tx[name]) != "id0" {
		t.Errorf("the entry is %q", tx[name])
	}
	must(t, Accounts.Delete(tx, "id2"))
	if v, there := tx[store.Key("account.name", "carol")]; there {
		t.Errorf("an entry of its own is left: %q", v)
	}
}

// An account comes back with the name by which it wrote last, whatever the order of the rooms in an export.
func TestRepairTakesTheNewestName(t *testing.T) {
	tx, logs := furnished(t), NewLogged()
	for _, at := range []struct {
		room string
		seq  uint64
		name string
	}{{"a", 7, "dave"}, {"b", 9, "dan"}, {"c", 8, "david"}} {
		note(t, logs, at.room, at.seq, kaban.Account("id3", username(t, at.name)), kaban.KindMessage, "x")
	}
	delete(tx, "account/id3")
	delete(tx, store.Key("account.name", "dave"))
	if done, err := Repair(tx, logs, 5); err != nil || !slices.Equal(done.Accounts, []string{"dan"}) {
		t.Errorf("%+v, %v", done, err)
	}
}

// A server whose owner is missing is damaged, and not free to be claimed. Once the rest is mended, the repair says that
// nobody owns it.
func TestAMissingOwnerIsNoFreeServer(t *testing.T) {
	tx := furnished(t)
	delete(tx, "account/id1")
	if has, err := Accounts.HasOwner(tx); has || !errors.Is(err, store.ErrDamaged) {
		t.Errorf("an owner: %v, %v", has, err)
	}
	must(t, Accounts.Put(tx, &Account{ID: "id9", Username: "zoe", Role: kaban.RoleOwner, Status: StatusSuspended}))
	if has, err := Accounts.HasOwner(tx); !has || err != nil {
		t.Errorf("beside another one: %v, %v", has, err)
	}
	must(t, Accounts.Delete(tx, "id9"))
	delete(tx, store.Key("account.name", username(t, "bob10").Key()))
	done, err := Repair(tx, NewLogged(), 5)
	if has, got := Accounts.HasOwner(tx); err != nil || got != nil || has || !done.Unowned || !done.Access {
		t.Errorf("after the repair: %v, %v; %+v, %v", has, got, done, err)
	}
}

// Of two accounts with one name, none is dropped: the one that the index lacks is named.
func TestRepairDropsNoAccount(t *testing.T) {
	tx, other := furnished(t), documents{}
	must(t, Accounts.Put(other, &Account{ID: "id9", Username: "ALICE", Role: kaban.RoleMember, Status: StatusActive}))
	tx["account/id9"] = other["account/id9"]
	done, err := Repair(tx, NewLogged(), 5)
	if err != nil || !slices.Equal(done.Unfound, []string{"id9"}) || tx["account/id9"] == nil || done.Left > 0 {
		t.Errorf("%+v, %v", done, err)
	}
	if a, err := Accounts.Named(tx, username(t, "alice")); err != nil || a.ID != "id0" {
		t.Errorf("alice is %+v, %v", a, err)
	}
}
