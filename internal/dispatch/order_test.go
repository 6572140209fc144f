package dispatch

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"kaban"
	"kaban/internal/store"
	"kaban/internal/store/memory"
	"kaban/internal/store/storetest"
)

// dice are random numbers for several goroutines.
type dice struct {
	mu   sync.Mutex
	rand *rand.Rand
}

func newDice(seed uint64) *dice { return &dice{rand: rand.New(rand.NewPCG(seed, 0))} }

// below returns a number from 0 to n-1.
func (d *dice) below(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.rand.IntN(n)
}

// pause returns a time below a bound; often none.
func (d *dice) pause(bound time.Duration) time.Duration {
	if d.below(2) == 0 {
		return 0
	}
	return time.Duration(d.below(int(bound)))
}

// troubled is a store of several nodes, over a database that fails now and then.
type troubled struct {
	store.Store
	dice    *dice
	appends int           // as Appends says
	slow    time.Duration // bounds the time of an append
	shared  bool          // another node appends as well
	others  atomic.Int64  // entries of other nodes

	mu     sync.Mutex // guards all below
	left   int        // troubles to come
	away   time.Time  // no call succeeds before it
	unread time.Time  // only appends do
}

func (s *troubled) Appends() int { return s.appends }

// trouble reports whether one begins.
func (s *troubled) trouble(odds int) bool {
	if s.dice.below(odds) > 0 {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left == 0 {
		return false
	}
	s.left--
	return true
}

// heal ends all trouble.
func (s *troubled) heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left, s.away, s.unread = 0, time.Time{}, time.Time{}
}

// answer fails while the database is away, which it may be from now on, with some odds.
func (s *troubled) answer(reads bool, odds int) error {
	begins, until, all := s.trouble(odds), time.Now().Add(time.Duration(s.dice.below(int(100*time.Millisecond)))), s.dice.below(2) == 0
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case begins && all:
		s.away = until
	case begins:
		s.unread = until
	}
	if now := time.Now(); now.Before(s.away) || reads && now.Before(s.unread) {
		return errAway
	}
	return nil
}

// elsewhere has another node append to a room.
func (s *troubled) elsewhere(room kaban.RoomName) error {
	draft := kaban.Draft{Author: kaban.Visitor(carol), Room: room, Kind: kaban.KindMessage, Body: "x"}
	draft.ID, _ = kaban.ParseMessageID(fmt.Sprint("other-", s.others.Add(1)))
	return s.Store.Append(context.Background(), []store.Write{{Draft: draft}}, make([]store.Result, 1))
}

var carol, _ = kaban.ParseUsername("carol")

func (s *troubled) Append(ctx context.Context, batch []store.Write, results []store.Result) error {
	time.Sleep(s.dice.pause(s.slow))
	if err := s.answer(false, 8); err != nil {
		return err
	}
	if s.shared && s.dice.below(2) == 0 {
		if err := s.elsewhere(batch[0].Room); err != nil {
			return err
		}
		defer s.answer(false, 3) // it may go away before that is read
	}
	if !s.trouble(8) {
		return s.Store.Append(ctx, batch, results)
	}
	switch s.dice.below(3) {
	case 0:
		return store.ErrFull
	case 1:
		if err := s.Store.Append(ctx, batch, make([]store.Result, len(batch))); err != nil {
			return err
		}
	}
	return store.ErrUnknown
}

func (s *troubled) Read(ctx context.Context, room kaban.RoomName, page store.Page) ([]store.Entry, error) {
	if err := s.answer(true, 8); err != nil {
		return nil, err
	}
	return s.Store.Read(ctx, room, page)
}

func (s *troubled) Room(ctx context.Context, room kaban.RoomName) (store.Room, error) {
	if err := s.answer(true, 8); err != nil {
		return store.Room{}, err
	}
	return s.Store.Room(ctx, room)
}

