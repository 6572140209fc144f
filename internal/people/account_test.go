package people

import (
	"testing"

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
			of[IsTicket(d.Key)]++
			t.Log(d.Key, IsTicket(d.Key))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if of[true] != 3 || of[false] < 1 || IsTicket("tickets/a") || IsTicket("") {
		t.Errorf("documents of tickets and others: %v", of)
	}
}
