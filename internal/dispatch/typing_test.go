package dispatch

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kaban"
	"kaban/internal/store/storetest"
)

// mustType reports that the holder of a subscription is typing.
func mustType(t testing.TB, d *Dispatcher, s *Subscription) {
	t.Helper()
	if decided, err := d.Type(s); !decided || err != nil {
		t.Errorf("Type: %t, %v", decided, err)
	}
}

// typingRoom is a room with ann on two devices, ben, and vic that only watches. No
// presence comes between.
type typingRoom struct {
	t                    *testing.T
	d                    *Dispatcher
	readers              map[string]*reader
	ann, phone, ben, vic *Subscription
}

func newTypingRoom(t *testing.T) *typingRoom {
	t.Helper()
	d := newDispatcher(t, nil, Options{PresenceDelay: 100 * time.Hour})
	w := &typingRoom{t: t, d: d, readers: make(map[string]*reader)}
	reader := func(name string) *reader {
		w.readers[name] = newReader(t)
		return w.readers[name]
	}
	w.ann, w.phone, w.ben = joinAs(t, d, reader("ann"), "ann"), joinAs(t, d, reader("phone"), "ann"), joinAs(t, d, reader("ben"), "ben")
	place, err := d.Find(t.Context(), w.ann.Room().Name(), Start{})
	if err != nil {
		t.Fatal(err)
	}
	r := reader("vic")
	if w.vic, _, err = d.Watch(r, r, plain, &kaban.Peer{}, place); err != nil {
		t.Fatal(err)
	}
	return w
}

// sees lets a time pass and compares what somebody is given then.
func (w *typingRoom) sees(name string, s *Subscription, wanted ...string) {
	w.t.Helper()
	synctest.Wait()
	r := w.readers[name]
	r.given = nil
	r.take(s, 1<<20)
	assertGiven(w.t, r, wanted...)
}

func TestTypingIsShownToOthersUntilItsTimeIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTypingRoom(t)
		mustType(t, w.d, w.ann)
		w.sees("ben", w.ben) // changes are gathered
		time.Sleep(typingDelay)
		w.sees("ben", w.ben, "lobby typing ann")
		w.sees("vic", w.vic, "lobby typing ann")
		w.sees("ann", w.ann)
		w.sees("phone", w.phone)
		mustType(t, w.d, w.ben)
		time.Sleep(typingDelay)
		w.sees("ben", w.ben)
		w.sees("ann", w.ann, "lobby typing ben")
		w.sees("phone", w.phone, "lobby typing ben")
		w.sees("vic", w.vic, "lobby typing ann+ben")
		// One goes on, also on another device, the other does not.
		time.Sleep(typingLasts - 3*typingDelay)
		mustType(t, w.d, w.phone)
		time.Sleep(3 * typingDelay)
		w.sees("vic", w.vic, "lobby typing ann")
		w.sees("ann", w.ann, "lobby typing ")
		w.sees("ben", w.ben)
		time.Sleep(typingLasts)
		w.sees("ben", w.ben, "lobby typing ")
		w.sees("vic", w.vic, "lobby typing ")
		w.sees("phone", w.phone, "lobby typing ")
		if r := w.ann.Room(); r.typing != nil || len(w.d.typing.rooms) > 0 || w.d.typing.running {
			t.Errorf("%d are typing and %d rooms are looked at when nobody types; the timer runs: %t", len(r.typing), len(w.d.typing.rooms), w.d.typing.running)
		}
		// It begins again.
		mustType(t, w.d, w.ben)
		time.Sleep(typingDelay)
		w.sees("vic", w.vic, "lobby typing ben")
	})
}

// However often somebody types, the others are given one frame.
func TestTypingIsCoalesced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTypingRoom(t)
		for range 400 {
			mustType(t, w.d, w.ann)
			mustType(t, w.d, w.ben)
			time.Sleep(10 * time.Millisecond)
			w.readers["vic"].take(w.vic, 1<<20)
		}
		assertGiven(t, w.readers["vic"], "lobby typing ann+ben")
		if woken := w.readers["phone"].audiences; len(woken) != 1 {
			t.Errorf("a reader that took nothing was woken %d times, want 1", len(woken))
		}
	})
}

