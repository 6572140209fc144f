package account

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"kaban"
	"kaban/internal/people"
	"kaban/internal/store"
	"kaban/internal/store/memory"
)

// deeds are a scripted life. Each is one call that changes something.
func deeds(w *world) []func() error {
	var (
		alice, bob          Actor
		claim, invite, link string
		codes               []string
		grant               Grant
		token               SecretInfo
		info                InviteInfo
	)
	session := func(s Session, err error) (Actor, error) {
		w.kept(s.Secret)
		return s.Principal.As("192.0.2.2"), err
	}
	return []func() error{
		func() (err error) { claim, err = w.NewClaim(w.ctx); w.kept(claim); return err },
		func() error {
			made, err := w.ClaimServer(w.ctx, claim, NewAccount{Username: "alice", Password: alicePassword}, "signup", Device{Name: "laptop", Address: "192.0.2.1"})
			codes = made.RecoveryCodes
			w.kept(codes...)
			alice, err = session(made.Session, err)
			return err
		},
		func() error { return w.Set(w.ctx, alice, SettingAutoJoin, "lobby") },
		func() (err error) {
			info, invite, err = w.Invite(w.ctx, alice, NewInvite{Uses: 2})
			w.kept(invite)
			return err
		},
		func() (err error) {
			bob, err = session(w.AcceptInvite(w.ctx, invite, NewAccount{Username: "bob", Password: bobPassword}, Device{}))
			return err
		},
		func() error { return w.roomsJoined(w.ctx, bob.Principal.Account.ID) },
		func() error {
			_, err := session(w.SignUp(w.ctx, NewAccount{Username: "carol", Password: bobPassword + "c"}, Device{}))
			return err
		},
		func() error { return w.RevokeInvite(w.ctx, alice, info.ID) },
		func() (err error) {
			_, link, err = w.AddAccount(w.ctx, alice, NewPerson{NewAccount{Username: "dave"}, kaban.RoleAdmin})
			w.kept(link)
			return err
		},
		func() error {
			_, err := session(w.SignInWithLink(w.ctx, link, "the password of dave", Device{}))
			return err
		},
		func() error {
			_, err := session(w.SignInWithPassword(w.ctx, "bob", bobPassword, Device{Name: "phone", Address: "192.0.2.2"}))
			return err
		},
		func() error { return w.Confirm(w.ctx, bob, bobPassword) },
		func() error { return w.SetPassword(w.ctx, bob, "bob has a new password") },
		func() error {
			fresh, err := w.NewRecoveryCodes(w.ctx, bob)
			w.kept(fresh...)
			return err
		},
		func() error {
			_, err := session(w.SignInWithRecoveryCode(w.ctx, "alice", codes[0], Device{}))
			return err
		},
		func() (err error) { grant, err = w.BeginGrant(w.ctx, Device{}); w.kept(grant.Secret); return err },
		func() error { return w.DecideGrant(w.ctx, bob, grant.Code, true) },
		func() error { _, err := session(w.PollGrant(w.ctx, grant.Secret)); return err },
		func() error { _, err := w.MakeBot(w.ctx, bob, NewBot{Username: "robot"}); return err },
		func() (err error) {
			var secret string
			token, secret, err = w.MakeToken(w.ctx, bob, NewToken{Username: "robot", Name: "ci", Expires: time.Hour})
			w.kept(secret)
			return err
		},
		func() error { return w.RenameDevice(w.ctx, bob, token.ID, "builds") },
		func() error { return w.SetName(w.ctx, bob, "", "Bob B.") },
		func() error { return w.Block(w.ctx, bob, "carol") },
		func() error { return w.LinkVisitor(w.ctx, alice, "oldbob", "bob", nil) },
		func() error { return w.Suspend(w.ctx, alice, "bob", "spam") },
		func() error { return w.GiveBot(w.ctx, alice, "robot", "carol") },
		func() error { return w.RevokeOtherDevices(w.ctx, alice) },
		func() error { return w.Restore(w.ctx, alice, "bob") },
		func() error { return w.SetRole(w.ctx, alice, "carol", kaban.RoleOwner) },
		func() (err error) { link, err = w.Reset(w.ctx, alice, "carol"); w.kept(link); return err },
		func() error {
			made, err := w.MakeOwner(w.ctx, "erin", "the password of erin")
			w.kept(made.RecoveryCodes...)
			return err
		},
		func() error {
			made, err := w.MakeOwner(w.ctx, "frank", "")
			w.kept(made.Link)
			w.kept(made.RecoveryCodes...)
			return err
		},
		func() error { return w.Remove(w.ctx, alice, "bob") },
		func() error { w.failed("", "192.0.2.66"); return w.FlushFailures(w.ctx) },
		func() error {
			w.pass(32 * 24 * time.Hour)
			for {
				if more, err := w.Maintain(w.ctx); err != nil || !more {
					return err
				}
			}
		},
	}
}

