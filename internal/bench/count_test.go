package bench

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

var alice = identity{name: "bench-1-0", room: "bench-1-0", number: 3}

// message returns a message as the server writes it.
func message(seq int) string {
	return fmt.Sprintf(`{"type":"message","room":"bench-1-0","seq":%d,"id":"%d","username":"bench-1-1","content":"%s","time":"2026-11-24T02:35:37.101Z"}`,
		seq, seq, appendContent(nil, int64(seq), 40))
}

// traffic is a possible stream of a connection, with the correct counts.
type traffic struct {
	lines                    []string
	messages, acks, presence uint64
	others                   []kind
}

func makeTraffic(random *rand.Rand, n int) (t traffic) {
	for i := range n {
		line, k := message(i+1), kindMessage
		switch random.IntN(12) {
		case 0:
			line, k = fmt.Sprintf(`{"type":"ack","room":"bench-1-0","id":"%d","seq":%d,"time":"2026-11-24T02:35:37.163Z","duplicate":false}`, i, i), kindAck
		case 1:
			line, k = `{"type":"presence","room":"bench-1-0","members":2,"joined":["bench-1-1"]}`, kindPresence
		case 2:
			line, k = `{"type":"ping"}`, kindPing
		case 3:
			line, k = `{}`, kindError // shorter than any head
		case 4:
			line, k = fmt.Sprintf(`{"type":"react","room":"bench-1-0","seq":%d,"id":"%d","target":1}`, i+1, i), kindOther
		}
		t.lines = append(t.lines, line)
		switch k {
		case kindMessage:
			t.messages++
			continue
		case kindAck:
			t.acks++
		case kindPresence:
			t.presence++
		}
		t.others = append(t.others, k)
	}
	return t
}

func (t traffic) check(test *testing.T, name string, reads []string) {
	test.Helper()
	var c counter
	var others []kind
	for _, data := range reads {
		c.take(kabanLines{}, []byte(data), func(k kind, _ []byte) { others = append(others, k) })
	}
	if c.messages != t.messages || c.acks != t.acks || c.presence != t.presence || c.foreign != 0 || !slices.Equal(others, t.others) {
		test.Errorf("%s: got %d messages, %d acks, %d presence, %d foreign, others %v, want %d, %d, %d, 0, %v",
			name, c.messages, c.acks, c.presence, c.foreign, others, t.messages, t.acks, t.presence, t.others)
	}
}

// TestReadsCutAnywhere splits a stream in two at every position, and into many
// reads.
func TestReadsCutAnywhere(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	traffic := makeTraffic(random, 40)
	stream := strings.Join(traffic.lines, "\n") + "\n"
	for cut := range len(stream) {
		traffic.check(t, fmt.Sprintf("cut at %d", cut), []string{stream[:cut], stream[cut:]})
	}
	for size := 1; size < 60; size++ {
		var reads []string
		for rest := stream; rest != ""; {
			n := min(size, len(rest))
			reads, rest = append(reads, rest[:n]), rest[n:]
		}
		traffic.check(t, fmt.Sprintf("reads of %d", size), reads)
	}
	for range 200 {
		traffic := makeTraffic(random, 60)
		var reads []string
		for rest := strings.Join(traffic.lines, "\n") + "\n"; rest != ""; {
			n := min(1+random.IntN(700), len(rest))
			reads, rest = append(reads, rest[:n]), rest[n:]
		}
		traffic.check(t, "random reads", reads)
	}
}

// TestForeignMessagesAreSeen checks that a message without a marker counts as
// foreign: another run sent it, or it is damaged.
func TestForeignMessagesAreSeen(t *testing.T) {
	var c counter
	c.take(kabanLines{}, []byte(message(1)+"\n"+strings.Replace(message(2), "~", "", 1)+"\n"+`{"type":"ping"}`+"\n"), nil)
	if c.messages != 1 || c.foreign != 1 {
		t.Errorf("got %d messages, %d foreign, want 1, 1", c.messages, c.foreign)
	}
}

func TestOrder(t *testing.T) {
	for _, test := range []struct {
		name           string
		seen           []uint64
		lost, repeated uint64
	}{
		{"all", []uint64{1, 2, 3}, 0, 0},
		{"one lost", []uint64{1, 3}, 1, 0},
		{"the first lost", []uint64{2, 3}, 1, 0},
		{"one repeated", []uint64{1, 2, 2, 3}, 0, 1},
		{"one lost and one repeated, so that the count is right", []uint64{1, 3, 3}, 1, 1},
		{"swapped", []uint64{2, 1, 3}, 1, 1},
	} {
		var o order
		for _, n := range test.seen {
			o.see(0, n)
		}
		if o.lost != test.lost || o.repeated != test.repeated {
			t.Errorf("%s: got %d lost, %d repeated, want %d, %d", test.name, o.lost, o.repeated, test.lost, test.repeated)
		}
	}
	var o order
	for _, sender := range []uint64{1, 2, 3} {
		o.see(sender, 1)
	}
	if o.lost+o.repeated != 0 {
		t.Errorf("streams are mixed up: %+v", o)
	}
}