func TestAMessageEndsTheTypingOfItsAuthor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTypingRoom(t)
		post := func(id string) {
			draft := storetest.Draft(t, "lobby", "ann", id, "x")
			draft.Author = w.ann.Reader().Peer.Identity
			w.d.Submit([]Send{{Draft: draft, Subscription: w.phone}})
		}
		mustType(t, w.d, w.ann)
		mustType(t, w.d, w.ben)
		time.Sleep(typingDelay)
		w.sees("vic", w.vic, "lobby typing ann+ben")
		w.sees("ben", w.ben, "lobby typing ann")
		post("one")
		w.sees("vic", w.vic, "lobby 1 ann x", "lobby typing ben")
		w.sees("ben", w.ben, "lobby 1 ann x", "lobby typing ")
		w.sees("phone", w.phone, "ack 1 one", "lobby typing ben")
		// Typing that nobody was shown yet is not shown afterwards.
		mustType(t, w.d, w.ann)
		post("two")
		time.Sleep(2 * typingDelay)
		w.sees("vic", w.vic, "lobby 2 ann x")
		// Nor does the message of one show another one before its time.
		mustType(t, w.d, w.ann)
		time.Sleep(typingDelay)
		w.sees("ben", w.ben, "lobby 2 ann x", "lobby typing ann")
		time.Sleep(typingLasts)
		w.sees("vic", w.vic, "lobby typing ")
		mustType(t, w.d, w.ann)
		time.Sleep(typingDelay)
		synctest.Wait() // the timer runs before ben types
		mustType(t, w.d, w.ben)
		post("three")
		w.sees("vic", w.vic, "lobby 3 ann x")
		time.Sleep(typingDelay)
		w.sees("vic", w.vic, "lobby typing ben")
	})
}

func TestLeavingEndsTyping(t *testing.T) {
	leave := map[string]func(w *typingRoom){
		"leave": func(w *typingRoom) { w.d.Leave(w.ann) },
		"expel": func(w *typingRoom) {
			w.d.Expel(w.ann.Room(), "kicked", func(r Reader) bool { return r.Peer == w.ann.Reader().Peer })
		},
	}
	for name, leave := range leave {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newTypingRoom(t)
				mustType(t, w.d, w.ann)
				time.Sleep(typingDelay)
				w.sees("vic", w.vic, "lobby typing ann")
				leave(w)
				w.sees("vic", w.vic, "lobby typing ")
				if decided, err := w.d.Type(w.ann); !decided || !errors.Is(err, ErrExpelled) {
					t.Errorf("Type after it: %t, %v, want ErrExpelled", decided, err)
				}
				if decided, err := w.d.Type(w.vic); !decided || !errors.Is(err, ErrExpelled) {
					t.Errorf("Type of a watcher: %t, %v, want ErrExpelled", decided, err)
				}
				// The end of another device ends nothing.
				mustType(t, w.d, w.ben)
				w.d.Leave(w.phone)
				time.Sleep(typingDelay)
				w.sees("vic", w.vic, "lobby typing ben")
			})
		})
	}
}

func TestALargeRoomDoesNotShowTyping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTypingRoom(t)
		r := w.ann.Room()
		w.d.SetAccounts(r, typingMembers-1, 1) // and one that watches
		mustType(t, w.d, w.ann)
		time.Sleep(typingDelay)
		w.sees("ben", w.ben, "lobby typing ann")
		w.d.SetAccounts(r, typingMembers, 2)
		time.Sleep(typingDelay)
		w.sees("ben", w.ben, "lobby typing ")
		mustType(t, w.d, w.ann)
		time.Sleep(typingDelay)
		w.sees("ben", w.ben)
		if len(w.d.typing.rooms) > 0 {
			t.Error("a large room is looked at")
		}
	})
}

