package people

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"kaban"
	"kaban/internal/store"

	"pgregory.net/rapid"
)

// documents is a transaction over a map.
type documents map[string][]byte

func (d documents) Get(key string) ([]byte, error) { return d[key], nil }

func (d documents) Put(key string, value []byte) error {
	d[key] = slices.Clone(value)
	if d[key] == nil {
		d[key] = []byte{}
	}
	return nil
}

func (d documents) GetAll(keys []string) (values [][]byte, _ error) {
	for _, key := range keys {
		values = append(values, d[key])
	}
	return values, nil
}

func (d documents) Delete(key string) error { delete(d, key); return nil }

func (d documents) Scan(from, to string, limit int) (found []store.Document, _ error) {
	for _, key := range slices.Sorted(maps.Keys(d)) {
		if from <= key && key < to && len(found) < limit {
			found = append(found, store.Document{Key: key, Value: d[key]})
		}
	}
	return found, nil
}

func (d documents) ScanBack(from, to string, limit int) (found []store.Document, _ error) {
	all, err := d.Scan(from, to, len(d))
	slices.Reverse(all)
	return all[:min(limit, len(all))], err
}

func (d documents) Bump(kaban.RoomName) error                           { return nil }
func (d documents) Head(kaban.RoomName) (uint64, error)                 { return 0, nil }
func (d documents) Counts(kaban.RoomName, string) (store.Counts, error) { return store.Counts{}, nil }
func (d documents) Revision(kaban.RoomName) (uint64, error)             { return 0, nil }

func username(t testing.TB, s string) kaban.Username {
	t.Helper()
	name, err := kaban.ParseUsername(s)
	if err != nil {
		t.Fatal(err)
	}
	return name
}

func TestAccountsAreFound(t *testing.T) {
	tx := documents{}
	for i, name := range []string{"alice", "Bob", "carol"} {
		a := Account{ID: fmt.Sprint("id", i), Username: name, Role: kaban.RoleMember, Status: StatusActive}
		if err := Accounts.Put(tx, &a); err != nil {
			t.Fatal(err)
		}
	}
	if a, err := Accounts.Named(tx, username(t, "BOB")); err != nil || a.ID != "id1" {
		t.Errorf("BOB is %+v, %v", a, err)
	}
	if _, err := Accounts.Named(tx, username(t, "dave")); !errors.Is(err, ErrNotFound) {
		t.Errorf("dave: %v", err)
	}
	if found, err := Accounts.Like(tx, username(t, "aIice"), 10); err != nil || len(found) != 1 || found[0].ID != "id0" {
		t.Errorf("like aIice: %+v, %v", found, err)
	}
	err := Accounts.Put(tx, &Account{ID: "id9", Username: "ALICE"})
	if exists, ok := errors.AsType[*ExistsError](err); !ok || exists.Index != "name" || !errors.Is(err, ErrExists) {
		t.Errorf("a second alice: %v", err)
	}
	if _, err := Accounts.Get(tx, "id9"); !errors.Is(err, ErrNotFound) {
		t.Errorf("the refused account: %v", err)
	}
}

func TestIndexesFollowTheirValues(t *testing.T) {
	tx := documents{}
	a := Account{ID: "a", Username: "alice", Role: kaban.RoleMember, Status: StatusActive}
	must(t, Accounts.Put(tx, &a))
	a.Username, a.Role = "alicia", kaban.RoleOwner
	must(t, Accounts.Put(tx, &a))
	if _, err := Accounts.Named(tx, username(t, "alice")); !errors.Is(err, ErrNotFound) {
		t.Errorf("the former name: %v", err)
	}
	if found, _, err := Accounts.WithRole(tx, kaban.RoleMember, StatusActive, 5); err != nil || len(found) != 0 {
		t.Errorf("members: %+v, %v", found, err)
	}
	if found, _, err := Accounts.WithRole(tx, kaban.RoleOwner, StatusActive, 5); err != nil || len(found) != 1 {
		t.Errorf("owners: %+v, %v", found, err)
	}
	must(t, Accounts.Delete(tx, "a"))
	must(t, Accounts.Delete(tx, "a"))
	if len(tx) != 0 {
		t.Errorf("left: %q", slices.Collect(maps.Keys(tx)))
	}
}

