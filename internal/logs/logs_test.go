package logs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// page is what a log was written to. Safe for concurrent use.
type page struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (p *page) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(b)
}

// take returns the lines since the last call.
func (p *page) take() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	text := strings.TrimSuffix(p.text.String(), "\n")
	p.text.Reset()
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

func TestFormats(t *testing.T) {
	for _, c := range []struct {
		o    Options
		want string
	}{
		{Options{}, `^time=\S+ level=WARN msg="a b" a.n=1 x=2$`},
		{Options{Format: Text}, `^time=\S+ level=WARN msg="a b" a.n=1 x=2$`},
		{Options{Format: JSON}, `^\{"time":"[^"]+","level":"WARN","msg":"a b","a":\{"n":1\},"x":2\}$`},
		{Options{Journal: true}, `^<4>level=WARN msg="a b" a.n=1 x=2$`},
		{Options{Format: JSON, Journal: true}, `^<4>\{"level":"WARN","msg":"a b","a":\{"n":1\},"x":2\}$`},
	} {
		var out page
		log := New(&out, c.o)
		log.With(slog.Group("a", "n", 1)).Warn("a b", "x", 2)
		log.Debug("not at this level")
		log.Close()
		if lines := out.take(); len(lines) != 1 || !regexp.MustCompile(c.want).MatchString(lines[0]) {
			t.Errorf("%+v: got %q, want %s", c.o, lines, c.want)
		}
	}
}

// The journal has each level as its priority, also of what With and WithGroup return.
func TestPriorities(t *testing.T) {
	var out page
	level := new(slog.LevelVar)
	level.Set(slog.LevelDebug)
	log := New(&out, Options{Journal: true, Level: level})
	defer log.Close()
	inner := log.With("a", 1).WithGroup("g")
	inner.Debug("m", "time", 5)
	inner.Info("m")
	inner.Warn("m")
	inner.Error("m")
	got := strings.Join(out.take(), "\n")
	want := "<7>level=DEBUG msg=m a=1 g.time=5\n<6>level=INFO msg=m a=1\n<4>level=WARN msg=m a=1\n<3>level=ERROR msg=m a=1"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// A level takes effect at once, for loggers that are made before.
func TestLevelChanges(t *testing.T) {
	var out page
	level := new(slog.LevelVar)
	log := New(&out, Options{Level: level})
	defer log.Close()
	inner := log.With("a", 1)
	for _, c := range []struct {
		name string
		want int
	}{{"info", 1}, {"debug", 2}, {"error", 0}, {"warn", 0}} {
		l, err := ParseLevel(c.name)
		if err != nil {
			t.Fatal(err)
		}
		level.Set(l)
		inner.Info("info")
		inner.Debug("debug")
		if lines := out.take(); len(lines) != c.want {
			t.Errorf("%s: got %q", c.name, lines)
		}
	}
	for _, name := range []string{"", "loud", "info+1", "1"} {
		if l, err := ParseLevel(name); err == nil {
			t.Errorf("%q is the level %v", name, l)
		}
	}
}

// The same message many times is written some times, and once more with their number at
// the end of the period, with what the last of them said.
func TestFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out page
		log := New(&out, Options{})
		defer log.Close()
		inner := log.With("part", "p")
		for i := range 1000 {
			inner.Info("flood", "i", i)
			log.Warn("flood") // another level is another message
			if i < 3 {
				log.Info("quiet")
			}
		}
		if lines := out.take(); len(lines) != 2*floodLines+3 {
			t.Errorf("%d lines were written at once", len(lines))
		}
		time.Sleep(floodPeriod)
		synctest.Wait()
		lines := strings.Join(out.take(), "\n") + "\n"
		for _, want := range []string{
			fmt.Sprintf("level=INFO msg=flood part=p i=999 repeated=%d within=10s\n", 1000-floodLines),
			fmt.Sprintf("level=WARN msg=flood repeated=%d within=10s\n", 1000-floodLines),
		} {
			if !strings.Contains(lines, want) {
				t.Errorf("got\n%s\nwithout\n%s", lines, want)
			}
		}
		if n := strings.Count(lines, "\n"); n != 2 {
			t.Errorf("the period ends with %d lines", n)
		}
		time.Sleep(time.Hour)
		log.Info("flood")
		if lines := out.take(); len(lines) != 1 {
			t.Errorf("afterwards %q were written for one line", lines)
		}
	})
}

