package people

import (
	"cmp"
	"fmt"
	"testing"

	"kaban"
	"kaban/internal/store"
	"kaban/internal/store/memory"
)

// Each document that a ticket makes is one of a ticket, and no other one is.
func TestDocumentsOfTickets(t *testing.T) {
	s := memory.New(0)
	t.Cleanup(func() { _ = s.Close() })
	err := s.Update(t.Context(), func(tx store.Tx) error {
		if err := Accounts.Put(tx, &Account{ID: "a", Username: "ticket"}); err != nil {
			return err
		}
		return Tickets.Put(tx, &Ticket{Hash: "account/h", Kind: "claim", Code: "account", Expires: 5})
	})
	if err != nil {
		t.Fatal(err)
	}
	of := map[bool]int{}
	err = s.View(t.Context(), func(tx store.Tx) error {
		all, err := tx.Scan("a", "~", 100)
		for _, d := range all {
			of[IsLocal(d.Key)]++
			t.Log(d.Key, IsLocal(d.Key))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"clock/mentions", "cluster/secret", "node/n", "job/tasks", "visit/ann", "visit.look/ann/ann", "news/0000000000000001"} {
		if !IsLocal(key) {
			t.Errorf("%s is not local", key)
		}
	}
	if of[true] != 3 || of[false] < 1 || IsLocal("clocks/a") || IsLocal("tickets/a") || IsLocal("") {
		t.Errorf("documents of tickets and others: %v", of)
	}
}

// Removed visits all removed accounts, whatever their role and number.
func TestManyRemoved(t *testing.T) {
	const each = maxPage + 200 // more than a page
	documents := memory.New(0)
	t.Cleanup(func() { _ = documents.Close() })
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(documents.Update(t.Context(), func(tx store.Tx) error {
		for i := range each {
			for _, role := range []kaban.Role{kaban.RoleGuest, kaban.RoleOwner} {
				name := fmt.Sprintf("%s-%d", role, i)
				a := Account{ID: name, Username: name, Role: role, Status: StatusRemoved}
				if err := Accounts.Put(tx, &a); err != nil {
					return err
				}
			}
		}
		return nil
	}))
	for _, stop := range []int{0, 1, each, each + 1, 2 * each} {
		seen := make(map[string]bool)
		must(documents.View(t.Context(), func(tx store.Tx) error {
			return Accounts.Removed(tx, func(a *Account) bool {
				seen[a.ID] = true
				return len(seen) != stop
			})
		}))
		if n := cmp.Or(stop, 2*each); len(seen) != n {
			t.Errorf("saw %d, want %d", len(seen), n)
		}
	}
}