func TestPagesOfMembers(t *testing.T) {
	tx := documents{}
	for _, room := range []string{"lobby", "lobby2", "a/b"} {
		for i := range 25 {
			must(t, Members.Put(tx, &Member{Room: room, Account: fmt.Sprintf("a%02d", i)}))
		}
	}
	for _, room := range []string{"lobby", "lobby2", "a/b"} {
		var got []string
		for after := ""; ; {
			page, more, err := Members.List(tx, []string{room}, behind(room, after), 7)
			must(t, err)
			for _, m := range page {
				if m.Room != room {
					t.Fatalf("%s has a member of %s", room, m.Room)
				}
				got = append(got, m.Account)
			}
			if !more {
				break
			}
			after = got[len(got)-1]
		}
		if len(got) != 25 || !slices.IsSorted(got) {
			t.Errorf("members of %s: %q", room, got)
		}
	}
	n := 0
	must(t, Members.AllOf(tx, "a03", func(m *Member) bool { n++; return m.Account == "a03" }))
	if n != 3 {
		t.Errorf("a03 is in %d rooms", n)
	}
}

func TestTicketsExpire(t *testing.T) {
	tx := documents{}
	for _, at := range []int64{5, 100, 20, 1_000_000} {
		must(t, Tickets.Put(tx, &Ticket{Hash: fmt.Sprint(at), Kind: "k", Code: fmt.Sprint("c", at), Expires: at}))
	}
	if n, err := Tickets.Expire(tx, 20, 10); err != nil || n != 2 {
		t.Errorf("%d expired, %v", n, err)
	}
	if _, err := Tickets.WithCode(tx, "k", "c100"); err != nil {
		t.Errorf("a ticket that has not expired: %v", err)
	}
	if _, err := Tickets.WithCode(tx, "k", "c5"); !errors.Is(err, ErrNotFound) {
		t.Errorf("a ticket that has expired: %v", err)
	}
	if _, err := Tickets.WithCode(tx, "other", "c100"); !errors.Is(err, ErrNotFound) {
		t.Errorf("a code of another kind: %v", err)
	}
}

func TestDamagedDocument(t *testing.T) {
	tx := documents{"account/a": []byte(`{"id":`)}
	if _, err := Accounts.Get(tx, "a"); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("%v", err)
	}
}

// Whatever is put and deleted, the indexes have exactly the values there are.
func TestTableAgainstModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		tx, model := documents{}, map[string]Member{}
		part := rapid.SampledFrom([]string{"", "a", "b", "a/b", "%2F", "a\x00"})
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			m := Member{Room: part.Draw(rt, "room"), Account: part.Draw(rt, "account"), Role: kaban.RoomRole(rapid.IntRange(1, 3).Draw(rt, "role"))}
			key := store.Key(m.Room, m.Account)
			if rapid.Bool().Draw(rt, "put") {
				must(rt, Members.Put(tx, &m))
				model[key] = m
			} else {
				must(rt, Members.Delete(tx, m.Room, m.Account))
				delete(model, key)
			}
		}
		var documents, ops int
		for _, m := range model {
			documents += 2
			if m.Role == kaban.RoomRoleOp {
				documents, ops = documents+1, ops+1
			}
			got, err := Members.Get(tx, m.Room, m.Account)
			if err != nil || got != m {
				rt.Fatalf("got %+v, %v, want %+v", got, err, m)
			}
		}
		if len(tx) != documents {
			rt.Fatalf("%d documents, want %d: %q", len(tx), documents, slices.Sorted(maps.Keys(tx)))
		}
		for _, room := range []string{"", "a", "a/b"} {
			found, _, err := Members.Ops(tx, room, 100)
			must(rt, err)
			for _, m := range found {
				if m.Room != room || m.Role != kaban.RoomRoleOp {
					rt.Fatalf("ops of %q: %+v", room, found)
				}
			}
		}
	})
}

func must(t interface {
	Helper()
	Fatal(...any)
}, err error,
) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
