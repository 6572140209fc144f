package push

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestConfig(t *testing.T) {
	good := Config{
		Key: testKey(t), Subject: "https://chat.example.org", Transport: alwaysFails(errors.New("x")),
		Compose: func(context.Context, Notice) (Message, error) { return Message{}, nil },
		Drop:    func(context.Context, string, string, Reason) {}, Mark: func(context.Context, string, string, time.Time) {},
		Log: slog.New(slog.DiscardHandler),
	}
	for name, c := range map[string]struct {
		change func(*Config)
		field  string
	}{
		"no key":                {func(c *Config) { c.Key = nil }, "Key"},
		"no guard":              {func(c *Config) { c.Transport = nil }, "Transport"},
		"the default transport": {func(c *Config) { c.Transport = http.DefaultTransport }, "Transport"},
		"no Compose":            {func(c *Config) { c.Compose = nil }, "Compose, Drop or Mark"},
		"no Drop":               {func(c *Config) { c.Drop = nil }, "Compose, Drop or Mark"},
		"no Mark":               {func(c *Config) { c.Mark = nil }, "Compose, Drop or Mark"},
		"no log":                {func(c *Config) { c.Log = nil }, "Log"},
		"no room":               {func(c *Config) { c.MaxQueued = -1 }, "MaxQueued"},
		"no subject":            {func(c *Config) { c.Subject = "" }, "Subject"},
		"a subject of http":     {func(c *Config) { c.Subject = "http://chat.example.org" }, "Subject"},
		"no host":               {func(c *Config) { c.Subject = "https:///" }, "Subject"},
		"an address":            {func(c *Config) { c.Subject = "admin@example.org" }, "Subject"},
		"no address":            {func(c *Config) { c.Subject = "mailto:admin" }, "Subject"},
		"no URL":                {func(c *Config) { c.Subject = "https://%zz" }, "Subject"},
	} {
		config := good
		c.change(&config)
		s, err := New(config)
		if e, ok := errors.AsType[*ConfigError](err); !ok || e.Field != c.field || s != nil {
			t.Errorf("%s: got %v", name, err)
		}
	}
	for _, subject := range []string{"https://chat.example.org", "https://chat.example.org:8443/kaban/", "mailto:admin@example.org"} {
		config := good
		config.Subject = subject
		s, err := New(config)
		if err != nil {
			t.Errorf("%s: %v", subject, err)
			continue
		}
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

func TestBadNotices(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, w *world) {
		phone := w.subscribe("push.example", "phone")
		for name, n := range map[string]Notice{
			"Account": {Room: "lobby", Seq: 1}, "account": {Account: strings.Repeat("a", 65), Room: "lobby", Seq: 1},
			"Room": {Account: "alice", Seq: 1}, "room": {Account: "alice", Room: strings.Repeat("a", 257), Seq: 1},
			"ROOM": {Account: "alice", Room: "\xff", Seq: 1}, "Seq": {Account: "alice", Room: "lobby"},
		} {
			err := w.Push(phone, n)
			if e, ok := errors.AsType[*NoticeError](err); !ok || !strings.EqualFold(e.Field, name) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

func TestPush(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, w *world) {
		phone, laptop := w.subscribe("push.example", "phone"), w.subscribe("other.example", "laptop")
		begin := time.Now()
		w.push(phone, Notice{Account: "alice", Room: "lobby", Seq: 7})
		w.push(laptop, Notice{Account: "alice", Room: "lobby", Seq: 7, Urgent: true})
		pass(firstDelay - time.Millisecond)
		if got := w.got(); len(got) > 0 {
			t.Fatalf("a page that shows the message had no time to say so: %+v", got)
		}
		pass(time.Millisecond)
		got := w.got()
		if len(got) != 2 {
			t.Fatalf("got %d pushes", len(got))
		}
		for _, r := range got {
			if want := (payload{Version: 1, Room: "lobby", Seq: 7, From: "alice", Text: "text 7", Cause: CauseRoom}); r.payload != want {
				t.Errorf("%s: got %+v, want %+v", r.path, r.payload, want)
			}
			urgency := map[string]string{"push.example": "normal", "other.example": "high"}[r.host]
			if r.header.Get("TTL") != "86397" || r.header.Get("Urgency") != urgency || r.at.Sub(begin) != firstDelay {
				t.Errorf("%s: TTL %s, urgency %s, after %v", r.host, r.header.Get("TTL"), r.header.Get("Urgency"), r.at.Sub(begin))
			}
		}
		w.balance()
		if s := w.Stats(); s.Delivered != 2 || s.Attempts != 2 || s.Pushed != 2 {
			t.Errorf("counted %+v", s)
		}
		if len(w.queue.hosts) != 2 || w.queue.idle != 2 || len(w.queue.accounts) != 0 {
			t.Errorf("%d hosts and %d accounts are remembered", len(w.queue.hosts), len(w.queue.accounts))
		}
	})
}

// What another device has read is not pushed.
func TestWithdraw(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, w *world) {
		phone := w.subscribe("push.example", "phone")
		w.push(phone, Notice{Account: "alice", Room: "lobby", Seq: 5})
		w.push(phone, Notice{Account: "alice", Room: "lobby", Seq: 6, Urgent: true})
		w.push(phone, Notice{Account: "alice", Room: "lobby2", Seq: 5})
		w.push(phone, Notice{Account: "bob", Room: "lobby", Seq: 5}) // of the same browser
		pass(firstDelay - time.Millisecond)
		if n := w.Withdraw("alice", "lobby", 5); n != 1 {
			t.Errorf("%d were withdrawn", n)
		}
		if n := w.Withdraw("alice", "lobby", 5); n != 0 {
			t.Errorf("%d were withdrawn twice", n)
		}
		pass(time.Millisecond)
		seen := make(map[string]bool)
		for _, r := range w.got() {
			seen[fmt.Sprint(r.payload.Room, r.payload.Seq)] = true
		}
		if len(seen) != 3 || !seen["lobby6"] || !seen["lobby25"] || !seen["lobby5"] { // lobby5 is bob's
			t.Errorf("got %v", seen)
		}
		if s := w.Stats(); s.Withdrawn != 1 || s.Delivered != 3 {
			t.Errorf("counted %+v", s)
		}
	})
}

