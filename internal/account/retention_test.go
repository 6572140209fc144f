package account

import (
	"errors"
	"slices"
	"testing"

	"kaban"
	"kaban/internal/people"
	"kaban/internal/store"
)

// Owners change the retention of a room that they know, with a row of the audit; nothing that is
// refused leaves one.
func TestSetRetention(t *testing.T) {
	w := newWorld(t, nil)
	alice := w.claim()
	ada, bob := w.add(alice, "ada", kaban.RoleAdmin), w.add(alice, "bob", kaban.RoleMember)
	w.room("dev", kaban.RoomPublic)
	w.must(w.documents.Update(w.ctx, func(tx store.Tx) error {
		r := people.Room{Key: "den", Name: "den", Kind: kaban.RoomPrivate}
		return people.Rooms.Put(tx, &r)
	}))
	changes := 0
	w.Service.options.OnSettings = func(key string) {
		if changes++; key != SettingRetention {
			t.Errorf("%s has changed", key)
		}
	}
	retention := func(room string) (value string) {
		w.must(w.documents.View(w.ctx, func(tx store.Tx) (err error) {
			value, err = people.Retentions.Of(tx, room)
			return err
		}))
		return value
	}
	rows := func() (found []people.Audit) {
		w.must(w.documents.View(w.ctx, func(tx store.Tx) error {
			all, _, err := people.Audits.Since(tx, 0, nil, 1000)
			found = slices.DeleteFunc(all, func(r people.Audit) bool { return r.Action != "room.retention" })
			return err
		}))
		return found
	}
	for i, c := range []struct {
		by          Actor
		room, value string
	}{{alice, "dev", "90d"}, {Operator(), "dev", people.Forever}, {alice, "den", "1d"}, {alice, "dev", ""}} {
		w.pass(1e9)
		if err := w.SetRetention(w.ctx, c.by, c.room, c.value); err != nil {
			t.Errorf("%s = %q: %v", c.room, c.value, err)
		}
		if got := retention(c.room); got != c.value {
			t.Errorf("%s is kept %q, want %q", c.room, got, c.value)
		}
		found := rows()
		if len(found) != i+1 || changes != i+1 {
			t.Fatalf("after %d changes there are %d rows, and %d were noted", i+1, len(found), changes)
		}
		row, actor := found[i], ""
		if c.by.Principal.Account.ID != "" {
			actor = "account:" + c.by.Principal.Account.ID
		}
		if row.Subject != c.room || row.Detail != c.value || row.Actor != actor {
			t.Errorf("the row is %+v, want one of %s = %q by %q", row, c.room, c.value, actor)
		}
	}
	before := w.everything()
	for name, by := range map[string]Actor{"admin": ada, "member": bob} {
		wantCode(t, name, w.SetRetention(w.ctx, by, "dev", "1d"), "forbidden")
	}
	for _, value := range []string{"90", "0d", "-1d", "36501d", "1h", "Forever", " 1d", "01d"} {
		if bad, ok := errors.AsType[*ValueError](w.SetRetention(w.ctx, alice, "dev", value)); !ok || bad.What != SettingRetention {
			t.Errorf("%q: %v", value, bad)
		}
	}
	for _, room := range []string{"nope", "", "@alice:bob"} {
		if err := w.SetRetention(w.ctx, alice, room, "1d"); err == nil {
			t.Errorf("room %q has got a retention", room)
		}
	}
	if w.everything() != before || changes != 4 {
		t.Error("what was refused has changed something")
	}
}
