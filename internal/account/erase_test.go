package account

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"kaban"
	"kaban/internal/people"
	"kaban/internal/store"
	"kaban/internal/store/memory"
)

func TestErase(t *testing.T) {
	kept := memory.New(0)
	w := newWorld(t, kept)
	if _, err := w.MakeOwner(t.Context(), "olga", alicePassword); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ann", "bob"} {
		_, _, err := w.AddAccount(t.Context(), Operator(), NewPerson{NewAccount: NewAccount{Username: name, Name: "Smith-" + name, Password: bobPassword}})
		if err != nil {
			t.Fatal(err)
		}
	}
	s, err := w.SignInWithPassword(t.Context(), "ann", bobPassword, Device{Name: "ann's phone"})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(
		w.Block(t.Context(), s.Principal.As(""), "bob"),
		w.LinkVisitor(t.Context(), Operator(), "annie", "ann"), w.LinkVisitor(t.Context(), Operator(), "bobby", "bob"),
	); err != nil {
		t.Fatal(err)
	}
	if err := w.Erase(t.Context(), s.Principal.As(""), "bob"); err == nil {
		t.Error("a member erases somebody")
	}
	if err := w.Erase(t.Context(), Operator(), "olga"); err == nil {
		t.Error("the last owner is erased")
	}
	if err := w.Erase(t.Context(), Operator(), "ann"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Authenticate(t.Context(), s.Secret, ""); !errors.Is(err, ErrAuthFailed) {
		t.Errorf("the device of an erased account: %v", err)
	}
	err = kept.View(t.Context(), func(tx store.Tx) error {
		found, err := tx.Scan("a", "z", 1000)
		for _, d := range found {
			text := d.Key + " " + string(d.Value)
			if !strings.HasPrefix(d.Key, "audit") && (strings.Contains(text, "Smith-ann") || strings.Contains(text, "annie") || strings.Contains(text, "phone")) {
				t.Errorf("left: %s", text)
			}
			if strings.HasPrefix(d.Key, "block") {
				t.Errorf("a block is left: %s", text)
			}
		}
		if _, err := people.Links.Get(tx, kaban.Visitor(username(t, "bobby")).ID()); err != nil {
			t.Errorf("the link of somebody else: %v", err)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.SignUp(t.Context(), NewAccount{Username: "ann", Password: bobPassword}, Device{}); err == nil {
		t.Error("the name is free")
	}
	page, err := w.Audit(t.Context(), Operator(), AuditQuery{Action: "account.erase"})
	if err != nil || len(page.Rows) != 1 || page.Rows[0].Subject != "ann" || strings.Contains(fmt.Sprint(page.Rows), "Smith") {
		t.Errorf("the audit: %+v, %v", page, err)
	}
}