func TestForget(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, w *world) {
		phone, laptop := w.subscribe("push.example", "phone"), w.subscribe("push.example", "laptop")
		for seq, room := range []string{"a", "b", "c"} {
			w.push(phone, Notice{Account: "alice", Room: room, Seq: uint64(seq + 1)})
			w.push(laptop, Notice{Account: "alice", Room: room, Seq: uint64(seq + 1)})
			w.push(laptop, Notice{Account: "bob", Room: room, Seq: uint64(seq + 1)})
		}
		if n := w.Forget("alice", laptop.ID()); n != 3 {
			t.Errorf("%d of the laptop were forgotten", n)
		}
		pass(firstDelay)
		if got := w.got(); len(got) != 6 {
			t.Errorf("%d were pushed", len(got))
		}
		w.push(phone, notice(9))
		if n := w.Forget("alice", ""); n != 1 {
			t.Errorf("%d of the account were forgotten", n)
		}
		pass(time.Hour)
		if got := w.got(); len(got) != 0 {
			t.Errorf("%d were pushed", len(got))
		}
	})
}

// What is shown is decided right before each attempt.
func TestComposedAtTheLastMoment(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, w *world) {
		phone := w.subscribe("push.example", "phone")
		edited, failed := false, 0
		w.mu.Lock()
		w.compose = func(n Notice) (Message, error) {
			switch {
			case n.Subscription != phone.ID():
				return Message{}, fmt.Errorf("composed for subscription %q", n.Subscription)
			case n.Seq == 1:
				return Message{}, fmt.Errorf("read elsewhere: %w", ErrUnwanted)
			case n.Seq == 3 && failed < 2:
				failed++
				return Message{}, errors.New("the store is busy")
			case edited:
				return Message{Seq: n.Seq, Text: "new"}, nil
			}
			return Message{Seq: n.Seq, Text: "old"}, nil
		}
		w.mu.Unlock()
		w.push(phone, notice(1))
		pass(firstDelay)
		if got := w.got(); len(got) != 0 || w.tried() != 0 || w.Stats().Withdrawn != 1 {
			t.Errorf("got %+v", got)
		}
		w.push(phone, notice(2))
		w.mu.Lock()
		edited = true
		w.mu.Unlock()
		pass(firstDelay)
		if got := w.got(); len(got) != 1 || got[0].payload.Text != "new" {
			t.Errorf("got %+v", got)
		}
		w.push(phone, notice(3))
		pass(time.Minute)
		if got := w.got(); len(got) != 1 || w.Stats().Retries != 2 {
			t.Errorf("after errors of the store: got %+v, %+v", got, w.Stats())
		}
		if log := w.logged(); strings.Count(log, "the store is busy") != 1 {
			t.Errorf("the log has %s", log)
		}
		w.mu.Lock()
		w.compose = func(n Notice) (Message, error) { return Message{Cause: "bad"}, nil }
		w.mu.Unlock()
		w.push(phone, notice(4))
		pass(time.Hour)
		if s := w.Stats(); s.Refused != 1 || !strings.Contains(w.logged(), "please report this") {
			t.Errorf("a message that cannot be sent: %+v", s)
		}
	})
}

