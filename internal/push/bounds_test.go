package push

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// 100,000 subscriptions at push services that are dead, of one and of many hosts: memory and
// goroutines are bounded, and the living are not displaced.
func TestManySubscriptionsOfDeadHosts(t *testing.T) {
	for name, c := range map[string]struct {
		notices int
		host    func(i int) string
	}{
		"one host":   {100_000, func(int) string { return "dead.example" }},
		"many hosts": {40_000, func(i int) string { return fmt.Sprintf("h%d.example", i) }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, nil)
				base := newBrowser(t).subscribe(t, "https://dead.example/")
				w.answers(func(r received) reply {
					if r.host == "push.example" {
						return reply{status: 201}
					}
					return reply{hang: true}
				})
				goroutines := runtime.NumGoroutine()
				good := w.subscribe("push.example", "good")
				w.push(good, Notice{Account: "good", Room: "lobby", Seq: 1})
				pass(firstDelay)
				w.push(good, Notice{Account: "good", Room: "lobby", Seq: 2})
				for i := range c.notices {
					to := *base // checking so many keys would take long
					to.id, to.host = fmt.Sprint(i), c.host(i)
					to.endpoint = fmt.Sprintf("https://%s/%d", to.host, i)
					w.push(&to, Notice{Account: fmt.Sprint(i), Room: "lobby", Seq: 1})
				}
				s := w.Stats()
				if s.Queued != DefaultMaxQueued || s.Displaced != uint64(c.notices+1-DefaultMaxQueued) {
					t.Errorf("counted %+v", s)
				}
				pass(firstDelay + time.Second)
				if got := runtime.NumGoroutine() - goroutines; got > maxFlying+1 {
					t.Errorf("%d goroutines", got)
				}
				if len(w.got()) != 2 {
					t.Error("the living push service was kept waiting")
				}
				w.balance()
				pass(5 * time.Minute)
				w.push(good, Notice{Account: "good", Room: "lobby", Seq: 3})
				pass(firstDelay)
				if len(w.got()) != 1 {
					t.Error("the living push service was kept waiting after a while")
				}
				if s := w.Stats(); s.Queued > DefaultMaxQueued+maxFlying || len(w.queue.hosts) > s.Queued+maxIdleHosts+maxFlying || len(w.told) > maxTold || len(w.failing) > maxFailing || len(w.queue.held) > maxHeld {
					t.Errorf("counted %+v, %d hosts, %d lines, %d failing, %d held", s, len(w.queue.hosts), len(w.told), len(w.failing), len(w.queue.held))
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				w.Close(ctx)
				w.balance()
			})
		})
	}
}

// What waits takes as much memory as the limits of the queue promise.
func TestMemoryOfNotices(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, w *world) {
		const notices, most = 8192, 1200
		b := newBrowser(t)
		path := strings.Repeat("a", 200) // as long as the usual push services have it
		before := heapInUse()
		for i := range notices {
			to := b.subscribe(t, fmt.Sprintf("https://push.example/%s/%d", path, i))
			w.push(to, Notice{Account: fmt.Sprintf("%026d", i), Room: "lobby", Seq: 1})
		}
		used := heapInUse() - before
		if used/notices > most {
			t.Errorf("a notice takes %d bytes", used/notices)
		}
		t.Logf("a notice takes %d bytes", used/notices)
		if n := w.Stats().Queued; n != notices {
			t.Errorf("%d wait", n)
		}
		for i := range notices {
			w.Forget(fmt.Sprintf("%026d", i), "")
		}
	})
}

func heapInUse() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// When the queue is full, what goes is of the push service with the most.
func TestTheLongestQueueLoses(t *testing.T) {
	inBubble(t, func(c *Config) { c.MaxQueued = 100 }, func(t *testing.T, w *world) {
		for i := range 20 {
			w.push(w.subscribe("small.example", fmt.Sprint("small", i)), Notice{Account: fmt.Sprint("small", i), Room: "lobby", Seq: 1})
		}
		for i := range 500 {
			w.push(w.subscribe("large.example", fmt.Sprint("large", i)), Notice{Account: fmt.Sprint("large", i), Room: "lobby", Seq: 1})
		}
		for i := range 10 {
			w.push(w.subscribe("late.example", fmt.Sprint("late", i)), Notice{Account: fmt.Sprint("late", i), Room: "lobby", Seq: 1})
		}
		pass(firstDelay)
		count := make(map[string]int)
		for _, r := range w.got() {
			count[r.host]++
		}
		if count["small.example"] != 20 || count["large.example"] != 70 || count["late.example"] != 10 {
			t.Errorf("got %v", count)
		}
		if s := w.Stats(); s.Displaced != 430 {
			t.Errorf("counted %+v", s)
		}
	})
}

