package bench

import (
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"
)

// latency sends at a fixed rate, independent of the server. Each message contains
// the time it is due. Latency counts from then, so a server that stalls the
// generator is charged for the wait.
func (l *loop) latency(r *Result) error {
	for range l.Rooms {
		l.addRoom(l.Members, l.Senders)
	}
	l.readAllInFull()
	if _, err := l.open(); err != nil {
		return err
	}
	h := newHistogram()
	if err := l.atRate(l.Warmup, nil); err != nil {
		return err
	}
	if err := l.measure(r, func() error { return l.atRate(l.Duration, h) }); err != nil {
		return err
	}
	// Includes the messages still in flight: the late ones are the important ones.
	p := percentiles(h)
	r.Latency = &p
	return nil
}

func (l *loop) readAllInFull() {
	for _, c := range l.conns {
		c.inFull = !c.silent
	}
}

// atRate sends for a while. It records the latencies of messages due in that time
// if there is a histogram, even those that arrive after it has returned.
func (l *loop) atRate(duration time.Duration, h *hdrhistogram.Histogram) error {
	if l.timer < 0 {
		timer, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
		if err != nil {
			return fmt.Errorf("timer: %w", err)
		}
		l.timer = timer
		event := unix.EpollEvent{Fd: int32(timer), Events: unix.EPOLLIN | unix.EPOLLET}
		if err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, timer, &event); err != nil {
			return fmt.Errorf("epoll: %w", err)
		}
	}
	begin := l.clock()
	l.onMessage = func(_ *conn, line []byte) {
		if stamp, ok := stampOf(line); ok && stamp >= begin && h != nil {
			record(h, l.now-stamp)
		}
	}
	interval := float64(time.Second) / l.Rate
	end, sent := begin+int64(duration), 0
	due := begin
	for l.now = begin; l.now < end; {
		for ; due <= l.now && due < end; due = begin + int64(float64(sent)*interval) {
			l.sendNext(due)
			sent++
		}
		wait := max(min(due, end)-l.clock(), 1)
		if err := unix.TimerfdSettime(l.timer, 0, &unix.ItimerSpec{Value: unix.NsecToTimespec(wait)}, nil); err != nil {
			return fmt.Errorf("timer: %w", err)
		}
		if err := l.round(time.Second); err != nil {
			return err
		}
		if h != nil {
			l.say(float64(l.now-begin)/float64(duration), "%d latencies, p50 %s", h.TotalCount(), milliseconds(float64(h.ValueAtQuantile(50))/1e6))
		} else {
			l.say(0, "warming up")
		}
	}
	return nil
}

// sendNext sends from the next sender of the next room.
func (l *loop) sendNext(due int64) {
	r := l.rooms[l.turn]
	l.turn = (l.turn + 1) % len(l.rooms)
	c := r.senders[r.turn]
	r.turn = (r.turn + 1) % len(r.senders)
	l.send(c, 1, due)
}