// No secret that was handed out, and no password, is in a document, a log, an error or
// the audit.
func TestSecretsStayInNoDocument(t *testing.T) {
	w := newWorld(t, nil)
	var texts strings.Builder
	for i, deed := range deeds(w) {
		if err := deed(); err != nil {
			t.Fatalf("deed %d: %v", i, err)
		}
		texts.WriteString(w.everything()) // whatever is removed later
	}
	for _, secret := range slices.Clone(w.secrets) {
		// Each secret where it does not belong.
		_, err := w.Authenticate(w.ctx, secret, secret)
		fmt.Fprintln(&texts, err)
		_, err = w.AcceptInvite(w.ctx, secret, NewAccount{Username: "zoe", Password: secret}, Device{})
		fmt.Fprintln(&texts, err)
		_, err = w.SignInWithLink(w.ctx, secret, secret, Device{})
		fmt.Fprintln(&texts, err)
		_, err = w.PollGrant(w.ctx, secret)
		fmt.Fprintln(&texts, err)
		_, err = w.ClaimServer(w.ctx, secret, NewAccount{Username: "zoe"}, "", Device{})
		fmt.Fprintln(&texts, err)
		_, err = w.SignInWithPassword(w.ctx, "alice", secret, Device{})
		fmt.Fprintln(&texts, err)
		_, err = w.SignInWithRecoveryCode(w.ctx, "alice", secret, Device{})
		fmt.Fprintln(&texts, err)
	}
	all := texts.String() + w.log.String()
	w.kept(alicePassword, bobPassword, bobPassword+"c", "bob has a new password", "the password of dave", "the password of erin")
	for _, secret := range w.secrets {
		bare := secret
		if strings.HasPrefix(secret, "kaban_") {
			bare = strings.SplitN(secret, "_", 3)[2]
		}
		if secret != "" && (strings.Contains(all, secret) || strings.Contains(all, bare)) {
			t.Errorf("%q is somewhere", secret)
		}
	}
	if len(w.secrets) < 50 || len(all) < 10_000 {
		t.Fatalf("%d secrets, %d bytes: the test looks at too little", len(w.secrets), len(all))
	}
}

// errInjected is the failure of a store in a transaction.
var errInjected = errors.New("the disk fails")

// failing fails the transaction at its nth write, or, if that is after the last one,
// at its end.
type failing struct {
	store.Documents
	at, writes int
	reached    bool // the end
}

func (f *failing) Update(ctx context.Context, run func(store.Tx) error) error {
	if f.at == 0 {
		return f.Documents.Update(ctx, run)
	}
	return f.Documents.Update(ctx, func(tx store.Tx) error {
		f.writes, f.reached = 0, false
		if err := run(failingTx{tx, f}); err != nil {
			return err
		}
		f.reached = true
		return errInjected
	})
}

type failingTx struct {
	store.Tx
	f *failing
}

