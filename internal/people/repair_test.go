package people

import (
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
			if _, err := Repair(tx, map[string]string{"id1": "Bob10"}, 5); err != nil {
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
	done, err := Repair(tx, map[string]string{"id1": "Bob10", "bot": "somebody else"}, 5)
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
	if d, err := Accounts.Named(tx, username(t, "dave")); err != nil || d.Status != StatusSuspended || d.Role != kaban.RoleMember {
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
	if again, err := Repair(tx, nil, 6); err != nil || !again.IsZero() {
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