// Clients that name many push services which answer slowly, or not, do not keep others waiting.
func TestManySlowHosts(t *testing.T) {
	for name, bad := range map[string]reply{"they hang": {hang: true}, "they are slow": {status: 201, slow: attemptTimeout - time.Second}} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, nil, func(t *testing.T, w *world) {
				w.answers(func(r received) reply {
					if r.host == "push.example" {
						return reply{status: 201}
					}
					return bad
				})
				good := w.subscribe("push.example", "good")
				w.push(good, Notice{Account: "good", Room: "lobby", Seq: 1})
				pass(firstDelay)
				var subs []*Subscription
				for i := range 200 {
					subs = append(subs, w.subscribe(fmt.Sprintf("h%d.example", i), "bad"))
				}
				for round := range uint64(5) {
					for i, sub := range subs {
						w.push(sub, Notice{Account: fmt.Sprint(i), Room: "lobby", Seq: round + 1})
					}
					pass(firstDelay)
					w.got()
					w.push(good, Notice{Account: "good", Room: "lobby", Seq: round + 2})
					pass(firstDelay)
					delivered := false
					for _, r := range w.got() {
						delivered = delivered || r.host == "push.example"
					}
					if !delivered {
						t.Errorf("round %d: the good push service was kept waiting", round)
					}
					if s := w.Stats(); s.InFlight > maxDoubtful {
						t.Errorf("round %d: %d attempts at doubtful push services", round, s.InFlight)
					}
					pass(time.Minute)
				}
				for i := range subs {
					w.Forget(fmt.Sprint(i), "")
				}
				pass(attemptTimeout)
			})
		})
	}
}

// However many push services there are, and however good they were.
func TestAttemptsAreBounded(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, w *world) {
		push := func(seq uint64) {
			for i := range 100 {
				w.push(w.subscribe(fmt.Sprintf("h%d.example", i%4), fmt.Sprint(i)), Notice{Account: fmt.Sprint(i), Room: "lobby", Seq: seq})
			}
			pass(firstDelay)
		}
		push(1)
		w.answers(func(received) reply { return reply{hang: true} })
		push(2)
		if s := w.Stats(); s.Delivered != 100 || s.InFlight != maxFlying {
			t.Errorf("counted %+v", s)
		}
		w.answers(nil)
		pass(time.Hour)
		if s := w.Stats(); s.Delivered != 200 {
			t.Errorf("counted %+v", s)
		}
	})
}

// One account cannot fill the queue.
func TestAnAccountIsBounded(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, w *world) {
		phone := w.subscribe("push.example", "phone")
		for i := range maxPerAccount + 100 {
			w.push(phone, Notice{Account: "alice", Room: fmt.Sprint("room", i), Seq: 1})
		}
		if s := w.Stats(); s.Queued != maxPerAccount || s.Displaced != 100 {
			t.Errorf("counted %+v", s)
		}
		pass(firstDelay)
		for _, r := range w.got() {
			var i int
			if fmt.Sscanf(r.payload.Room, "room%d", &i); i < 100 {
				t.Errorf("%s was not displaced", r.payload.Room)
			}
		}
	})
}

// Whatever happens in whatever order: every notice is in one place, a later one of a room is not
// followed by an earlier one, and what was withdrawn in time is not pushed.
func TestModel(t *testing.T) {
	for seed := range uint64(15) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			w := newWorld(t, func(c *Config) { c.MaxQueued = 1 + random.IntN(200) })
			m := newModel(w, random)
			for range 300 {
				m.step()
				w.balance()
				m.check()
			}
			w.answers(nil)
			pass(timeToLive)
			w.balance()
			if s := w.Stats(); s.Queued != 0 || s.InFlight != 0 {
				t.Errorf("%+v are left", s)
			}
			m.end()
			w.close()
			if t.Failed() {
				t.Fatalf("seed %d", seed)
			}
		})
		if t.Failed() {
			return
		}
	}
}

// model knows what may be pushed.
type model struct {
	*world
	random *rand.Rand // of the steps; answers have their own
	subs   []*Subscription
	seq    uint64
	latest map[string]uint64 // by path, room and urgency: the last notice that was pushed
	read   map[string]uint64 // by account and room: what was withdrawn
}

