package account

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"kaban"
	"kaban/internal/people"
	"kaban/internal/store"
)

// dump returns all documents as text.
func (w *world) dump() string {
	w.t.Helper()
	var text strings.Builder
	err := w.documents.View(w.ctx, func(tx store.Tx) error {
		text.Reset()
		from := "\x01"
		for {
			all, err := tx.Scan(from, "\xf4\x8f\xbf\xbf", 1000)
			if err != nil {
				return err
			}
			for _, d := range all {
				text.WriteString(d.Key + " " + string(d.Value) + "\n")
				from = d.Key + "\x01"
			}
			if len(all) < 1000 {
				return nil
			}
		}
	})
	w.must(err)
	return text.String()
}

// What is stored about an account goes, but for its name, its id and what others did.
func TestErase(t *testing.T) {
	w := newWorld(t, nil)
	alice := w.claim()
	bob := w.add(alice, "bob", kaban.RoleMember)
	eve := w.add(alice, "eve", kaban.RoleMember)
	w.must(w.SetName(w.ctx, bob, "", "Robert the Bold"))
	bob.Address = "192.0.2.77"
	for range 3 {
		_, _, err := w.MakeToken(w.ctx, bob, NewToken{Name: "token of robert", Expires: time.Hour})
		w.must(err)
	}
	w.must(w.RenameDevice(w.ctx, bob, bob.Principal.SecretID, "laptop of robert"))
	_, invite, err := w.Invite(w.ctx, bob, NewInvite{})
	w.must(err)
	w.must(w.Block(w.ctx, bob, "eve"))
	w.must(w.LinkVisitor(w.ctx, Operator(), "bobby", "bob", nil))
	w.bot(bob, "robot")
	w.must(w.SetName(w.ctx, alice, "robot", "robert's robot"))
	w.bot(bob, "given")
	w.must(w.GiveBot(w.ctx, alice, "given", "eve"))
	for i, by := range []Actor{bob, bob, eve} {
		h := &people.Hook{Hash: fmt.Sprint("hash", i), ID: fmt.Sprint("hook", i), Room: "dev", Username: "ci"}
		w.must(w.documents.Update(w.ctx, func(tx store.Tx) error { return w.KeepHook(tx, by, h) }))
		if i == 0 { // that one made hooks is in the audit only
			w.must(w.documents.Update(w.ctx, func(tx store.Tx) error { return w.DropHook(tx, by, h) }))
		}
	}
	w.must(w.Suspend(w.ctx, alice, "bob", "robert was rude-and-loud"))
	w.must(w.documents.Update(w.ctx, func(tx store.Tx) error { // more than one step of the audit
		for range maintainStep {
			row := people.Audit{Time: w.now(), ID: newID(), Action: "x", Address: "192.0.2.77", Actor: "account:" + bob.Principal.Account.ID}
			if err := people.Audits.Put(tx, &row); err != nil {
				return err
			}
		}
		return nil
	}))
	robot, err := w.Find(w.ctx, "robot")
	w.must(err)
	before := w.dump()
	for _, told := range []string{"Robert the Bold", "robert", "192.0.2.77", "bobby"} {
		if !strings.Contains(before, told) {
			t.Fatalf("nothing says %q", told)
		}
	}
	wantCode(t, "by somebody else", w.Erase(w.ctx, eve, "bob"), "forbidden")
	wantCode(t, "nobody", w.Erase(w.ctx, alice, "nobody"), "not_found")
	wantCode(t, "the last owner", w.Erase(w.ctx, Operator(), "alice"), "last_owner")
	for again := range 2 { // it may be done again
		would, err := w.WouldErase(w.ctx, alice, "bob", false)
		w.must(err)
		if _, ends := would.Until["visitor:bobby"]; ends != (again == 0) || len(would.Until) > 1 {
			t.Errorf("what was written ends at %v", would.Until)
		}
		w.must(w.Erase(w.ctx, alice, "bob"))
		w.must(EraseFromAudit(w.ctx, w.documents, bob.Principal.Account.ID))
		done, err := w.Erasure(w.ctx, alice, "bob")
		w.must(err)
		want := []string{"account:" + bob.Principal.Account.ID, "visitor:bobby", "bot:" + robot.ID, "hook:hook0", "hook:hook1"}
		if again > 0 {
			want = slices.Delete(want, 1, 2)
		}
		if !slices.Equal(would.Authors, want) || would.Bots != 1 || would.Hooks != 2 {
			t.Errorf("what would be deleted: %+v, want that of %q", would, want)
		}
		if !slices.Equal(done.Authors, want) || done.Done != 0 || done.Bots != 1 || done.Hooks != 2 {
			t.Errorf("what is to be deleted: %+v, want that of %q", done, want)
		}
		w.must(w.documents.Update(w.ctx, func(tx store.Tx) error { return people.Erasures.Delete(tx, done.Account) })) // as if it were done
		if done, err := w.Erasure(w.ctx, alice, "bob"); err != nil || done.Account != "" {
			t.Errorf("without it: %+v, %v", done, err)
		}
		after := w.dump()
		for _, told := range []string{"Robert the Bold", "robert", "192.0.2.77", "bobby", "rude-and-loud", `"blocked"`} {
			if i := strings.Index(after, told); i >= 0 {
				t.Errorf("%q stays: …%s…", told, after[max(0, i-200):min(len(after), i+100)])
			}
		}
	}
	a, err := w.Find(w.ctx, "bob")
	w.must(err)
	if want := (people.Account{ID: bob.Principal.Account.ID, Username: "bob", Role: kaban.RoleGuest, Status: people.StatusRemoved}); !equalAccounts(a, want) {
		t.Errorf("what stays is %+v", a)
	}
	_, err = w.AcceptInvite(w.ctx, invite, NewAccount{Username: "carol", Password: bobPassword}, Device{})
	wantError(t, "a link of bob's", err, ErrExpired)
	_, _, err = w.AddAccount(w.ctx, alice, NewPerson{NewAccount{Username: "BOB"}, 0})
	wantError(t, "the name", err, ErrNameTaken)
	if rows := strings.Join(w.rows(Operator()), " "); !strings.Contains(rows, "account.erase") || !strings.Contains(rows, "token.add") {
		t.Errorf("the audit has %s", rows)
	}
	robot, err = w.Find(w.ctx, "robot")
	w.must(err)
	if robot.Owner != a.ID || robot.Status != people.StatusRemoved || robot.Name != "" {
		t.Errorf("the bot is %+v", robot)
	}
	wantCode(t, "the bot is given", w.GiveBot(w.ctx, alice, "robot", "eve"), "not_found")
	given, err := w.Find(w.ctx, "given")
	w.must(err)
	if given.Owner != eve.Principal.Account.ID || given.Status != people.StatusActive {
		t.Errorf("a bot that was given away is %+v", given)
	}
	if tasks := w.tasks(a.ID); tasks != "join succeed leave" {
		t.Errorf("tasks: %s", tasks)
	}
}

