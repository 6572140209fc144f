package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// seriesStep is the interval of the points of deliveries over time.
const seriesStep = 100 * time.Millisecond

func run(ctx context.Context, w Workload, o Options) (*Result, error) {
	l, err := newLoop(ctx, o, o.connections(w))
	if err != nil {
		return nil, err
	}
	defer l.close()
	r := &Result{Workload: w, Options: o}
	switch w {
	case Latency:
		err = l.latency(r)
	case Idle:
		err = l.idle(r)
	case Stalled:
		err = l.stalled(r)
	case Join:
		err = l.storm(r)
	case Durable:
		err = l.durable(r)
	default:
		err = l.flood(r)
	}
	return r, err
}

// span is a measured interval.
type span struct {
	begin          int64
	messages, sent uint64
	server         usage
	generator      float64
}

// measure reports the cost of a load, waits for the messages in flight after it,
// and checks that none was lost or repeated.
func (l *loop) measure(r *Result, load func() error) error {
	s, err := l.begin()
	if err != nil {
		return err
	}
	if err := load(); err != nil {
		return err
	}
	if err := l.finish(s, r); err != nil {
		return err
	}
	if err := l.drain(); err != nil {
		return err
	}
	l.verify(r)
	return nil
}

// begin starts a measurement.
func (l *loop) begin() (s span, err error) {
	if l.PID != 0 {
		if s.server, err = usageOf(l.PID); err != nil {
			return s, err
		}
	}
	s.begin, s.messages, s.sent, s.generator = l.clock(), l.messages, l.sentSoFar(), ownCPU()
	return s, nil
}

// finish ends a measurement and records it.
func (l *loop) finish(s span, r *Result) error {
	r.Seconds = time.Duration(l.clock() - s.begin).Seconds()
	r.Messages = l.sentSoFar() - s.sent
	r.Deliveries = l.messages - s.messages
	if l.dialect.echoes() { // echoed messages are not deliveries
		own := r.Deliveries / uint64(max(l.Members, 1))
		r.Deliveries -= own
	}
	if r.Seconds > 0 {
		r.DeliveriesPerSecond = float64(r.Deliveries) / r.Seconds
	}
	r.Generator = ownCPU() - s.generator
	if l.PID == 0 {
		return nil
	}
	after, err := usageOf(l.PID)
	if err != nil {
		return err
	}
	r.Server = &ServerUse{CPUSeconds: after.cpu - s.server.cpu, AnonKiB: after.anon, PeakKiB: after.hwm}
	if r.Deliveries > 0 {
		r.Server.MicrosPerDelivery = r.Server.CPUSeconds * 1e6 / float64(r.Deliveries)
	}
	return nil
}

func (l *loop) sentSoFar() (n uint64) {
	for _, r := range l.rooms {
		n += r.sent
	}
	return n
}

// ownCPU returns the CPU time of this process in seconds.
func ownCPU() float64 {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

// flood keeps the window of each room full for a while.
func (l *loop) flood(r *Result) error {
	for range l.Rooms {
		l.addRoom(l.Members, l.Senders)
	}
	l.sample()
	if _, err := l.open(); err != nil {
		return err
	}
	if err := l.prepare(); err != nil {
		return err
	}
	whole, err := l.begin()
	if err != nil {
		return err
	}
	for _, room := range l.rooms {
		l.fill(room)
	}
	if err := l.keepFull(l.Warmup, nil); err != nil {
		return err
	}
	if err := l.measure(r, func() error { return l.keepFull(l.Duration, &r.Series) }); err != nil || !l.Settle {
		return err
	}
	return l.settle(whole, r)
}

const (
	// idleFor is how long the server must have used next to no CPU before it counts as idle: it
	// pauses within its work for later.
	idleFor = 2 * time.Second
	// idleCPU is how many seconds of CPU it may use meanwhile.
	idleCPU = 0.02
)

// settle waits until the server is idle, and reports all its CPU since a span began.
func (l *loop) settle(s span, r *Result) error {
	last, err := usageOf(l.PID)
	if err != nil {
		return err
	}
	begun := last.at
	for now := last; now.at.Sub(last.at) < idleFor; {
		if now.at.Sub(begun) > MaxTime { // the rest of the result is as good as ever
			l.say(1, "the server was never idle")
			return nil
		}
		if err := l.pause(idleFor/10, "waiting until the server is idle"); err != nil {
			return err
		}
		if now, err = usageOf(l.PID); err != nil {
			return err
		}
		if now.cpu-last.cpu > idleCPU {
			last = now
		}
	}
	r.Server.WholeMicrosPerMessage = (last.cpu - s.server.cpu) * 1e6 / float64(max(l.sentSoFar()-s.sent, 1))
	return nil
}

// prepare has every room say what its members react to, if they do instead of sending.
func (l *loop) prepare() error {
	if !l.React {
		return nil
	}
	sampled := make([]bool, len(l.rooms))
	for i, r := range l.rooms {
		sampled[i], r.senders[0].inFull = r.senders[0].inFull, true // to learn the seqs
		l.send(r.senders[0], targets, 0)
	}
	if err := l.drain(); err != nil {
		return err
	}
	if !l.settled() {
		return errors.New("the messages to react to are missing")
	}
	for i, r := range l.rooms {
		r.senders[0].inFull = sampled[i]
		for _, c := range r.members {
			c.first, c.before = r.senders[0].order.last[0]-targets+1, c.sent
		}
	}
	l.dialect = reactions{l.dialect, l.WebSocket}
	return nil
}

// keepFull sends whenever a window has room, and records the speed.
func (l *loop) keepFull(duration time.Duration, series *[]float64) error {
	begin := l.clock()
	end := begin + int64(duration)
	step, counted := begin, l.messages
	alive := begin
	for l.now = begin; l.now < end; {
		before := l.messages
		if err := l.round(time.Duration(end - l.now)); err != nil {
			return err
		}
		for _, room := range l.dirty {
			room.dirty = false
			l.fill(room)
		}
		l.dirty = l.dirty[:0]
		if l.messages != before {
			alive = l.now
		} else if l.now-alive > int64(patience) {
			return fmt.Errorf("nothing has arrived for %s", patience)
		}
		if elapsed := l.now - step; elapsed >= int64(seriesStep) {
			speed := float64(l.messages-counted) / time.Duration(elapsed).Seconds()
			step, counted = l.now, l.messages
			if series == nil {
				l.say(0, "warming up, %s deliveries/s", human(speed))
				continue
			}
			*series = append(*series, speed)
			l.say(float64(l.now-begin)/float64(duration), "%s deliveries/s", human(speed))
		}
	}
	return nil
}

// fill sends as much as the window of a room allows, spread evenly over its
// senders, with one write for each.
func (l *loop) fill(r *room) {
	free := l.InFlight - r.inFlight()
	share := (free + len(r.senders) - 1) / len(r.senders)
	for tried := 0; free > 0 && tried < len(r.senders); tried++ {
		c := r.senders[r.turn]
		r.turn = (r.turn + 1) % len(r.senders)
		if len(c.out) > 0 {
			continue // the server currently accepts nothing from this connection
		}
		n := min(share, free)
		free -= n
		l.send(c, n, 0)
	}
}

// send sends n messages from a connection in one write.
func (l *loop) send(c *conn, n int, stamp int64) {
	data := l.scratch[:0]
	for range n {
		c.sent++
		data = l.dialect.appendSend(data, &c.identity, c.sent, stamp, l.Payload)
	}
	c.room.sent += uint64(n)
	l.write(c, data)
	l.scratch = data[:0]
}
