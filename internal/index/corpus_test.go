package index

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kaban"
	"kaban/internal/store"
	"kaban/internal/store/storetest"
)

const (
	corpusRooms   = 1000
	corpusAuthors = 2000
	roomAuthors   = 40 // of each room
)

// corpus is a store of generated messages in 1,000 rooms of the same size, over a year. The
// texts have what decides about the size and the speed of an index:
//
//   - An eighth of the rooms speak Chinese, an eighth Japanese, the others English.
//   - Words occur as Zipf and Mandelbrot found: the one of rank r with (r+b)^-s. English has
//     200,000 words, with b = 2.7 and s = 1.05, so the most frequent one is 3.6 percent of
//     a text. Frequent words are short. Chinese and Japanese have 60,000 words each.
//   - Chinese words have one to four characters, most have two, and the frequent ones one. They
//     are made of 3,500 characters, for which b = 40 and s = 1.4: the first 100 are about
//     half of a text, as in real ones. A Japanese word is of such characters, of Katakana, or of
//     both with Hiragana behind them; between words are particles of Hiragana.
//   - A message has the length of a line of a chat: log-normal, the median 9 words and the
//     mean 13, at most 120. Every eighth word ends with a mark.
//   - One message in 40 has a link, and one in 12 a number, that occur nowhere else.
//   - A room has 40 authors of 2,000, and they talk as words occur, with b = 2 and s = 1.1.
type corpus struct {
	store.Store
	rooms                      []store.Room
	numbers                    map[string]int // of rooms, by key
	perRoom                    uint64
	english, chinese, japanese vocabulary
	start                      int64
	stopped                    atomic.Bool // nothing more is read
}

type vocabulary struct {
	words []string
	ranks ranks
}

func (v *vocabulary) word(random *rand.Rand) string { return v.words[v.ranks.next(random)] }

// ranks are numbers below n that occur with the frequency (r+b)^-s.
type ranks struct{ n, b, s float64 }

func (r ranks) next(random *rand.Rand) int {
	first, last := math.Pow(r.b, 1-r.s), math.Pow(r.n+r.b, 1-r.s)
	at := math.Pow(first+(last-first)*random.Float64(), 1/(1-r.s)) - r.b
	return min(max(int(at), 0), int(r.n)-1)
}

func newCorpus(t testing.TB, n int) *corpus {
	c := &corpus{perRoom: uint64(max(n/corpusRooms, 1)), numbers: make(map[string]int), start: time.Now().Add(-365 * 24 * time.Hour).UnixMilli()}
	for i := range corpusRooms {
		name := storetest.RoomName(t, fmt.Sprint("bench-", i, "x"))
		c.rooms, c.numbers[name.Key()] = append(c.rooms, store.Room{Name: name, Head: c.perRoom, Oldest: 1}), i
	}
	random := rand.New(rand.NewPCG(5, 6))
	c.english = englishWords(random)
	c.chinese = vocabulary{ranks: ranks{60_000, 2.7, 1.05}}
	for rank := range int(c.chinese.ranks.n) {
		size := []int{2, 2, 2, 2, 2, 2, 2, 3, 3, 4}[random.IntN(10)]
		if rank < 100 && random.IntN(4) > 0 || random.IntN(20) == 0 {
			size = 1
		}
		c.chinese.words = append(c.chinese.words, characters(random, size))
	}
	c.japanese = vocabulary{ranks: ranks{60_000, 2.7, 1.05}}
	for range int(c.japanese.ranks.n) {
		word := ""
		switch random.IntN(20) {
		case 0, 1, 2, 3:
			word = syllables(random, 'ア', 2+random.IntN(4))
		case 4, 5, 6, 7, 8, 9, 10:
			word = characters(random, 1) + syllables(random, 'あ', 1+random.IntN(3))
		default:
			word = characters(random, 2)
		}
		c.japanese.words = append(c.japanese.words, word)
	}
	return c
}