// Erasing again changes nothing before it is done, and begins anew after that.
func TestEraseWhileErasing(t *testing.T) {
	w := newWorld(t, nil)
	alice := w.claim()
	bob := w.add(alice, "bob", kaban.RoleMember)
	eve := w.add(alice, "eve", kaban.RoleMember)
	w.bot(bob, "robot")
	rows := func() int { return strings.Count(strings.Join(w.rows(Operator()), " "), "account.erase") }
	w.must(w.Erase(w.ctx, alice, "bob"))
	w.pass(time.Minute)
	before := w.dump()
	for range 3 {
		w.mu.Lock()
		w.changed = nil
		w.mu.Unlock()
		w.must(w.Erase(w.ctx, alice, "bob"))
		if want := []string{bob.Principal.Account.ID}; !slices.Equal(w.changed, want) {
			t.Errorf("%q are announced, want %q, so that the erasing goes on", w.changed, want)
		}
	}
	if after := w.dump(); after != before {
		t.Errorf("it has changed\n%s\nto\n%s", before, after)
	}
	if n := rows(); n != 2 {
		t.Errorf("the audit has %d rows, want one of the account and one of its bot", n)
	}
	wantCode(t, "by somebody else", w.Erase(w.ctx, eve, "bob"), "forbidden")
	e, err := w.Erasure(w.ctx, alice, "bob")
	w.must(err)
	e.Done = w.now()
	w.must(w.documents.Update(w.ctx, func(tx store.Tx) error { return people.Erasures.Put(tx, &e) }))
	w.must(w.Erase(w.ctx, alice, "bob"))
	if e, err = w.Erasure(w.ctx, alice, "bob"); err != nil || e.Done != 0 || rows() != 3 {
		t.Errorf("after it is done: %+v, error %v, with %d rows", e, err, rows())
	}
}

