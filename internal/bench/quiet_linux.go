package bench

import (
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// fillBytes is more than the kernel buffers for a stalled connection; see
// smallBuffer and smallSegment.
const fillBytes = 512 << 10

// pause runs the loop for a while.
func (l *loop) pause(duration time.Duration, what string) error {
	begin := l.clock()
	for l.now = begin; l.now-begin < int64(duration); {
		if err := l.round(time.Duration(begin + int64(duration) - l.now)); err != nil {
			return err
		}
		l.say(float64(l.now-begin)/float64(duration), "%s", what)
	}
	return nil
}

// idle opens connections that send nothing.
func (l *loop) idle(r *Result) error {
	var before usage
	var err error
	if l.PID != 0 {
		if before, err = usageOf(l.PID); err != nil {
			return err
		}
	}
	for range l.Rooms {
		l.addRoom(l.Members, l.Members)
	}
	took, err := l.open()
	if err != nil {
		return err
	}
	// During the warm-up the server sends presence, frees buffers and collects
	// garbage.
	if err := l.pause(l.Warmup, "letting the server settle"); err != nil {
		return err
	}
	s, err := l.begin()
	if err != nil {
		return err
	}
	if err := l.pause(l.Duration, fmt.Sprintf("%d idle connections", len(l.conns))); err != nil {
		return err
	}
	if err := l.finish(s, r); err != nil {
		return err
	}
	n := len(l.conns)
	r.Idle = &IdleResult{Connections: n, LoginsPerSecond: float64(n) / took.Seconds()}
	if r.Server != nil {
		r.Idle.BeforeKiB, r.Idle.AfterKiB = before.anon, r.Server.AnonKiB
		r.Idle.KiBPerConnection = float64(r.Server.AnonKiB-before.anon) / float64(n)
		r.Idle.CPUPercent = 100 * r.Server.CPUSeconds / r.Seconds
	}
	return nil
}

// settleStalled is the time for the server to notice stalled connections. Linux
// probes a full socket 0.2, 0.6, 1.4, 3, 6.2, 12.6 and 25.4 s after it became full
// (TcpExtTCPWinProbe), and here it probes ten thousand in the same second. A
// measurement of 10 s fits between two of these bursts. It ends before the 30 s
// after which the server would close the connections.
const settleStalled = 14 * time.Second

// stalled measures a conversation while other connections are idle, and while as
// many are members that never read. The order is idle, stalled, stalled, idle, so
// that memory the server keeps for new messages affects both equally. For the same
// reason a first set of stalled connections comes and goes before.
func (l *loop) stalled(r *Result) error {
	latencies := map[bool]*hdrhistogram.Histogram{false: newHistogram(), true: newHistogram()}
	anon := make(map[bool]int64)
	for turn, stall := range []bool{true, false, true, true, false} {
		l.dropAll()
		// The server may need a moment to notice that the others are gone.
		if err := l.pause(l.Warmup, "closing connections"); err != nil {
			return err
		}
		talk := l.addRoom(l.Members, l.Senders)
		readers := len(l.conns)
		elsewhere := l.run + "-elsewhere"
		for range l.Stalled {
			c := l.add(nil, "bench-"+elsewhere)
			if stall {
				c.identity.room, c.small = talk.members[0].identity.room, true
			}
		}
		l.readAllInFull()
		if _, err := l.open(); err != nil {
			return err
		}
		if err := l.pause(l.Warmup, "letting the server settle"); err != nil {
			return err
		}
		for _, c := range l.conns[readers:] {
			c.silent = stall
		}
		// Send until the buffers between the server and the stalled connections
		// are full.
		payload := l.Payload
		l.Payload = MaxPayload // a few fill the buffers
		l.send(talk.senders[0], fillBytes/l.Payload, 0)
		l.Payload = payload
		if err := l.drain(); err != nil {
			return err
		}
		if turn == 0 {
			continue
		}
		if err := l.pause(settleStalled, "letting stalled connections fall behind"); err != nil {
			return err
		}
		if err := l.measure(r, func() error { return l.atRate(l.Duration, latencies[stall]) }); err != nil {
			return err
		}
		if r.Server != nil {
			anon[stall] += r.Server.AnonKiB / 2 // of two phases
		}
	}
	r.Stalled = &StallResult{
		Connections: l.Stalled,
		IdleKiB:     anon[false], StalledKiB: anon[true],
		Idle: percentiles(latencies[false]), Stalled: percentiles(latencies[true]),
	}
	return nil
}