// Of the notices of a room only the latest is pushed, and a mention stays.
func TestLaterNoticesReplace(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, w *world) {
		phone := w.subscribe("push.example", "phone")
		begin := time.Now()
		w.push(phone, Notice{Account: "alice", Room: "lobby", Seq: 1})
		w.push(phone, Notice{Account: "alice", Room: "lobby", Seq: 2, Urgent: true})
		for seq := uint64(3); seq <= 10; seq++ {
			pass(100 * time.Millisecond)
			w.push(phone, Notice{Account: "alice", Room: "lobby", Seq: seq})
		}
		w.push(phone, Notice{Account: "alice", Room: "lobby", Seq: 9}) // late
		pass(firstDelay - 800*time.Millisecond)
		got := w.got()
		if len(got) != 2 || got[0].payload.Seq+got[1].payload.Seq != 12 {
			t.Fatalf("got %+v", got)
		}
		if got[0].at.Sub(begin) != firstDelay || got[0].header.Get("Topic") == got[1].header.Get("Topic") {
			t.Errorf("after %v", got[0].at.Sub(begin))
		}
		if s := w.Stats(); s.Replaced != 9 {
			t.Errorf("counted %+v", s)
		}
		// While one is on its way, the next one waits for itself.
		w.answers(func(received) reply { return reply{hang: true} })
		w.push(phone, notice(11))
		pass(firstDelay)
		w.push(phone, notice(12))
		w.answers(nil)
		pass(attemptTimeout)
		pass(firstRetry)
		if got := w.got(); len(got) != 1 || got[0].payload.Seq != 12 {
			t.Errorf("got %+v", got)
		}
	})
}

func TestRetries(t *testing.T) {
	for name, bad := range map[string]reply{
		"500": {status: 500}, "503": {status: 503}, "429": {status: 429}, "cut": {err: errors.New("connection reset by peer")}, "hangs": {hang: true},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, nil, func(t *testing.T, w *world) {
				phone := w.subscribe("push.example", "phone")
				var times []time.Time
				w.answers(func(r received) reply {
					times = append(times, r.at)
					return bad
				})
				w.push(phone, notice(1))
				pass(timeToLive + attemptTimeout) // the last attempt may have begun before
				w.mu.Lock()
				tries := times
				w.mu.Unlock()
				took := time.Duration(0)
				if bad.hang {
					took = attemptTimeout
				}
				for i := 1; i < len(tries); i++ {
					whole := min(firstRetry<<min(i-1, 20), lastRetry)
					if gap := tries[i].Sub(tries[i-1]) - took; gap < whole/2 || gap > whole {
						t.Errorf("pause %d was %v, want %v to %v", i, gap, whole/2, whole)
					}
				}
				if len(tries) < 48 || len(tries) > 120 {
					t.Errorf("there were %d attempts", len(tries))
				}
				s := w.Stats()
				if s.Expired != 1 || s.Queued != 0 || s.Attempts != uint64(len(tries)) {
					t.Errorf("counted %+v after %d attempts", s, len(tries))
				}
				// It is never too late for the next one.
				w.answers(nil)
				w.push(phone, notice(2))
				pass(lastRetry)
				if got := w.got(); len(got) != 1 || got[0].payload.Seq != 2 {
					t.Errorf("got %+v", got)
				}
			})
		})
	}
}

// A notice that is delivered late is not kept by the push service for longer than it is worth.
func TestTimeToLiveShrinks(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, w *world) {
		phone := w.subscribe("push.example", "phone")
		w.answers(always(500))
		begin := time.Now()
		w.push(phone, notice(1))
		pass(5 * time.Hour)
		w.answers(nil)
		pass(lastRetry)
		got := w.got()
		if len(got) != 1 {
			t.Fatalf("got %d", len(got))
		}
		left := timeToLive - got[0].at.Sub(begin)
		if want := fmt.Sprint(int64(left / time.Second)); got[0].header.Get("TTL") != want {
			t.Errorf("TTL %s, want %s", got[0].header.Get("TTL"), want)
		}
	})
}

