package news

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"kaban"
	"kaban/internal/people"
	"kaban/internal/store"
	"kaban/internal/store/memory"
	"kaban/internal/store/storetest"
)

func open(t *testing.T, s store.Store) *Store {
	t.Helper()
	n, err := Open(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// next returns the next news, each as one text.
func (s *Store) next(t *testing.T) (all []string, missed bool) {
	t.Helper()
	for more := true; more; {
		p, err := s.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range p.News {
			all = append(all, strings.Join(n.Keys, " "))
		}
		more, missed = p.More, missed || p.Missed
	}
	return all, missed
}

func (s *Store) update(t *testing.T, run func(store.Tx) error) {
	t.Helper()
	if err := s.Update(t.Context(), run); err != nil {
		t.Fatal(err)
	}
}

func setting(key string) func(store.Tx) error {
	return func(tx store.Tx) error { return people.Settings.Put(tx, &people.Setting{Key: key, Value: "x"}) }
}

func assertNews(t *testing.T, s *Store, want ...string) {
	t.Helper()
	if got, missed := s.next(t); missed || !slices.Equal(got, want) {
		t.Errorf("got %q (missed: %v), want %q", got, missed, want)
	}
}

// What one node changes is news for all others, once, and not for itself.
func TestNews(t *testing.T) {
	s := memory.New(0)
	one, two := open(t, s), open(t, s)
	secret := people.Secret{Hash: "h", ID: "i", Account: "a", Kind: people.SecretDevice}
	one.update(t, func(tx store.Tx) error {
		return errors.Join(setting("access")(tx), people.Secrets.Put(tx, &secret))
	})
	assertNews(t, two, "setting/access")
	one.update(t, func(tx store.Tx) error { return people.Secrets.Put(tx, &secret) }) // it was used
	assertNews(t, two)
	one.update(t, func(tx store.Tx) error { return people.Secrets.Delete(tx, "h") })
	assertNews(t, two, "secret.account/a/device/h")
	two.update(t, setting("a"))
	two.update(t, setting("b"))
	assertNews(t, two)
	assertNews(t, one, "setting/a", "setting/b")
	assertNews(t, one)
	assertNews(t, open(t, s))
}

// There is no news of what was not stored, and of what an append has decided there is.
func TestNewsOfAppends(t *testing.T) {
	s := memory.New(0)
	one, two := open(t, s), open(t, s)
	heard := 0
	one.SetOnStored(func() { heard++ })
	refused := errors.New("no")
	if err := one.Update(t.Context(), func(tx store.Tx) error { return errors.Join(setting("a")(tx), refused) }); !errors.Is(err, refused) {
		t.Error(err)
	}
	write := func(id string, decide func(store.Tx) error) store.Write {
		d := kaban.Draft{Author: kaban.Visitor(storetest.Username(t, "ann")), Room: storetest.RoomName(t, "lobby"), ID: messageID(t, id), Kind: kaban.KindMessage, Body: "x"}
		return store.Write{Draft: d, Decide: decide}
	}
	batch := []store.Write{
		write("1", nil), write("2", setting("b")), write("3", func(tx store.Tx) error { return errors.Join(setting("c")(tx), refused) }),
		write("4", func(tx store.Tx) error { Note(tx, people.ExpelledKey("lobby", "visitor:bob")); return nil }),
	}
	results := make([]store.Result, len(batch))
	if err := one.Append(t.Context(), batch, results); err != nil || !errors.Is(results[2].Err, refused) || results[3].Err != nil {
		t.Errorf("%v, %+v", err, results)
	}
	if heard != 1 {
		t.Errorf("told of news %d times, want once", heard)
	}
	assertNews(t, two, "setting/b", "expelled/lobby/visitor:bob")
}

// Whoever has missed news is told so, once: because there were more than are kept, because one was
// too long, or because the store has lost its end.
func TestMissedNews(t *testing.T) {
	s := memory.New(0)
	one, two := open(t, s), open(t, s)
	missed := func(what string) {
		t.Helper()
		if all, missed := two.next(t); !missed || len(all) > 0 {
			t.Errorf("%s: got %q, missed: %v", what, all, missed)
		}
		assertNews(t, two)
	}
	for i := range Kept {
		one.update(t, setting(fmt.Sprint(i)))
	}
	if all, missed := two.next(t); missed || len(all) != Kept {
		t.Errorf("got %d, missed: %v", len(all), missed)
	}
	for i := range Kept + 1 {
		one.update(t, setting(fmt.Sprint(i)))
	}
	missed("too many")
	one.update(t, func(tx store.Tx) error {
		for i := range maxKeys + 1 {
			if err := setting(fmt.Sprint(i))(tx); err != nil {
				return err
			}
		}
		return nil
	})
	missed("too long")
	one.update(t, setting("lost"))
	assertNews(t, two, "setting/lost")
	from, to := store.KeysUnder(table)
	if err := s.Update(t.Context(), func(tx store.Tx) error {
		found, err := tx.ScanBack(from, to, 1)
		return errors.Join(err, tx.Delete(found[0].Key))
	}); err != nil {
		t.Fatal(err)
	}
	one.update(t, setting("other"))
	missed("another timeline")
}

// News that are long are read in several pages, none is missed, and a page is bounded.
func TestLongNewsAreReadInPages(t *testing.T) {
	s := memory.New(0)
	one, two := open(t, s), open(t, s)
	const long, keys = 150, 20
	key := func(news, i int) string { return people.ExpelledKey("lobby", fmt.Sprintf("%05000d-%d", i, news)) }
	for i := range long {
		one.update(t, func(tx store.Tx) error {
			for j := range keys {
				Note(tx, key(i, j))
			}
			return nil
		})
	}
	read, pages := 0, 0
	for more := true; more; pages++ {
		p, err := two.Next(t.Context())
		if err != nil || p.Missed {
			t.Fatal(p.Missed, err)
		}
		bytes := 0
		for _, n := range p.News {
			if n.Keys[0] != key(read, 0) || len(n.Keys) != keys {
				t.Fatalf("news %d has %d keys", read, len(n.Keys))
			}
			for _, key := range n.Keys {
				bytes += len(key)
			}
			read++
		}
		if bytes > 8<<20 {
			t.Errorf("a page has %d bytes", bytes)
		}
		more = p.More
	}
	if read != long || pages < 3 {
		t.Errorf("%d news in %d pages, want %d in 3 at least", read, pages, long)
	}
}

// Only the newest news are kept.
func TestNewsAreBounded(t *testing.T) {
	s := memory.New(0)
	one := open(t, s)
	for range Kept + 10 {
		one.update(t, setting("a"))
	}
	from, to := store.KeysUnder(table)
	if err := s.View(t.Context(), func(tx store.Tx) error {
		found, err := tx.Scan(from, to, 2*Kept)
		if len(found) != Kept {
			t.Errorf("%d are kept, want %d", len(found), Kept)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

func messageID(t *testing.T, text string) kaban.MessageID {
	t.Helper()
	id, err := kaban.ParseMessageID(text)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// A damaged key holds up neither the news behind it nor those that are written, wherever it sorts. It is returned once,
// and has everything looked at once.
func TestDamagedKeys(t *testing.T) {
	many := make([]string, 2*scan)
	for i := range many {
		many[i] = fmt.Sprintf("news/00000000000000zz%03d", i)
	}
	for name, keys := range map[string][]string{
		"behind all":        {"news/zzz"},
		"no number":         {"news/"},
		"a great number":    {"news/ffffffffffffffff"},
		"another number":    {"news/0000000000000003 "},
		"between":           {"news/0000000000000004x"},
		"more than a query": many,
	} {
		t.Run(name, func(t *testing.T) {
			s := memory.New(0)
			one, two := open(t, s), open(t, s)
			one.update(t, setting("a"))
			assertNews(t, two, "setting/a")
			err := s.Update(t.Context(), func(tx store.Tx) error {
				for _, key := range keys {
					if err := tx.Put(key, []byte("x")); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			missed, damaged, later := 0, 0, 0
			for i := range 10 {
				one.update(t, setting(fmt.Sprint("b", i)))
				for more := true; more; {
					p, err := two.Next(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					if p.Missed {
						missed++
					} else {
						later += len(p.News)
					}
					more, damaged = p.More, damaged+len(p.Damaged)
				}
			}
			if missed > 2 || later < 8 || damaged > len(keys) || missed == 0 != (damaged == 0) {
				t.Errorf("%d news, %d pages where everything may have changed, and %d damaged keys", later, missed, damaged)
			}
			three := open(t, s)
			one.update(t, setting("c"))
			got, _ := three.next(t)
			if !slices.Equal(got, []string{"setting/c"}) {
				t.Errorf("a node that has just come reads %q", got)
			}
		})
	}
}

// The key of the newest news is damaged before others have read it. They look at everything.
func TestDamagedKeyOfTheNewest(t *testing.T) {
	s := memory.New(0)
	one, two := open(t, s), open(t, s)
	one.update(t, setting("a"))
	assertNews(t, two, "setting/a")
	one.update(t, setting("b"))
	err := s.Update(t.Context(), func(tx store.Tx) error {
		return errors.Join(tx.Delete(keyOf(2)), tx.Put(keyOf(2)+"~", []byte("x")))
	})
	if err != nil {
		t.Fatal(err)
	}
	one.update(t, setting("c"))
	if got, missed := two.next(t); !missed || !slices.Equal(got, []string{"setting/c"}) {
		t.Errorf("got %q (missed: %v)", got, missed)
	}
	two.update(t, setting("d"))
	assertNews(t, two)
	if got, _ := one.next(t); !slices.Equal(got, []string{"setting/d"}) {
		t.Errorf("the other node reads %q", got)
	}
	two.update(t, setting("e"))
	assertNews(t, one, "setting/e")
}