func (t failingTx) write() error {
	if t.f.writes++; t.f.writes >= t.f.at {
		return errInjected
	}
	return nil
}

func (t failingTx) Put(key string, value []byte) error {
	if err := t.write(); err != nil {
		return err
	}
	return t.Tx.Put(key, value)
}

func (t failingTx) Delete(key string) error {
	if err := t.write(); err != nil {
		return err
	}
	return t.Tx.Delete(key)
}

// Wherever a change fails, nothing of it is stored, nobody is told, and it can be
// repeated.
func TestChangesAreWhole(t *testing.T) {
	f := &failing{Documents: memory.New(0)}
	w := newWorld(t, f)
	steps := 0
	for i, deed := range deeds(w) {
		before := w.everything()
		w.takeRevoked()
		for at := 1; ; at++ {
			f.at = at
			err := deed()
			f.at = 0
			w.wait(GrantInterval * time.Duration(at+1)) // else a repeated poll is too early
			if !errors.Is(err, errInjected) {
				t.Fatalf("deed %d failing at write %d: %v", i, at, err)
			}
			if w.everything() != before {
				t.Fatalf("deed %d failing at write %d left something", i, at)
			}
			if told := w.takeRevoked(); len(told) > 0 {
				t.Fatalf("deed %d failing at write %d announced %q", i, at, told)
			}
			if steps++; f.reached {
				break
			}
		}
		if err := deed(); err != nil {
			t.Fatalf("deed %d repeated: %v", i, err)
		}
	}
	if steps < 200 {
		t.Errorf("only %d failures", steps)
	}
}

// Whatever changes something is in the audit, with the actor and the address.
func TestEveryChangeIsInTheAudit(t *testing.T) {
	quiet := map[int]bool{0: true, 5: true, 15: true, 33: true, 34: true} // claim, rooms, grant, flush, maintain
	w := newWorld(t, nil)
	rows := func() (found []people.Audit) {
		w.must(w.documents.View(w.ctx, func(tx store.Tx) (err error) {
			found, _, err = people.Audits.Since(tx, 0, nil, 1000)
			return err
		}))
		return found
	}
	wanted := []string{
		1: "device.add server.claim setting.set", 2: "setting.set", 3: "invite.add", 4: "account.add device.add", 6: "account.add device.add",
		7: "invite.revoke", 8: "account.add", 9: "device.add", 10: "device.add", 11: "device.confirm", 12: "password.set", 13: "recovery.set",
		14: "device.add", 16: "grant.approve", 17: "device.add", 18: "bot.add", 19: "token.add", 20: "device.rename", 21: "account.name",
		22: "block.add", 23: "account.link", 24: "account.suspend", 25: "bot.give", 26: "device.revoke", 27: "account.restore",
		28: "account.role", 29: "account.reset", 30: "account.owner", 31: "account.owner", 32: "account.remove", 34: "",
	}
	for i, deed := range deeds(w) {
		w.pass(time.Millisecond) // so that new rows are the last ones
		before, state := len(rows()), w.everything()
		w.must(deed())
		if w.everything() == state {
			t.Errorf("deed %d changed nothing", i)
		}
		if after := len(rows()); after == before && !quiet[i] {
			t.Errorf("deed %d has no row", i)
		}
		after := rows()
		var actions []string
		for _, r := range after[min(before, len(after)):] {
			actions = append(actions, r.Action)
			anonymous := r.Actor == "" && r.Address != "" && r.Action != actionSignInFailed
			if anonymous || r.Actor != "" && r.Name == "" {
				t.Errorf("deed %d has the row %+v", i, r)
			}
		}
		slices.Sort(actions) // those of one moment have no order
		if said := strings.Join(actions, " "); !quiet[i] && said != wanted[i] {
			t.Errorf("deed %d is %q in the audit, want %q", i, said, wanted[i])
		}
	}
}