// englishWords returns words of which the first are short.
func englishWords(random *rand.Rand) vocabulary {
	v := vocabulary{ranks: ranks{200_000, 2.7, 1.05}}
	known := make(map[string]bool)
	for len(v.words) < int(v.ranks.n) {
		size := 1 + int(math.Log2(float64(len(v.words)+2))/2.2) + random.IntN(5)
		word := make([]byte, size)
		for i := range word {
			word[i] = "etaoinshrdlucmfwypvbgkjqxz"[min(random.IntN(26), random.IntN(26))]
		}
		if !known[string(word)] {
			known[string(word)] = true
			v.words = append(v.words, string(word))
		}
	}
	return v
}

// characters returns ideographs as they occur.
func characters(random *rand.Rand, n int) string {
	var b strings.Builder
	for range n {
		b.WriteRune(0x4E00 + 5*rune(ranks{3500, 40, 1.4}.next(random)))
	}
	return b.String()
}

// syllables returns kana of the 80 from the first on.
func syllables(random *rand.Rand, first rune, n int) string {
	var b strings.Builder
	for range n {
		b.WriteRune(first + rune(ranks{80, 8, 1.2}.next(random)))
	}
	return b.String()
}

// particles stand between Japanese words.
var particles = []string{"の", "は", "を", "に", "が", "で", "と", "も", "です", "ます", "した", "から", "ない", "ね", "よ", "って"}

// text returns the content of a message of a room.
func (c *corpus) text(room int, random *rand.Rand) string {
	length := min(max(int(9*math.Exp(0.85*random.NormFloat64())), 1), 120)
	var b strings.Builder
	v, space, marks := &c.english, " ", []string{",", ".", "?", "!"}
	switch room % 8 {
	case 0:
		v, space, marks = &c.chinese, "", []string{"，", "。", "？", "！"}
	case 1:
		v, space, marks = &c.japanese, "", []string{"、", "。", "？", "！"}
	}
	for i := range length {
		if i > 0 {
			b.WriteString(space)
		}
		b.WriteString(v.word(random))
		if v == &c.japanese && random.IntN(3) > 0 {
			b.WriteString(particles[ranks{float64(len(particles)), 3, 1.3}.next(random)])
		}
		if random.IntN(8) == 0 {
			b.WriteString(marks[random.IntN(len(marks))])
		}
	}
	if random.IntN(40) == 0 {
		fmt.Fprintf(&b, " https://example.org/%s/%x", c.english.word(random), random.Uint32())
	}
	if random.IntN(12) == 0 {
		fmt.Fprint(&b, " ", random.IntN(1_000_000))
	}
	return b.String()
}

// author returns one of the authors of a room.
func (c *corpus) author(room int, random *rand.Rand) string {
	return fmt.Sprint("user-", (room*7919+ranks{roomAuthors, 2, 1.1}.next(random))%corpusAuthors)
}

// entry returns a message of a room, always the same.
func (c *corpus) entry(room int, seq uint64) store.Entry {
	random := rand.New(rand.NewPCG(uint64(room), seq))
	return store.Entry{
		Seq: seq, Time: c.start + int64(seq)*(365*24*3600*1000/int64(c.perRoom)) + int64(room), Kind: kaban.KindMessage, ID: "x",
		Author: "visitor:u", Username: c.author(room, random), Content: c.text(room, random),
	}
}

func (c *corpus) Epoch() string                               { return "bench" }
func (c *corpus) Rooms(context.Context) ([]store.Room, error) { return c.rooms, nil }
func (c *corpus) Room(_ context.Context, name kaban.RoomName) (store.Room, error) {
	return c.rooms[c.numbers[name.Key()]], nil
}

func (c *corpus) Read(_ context.Context, name kaban.RoomName, page store.Page) (entries []store.Entry, err error) {
	room := c.numbers[name.Key()]
	for seq := page.After + 1; seq < page.Before && len(entries) < page.Limit && !c.stopped.Load(); seq++ {
		entries = append(entries, c.entry(room, seq))
	}
	return entries, nil
}
