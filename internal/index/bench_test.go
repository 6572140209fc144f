package index

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"kaban"
	"kaban/internal/search"
	"kaban/internal/store"
	"kaban/internal/store/storetest"
)

var (
	messages = flag.Int("search.messages", 100_000, "messages of the benchmark of searches")
	benchDir = flag.String("search.dir", "", "directory of its index")
)

// corpus is a store of generated messages: in 1,000 rooms, a quarter of the texts Chinese or
// Japanese.
type corpus struct {
	store.Store
	rooms   []store.Room
	perRoom uint64
	words   []string
	runes   []rune
	start   int64
}

func newCorpus(t testing.TB, n int) *corpus {
	c := &corpus{perRoom: uint64(max(n/1000, 1)), start: time.Now().Add(-365 * 24 * time.Hour).UnixMilli()}
	for i := range 1000 {
		c.rooms = append(c.rooms, store.Room{Name: storetest.RoomName(t, fmt.Sprint("bench-", i, "x")), Head: c.perRoom, Oldest: 1})
	}
	random := rand.New(rand.NewPCG(5, 6))
	for range 50_000 {
		word := make([]byte, 2+random.IntN(4)+random.IntN(6))
		for i := range word {
			word[i] = "etaoinshrdlucmfwypvbgkjqxz"[min(random.IntN(26), random.IntN(26))]
		}
		c.words = append(c.words, string(word))
	}
	for range 3000 {
		c.runes = append(c.runes, 0x4E00+random.Int32N(0x5000))
	}
	return c
}

func (c *corpus) Epoch() string                               { return "bench" }
func (c *corpus) Rooms(context.Context) ([]store.Room, error) { return c.rooms, nil }
func (c *corpus) Room(_ context.Context, name kaban.RoomName) (store.Room, error) {
	return store.Room{Name: name, Head: c.perRoom, Oldest: 1}, nil
}

// text returns the content of a message: 5 to 30 words, or 8 to 60 characters.
func (c *corpus) text(random *rand.Rand) string {
	var b strings.Builder
	if random.IntN(4) == 0 {
		zipf := rand.NewZipf(random, 1.2, 20, uint64(len(c.runes)-1))
		for range 8 + random.IntN(52) {
			b.WriteRune(c.runes[zipf.Uint64()])
		}
		return b.String()
	}
	zipf := rand.NewZipf(random, 1.15, 10, uint64(len(c.words)-1))
	for i := range 5 + random.IntN(25) {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(c.words[zipf.Uint64()])
	}
	return b.String()
}

func (c *corpus) Read(_ context.Context, name kaban.RoomName, page store.Page) (entries []store.Entry, err error) {
	var room uint64
	for _, b := range []byte(name.String()) {
		room = room*31 + uint64(b)
	}
	for seq := page.After + 1; seq < page.Before && len(entries) < page.Limit; seq++ {
		random := rand.New(rand.NewPCG(room, seq))
		entries = append(entries, store.Entry{
			Seq: seq, Time: c.start + int64(seq)*1000*3600 + int64(room%3600_000), Kind: kaban.KindMessage, ID: "x",
			Author: "visitor:u", Username: fmt.Sprint("user-", random.IntN(2000)), Content: c.text(random),
		})
	}
	return entries, nil
}

// BenchmarkFind reads a corpus into an index and asks it for what people look for, as
// somebody that may read 50 of 1,000 rooms, and as somebody that may read all.
func BenchmarkFind(b *testing.B) {
	c := newCorpus(b, *messages)
	dir := *benchDir
	if dir == "" {
		dir = b.TempDir()
	}
	began := time.Now()
	x := Open(c, dir, Options{Eager: true})
	defer x.Close()
	if err := x.Wait(b.Context()); err != nil {
		b.Fatal(err)
	}
	took := time.Since(began)
	if err := x.Forget(b.Context()); err != nil { // with its log
		b.Fatal(err)
	}
	text := 0
	sample := rand.New(rand.NewPCG(9, 9))
	for range 10_000 {
		text += len(c.text(sample))
	}
	total := float64(text) / 10_000 * float64(x.Status().Indexed)
	b.Logf("%d messages in %v, %v each; index %.1f MB, text %.1f MB, %.2f of it", x.Status().Indexed, took.Round(time.Millisecond),
		took/time.Duration(x.Status().Indexed), float64(x.Status().Bytes)/1e6, total/1e6, float64(x.Status().Bytes)/total)
	var fifty []kaban.RoomName
	for i := range 50 {
		fifty = append(fifty, c.rooms[i*20].Name)
	}
	random := rand.New(rand.NewPCG(7, 8))
	word := func() string { return c.words[rand.NewZipf(random, 1.15, 10, uint64(len(c.words)-1)).Uint64()] }
	any := func() string { return c.words[random.IntN(len(c.words))] }
	for _, kind := range []struct {
		name  string
		query func() string
		rooms []kaban.RoomName
	}{
		{"a word as it occurs", word, nil},
		{"any word", any, nil},
		{"two characters", func() string {
			return string([]rune{c.runes[random.IntN(300)], c.runes[random.IntN(300)]})
		}, nil},
		{"a phrase", func() string { return `"` + word() + " " + word() + `"` }, nil},
		{"a prefix", func() string { return any()[:2] + "*" }, nil},
		{"from", func() string { return fmt.Sprint("from:user-", random.IntN(2000)) }, nil},
		{"from and a word in a room", func() string { return fmt.Sprint("from:user-", random.IntN(2000), " ", word()) }, fifty[:1]},
	} {
		for _, rooms := range [][]kaban.RoomName{fifty, nil} {
			name := kind.name + "/50 rooms"
			if rooms == nil {
				name = kind.name + "/all rooms"
			}
			if kind.rooms != nil {
				if rooms == nil {
					continue
				}
				rooms, name = kind.rooms, kind.name
			}
			b.Run(name, func(b *testing.B) {
				var times []time.Duration
				hits := 0
				for b.Loop() {
					q, err := search.Parse(kind.query(), time.Now())
					if err != nil {
						continue
					}
					began := time.Now()
					page, err := x.Find(b.Context(), search.Ask{Query: q, Rooms: rooms, All: rooms == nil, Limit: 32})
					if err != nil {
						b.Fatal(err)
					}
					times = append(times, time.Since(began))
					hits += len(page.List)
				}
				slices.Sort(times)
				b.ReportMetric(float64(times[len(times)*95/100].Microseconds())/1000, "p95-ms")
				b.ReportMetric(float64(times[len(times)-1].Microseconds())/1000, "max-ms")
				b.ReportMetric(float64(hits)/float64(len(times)), "hits")
			})
		}
	}
}