// The parts of a preview go through the audit once.
func TestWouldEraseAgain(t *testing.T) {
	w := newWorld(t, nil)
	alice := w.claim()
	bob := w.add(alice, "bob", kaban.RoleMember)
	w.add(alice, "eve", kaban.RoleMember)
	made := func(id string) {
		row := people.Audit{Time: w.now(), ID: newID(), Action: "hook.add", Actor: "account:" + bob.Principal.Account.ID, Subject: id}
		w.must(w.documents.Update(w.ctx, func(tx store.Tx) error { return people.Audits.Put(tx, &row) }))
	}
	hooks := func(username string, again bool, want int) {
		t.Helper()
		would, err := w.WouldErase(w.ctx, alice, username, again)
		w.must(err)
		if would.Hooks != want {
			t.Errorf("%s, again %t: %d hooks, want %d", username, again, would.Hooks, want)
		}
	}
	made("one")
	hooks("bob", true, 1) // nothing was found before
	made("two")
	hooks("bob", true, 1)
	hooks("eve", true, 0)
	hooks("bob", true, 2) // somebody else came between
	made("three")
	hooks("bob", false, 3)
	wantCode(t, "by somebody else", func() error { _, err := w.WouldErase(w.ctx, bob, "eve", true); return err }(), "forbidden")

	// An erased account makes no hooks, so the audit, which may be long, is not read for it again.
	w.must(w.Erase(w.ctx, alice, "bob"))
	made("four")
	hooks("eve", false, 0) // forgets what was found last
	hooks("bob", false, 3)
	e, err := w.Erasure(w.ctx, alice, "bob")
	w.must(err)
	e.Done = w.now()
	w.must(w.documents.Update(w.ctx, func(tx store.Tx) error { return people.Erasures.Put(tx, &e) }))
	w.must(w.Erase(w.ctx, alice, "bob"))
	hooks("bob", false, 3)
	e, err = w.Erasure(w.ctx, alice, "bob")
	w.must(err)
	e.Version-- // by a server that may not have looked for them
	w.must(w.documents.Update(w.ctx, func(tx store.Tx) error { return people.Erasures.Put(tx, &e) }))
	w.must(w.Erase(w.ctx, alice, "bob"))
	if found, err := w.formerHooks(w.ctx, alice, "bob", false); err != nil || len(found) != 4 {
		t.Errorf("of an older erasure: %q, %v", found, err)
	}
}

// What the audit has of an account is removed.
func TestEraseFromAudit(t *testing.T) {
	w := newWorld(t, nil)
	alice := w.claim()
	bob := w.add(alice, "bob", kaban.RoleMember)
	w.bot(bob, "robot")
	w.add(alice, "eve", kaban.RoleMember)
	w.must(w.Erase(w.ctx, Operator(), "bob"))
	left := map[string]string{"bob": "", "robot": "", "eve": "Eve the Wise"}
	w.must(w.documents.Update(w.ctx, func(tx store.Tx) error {
		for name := range left {
			row := people.Audit{Time: w.now(), ID: "left-" + name, Action: "account.name", Subject: name, Detail: "Eve the Wise"}
			if err := people.Audits.Put(tx, &row); err != nil {
				return err
			}
		}
		return nil
	}))
	w.must(EraseFromAudit(w.ctx, w.documents, bob.Principal.Account.ID))
	found := make(map[string]string)
	w.must(w.documents.View(w.ctx, func(tx store.Tx) error {
		return people.Audits.All(tx, func(row *people.Audit) bool {
			if name, ok := strings.CutPrefix(row.ID, "left-"); ok {
				found[name] = row.Detail
			}
			return true
		})
	}))
	if !maps.Equal(found, left) {
		t.Errorf("the audit has %v, want %v", found, left)
	}
}

func equalAccounts(a, b people.Account) bool {
	return a.ID == b.ID && a.Username == b.Username && a.Role == b.Role && a.Status == b.Status && a.Name == b.Name &&
		a.Reason == b.Reason && a.Created == b.Created && a.Creator == b.Creator && len(a.Groups)+len(b.Groups) == 0
}

// tasks returns the kinds of the tasks for an account.
func (w *world) tasks(account string) string {
	w.t.Helper()
	var kinds []string
	w.must(w.documents.View(w.ctx, func(tx store.Tx) error {
		tasks, err := people.Tasks.Of(tx, account)
		kinds = nil
		for _, task := range tasks {
			kinds = append(kinds, string(task.Kind))
		}
		return err
	}))
	return strings.Join(kinds, " ")
}