func (s *troubled) View(ctx context.Context, run func(store.Tx) error) error {
	if err := s.answer(true, 8); err != nil {
		return err
	}
	return s.Store.View(ctx, run)
}

// manner is how a message of the model is sent.
type manner int

const (
	usual     manner = iota
	decided          // the transaction decides
	bumping          // and changes rights
	forbidden        // and refuses it
	unmade           // it could not be made at first
	manners
)

// said is a message of a client of the model.
type said struct {
	id      string
	manner  manner
	copies  int  // without an answer
	refused bool // for now, since it was written last
	done    bool // it is stored, or refused for what it is
}

// copied is one send of a message.
type copied struct {
	seat *orderSeat
	*said
	ref string
}

// orderSeat is what a client does in one room.
type orderSeat struct {
	sub     *Subscription
	next    uint64 // the entry that must be given next
	said    []*said
	written int // those of said that were sent
	paused  bool
	until   time.Time // of the pause
}

// speaker is a client of the model, with its connection.
type speaker struct {
	t    testing.TB
	d    *Dispatcher
	dice *dice
	user string
	// A page sends everything that is not answered again after a refusal, while other clients first wait
	// for the answers.
	page  bool
	burst int           // bounds what is sent at once
	pace  time.Duration // bounds the pauses between

	seats   []*orderSeat
	wire    []copied // written, and not read by the server
	open    map[string]copied
	answers []Receipt // on their way back
	refs    int
	again   bool // there may be something to read without a wake
	repeats int
	faults  []string

	mu        sync.Mutex // guards all below
	audiences []*Audience
	woken     bool
}

func (c *speaker) Wake(a *Audience) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.audiences, c.woken = append(c.audiences, a), true
}

func (c *speaker) WakeOne(*Subscription) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.woken = true
}

func (c *speaker) fault(format string, args ...any) {
	c.faults = append(c.faults, c.user+": "+fmt.Sprintf(format, args...))
}

// run has the client and its connection do what they have to, until all that it says is answered.
func (c *speaker) run(end time.Time) {
	for steps := []func(){c.say, c.submit, c.hear, c.learn}; !c.isDone(); time.Sleep(time.Microsecond + c.dice.pause(c.pace)) {
		if time.Now().After(end) {
			c.fault("%d sends have no answer, and %d are not read", len(c.open), len(c.wire))
			return
		}
		for _, step := range steps {
			if c.dice.below(3) > 0 {
				step()
			}
		}
	}
}

func (c *speaker) isDone() bool {
	for _, seat := range c.seats {
		if seat.written < len(seat.said) || slices.ContainsFunc(seat.said, func(m *said) bool { return !m.done || m.refused }) {
			return false
		}
	}
	return len(c.open) == 0
}

// say has the client write what it wants stored: first what was refused, in the old order.
func (c *speaker) say() {
	for _, seat := range c.seats {
		if seat.paused {
			if time.Now().Before(seat.until) || !c.page && seat.isOvertaken() {
				continue
			}
			seat.paused = false
			for _, m := range seat.said[:seat.written] {
				// The page, too, repeats what is stored if a copy was refused: the server waits for it.
				if m.refused || c.page && !m.done {
					c.repeats++
					c.write(seat, m)
				}
			}
		}
		for range min(c.dice.below(c.burst+1), len(seat.said)-seat.written) {
			c.write(seat, seat.said[seat.written])
			seat.written++
		}
	}
}

// isOvertaken reports whether something is not answered that was sent behind what was refused.
func (s *orderSeat) isOvertaken() bool {
	first := slices.IndexFunc(s.said, func(m *said) bool { return m.refused })
	return slices.ContainsFunc(s.said[first:s.written], func(m *said) bool { return m.copies > 0 })
}

func (c *speaker) write(seat *orderSeat, m *said) {
	m.copies++
	m.refused = false
	c.refs++
	c.wire = append(c.wire, copied{seat, m, strconv.Itoa(c.refs)})
}