// A reader that comes, or has caught up, is given the present state only, after all
// entries; one that takes a part of the frame is left with the rest.
func TestTypingComesAfterTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTypingRoom(t)
		for i := range 3 {
			w.d.Submit([]Send{send(t, w.ben, "other", fmt.Sprint(i), "x")})
		}
		mustType(t, w.d, w.ann)
		time.Sleep(typingDelay)
		synctest.Wait()
		late := newReader(t)
		s := join(t, w.d, late, "lobby", "lea", Start{Resume: true})
		late.take(s, 5)
		assertGiven(t, late, "lobby 1 other x", "lobby 2 other x", "lobby 3 other x", "lobby typing ann")
		w.sees("vic", w.vic, "lobby 1 other x", "lobby 2 other x", "lobby 3 other x", "lobby typing ann")
	})
}

// Readers that are not shown typing are given nothing, and their cursors go on.
func TestAFormatNeedNotShowTyping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTypingRoom(t)
		r := newReader(t)
		s, _, err := tryJoin(w.d, r, silentFormat{plain}, storetest.Username(t, "cid"), w.ann.Room().Name(), Start{})
		if err != nil {
			t.Fatal(err)
		}
		mustType(t, w.d, w.ann)
		time.Sleep(typingDelay)
		synctest.Wait()
		r.take(s, 1<<20)
		if s.typing != s.Room().shown.Load() {
			t.Error("the reader is asked again and again")
		}
		w.d.Submit([]Send{send(t, w.ben, "ben", "1", "x")})
		r.take(s, 1<<20)
		assertGiven(t, r, "lobby 1 ben x")
	})
}

type silentFormat struct{ *textFormat }

func (silentFormat) AppendTyping(dst []byte, _ string, _ []string) []byte { return dst }

// Type asks the judge only through Decide, and does what the rights say.
func TestTypingNeedsTheRightToSend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTypingRoom(t)
		muted := errors.New("muted")
		judged := 0
		w.d.SetJudge(func(_ *Room, member *kaban.Peer, _ *Rights, generation uint64) (*Rights, error) {
			judged++
			rights := &Rights{Generation: generation}
			if member.Name().String() == "ann" {
				rights.Refusal = muted
			}
			return rights, nil
		})
		for name, s := range map[string]*Subscription{"ann": w.ann, "ben": w.ben} {
			want := map[string]error{"ann": muted}[name]
			if decided, err := w.d.Type(s); decided || err != nil {
				t.Errorf("%s: Type before the decision: %t, %v", name, decided, err)
			}
			if err := w.d.Decide(s); !errors.Is(err, want) {
				t.Errorf("%s: Decide: %v, want %v", name, err, want)
			}
			if decided, err := w.d.Type(s); !decided || !errors.Is(err, want) {
				t.Errorf("%s: Type: %t, %v, want %v", name, decided, err, want)
			}
		}
		if judged != 2 {
			t.Errorf("judged %d times, want 2", judged)
		}
		time.Sleep(typingDelay)
		w.sees("vic", w.vic, "lobby typing ben")
		w.d.Invalidate()
		if decided, _ := w.d.Type(w.ben); decided {
			t.Error("rights that have changed count still")
		}
	})
}

// BenchmarkType is a client that floods: it costs its own time, and no frames.
func BenchmarkType(b *testing.B) {
	d := newDispatcher(b, nil, Options{PresenceDelay: time.Hour})
	s := join(b, d, newReader(b), "lobby", "ann", Start{})
	for b.Loop() {
		mustType(b, d, s)
	}
}

// BenchmarkShowTyping is one change of those that type, for a full room.
func BenchmarkShowTyping(b *testing.B) {
	d := newDispatcher(b, nil, Options{PresenceDelay: time.Hour})
	var readers []*Subscription
	for i := range typingMembers {
		readers = append(readers, join(b, d, newReader(b), "lobby", strings.Repeat("a", 4)+fmt.Sprint(i), Start{}))
	}
	r := readers[0].Room()
	for b.Loop() {
		r.mu.Lock()
		if r.typing = nil; len(r.shown.Load().others("")) == 0 {
			r.typing = []typist{{identity: readers[0].user.ID(), name: "ann"}}
		}
		r.showTypingLocked()
		r.mu.Unlock()
		for _, s := range readers {
			if segment := s.Next(); len(segment.Frames) > 0 {
				s.Advance(&segment, len(segment.Frames))
			}
		}
	}
}