// The changes of accounts that leave something to be done in rooms.
func TestTasksOfAccounts(t *testing.T) {
	w := newWorld(t, nil)
	alice := w.claim()
	bob := w.add(alice, "bob", kaban.RoleMember).Principal.Account.ID
	gus := w.add(alice, "gus", kaban.RoleGuest).Principal.Account.ID
	if got := w.tasks(bob) + "|" + w.tasks(gus); got != "join|" {
		t.Errorf("new: %s", got)
	}
	w.must(w.roomsJoined(w.ctx, bob))
	w.must(w.SetRole(w.ctx, alice, "bob", kaban.RoleGuest))
	if got := w.tasks(bob); got != "" { // a guest stays op
		t.Errorf("a guest: %s", got)
	}
	w.must(w.Suspend(w.ctx, alice, "bob", ""))
	if got := w.tasks(bob); got != "succeed" {
		t.Errorf("suspended: %s", got)
	}
	w.must(w.Remove(w.ctx, alice, "gus"))
	if got := w.tasks(gus); got != "succeed leave" {
		t.Errorf("removed: %s", got)
	}
}

// A restore erases again whoever was erased after the backup, and their bots, and nobody else.
func TestEraseAgain(t *testing.T) {
	w := newWorld(t, nil)
	alice := w.claim()
	bob := w.add(alice, "bob", kaban.RoleMember)
	eve := w.add(alice, "eve", kaban.RoleMember)
	gone := w.add(alice, "gone", kaban.RoleMember)
	bob.Address = "192.0.2.77"
	w.must(w.SetName(w.ctx, bob, "", "Robert the Bold"))
	w.must(w.RenameDevice(w.ctx, bob, bob.Principal.SecretID, "laptop of robert"))
	w.must(w.Block(w.ctx, bob, "eve"))
	w.must(w.LinkVisitor(w.ctx, Operator(), "bobby", "bob", nil))
	w.bot(bob, "robot")
	w.bot(eve, "given")  // after the backup it was bob's, and erased with him
	w.bot(bob, "spared") // after the backup it was eve's, before bob was erased
	token := w.bot(eve, "kept")
	for i, by := range []Actor{bob, bob, eve} {
		h := &people.Hook{Hash: fmt.Sprint("hash", i), ID: fmt.Sprint("hook", i), Room: "dev", Username: "ci"}
		w.must(w.documents.Update(w.ctx, func(tx store.Tx) error { return w.KeepHook(tx, by, h) }))
		if i == 0 {
			w.must(w.documents.Update(w.ctx, func(tx store.Tx) error { return w.DropHook(tx, by, h) }))
		}
	}
	w.must(w.Erase(w.ctx, alice, "gone")) // before the backup
	ids := []string{"later", gone.Principal.Account.ID, bob.Principal.Account.ID}
	for _, name := range []string{"robot", "given"} {
		a, err := w.Find(w.ctx, name)
		w.must(err)
		ids = append(ids, a.ID)
	}
	for again, want := range []string{"bob given", ""} {
		before := w.dump()
		var erased []string
		w.must(w.documents.Update(w.ctx, func(tx store.Tx) (err error) {
			erased, err = w.EraseAgain(tx, ids)
			return err
		}))
		if got := strings.Join(erased, " "); got != want {
			t.Errorf("%d: erased are %s, want %s", again, got, want)
		}
		if after := w.dump(); again > 0 && after != before {
			t.Errorf("done again, it changes\n%s\nto\n%s", before, after)
		}
	}
	after := w.dump()
	for _, told := range []string{"Robert the Bold", "robert", "192.0.2.77", `"blocked"`} {
		if i := strings.Index(after, told); i >= 0 {
			t.Errorf("%q stays: …%s…", told, after[max(0, i-200):min(len(after), i+100)])
		}
	}
	e, err := w.Erasure(w.ctx, alice, "bob")
	w.must(err)
	robot, err := w.Find(w.ctx, "robot")
	w.must(err)
	if want := []string{"account:" + bob.Principal.Account.ID, "visitor:bobby", "bot:" + robot.ID, "hook:hook0", "hook:hook1"}; !slices.Equal(e.Authors, want) || e.Done != 0 {
		t.Errorf("what is to be deleted: %+v, want that of %q", e, want)
	}
	for name, status := range map[string]people.Status{"bob": people.StatusRemoved, "robot": people.StatusRemoved, "given": people.StatusRemoved, "spared": people.StatusActive, "kept": people.StatusActive, "eve": people.StatusActive} {
		if a, err := w.Find(w.ctx, name); err != nil || a.Status != status {
			t.Errorf("%s: %+v, %v", name, a, err)
		}
	}
	if _, err := w.Authenticate(w.ctx, token, ""); err != nil {
		t.Errorf("a bot of somebody else: %v", err)
	}
	_, err = w.SignInWithPassword(w.ctx, "bob", bobPassword, Device{})
	wantError(t, "bob", err, ErrAuthFailed)
	rows := w.rows(Operator())
	if n := strings.Count(strings.Join(rows, " "), "account.erase"); n != 4 { // gone, bob, robot, given
		t.Errorf("%d rows about it in %q", n, rows)
	}
}
