package hashing

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// after returns a process that takes a time for each answer.
func after(delay time.Duration) func(io.Reader, io.Writer) error {
	return func(in io.Reader, out io.Writer) error {
		return Serve(in, slowWriter{out, delay})
	}
}

type slowWriter struct {
	io.Writer
	delay time.Duration
}

func (w slowWriter) Write(p []byte) (int, error) {
	time.Sleep(w.delay)
	return w.Writer.Write(p)
}

// takes has a key computed, which takes a time.
func (h hasher) takes(password string, want time.Duration) {
	h.t.Helper()
	began := time.Now()
	h.works(password)
	if took := time.Since(began); took != want {
		h.t.Errorf("%s: it takes %s, want %s", password, took, want)
	}
}

func (h hasher) lines(level string) int {
	synctest.Wait()
	return strings.Count(h.log.String(), "level="+level)
}

// The key is computed here after a second, the late answer is taken off the pipe, and
// only then the process is asked again.
func TestALateAnswer(t *testing.T) {
	within(t, []func(io.Reader, io.Writer) error{after(5 * time.Second)}, func(h hasher) {
		h.takes("late", patience)
		h.expect("after a second", 1, 1, 0)
		h.takes("meanwhile", 0)
		h.expect("another process", 2, 2, 0)
		time.Sleep(idleTime + 1)
		h.expect("the late one is idle for less time", 2, 1, 0)
		if len(h.idle) != 1 {
			t.Fatalf("%d processes are idle, want the late one", len(h.idle))
		}
		h.takes("late again", patience)
		h.expect("it has been asked again", 2, 1, 0)
	})
}

// An answer that comes while others are computed here is taken.
func TestTheFirstOfTwoAnswers(t *testing.T) {
	within(t, []func(io.Reader, io.Writer) error{after(3 * time.Second)}, func(h hasher) {
		h.here <- struct{}{}
		h.takes("from the process", 3*time.Second)
		h.next = []func(io.Reader, io.Writer) error{func(in io.Reader, out io.Writer) error {
			time.Sleep(3 * time.Second)
			return die(in, out)
		}}
		time.Sleep(idleTime + 1)
		release := time.AfterFunc(5*time.Second, func() { <-h.here })
		defer release.Stop()
		h.takes("from here, after its death", 5*time.Second)
		h.expect("it died late", 2, 0, 1)
	})
}

// A process that does not answer for 30 s is killed, and the log says by whom.
func TestAProcessHangs(t *testing.T) {
	within(t, []func(io.Reader, io.Writer) error{hang}, func(h hasher) {
		h.takes("secret", patience)
		time.Sleep((maxPatience-1)*patience - 1)
		h.expect("nearly 30 s", 1, 1, 0)
		time.Sleep(2)
		h.expect("30 s", 1, 0, 1)
		if !strings.Contains(h.log.String(), "it has not answered for 30 s, and was killed") {
			t.Errorf("logged %s", h.log)
		}
		h.takes("another one", 0)
		h.expect("another one", 2, 1, 1)
		if n := h.lines("INFO"); n != 1 {
			t.Errorf("%d lines say that it works again: %s", n, h.log)
		}
	})
}

// No more processes than the maximum are started when all are late.
func TestAllProcessesAreBusy(t *testing.T) {
	within(t, nil, func(h hasher) {
		for range maxTest {
			h.next = append(h.next, after(5*time.Second))
		}
		h.max = 2
		h.takes("one", patience)
		h.takes("two", patience)
		h.takes("three", 0)
		h.expect("two are late", 2, 2, 0)
	})
}

// Three answers in a row that take over 1 s begin a rest, and one in time ends the count.
func TestSlowAnswers(t *testing.T) {
	within(t, nil, func(h hasher) {
		var delay atomic.Int64
		delay.Store(int64(1500 * time.Millisecond))
		serve := func(in io.Reader, out io.Writer) error {
			return Serve(in, writer(func(p []byte) (int, error) {
				time.Sleep(time.Duration(delay.Load()))
				return out.Write(p)
			}))
		}
		h.next = []func(io.Reader, io.Writer) error{serve, serve, serve, serve}
		slow := func(n int) {
			for i := range n {
				h.takes(fmt.Sprint("slow ", i), patience)
				time.Sleep(patience)
			}
		}
		slow(maxSlow - 1)
		delay.Store(0)
		h.takes("in time", 0)
		delay.Store(int64(1500 * time.Millisecond))
		slow(maxSlow - 1)
		h.expect("two in a row", 1, 1, 0)
		slow(1)
		h.expect("three in a row", 1, 1, 1)
		h.takes("a rest", 0)
		time.Sleep(firstRest)
		h.takes("still slow", patience)
		time.Sleep(2*firstRest - 1)
		h.takes("a longer rest", 0)
		delay.Store(0)
		time.Sleep(1)
		h.takes("in time again", 0)
		if n := h.lines("INFO"); n != 1 {
			t.Errorf("%d lines say that it works again: %s", n, h.log)
		}
		if h.slow != 0 || h.rest != 0 {
			t.Errorf("%d slow answers and a rest of %s are left", h.slow, h.rest)
		}
	})
}

