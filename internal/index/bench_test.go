package index

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"kaban/internal/search"
)

var (
	messages = flag.Int("search.messages", 100_000, "messages of the benchmark of searches; ten million take about 1 GB")
	benchDir = flag.String("search.dir", "", "directory for its index, which is kept: another run goes on with it; default: a temporary one")
	longest  = flag.Duration("search.time", 45*time.Minute, "how long it reads; then it asks for what it has read")
)

// BenchmarkFind reads a corpus into an index and asks it for what people look for, as
// somebody that may read 50 of 1,000 rooms. A search is a page of 20 hits, with all that
// package chat does for it but the reading of messages from a store and the question
// whether they may be read.
func BenchmarkFind(b *testing.B) {
	c := newCorpus(b, *messages)
	dir := *benchDir
	if dir == "" {
		dir = b.TempDir()
	}
	x := Open(c, dir, Options{Eager: true})
	b.Cleanup(func() {
		if err := x.Close(); err != nil {
			b.Error(err)
		}
	})
	c.build(b, x)
	a := asker{corpus: c, index: x, random: rand.New(rand.NewPCG(7, 8))}
	for i := range 50 {
		a.rooms = append(a.rooms, i*20+i%20)
	}
	for _, kind := range []struct {
		name  string
		query func() string
	}{
		{"a word as it occurs", func() string { return c.english.word(a.random) }},
		{"any word", func() string { return c.english.words[a.random.IntN(len(c.english.words))] }},
		{"two words", func() string { return c.english.word(a.random) + " " + c.english.word(a.random) }},
		{"two characters", func() string { return a.run(2) }},
		{"three characters", func() string { return a.run(3) }},
		{"six characters", func() string { return a.run(6) }},
		{"two characters at random", func() string { return characters(a.random, 2) }},
		{"a phrase of two", func() string { return a.phrase(2) }},
		{"a phrase of four", func() string { return a.phrase(4) }},
		{"a phrase that hardly occurs", func() string {
			return `"` + c.english.words[a.random.IntN(30)] + " " + c.english.words[a.random.IntN(3000)] + `"`
		}},
		{"a prefix", func() string { return c.english.word(a.random)[:1] + c.english.word(a.random)[:1] + "*" }},
		{"from", func() string { return a.from(a.room()) }},
		{"from and in", func() string { room := a.room(); return a.from(room) + a.in(room) }},
		{"from and in and a word", func() string { room := a.room(); return a.from(room) + a.in(room) + " " + c.english.word(a.random) }},
	} {
		b.Run(kind.name, func(b *testing.B) { a.measure(b, kind.query) })
	}
	b.Logf("memory of the process: %s", peakMemory())
}

// build reads the corpus, with a line about every ten seconds.
func (c *corpus) build(b *testing.B, x *Index) {
	began := time.Now()
	stop := time.AfterFunc(*longest, func() { c.stopped.Store(true) })
	defer stop.Stop()
	progress := time.NewTicker(10 * time.Second)
	defer progress.Stop()
	ended := make(chan error, 1)
	go func() { ended <- c.wait(b.Context(), x) }()
	for done := false; !done; {
		select {
		case err := <-ended:
			if err != nil {
				b.Fatalf("after %d messages: %v", x.Status().Indexed, err)
			}
			done = true
		case <-progress.C:
			s := x.Status()
			fmt.Fprintf(os.Stderr, "%v: %d of %d messages, %.1f MB\n", time.Since(began).Round(time.Second), s.Indexed, *messages, float64(s.Bytes)/1e6)
		}
	}
	took := time.Since(began)
	text, sample := 0, rand.New(rand.NewPCG(9, 9))
	const sampled = 100_000
	for range sampled {
		room := sample.IntN(corpusRooms)
		text += len(c.entry(room, 1+sample.Uint64N(c.perRoom)).Content)
	}
	s := x.Status()
	total := float64(text) / sampled * float64(s.Indexed)
	var pages, free, size float64
	if err := x.db.read.QueryRow("SELECT * FROM pragma_page_count, pragma_freelist_count, pragma_page_size").Scan(&pages, &free, &size); err != nil {
		b.Fatal(err)
	}
	fmt.Fprintf(os.Stderr, "%d messages of %d bytes in %v, %v each; text %.1f MB, index %.2f of it, with free pages %.2f; memory %s\n",
		s.Indexed, text/sampled, took.Round(time.Second), (took / time.Duration(s.Indexed)).Round(100*time.Nanosecond), total/1e6, (pages-free)*size/total, float64(s.Bytes)/total, peakMemory())
}