// What is left out is written when the log is closed, and nothing is left out after that.
func TestCloseWritesTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out page
		log := New(&out, Options{Format: JSON})
		for range floodLines + 7 {
			log.Info("flood")
		}
		log.Close()
		lines := out.take()
		var last struct{ Repeated int }
		if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil || last.Repeated != 7 || len(lines) != floodLines+1 {
			t.Errorf("%d lines, the last %+v %v", len(lines), last, err)
		}
		for range 2 * floodLines {
			log.Info("flood")
		}
		if lines := out.take(); len(lines) != 2*floodLines {
			t.Errorf("%d lines after the end", len(lines))
		}
		log.Close()
	})
}

// Messages with changing texts neither take memory without bound nor pass without bound.
func TestFloodOfDifferentMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out page
		log := New(&out, Options{})
		defer log.Close()
		for i := range 10 * floodMessages {
			log.Info(fmt.Sprint("message ", i))
		}
		log.floods.mu.Lock()
		n := len(log.floods.counts)
		log.floods.mu.Unlock()
		if n != floodMessages+1 {
			t.Errorf("%d messages are remembered", n)
		}
		if n := len(out.take()); n != floodMessages+floodLines {
			t.Errorf("%d lines are written", n)
		}
		time.Sleep(floodPeriod)
		synctest.Wait()
		want := fmt.Sprintf("repeated=%d within=10s and_similar=true", 9*floodMessages-floodLines)
		if lines := out.take(); len(lines) != 1 || !strings.Contains(lines[0], want) {
			t.Errorf("got %q, want %s", lines, want)
		}
	})
}

// Whatever is logged when: every line is written or counted, exactly once.
func TestNoLineIsLost(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		steps := rapid.SliceOfN(rapid.IntRange(0, 7), 1, 300).Draw(rt, "steps")
		synctest.Test(t, func(t *testing.T) {
			var out page
			log := New(&out, Options{})
			logged := make(map[string]int)
			for _, step := range steps {
				switch {
				case step == 7:
					time.Sleep(floodPeriod / 3)
				default:
					message := string(rune('a' + step%3))
					for range 1 + step*step {
						log.Info(message)
						logged[message]++
					}
				}
			}
			log.Close()
			for _, line := range out.take() {
				_, rest, _ := strings.Cut(line, "msg=")
				message, more, _ := strings.Cut(rest, " ")
				n := 1
				if _, count, ok := strings.Cut(more, "repeated="); ok {
					fmt.Sscan(count, &n)
				}
				logged[message] -= n
			}
			for message, n := range logged {
				if n != 0 {
					rt.Errorf("%d lines of %s are lost", n, message)
				}
			}
		})
	})
}

// Many goroutines may log.
func TestConcurrentLogging(t *testing.T) {
	var out page
	log := New(&out, Options{Journal: true})
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 200 {
				log.Info("a")
				log.Error("b", "x", 1)
			}
		})
	}
	all.Wait()
	log.Close()
	total := 0
	for _, line := range out.take() {
		n := 1
		if _, count, ok := strings.Cut(line, "repeated="); ok {
			fmt.Sscan(count, &n)
		}
		total += n
	}
	if total != 2*8*200 {
		t.Errorf("%d lines of %d are there", total, 2*8*200)
	}
}

func BenchmarkLine(b *testing.B) {
	var out page
	log := New(&out, Options{})
	defer log.Close()
	for b.Loop() {
		log.Info("message", "x", 1)
	}
}