// A push service that asks to wait is left alone for so long, for this subscription.
func TestRetryAfterIsHonoured(t *testing.T) {
	for name, c := range map[string]struct {
		header func() map[string]string
		wait   time.Duration
	}{
		"seconds": {func() map[string]string { return map[string]string{"Retry-After": "1800"} }, 30 * time.Minute},
		"a date": {func() map[string]string {
			return map[string]string{"Retry-After": time.Now().Add(30 * time.Minute).UTC().Format(http.TimeFormat)}
		}, 30 * time.Minute},
		"too long": {func() map[string]string { return map[string]string{"Retry-After": "864000"} }, maxRetryAfter},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, nil, func(t *testing.T, w *world) {
				phone, laptop := w.subscribe("push.example", "phone"), w.subscribe("push.example", "laptop")
				w.answers(func(r received) reply {
					if r.path == "/send/phone" {
						return reply{status: 429, header: c.header()}
					}
					return reply{status: 201}
				})
				w.push(phone, notice(1))
				pass(firstDelay)
				w.push(phone, Notice{Account: "alice", Room: "other", Seq: 1}) // of another topic
				w.push(laptop, notice(1))
				w.tried()
				pass(c.wait - time.Second)
				if got := w.got(); len(got) != 1 || got[0].path != "/send/laptop" || w.tried() != 1 {
					t.Errorf("got %+v", got)
				}
				w.answers(nil)
				pass(time.Second)
				if got := w.got(); len(got) != 2 {
					t.Errorf("after the wait: got %+v", got)
				}
				// What was read meanwhile does not make the push service forget.
				w.answers(func(received) reply { return reply{status: 429, header: c.header()} })
				w.push(phone, notice(2))
				pass(firstDelay)
				w.tried()
				w.Withdraw("alice", "lobby", 2)
				w.push(phone, notice(3))
				pass(c.wait - time.Second)
				if n := w.tried(); n != 0 {
					t.Errorf("%d attempts while it is to be left alone", n)
				}
			})
		})
	}
}

// A subscription that is gone is dropped, with all that waits for it.
func TestGone(t *testing.T) {
	for _, status := range []int{404, 410} {
		inBubble(t, nil, func(t *testing.T, w *world) {
			phone, laptop := w.subscribe("push.example", "phone"), w.subscribe("push.example", "laptop")
			w.answers(func(r received) reply {
				if r.path == "/send/phone" {
					return reply{status: status}
				}
				return reply{status: 201}
			})
			w.push(phone, notice(1))
			pass(firstDelay / 2)
			w.push(phone, Notice{Account: "alice", Room: "other", Seq: 1})
			w.push(laptop, Notice{Account: "alice", Room: "other", Seq: 1})
			pass(time.Hour)
			if n := w.tried(); n != 2 {
				t.Errorf("%d attempts", n)
			}
			want := event{account: "alice", subscription: phone.ID(), why: ReasonGone}
			if got := w.happened(); len(got) != 1 || got[0] != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
			if s := w.Stats(); s.Gone != 2 || s.Dropped != 1 || s.Delivered != 1 {
				t.Errorf("counted %+v", s)
			}
		})
	}
}

// What is too long for a push service is sent without its text.
func TestTooLong(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, w *world) {
		phone := w.subscribe("push.example", "phone")
		long := strings.Repeat("語", 300)
		w.mu.Lock()
		w.compose = func(n Notice) (Message, error) { return Message{Seq: n.Seq, From: "alice", Text: long}, nil }
		w.mu.Unlock()
		w.answers(func(r received) reply {
			if r.size > 1024 {
				return reply{status: 413}
			}
			return reply{status: 201}
		})
		w.push(phone, notice(1))
		pass(firstDelay)
		got := w.got()
		if len(got) != 1 || got[0].payload.Text != "" || got[0].payload.From != "alice" || got[0].size != 1024 {
			t.Fatalf("got %+v", got)
		}
		if s := w.Stats(); s.Bare != 1 || s.Attempts != 2 || s.Delivered != 1 {
			t.Errorf("counted %+v", s)
		}
		w.answers(always(413))
		w.push(phone, notice(2))
		pass(time.Hour)
		if s := w.Stats(); s.Bare != 2 || s.Attempts != 4 || s.Refused != 1 {
			t.Errorf("a push service that takes nothing: counted %+v", s)
		}
	})
}

// What is refused is not tried again. An operator is told once, and what it means.
func TestRefused(t *testing.T) {
	for _, status := range []int{400, 401, 403, 307, 418} {
		inBubble(t, nil, func(t *testing.T, w *world) {
			phone := w.subscribe("push.example", "phone")
			w.answers(always(status))
			for seq := range uint64(3) {
				w.push(phone, notice(seq+1))
				pass(time.Hour)
			}
			if n := w.tried(); n != 3 {
				t.Errorf("%d: %d attempts", status, n)
			}
			if s := w.Stats(); s.Refused != 3 {
				t.Errorf("%d: counted %+v", status, s)
			}
			log := w.logged()
			if strings.Count(log, "refuses pushes") != 1 || !strings.Contains(log, fmt.Sprintf("HTTP %d", status)) || !strings.Contains(log, "host=push.example") || !strings.Contains(log, meaning(status)) {
				t.Errorf("%d: the log has %s", status, log)
			}
			pass(tellEvery)
			w.push(phone, notice(9))
			pass(time.Hour)
			if n := strings.Count(w.logged(), "refuses pushes"); n != 2 {
				t.Errorf("%d: on the next day the log was told %d times", status, n)
			}
		})
	}
}

