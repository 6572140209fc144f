package account

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"kaban"
	"kaban/internal/limit"
	"kaban/internal/store"
)

// causes are why a sign-in as bob fails, and how the server gets there.
var causes = []struct {
	name     string
	password string
	set      func(*world, Actor)
}{
	{"a wrong password", "wrong horse battery", func(w *world, by Actor) { w.add(by, "bob", kaban.RoleMember) }},
	{"no such name", "wrong horse battery", func(*world, Actor) {}},
	{"suspended", "wrong horse battery", func(w *world, by Actor) {
		w.add(by, "bob", kaban.RoleMember)
		w.must(w.Suspend(w.ctx, by, "bob", ""))
	}},
	{"unclaimed", "wrong horse battery", func(w *world, by Actor) {
		_, _, err := w.AddAccount(w.ctx, by, NewPerson{NewAccount{Username: "bob"}, kaban.RoleMember})
		w.must(err)
	}},
	{"no password", "wrong horse battery", func(w *world, by Actor) {
		made, _, err := w.AddAccount(w.ctx, by, NewPerson{NewAccount{Username: "bob"}, kaban.RoleMember})
		w.must(err)
		link, err := w.Reset(w.ctx, by, made.Username)
		w.must(err)
		_, err = w.SignInWithLink(w.ctx, link, "", Device{Address: "198.51.100.1"})
		w.must(err)
	}},
	{"a bot", "wrong horse battery", func(w *world, by Actor) { w.bot(by, "bob") }},
	{"removed", bobPassword, func(w *world, by Actor) {
		w.add(by, "bob", kaban.RoleMember)
		w.must(w.Remove(w.ctx, by, "bob"))
	}},
	{"erased", bobPassword, func(w *world, by Actor) {
		w.add(by, "bob", kaban.RoleMember)
		w.must(w.Erase(w.ctx, by, "bob"))
	}},
	{"no password typed", "", func(w *world, by Actor) { w.add(by, "bob", kaban.RoleMember) }},
	{"no text", "bell\a is no text", func(w *world, by Actor) { w.add(by, "bob", kaban.RoleMember) }},
	{"too long a password", strings.Repeat("x", MaxPassword+1), func(w *world, by Actor) { w.add(by, "bob", kaban.RoleMember) }},
}

// A failed sign-in takes the same work and the same delays whatever its cause: the same
// hashes with the same parameters, as many transactions, none that writes.
func TestFailedSignInsTakeTheSameWork(t *testing.T) {
	const tries = 40
	var want []string
	for _, cause := range causes {
		t.Run(cause.name, func(t *testing.T) {
			w := newWorld(t, nil)
			w.options.SignIns = limit.NewSignIns(10, w.options.Elapsed)
			w.hasher.current = recommended
			var did []string
			w.hasher.compute = func(password, salt []byte, passes, memory uint32, lanes uint8, length uint32) []byte {
				did = append(did, fmt.Sprintln("a hash with", len(salt), passes, memory, lanes, length))
				key := sha256.Sum256(append(slices.Clone(salt), password...)) // the real one takes long
				return key[:length]
			}
			cause.set(w, w.claim())
			seen := &reading{counting: counting{Documents: w.documents}}
			w.documents = seen
			did = nil
			for range tries {
				_, err := w.SignInWithPassword(w.ctx, "bob", cause.password, Device{Address: "192.0.2.1"})
				if err == nil {
					t.Fatal("somebody is in")
				}
				did = append(did, err.Error())
				if wait, ok := errors.AsType[*WaitError](err); ok {
					did = append(did, wait.After.String())
					w.pass(wait.After)
				} else if !errors.Is(err, ErrAuthFailed) {
					t.Fatal(err)
				}
			}
			did = append(did, fmt.Sprint(seen.views, " that read, ", seen.updates, " that write"))
			if want == nil {
				want = did
			}
			if !slices.Equal(did, want) {
				t.Errorf("it does\n%q, and after the first cause\n%q", did, want)
			}
		})
	}
	hashes := 0
	for _, what := range want {
		if what == "a hash with 16 2 19456 1 32\n" {
			hashes++
		}
	}
	if hashes < 5 || hashes == tries || want[len(want)-1] != fmt.Sprint(hashes, " that read, 0 that write") {
		t.Errorf("%d hashes in %d attempts: %q", hashes, tries, want)
	}
}

// reading is counting that counts the transactions that read, too.
type reading struct {
	counting
	views int
}

func (r *reading) View(ctx context.Context, run func(store.Tx) error) error {
	r.views++
	return r.Documents.View(ctx, run)
}