// submit has the server read a part of what was written.
func (c *speaker) submit() {
	n := min(1+c.dice.below(2*c.burst), len(c.wire))
	var sends []Send
	for _, m := range c.wire[:n] {
		s := send(c.t, m.seat.sub, c.user, m.id, "x")
		s.Ref, s.HasRef = m.ref, true
		switch m.manner {
		case decided:
			s.Terms = &Terms{Decide: func(store.Tx) error { return nil }}
		case bumping:
			s.Terms = &Terms{Decide: func(tx store.Tx) error { return tx.Bump(s.Draft.Room) }}
		case forbidden:
			s.Terms = &Terms{Decide: func(store.Tx) error { return errMuted }}
		case unmade:
			if c.dice.below(2) == 0 {
				s.Terms = &Terms{Failed: errAway}
			}
		}
		c.open[m.ref] = m
		sends = append(sends, s)
	}
	c.wire = c.wire[n:]
	if n > 0 {
		c.d.Submit(sends)
	}
}

// hear has the connection take what there is, if it was woken.
func (c *speaker) hear() {
	c.mu.Lock()
	audiences, due := c.audiences, c.woken || c.again
	c.audiences, c.woken, c.again = nil, false, false
	c.mu.Unlock()
	if !due {
		return
	}
	for _, a := range audiences {
		a.Members()
	}
	for _, seat := range c.seats {
		for c.take(seat) {
		}
		seat.sub.Unpin()
	}
}

// take takes the next thing. It reports whether there was anything.
func (c *speaker) take(seat *orderSeat) bool {
	segment := seat.sub.Next()
	switch {
	case segment.Behind:
		err := seat.sub.Fetch(context.Background())
		if err != nil && !errors.Is(err, store.ErrUnavailable) {
			c.fault("fetch: %v", err)
		}
		c.again = c.again || err != nil
		return err == nil
	case segment.Receipt != nil:
		r := segment.Receipt
		c.answers = append(c.answers, *r)
		if r.Err == nil && !r.Duplicate {
			c.note(seat, r.Seq)
		}
	case segment.Frames != nil:
		for line := range strings.Lines(string(segment.Frames)) {
			seq, err := strconv.ParseUint(strings.Fields(line)[1], 10, 64)
			if err != nil {
				c.fault("got %q", line)
			}
			c.note(seat, seq)
		}
		seat.sub.Advance(&segment, len(segment.Frames))
	default:
		return false
	}
	return true
}

func (c *speaker) note(seat *orderSeat, seq uint64) {
	if seq != seat.next {
		c.fault("got number %d of %s, want %d", seq, seat.sub.Room().Name(), seat.next)
	}
	seat.next = seq + 1
}

// learn has the client read some of the answers.
func (c *speaker) learn() {
	n := min(c.dice.below(4*c.burst+1), len(c.answers))
	for _, r := range c.answers[:n] {
		m, ok := c.open[r.Ref]
		if delete(c.open, r.Ref); !ok || m.id != r.ID {
			c.fault("send %s of %s has another answer: %+v", r.Ref, r.ID, r)
			continue
		}
		m.copies--
		switch {
		case r.Err == nil, m.manner == forbidden && errors.Is(r.Err, errMuted):
			m.done = true
		case !Fails(r.Err):
			c.fault("%s is refused: %v", r.ID, r.Err)
		default:
			m.refused = true
			if !m.seat.paused {
				m.seat.paused, m.seat.until = true, time.Now().Add(time.Duration(c.dice.below(int(100*time.Millisecond))))
			}
		}
	}
	c.answers = c.answers[n:]
}