// Clients choose the hosts, so they must not be able to fill the log.
func TestTheLogIsBounded(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, w *world) {
		w.answers(always(403))
		for i := range maxTold + 50 {
			w.push(w.subscribe(fmt.Sprintf("h%d.example", i), "phone"), Notice{Account: fmt.Sprint("account", i), Room: "lobby", Seq: 1})
		}
		pass(time.Hour)
		if n := strings.Count(w.logged(), "\n"); n != maxTold {
			t.Errorf("the log has %d lines", n)
		}
		pass(tellEvery)
		w.push(w.subscribe("new.example", "phone"), notice(1))
		pass(time.Hour)
		if !strings.Contains(w.logged(), "new.example") {
			t.Error("on the next day the log is told nothing")
		}
	})
}

// A subscription that fails for days is dropped; one that works again is not.
func TestFailsForDays(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, w *world) {
		phone := w.subscribe("push.example", "phone")
		w.answers(always(403))
		begin := time.Now()
		w.push(phone, notice(1))
		pass(time.Hour)
		if got := w.happened(); len(got) != 1 || !got[0].since.Equal(begin.Add(firstDelay)) || got[0].subscription != phone.ID() {
			t.Fatalf("got %+v", got)
		}
		for seq := uint64(2); time.Since(begin) < dropAfter-time.Hour; seq++ {
			w.push(phone, notice(seq))
			pass(6 * time.Hour)
		}
		if got := w.happened(); len(got) != 0 {
			t.Fatalf("before its time: %+v", got)
		}
		w.answers(nil)
		w.push(phone, notice(1000))
		pass(time.Hour)
		if got := w.happened(); len(got) != 1 || !got[0].since.IsZero() || got[0].why != "" {
			t.Fatalf("when it works again: %+v", got)
		}
		w.answers(always(403))
		begin = time.Now()
		for seq := uint64(1001); time.Since(begin) <= dropAfter+6*time.Hour; seq++ {
			w.push(phone, notice(seq))
			pass(6 * time.Hour)
		}
		got := w.happened()
		if len(got) < 2 || got[0].why != "" || got[1].why != ReasonFailed {
			t.Errorf("got %+v", got)
		}
	})
}

// Since when a subscription fails outlasts restarts, and a clock that jumps drops nothing.
func TestFailingOverRestarts(t *testing.T) {
	for name, c := range map[string]struct {
		age     time.Duration // since when it fails, by what was kept
		jump    time.Duration // of the clock
		dropped bool
	}{
		"a week":                  {dropAfter, 0, true},
		"not yet":                 {dropAfter - 2*time.Hour, 0, false},
		"a clock that jumps on":   {time.Hour, 10 * 365 * 24 * time.Hour, true}, // within an hour, which tells it from a mistake
		"a clock that jumps back": {dropAfter, -10 * 365 * 24 * time.Hour, false},
		"the future":              {-dropAfter, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, nil, func(t *testing.T, w *world) {
				phone := w.subscribe("push.example", "phone")
				phone.FailingSince = time.Now().Add(-c.age)
				w.answers(always(403))
				w.setDay(c.jump)
				begin := time.Now().Add(c.jump)
				for seq := range uint64(2) {
					w.push(phone, notice(seq+1))
					pass(10 * time.Minute)
				}
				marked := false
				for _, e := range w.happened() {
					if e.why != "" {
						t.Errorf("it was dropped after two failures: %+v", e)
					}
					marked = marked || e.since.Equal(begin.Add(firstDelay))
				}
				if anew := phone.FailingSince.After(begin); marked != anew {
					t.Errorf("marked anew: %v, want %v", marked, anew)
				}
				pass(time.Hour)
				w.push(phone, notice(3))
				pass(time.Minute)
				dropped := false
				for _, e := range w.happened() {
					dropped = dropped || e.why == ReasonFailed
				}
				if dropped != c.dropped {
					t.Errorf("dropped: %v", dropped)
				}
			})
		})
	}
}