type writer func(p []byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

// Rests after failures get longer up to a bound, and only the first failure is logged
// until a process works again.
func TestRestsAfterFailures(t *testing.T) {
	within(t, nil, func(h hasher) {
		started := 0
		for i, minutes := range []int{1, 2, 4, 8, 15, 15} {
			h.next = []func(io.Reader, io.Writer) error{die, nil}
			h.works("both fail")
			started++
			h.expect(fmt.Sprint("failure ", i), started, 0, 1)
			time.Sleep(time.Duration(minutes)*time.Minute - 1)
			h.works("a rest")
			h.expect(fmt.Sprint("rest ", i), started, 0, 1)
			time.Sleep(1)
		}
		h.works("well again")
		h.expect("well again", started+1, 1, 1)
		if n := h.lines("INFO"); n != 1 {
			t.Errorf("%d lines say that it works again: %s", n, h.log)
		}
		time.Sleep(idleTime + 1)
		h.next = []func(io.Reader, io.Writer) error{nil, nil}
		h.works("the next failure")
		h.expect("the next failure", started+1, 0, 2)
		time.Sleep(firstRest)
		h.works("after a short rest")
		h.expect("after a short rest", started+2, 1, 2)
	})
}

// Idle processes that are dead when they are asked are no failures.
func TestDeadIdleProcesses(t *testing.T) {
	within(t, nil, func(h hasher) {
		once := func(in io.Reader, out io.Writer) error {
			var r request
			frame, err := r.read(in, nil)
			if err == nil {
				_, err = out.Write(appendAnswer(nil, frame, r.key()))
			}
			if err == nil {
				err = die(in, out) // with the next request
			}
			return err
		}
		var meeting, calls sync.WaitGroup
		meeting.Add(3)
		for range 3 {
			h.next = append(h.next, func(in io.Reader, out io.Writer) error {
				meeting.Done()
				meeting.Wait()
				return once(in, out)
			})
		}
		for i := range 3 {
			calls.Go(func() { h.works(fmt.Sprint(i)) })
		}
		calls.Wait()
		h.expect("three are idle", 3, 3, 0)
		h.next = []func(io.Reader, io.Writer) error{die}
		h.works("one was dead, and a new one dies")
		h.expect("one was dead, and a new one died", 5, 3, 1)
		if h.rest != 0 {
			t.Error("it is a rest")
		}
	})
}

// While the machine, or this process, is suspended, no time counts.
func TestSuspension(t *testing.T) {
	within(t, []func(io.Reader, io.Writer) error{after(1800 * time.Millisecond)}, func(h hasher) {
		var ahead atomic.Int64 // of the simulated clock
		h.now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
		for i := range 2 * maxSlow {
			asleep := time.AfterFunc(patience/2, func() { ahead.Add(int64(time.Hour)) })
			h.takes(fmt.Sprint("suspended ", i), patience)
			asleep.Stop()
			time.Sleep(patience) // it answers before the end of the second step
		}
		h.expect("it was used again", 1, 1, 0)
		h.Processes.mu.Lock()
		defer h.Processes.mu.Unlock()
		if h.slow > 0 {
			t.Errorf("%d answers are slow", h.slow)
		}
	})
	within(t, []func(io.Reader, io.Writer) error{hang}, func(h hasher) {
		var ahead atomic.Int64
		h.now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
		h.takes("suspended", patience)
		for range 10 {
			time.Sleep(patience / 2)
			ahead.Add(int64(time.Hour))
			time.Sleep(patience / 2)
		}
		time.Sleep((maxPatience-1)*patience - 1)
		h.expect("nearly 30 s without the suspensions", 1, 1, 0)
		time.Sleep(2)
		h.expect("30 s", 1, 0, 1)
	})
}