func TestBalance(t *testing.T) {
	for _, test := range []struct{ got, want, lost, repeated uint64 }{{5, 5, 0, 0}, {4, 5, 1, 0}, {7, 5, 0, 2}} {
		if lost, repeated := balance(test.got, test.want); lost != test.lost || repeated != test.repeated {
			t.Errorf("balance(%d, %d) = %d, %d, want %d, %d", test.got, test.want, lost, repeated, test.lost, test.repeated)
		}
	}
}

// TestWhatIsSentCanBeRead sends in each dialect and parses the result.
func TestWhatIsSentCanBeRead(t *testing.T) {
	for _, payload := range []int{MinPayload, 100, MaxPayload} {
		line := string(kabanLines{}.appendSend(nil, &alice, 7, 123456789, payload))
		if stamp, ok := stampOf([]byte(line)); !ok || stamp != 123456789 {
			t.Errorf("payload %d: stamp %d, %v", payload, stamp, ok)
		}
		if !anID.MatchString(line) {
			t.Errorf("payload %d: no id that begins with time: %.100s", payload, line)
		}
		_, content, _ := strings.Cut(line, `"content":"`)
		if got := len(strings.TrimSuffix(content, "\"}\n")); got != payload || strings.Count(line, string(rune(marker))) != 1 {
			t.Errorf("payload %d: the content has %d bytes: %s", payload, got, line)
		}
		raw := rawLines{}.appendSend(nil, &alice, 7, 123456789, payload)
		if stamp, ok := stampOf(raw); !ok || stamp != 123456789 {
			t.Errorf("raw, payload %d: stamp %d, %v", payload, stamp, ok)
		}
		if stream, n, ok := (rawLines{}).place(raw); !ok || stream != 3 || n != 7 {
			t.Errorf("raw: place %d, %d, %v, want 3, 7", stream, n, ok)
		}
	}
	if _, n, ok := (kabanLines{}).place([]byte(message(42))); !ok || n != 42 {
		t.Errorf("place of 42: %d, %v", n, ok)
	}
	if _, ok := stampOf([]byte("~12")); ok {
		t.Error("a truncated stamp is accepted")
	}
}

func TestAssembler(t *testing.T) {
	stream := "a\n\nlonger line\nb\n"
	for size := 1; size <= len(stream); size++ {
		var a assembler
		var got []string
		for rest := stream; rest != ""; {
			n := min(size, len(rest))
			a.feed([]byte(rest[:n]), func(line []byte) { got = append(got, string(line)) })
			rest = rest[n:]
		}
		if want := []string{"a", "", "longer line", "b"}; !slices.Equal(got, want) {
			t.Errorf("reads of %d: got %q, want %q", size, got, want)
		}
	}
}

func BenchmarkTake(b *testing.B) {
	var stream strings.Builder
	n := 0
	for ; stream.Len() < 64<<10; n++ {
		stream.WriteString(message(n+1) + "\n")
	}
	data := []byte(stream.String())
	var c counter
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		c.take(kabanLines{}, data, nil)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/delivery")
}

// An id begins with its time, and ids of later times sort after those before.
func TestIDs(t *testing.T) {
	at := time.Date(2026, 3, 4, 5, 6, 7, 890_000_000, time.UTC)
	seen := map[string]bool{}
	last := ""
	for i := range 1000 {
		now := at.Add(time.Duration(i) * time.Microsecond)
		text := string(appendID(nil, now))
		id, err := uuid.Parse(text)
		if err != nil || id.Version() != 7 || id.Variant() != uuid.RFC4122 || id.String() != text {
			t.Fatalf("%q: %v", text, err)
		}
		sec, nano := id.Time().UnixTime()
		if got := time.Unix(sec, nano).UTC(); !got.Equal(now.Truncate(time.Millisecond)) {
			t.Fatalf("%s is of %s, want %s", text, got, now)
		}
		if seen[text] || text <= last {
			t.Fatalf("%s comes after %s", text, last)
		}
		seen[text], last = true, text
	}
}

func BenchmarkID(b *testing.B) {
	var dst []byte
	for b.Loop() {
		dst = appendID(dst[:0], time.Now())
	}
}