// A few failures, or many in a short time, are not days of failing, whatever the clock says.
func TestFailuresInAShortTime(t *testing.T) {
	for name, c := range map[string]struct {
		failures int
		every    time.Duration
	}{"many": {30, time.Minute}, "few": {dropFailures - 1, 2 * dropWithin}} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, nil, func(t *testing.T, w *world) {
				phone := w.subscribe("push.example", "phone")
				phone.FailingSince = time.Now().Add(-2 * dropAfter)
				w.answers(always(403))
				for seq := range c.failures {
					w.push(phone, notice(uint64(seq+1)))
					pass(c.every)
				}
				if got := w.happened(); len(got) != 0 {
					t.Errorf("got %+v", got)
				}
				w.push(phone, notice(1000))
				pass(2 * dropWithin)
				w.push(phone, notice(1001))
				pass(time.Minute)
				if got := w.happened(); len(got) != 1 || got[0].why != ReasonFailed {
					t.Errorf("after enough of them: got %+v", got)
				}
			})
		})
	}
}

// A server that reaches nobody drops nobody.
func TestOfflineForDays(t *testing.T) {
	for _, online := range []bool{false, true} {
		inBubble(t, nil, func(t *testing.T, w *world) {
			phone, laptop := w.subscribe("dead.example", "phone"), w.subscribe("push.example", "laptop")
			w.answers(func(r received) reply {
				if online && r.host == "push.example" {
					return reply{status: 201}
				}
				return reply{err: errors.New("network is unreachable")}
			})
			for seq := range uint64(10 * 24) {
				w.push(phone, notice(seq+1))
				w.push(laptop, notice(seq+1))
				pass(time.Hour)
			}
			dropped := make(map[string]bool)
			for _, e := range w.happened() {
				if e.why != "" {
					dropped[e.subscription] = true
				}
			}
			if dropped[phone.ID()] != online || dropped[laptop.ID()] {
				t.Errorf("online %v: dropped %v", online, dropped)
			}
		})
	}
}

// A short failure writes nothing to the database.
func TestShortFailuresAreNotMarked(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, w *world) {
		phone := w.subscribe("push.example", "phone")
		w.answers(always(500))
		w.push(phone, notice(1))
		pass(time.Minute)
		w.answers(nil)
		pass(5 * time.Minute)
		if got, events := w.got(), w.happened(); len(got) != 1 || len(events) != 0 {
			t.Errorf("got %+v, %+v", got, events)
		}
	})
}

// What a push service does to some subscriptions keeps neither others nor other push services
// waiting.
func TestOneSubscriptionDoesNotStopItsHost(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, w *world) {
		bad := w.subscribe("push.example", "bad")
		w.answers(func(r received) reply {
			if r.path == "/send/bad" {
				return reply{status: 429, header: map[string]string{"Retry-After": "3600"}}
			}
			return reply{status: 201}
		})
		for i := range 20 {
			w.push(bad, Notice{Account: "alice", Room: fmt.Sprint("room", i), Seq: 1})
		}
		pass(10 * time.Second)
		if w.Stats().Resting != 0 {
			t.Fatal("the push service is left alone")
		}
		w.push(w.subscribe("push.example", "good"), Notice{Account: "bob", Room: "lobby", Seq: 1})
		pass(firstDelay)
		if got := w.got(); len(got) != 1 || got[0].path != "/send/good" {
			t.Errorf("got %+v", got)
		}
	})
}

func TestDeadHost(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, w *world) {
		w.answers(func(r received) reply {
			if r.host == "dead.example" {
				return reply{hang: true}
			}
			return reply{status: 201}
		})
		for i := range 1000 {
			w.push(w.subscribe("dead.example", fmt.Sprint("dead", i)), Notice{Account: fmt.Sprint("dead", i), Room: "lobby", Seq: 1})
		}
		pass(firstDelay)
		if s := w.Stats(); s.InFlight != maxDoubtfulPerHost {
			t.Errorf("%d attempts are made", s.InFlight)
		}
		for i := range 10 {
			w.push(w.subscribe("push.example", fmt.Sprint("good", i)), Notice{Account: fmt.Sprint("good", i), Room: "lobby", Seq: 1})
		}
		pass(firstDelay)
		if got := w.got(); len(got) != 10 {
			t.Errorf("%d of the other push service were delivered", len(got))
		}
		pass(2 * time.Hour)
		if s := w.Stats(); s.Queued != 1000 && s.InFlight+s.Queued != 1000 {
			t.Errorf("counted %+v", s)
		}
		w.tried()
		pass(time.Hour)
		if n := w.tried(); n < 11 || n > 25 {
			t.Errorf("%d attempts in an hour at a push service that hangs", n)
		}
		w.answers(nil)
		pass(lastRest + attemptTimeout)
		pass(lastRetry)
		if got := w.got(); len(got) != 1000 {
			t.Errorf("%d were delivered when it worked again", len(got))
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.most["dead.example"] > maxFlyingPerHost {
			t.Errorf("there were %d attempts at once", w.most["dead.example"])
		}
		log := w.log.String()
		if strings.Count(log, "does not take pushes") != 1 || strings.Count(log, "takes pushes again") != 1 {
			t.Errorf("the log has %s", log)
		}
	})
}