// check compares what a room has of the client with what it has said there.
func (c *speaker) check(seat *orderSeat, log []store.Entry) {
	var got, want []string
	for _, e := range log {
		if e.Username == c.user {
			got = append(got, e.ID)
		}
	}
	for _, m := range seat.said {
		if m.manner != forbidden {
			want = append(want, m.id)
		}
	}
	if n := diverge(got, want); n < max(len(got), len(want)) {
		from := max(0, n-3)
		c.fault("%s has from number %d of its %d on %q, want %q", seat.sub.Room().Name(), n,
			len(want), got[from:min(len(got), n+10)], want[from:min(len(want), n+10)])
	}
	if seat.next != uint64(len(log))+1 || seat.sub.Outstanding() != 0 || len(c.answers) > 0 {
		c.fault("it was given everything up to %d of %s, want %d; %d sends have no receipt, and %d one too many",
			seat.next-1, seat.sub.Room().Name(), len(log), seat.sub.Outstanding(), len(c.answers))
	}
}

// diverge returns how many ids are the same in the beginning.
func diverge(a, b []string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// orderPlan is what one check of TestOrderWhateverFails has drawn.
type orderPlan struct {
	seed     uint64
	appends  int
	slow     time.Duration
	shared   bool
	judged   bool
	terms    int // of so many messages one has terms; 0: none
	troubles int
	tail     int
	clients  []clientPlan
}

type clientPlan struct {
	page  bool
	rooms []string
	says  int
	burst int
	pace  time.Duration
}

func drawOrderPlan(t *rapid.T) orderPlan {
	p := orderPlan{
		seed:     rapid.Uint64().Draw(t, "seed"),
		appends:  rapid.SampledFrom([]int{1, 4}).Draw(t, "appends"),
		slow:     rapid.SampledFrom([]time.Duration{1, 5 * time.Millisecond, 30 * time.Millisecond}).Draw(t, "slow"),
		shared:   rapid.Bool().Draw(t, "shared"),
		judged:   rapid.Bool().Draw(t, "judged"),
		terms:    rapid.SampledFrom([]int{0, 0, 2, 10, 40}).Draw(t, "terms"),
		troubles: rapid.IntRange(1, 30).Draw(t, "troubles"),
		tail:     rapid.SampledFrom([]int{1, 256 << 10}).Draw(t, "tail"),
	}
	many := rapid.IntRange(0, 15).Draw(t, "many") == 0
	for i := range rapid.IntRange(1, 4).Draw(t, "clients") {
		c := clientPlan{
			page:  rapid.Bool().Draw(t, "page"),
			rooms: rapid.SampledFrom([][]string{{"lobby"}, {"den"}, {"lobby", "den"}, {"den", "attic"}}).Draw(t, "rooms"),
			says:  rapid.IntRange(5, 150).Draw(t, "says"),
			burst: rapid.SampledFrom([]int{1, 4, 20}).Draw(t, "burst"),
			pace:  rapid.SampledFrom([]time.Duration{time.Millisecond, 5 * time.Millisecond, 30 * time.Millisecond}).Draw(t, "pace"),
		}
		if many && i == 0 {
			c.says, c.burst, p.troubles = maxBatch+100, maxBatch+100, min(p.troubles, 5)
		}
		p.clients = append(p.clients, c)
	}
	return p
}

// orderTest is one check of TestOrderWhateverFails.
type orderTest struct {
	t       *testing.T
	dice    *dice
	store   *troubled
	d       *Dispatcher
	clients []*speaker
}

func newOrderTest(t *testing.T, p *orderPlan) *orderTest {
	o := &orderTest{t: t, dice: newDice(p.seed)}
	o.store = &troubled{Store: memory.New(0), dice: o.dice, appends: p.appends, slow: p.slow, shared: p.shared}
	o.d = newDispatcher(t, o.store, Options{TailBytes: p.tail, PresenceDelay: time.Hour})
	o.d.clock = func() time.Duration { return 0 } // no failure is forgotten
	if p.judged {
		o.d.SetJudge(judgeOf(o.store, new(atomic.Int64)))
	}
	for i, plan := range p.clients {
		c := &speaker{
			t: t, d: o.d, dice: newDice(p.seed + uint64(i) + 1), user: fmt.Sprint("user", i, "x"),
			page: plan.page, burst: plan.burst, pace: plan.pace, open: make(map[string]copied),
		}
		for _, room := range plan.rooms {
			sub, joined, err := tryJoin(o.d, c, plain, storetest.Username(t, c.user), storetest.RoomName(t, room), Start{})
			if err != nil {
				t.Fatal(err)
			}
			seat := &orderSeat{sub: sub, next: joined.Head + 1}
			for n := range plan.says {
				m := &said{id: fmt.Sprint(n)}
				if p.terms > 0 && c.dice.below(p.terms) == 0 {
					m.manner = manner(c.dice.below(int(manners)))
				}
				seat.said = append(seat.said, m)
			}
			c.seats = append(c.seats, seat)
		}
		o.clients = append(o.clients, c)
	}
	o.store.mu.Lock()
	o.store.left = p.troubles
	o.store.mu.Unlock()
	return o
}

// another is another node on the database, until it is told to end.
func (o *orderTest) another(end <-chan struct{}) {
	for {
		select {
		case <-end:
			return
		case <-time.After(time.Microsecond + o.dice.pause(30*time.Millisecond)):
		}
		seat := o.clients[0].seats[0]
		room := seat.sub.Room().Name()
		var err error
		switch o.dice.below(3) {
		case 0:
			err = o.store.elsewhere(room)
		case 1:
			o.hint(room)
		default:
			err = o.store.Update(context.Background(), func(tx store.Tx) error { return tx.Bump(room) })
		}
		if err != nil {
			o.t.Error(err)
		}
	}
}

// hint has the dispatcher hear how far a room is.
func (o *orderTest) hint(room kaban.RoomName) {
	state, err := o.store.Store.Room(context.Background(), room)
	if err != nil {
		o.t.Error(err)
	}
	o.d.Grown(room, state.Head)
}

// run returns what is wrong, and how many sends were repeats.
func (o *orderTest) run() (faults []string, repeats int) {
	end := time.Now().Add(5 * time.Minute)
	var clients, other sync.WaitGroup
	ended := make(chan struct{})
	if o.store.shared {
		other.Go(func() { o.another(ended) })
	}
	for _, c := range o.clients {
		clients.Go(func() { c.run(end) })
	}
	clients.Wait()
	close(ended)
	other.Wait()
	o.store.heal()
	for _, c := range o.clients {
		for _, seat := range c.seats {
			o.hint(seat.sub.Room().Name())
		}
	}
	time.Sleep(time.Minute)
	for _, c := range o.clients {
		c.hear()
		for _, seat := range c.seats {
			log, err := o.store.Read(context.Background(), seat.sub.Room().Name(), store.Page{Limit: 1 << 20})
			if err != nil {
				o.t.Error(err)
			}
			c.check(seat, log)
			o.d.Leave(seat.sub)
		}
		faults, repeats = append(faults, c.faults...), repeats+c.repeats
	}
	return faults, repeats
}

// TestOrderWhateverFails has clients send to rooms without waiting for answers, over a database that fails
// at any moment, while another node appends and changes rights. They send again what is refused, as the
// protocol has it. In the end everything is stored once, in the order in which each client has said it in a
// room, each send was answered once, and each reader was given each entry once, in order.
func TestOrderWhateverFails(t *testing.T) {
	repeats := 0
	defer func() { t.Logf("%d repeats", repeats) }()
	rapid.Check(t, func(rt *rapid.T) {
		p := drawOrderPlan(rt)
		var faults []string
		synctest.Test(t, func(t *testing.T) { // nobody waits for the pauses
			var n int
			faults, n = newOrderTest(t, &p).run()
			repeats += n
		})
		if len(faults) > 0 {
			rt.Fatal(strings.Join(faults, "\n"))
		}
	})
}