func newModel(w *world, random *rand.Rand) *model {
	m := &model{world: w, random: random, latest: make(map[string]uint64), read: make(map[string]uint64)}
	for i := range 12 {
		m.subs = append(m.subs, w.subscribe(fmt.Sprintf("h%d.example", i%3), fmt.Sprint(i)))
	}
	answers := rand.New(rand.NewPCG(random.Uint64(), 2))
	m.answers(func(received) reply { return randomReply(answers) })
	return m
}

func randomReply(random *rand.Rand) reply {
	switch random.IntN(12) {
	case 0:
		return reply{status: 500}
	case 1:
		return reply{status: 429, header: map[string]string{"Retry-After": fmt.Sprint(random.IntN(600))}}
	case 2:
		return reply{status: 413}
	case 3:
		return reply{hang: true}
	case 4:
		return reply{status: 403}
	case 5:
		return reply{status: 410}
	}
	return reply{status: 201}
}

func (m *model) step() {
	i := m.random.IntN(len(m.subs))
	account, room := fmt.Sprint("a", i%4), fmt.Sprint("r", m.random.IntN(4))
	switch m.random.IntN(10) {
	case 0:
		m.Withdraw(account, room, m.seq) // now nothing flies but what hangs
		m.read[account+" "+room] = m.seq
	case 1:
		m.Forget(account, m.subs[i].ID())
	case 2, 3:
		pass(time.Duration(m.random.Int64N(int64(time.Minute))))
	case 4:
		pass(time.Duration(m.random.Int64N(int64(10 * time.Second))))
	default:
		m.seq++
		m.push(m.subs[i], Notice{Account: account, Room: room, Seq: m.seq, Urgent: m.random.IntN(3) == 0})
	}
}

// check checks what was pushed since the last time.
func (m *model) check() {
	m.t.Helper()
	for _, r := range m.got() {
		key := fmt.Sprint(r.path, r.payload.Room, r.header.Get("Urgency"))
		if r.payload.Seq < m.latest[key] {
			m.t.Errorf("%s got %d after %d", key, r.payload.Seq, m.latest[key])
		}
		m.latest[key] = r.payload.Seq
		var i int
		fmt.Sscanf(r.path, "/send/%d", &i)
		if read := m.read[fmt.Sprint("a", i%4, " ", r.payload.Room)]; r.payload.Seq <= read {
			m.t.Errorf("%s got %d, and %d was read before", key, r.payload.Seq, read)
		}
	}
	s := m.Stats()
	if s.Queued > m.config.MaxQueued+maxFlying || s.InFlight > maxFlying {
		m.t.Errorf("%d wait, %d fly", s.Queued, s.InFlight)
	}
}

// end checks that nothing is remembered of what is over.
func (m *model) end() {
	m.t.Helper()
	m.Service.mu.Lock()
	defer m.Service.mu.Unlock()
	if len(m.queue.accounts)+m.queue.doubtful != 0 {
		m.t.Errorf("left are %d accounts, %d doubtful", len(m.queue.accounts), m.queue.doubtful)
	}
	for _, g := range []*group{&m.queue.trusted, &m.queue.doubted} {
		if g.size+len(g.byNext.items)+len(g.byLength.items) != 0 {
			m.t.Errorf("left is a group of %d, %d and %d", g.size, len(g.byNext.items), len(g.byLength.items))
		}
	}
	for _, h := range m.queue.hosts {
		if h.flying != 0 || len(h.waiting.items) != 0 {
			m.t.Errorf("%s has %d that fly and %d that wait", h.name, h.flying, len(h.waiting.items))
		}
	}
}

func BenchmarkPush(b *testing.B) {
	w := newWorld(b, nil)
	w.Service.delay = time.Hour
	defer w.close()
	var subs []*Subscription
	for i := range 1000 {
		subs = append(subs, w.subscribe(fmt.Sprintf("h%d.example", i%4), fmt.Sprint(i)))
	}
	rooms := []string{"a", "b", "c", "d"}
	accounts := make([]string, len(subs))
	for i := range accounts {
		accounts[i] = fmt.Sprint("account", i)
	}
	for i := 0; b.Loop(); i++ {
		if err := w.Push(subs[i%len(subs)], Notice{Account: accounts[i%len(subs)], Room: rooms[i/len(subs)%len(rooms)], Seq: uint64(i + 1)}); err != nil {
			b.Fatal(err)
		}
	}
}