// Once several subscriptions are refused for now, the push service is left alone as a whole, for as
// long as it asks.
func TestBusyHostRests(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, w *world) {
		w.answers(func(received) reply {
			return reply{status: 429, header: map[string]string{"Retry-After": "1200"}}
		})
		for i := range 100 {
			w.push(w.subscribe("push.example", fmt.Sprint(i)), Notice{Account: fmt.Sprint("account", i), Room: "lobby", Seq: 1})
		}
		pass(firstDelay)
		first := w.tried()
		if first > 2*maxFlyingPerHost || w.Stats().Resting != 1 {
			t.Errorf("%d attempts, %+v", first, w.Stats())
		}
		pass(20*time.Minute - time.Second)
		if n := w.tried(); n != 0 {
			t.Errorf("%d attempts while it is to be left alone", n)
		}
		pass(time.Second)
		if n := w.tried(); n != 1 {
			t.Errorf("%d attempts to see whether it works", n)
		}
		w.answers(nil)
		pass(2 * time.Hour)
		if got := w.got(); len(got) != 100 {
			t.Errorf("%d were delivered", len(got))
		}
	})
}

// One person has many subscriptions, all of which fail, and everybody else is notified as ever.
func TestOneAccountDoesNotStopItsHost(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, w *world) {
		w.answers(func(r received) reply {
			if strings.HasPrefix(r.path, "/send/bad") {
				return reply{status: 503, header: map[string]string{"Retry-After": "3600"}}
			}
			return reply{status: 201}
		})
		for round := range 3 {
			for i := range 2 * tripAfter {
				w.push(w.subscribe("push.example", fmt.Sprint("bad", i)), Notice{Account: "mallory", Room: "lobby", Seq: uint64(round + 1)})
			}
			pass(2 * time.Hour)
			if n := w.Stats().Resting; n != 0 {
				t.Fatalf("round %d: the push service is left alone", round)
			}
			w.push(w.subscribe("push.example", "good"), Notice{Account: "bob", Room: "lobby", Seq: uint64(round + 1)})
			pass(firstDelay)
			if got := w.got(); len(got) != 1 || got[0].path != "/send/good" {
				t.Errorf("round %d: got %+v", round, got)
			}
		}
	})
}

// Failures in a row, of one subscription after the other, count as well.
func TestHostRestsAfterFailuresInARow(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, w *world) {
		w.answers(func(received) reply {
			return reply{status: 503, header: map[string]string{"Retry-After": "1200"}}
		})
		for i := range tripAfter {
			if w.Stats().Resting != 0 {
				t.Errorf("it rests after %d", i)
			}
			w.push(w.subscribe("push.example", fmt.Sprint(i)), Notice{Account: fmt.Sprint(i), Room: "lobby", Seq: 1})
			pass(firstDelay)
		}
		w.answers(nil)
		w.tried()
		w.push(w.subscribe("push.example", "other"), Notice{Account: "other", Room: "lobby", Seq: 1})
		pass(20*time.Minute - time.Second)
		if n := w.tried(); n != 0 {
			t.Errorf("%d attempts while it is to be left alone", n)
		}
		pass(time.Second)
		if got := w.got(); len(got) != 1+tripAfter {
			t.Errorf("got %d", len(got))
		}
	})
}

// What waited for too long is not sent any more, although no attempt was made.
func TestWaitsForTooLong(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, w *world) {
		begin := time.Now()
		late := 0
		w.answers(func(r received) reply {
			if r.at.Sub(begin) >= timeToLive {
				late++
			}
			return reply{status: 500}
		})
		for i := range 300 {
			w.push(w.subscribe("push.example", fmt.Sprint(i)), Notice{Account: fmt.Sprint(i), Room: "lobby", Seq: 1})
		}
		pass(timeToLive + 2*lastRest)
		w.mu.Lock()
		defer w.mu.Unlock()
		if s := w.Stats(); s.Expired != 300 || late != 0 {
			t.Errorf("%d attempts were late, counted %+v", late, s)
		}
	})
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		phone, laptop := w.subscribe("push.example", "phone"), w.subscribe("dead.example", "laptop")
		w.answers(func(r received) reply {
			if r.host == "dead.example" {
				return reply{status: 500}
			}
			return reply{status: 201}
		})
		w.push(laptop, notice(1))
		pass(firstDelay)
		w.push(phone, notice(2))
		w.push(laptop, Notice{Account: "alice", Room: "other", Seq: 1})
		begin := time.Now()
		w.close()
		if got := w.got(); len(got) != 1 || got[0].payload.Seq != 2 {
			t.Errorf("got %+v", got)
		}
		if s := w.Stats(); s.Lost != 2 || s.Attempts != 2 || time.Since(begin) != 0 {
			t.Errorf("after %v: counted %+v", time.Since(begin), s)
		}
		if err := w.Push(phone, notice(3)); !errors.Is(err, ErrClosed) {
			t.Errorf("push after close: %v", err)
		}
		if n := w.Withdraw("alice", "lobby", 9) + w.Forget("alice", ""); n != 0 {
			t.Errorf("%d were withdrawn after close", n)
		}
		w.close()
	})
}