// wait returns once everything was read, and all full volumes were put together.
func (c *corpus) wait(ctx context.Context, x *Index) error {
	if err := x.Wait(ctx); err != nil {
		return err
	}
	for left := 1; left > 0; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
		if err := x.db.read.QueryRow("SELECT count(*) FROM volumes WHERE whole = 0 AND id < (SELECT max(id) FROM volumes)").Scan(&left); err != nil {
			return err
		}
	}
	return x.Forget(ctx) // with its log
}

// peakMemory returns what the process has at most had, where the system tells.
func peakMemory() string {
	status, _ := os.ReadFile("/proc/self/status")
	_, peak, _ := bytes.Cut(status, []byte("VmHWM:"))
	line, _, _ := bytes.Cut(peak, []byte("\n"))
	return string(bytes.TrimSpace(line))
}

// asker asks as somebody that may read some rooms of a corpus.
type asker struct {
	*corpus
	index  *Index
	rooms  []int
	random *rand.Rand
}

func (a *asker) room() int            { return a.rooms[a.random.IntN(len(a.rooms))] }
func (a *asker) from(room int) string { return "from:" + a.author(room, a.random) }
func (a *asker) in(room int) string   { return " in:" + a.corpus.rooms[room].Name.String() }
func (a *asker) message(r int) string { return a.entry(r, 1+a.random.Uint64N(a.perRoom)).Content }

// run returns n characters that follow each other in a message.
func (a *asker) run(n int) string {
	for {
		var run []rune
		for _, r := range a.message(a.room()) {
			if r < 0x3040 || r > 0x9FFF {
				run = run[:0]
			} else if run = append(run, r); len(run) >= n && a.random.IntN(5) == 0 {
				return string(run[len(run)-n:])
			}
		}
	}
}

// phrase returns n words that follow each other in a message.
func (a *asker) phrase(n int) string {
	for {
		words := strings.Fields(a.message(a.room()))
		if len(words) < n || len(words[0]) != utf8.RuneCountInString(words[0]) {
			continue
		}
		at := a.random.IntN(len(words) - n + 1)
		return `"` + strings.Join(words[at:at+n], " ") + `"`
	}
}

// measure asks for pages of hits.
func (a *asker) measure(b *testing.B, query func() string) {
	var times []time.Duration
	hits, read := 0, 0
	for b.Loop() {
		text := query()
		q, err := search.Parse(text, time.Now())
		if err != nil {
			continue
		}
		began := time.Now()
		h, r, err := a.page(b.Context(), q)
		if err != nil {
			b.Fatalf("%s: %v", text, err)
		}
		times = append(times, time.Since(began))
		hits, read = hits+h, read+r
	}
	slices.Sort(times)
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	b.ReportMetric(ms(times[len(times)/2]), "p50-ms")
	b.ReportMetric(ms(times[len(times)*95/100]), "p95-ms")
	b.ReportMetric(ms(times[len(times)-1]), "max-ms")
	b.ReportMetric(float64(hits)/float64(len(times)), "hits")
	b.ReportMetric(float64(read)/float64(len(times)), "read")
}

// page looks for 20 hits and one more, and returns how many there were and how many
// messages it has read for them.
func (a *asker) page(ctx context.Context, q *search.Query) (hits, read int, err error) {
	ask := search.Ask{Query: q, Limit: 32}
	for _, room := range a.rooms {
		if name := a.corpus.rooms[room].Name; len(q.In) == 0 || q.In[0].Key() == name.Key() {
			ask.Rooms = append(ask.Rooms, name)
		}
	}
	for ; ; ask.Limit = min(2*ask.Limit, 512) {
		found, err := a.index.Find(ctx, ask)
		if err != nil {
			return hits, read, err
		}
		for _, place := range found.List {
			read++
			room := a.numbers[place.Room.Key()]
			e := a.entry(room, place.Seq)
			if !slices.Contains(a.rooms, room) || !q.Matches(e.Content) || len(q.From) > 0 && q.From[0].String() != e.Username {
				continue
			}
			if hits++; hits > 20 {
				return hits, read, nil
			}
		}
		if !found.More {
			return hits, read, nil
		}
		ask.Before = found.Next
	}
}