// Close does not wait for a push service that hangs for longer than its context.
func TestCloseInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.answers(func(received) reply { return reply{hang: true} })
		for i := range 100 {
			w.push(w.subscribe("push.example", fmt.Sprint(i)), Notice{Account: fmt.Sprint(i), Room: "lobby", Seq: 1})
		}
		pass(firstDelay)
		late := errors.New("late")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, late)
		defer cancel()
		begin := time.Now()
		if err := w.Close(ctx); !errors.Is(err, late) || time.Since(begin) != time.Second {
			t.Errorf("got %v after %v", err, time.Since(begin))
		}
		w.balance()
		if s := w.Stats(); s.Lost != 100 {
			t.Errorf("counted %+v", s)
		}
	})
}

// Close sends what it can, also when a push service stops to answer meanwhile.
func TestCloseWhileAHostDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.answers(always(503))
		for i := range 100 {
			w.push(w.subscribe("push.example", fmt.Sprint(i)), Notice{Account: fmt.Sprint(i), Room: "lobby", Seq: 1})
		}
		begin := time.Now()
		w.close()
		if s := w.Stats(); s.Lost != 100 || s.Attempts > 2*maxFlyingPerHost || time.Since(begin) != 0 {
			t.Errorf("after %v: counted %+v", time.Since(begin), s)
		}
	})
}

// Nothing that is logged, whatever happens, has a secret.
func TestNoSecretsInTheLog(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, w *world) {
		statuses := []int{201, 400, 401, 403, 404, 410, 413, 429, 500, 503, 307}
		w.answers(func(r received) reply {
			var i int
			fmt.Sscanf(r.path, "/send/s3cret%d", &i)
			switch {
			case i < len(statuses):
				return reply{status: statuses[i]}
			case i == len(statuses):
				return reply{hang: true}
			}
			return reply{err: fmt.Errorf("dial https://%s%s: refused", r.host, r.path)}
		})
		var subs []*Subscription
		for i := range len(statuses) + 10 {
			sub := w.subscribe(fmt.Sprintf("h%d.example", i/3), fmt.Sprint("s3cret", i))
			subs = append(subs, sub)
			w.push(sub, Notice{Account: fmt.Sprint(i), Room: "lobby", Seq: 1})
		}
		pass(timeToLive)
		log := w.logged()
		if strings.Count(log, "\n") < 5 {
			t.Errorf("the log has only %s", log)
		}
		raw, err := w.config.Key.private.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		secrets := []string{"s3cret", "text 1", "vapid t=", text(raw)}
		for _, sub := range subs {
			secrets = append(secrets, text(sub.auth[:]), text(sub.public.Bytes()))
		}
		for _, secret := range secrets {
			if strings.Contains(log, secret) {
				t.Errorf("the log has %s: %s", secret, log)
			}
		}
	})
}

// A clock that jumps changes neither pauses nor deadlines, and tokens stay valid.
func TestTheClockJumps(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, w *world) {
		phone := w.subscribe("push.example", "phone")
		for i, jump := range []time.Duration{0, 30 * 365 * 24 * time.Hour, -30 * 365 * 24 * time.Hour} {
			w.push(phone, notice(uint64(2*i+1)))
			w.setDay(jump)
			w.answers(always(429))
			pass(firstDelay)
			w.answers(nil)
			pass(firstRetry)
			got := w.got()
			if len(got) != 1 {
				t.Fatalf("%v: got %d", jump, len(got))
			}
			c := verify(t, got[0].header.Get("Authorization"), testKey(t).Public())
			if left := time.Unix(c.Expires, 0).Sub(got[0].at.Add(jump)); left <= 0 || left > 24*time.Hour {
				t.Errorf("%v: the token is valid for another %v", jump, left)
			}
		}
	})
}
