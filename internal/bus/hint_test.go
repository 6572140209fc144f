package bus

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"kaban"
	"kaban/internal/store"
)

var update = flag.Bool("update", false, "write the golden file anew")

var names = cmp.Comparer(func(a, b kaban.RoomName) bool { return a.String() == b.String() && a.Key() == b.Key() })

func roomName(t testing.TB, name string) kaban.RoomName {
	t.Helper()
	room, err := kaban.ParseAnyRoom(name)
	if err != nil {
		t.Fatal(err)
	}
	return room
}

// sample is a hint with every field.
func sample(t testing.TB) *Hint {
	return &Hint{
		Epoch: "GOLDENEPOCH", Timeline: 3, Room: roomName(t, "häuser"), Revision: 300, Head: 70_002,
		Entries: []store.Entry{
			{Seq: 70_000, Time: 1_764_000_000_123, Kind: kaban.KindMessage, ID: "a-1", Author: "visitor:ann", Username: "Ann", Content: "Grüße\nund 🎉"},
			{Seq: 70_001, Time: -1, Kind: kaban.KindEdit, ID: "a-2", Author: "account:4711", Username: "bob", Target: 70_000, Content: kaban.NoText},
		},
	}
}

// The encoding is a contract between nodes of different versions.
func TestTheEncodingStays(t *testing.T) {
	h := sample(t)
	text := new(strings.Builder)
	for _, entries := range [][]store.Entry{h.Entries, nil} {
		h.Entries = entries
		fmt.Fprintln(text, hex.EncodeToString(h.Append(nil)))
	}
	key, err := NewKey(strings.Repeat("golden secret ", 3))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(text, hex.EncodeToString(key.Seal([]byte("sealed"))))
	path := filepath.Join("testdata", "hint.golden")
	if *update {
		if err := os.WriteFile(path, []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if text.String() != string(want) {
		t.Errorf("got\n%swant\n%s", text, want)
	}
}

// The shard of a room is a contract, too.
func TestTheShardsStay(t *testing.T) {
	for name, want := range map[string]int{"lobby": 51, "general": 11, "häuser": 11, "@aaaaaaaaaaaaaaaaaaaaaaaaaa": 57} {
		if got := Shard(roomName(t, name)); got != want {
			t.Errorf("%s is in shard %d, want %d", name, got, want)
		}
	}
	seen := make(map[int]bool)
	for i := range 1000 {
		seen[Shard(roomName(t, fmt.Sprint("room-", i)))] = true
	}
	if len(seen) != Shards {
		t.Errorf("1,000 rooms are in %d shards, want all %d", len(seen), Shards)
	}
}

func drawHint(t *testing.T, rt *rapid.T) *Hint {
	text := func(most int, name string) string { return rapid.StringN(0, most, -1).Draw(rt, name) }
	h := &Hint{
		Epoch:    rapid.StringMatching(`[A-Z2-7]{1,64}`).Draw(rt, "epoch"),
		Timeline: rapid.Uint64Range(0, math.MaxUint32).Draw(rt, "timeline"),
		Room:     roomName(t, rapid.SampledFrom([]string{"lobby", "häuser", "x", "@aaaaaaaaaaaaaaaaaaaaaaaaaa"}).Draw(rt, "room")),
		Revision: rapid.Uint64Range(0, math.MaxInt64).Draw(rt, "revision"),
	}
	first := rapid.Uint64Range(1, math.MaxInt64-1000).Draw(rt, "first")
	n := rapid.IntRange(0, 5).Draw(rt, "entries")
	for i := range n {
		h.Entries = append(h.Entries, store.Entry{
			Seq: first + uint64(i), Time: rapid.Int64().Draw(rt, "time"), Kind: kaban.Kind(rapid.Uint8Range(1, 255).Draw(rt, "kind")),
			ID: rapid.StringMatching(`[A-Za-z0-9._:-]{1,64}`).Draw(rt, "id"), Author: "visitor:" + text(20, "author"), Username: text(kaban.MaxUsername, "username"),
			Target: rapid.Uint64Range(0, first-1).Draw(rt, "target"), Content: text(500, "content"),
			Files: rapid.SampledFrom([]string{"", `[{"id":"f"}]`}).Draw(rt, "files"),
		})
	}
	h.Head = first + uint64(n) + rapid.Uint64Range(0, 5).Draw(rt, "beyond")
	return h
}

func TestHintsComeBack(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		want := drawHint(t, rt)
		encoded := want.Append([]byte("before"))[len("before"):]
		got, err := Decode(encoded)
		if err != nil {
			rt.Fatalf("%v: %x", err, encoded)
		}
		if diff := cmp.Diff(want, got, names); diff != "" {
			rt.Fatalf("(-want +got)\n%s", diff)
		}
		var size int
		for i := range want.Entries {
			size += EntrySize(&want.Entries[i])
			if own := len(appendEntry(nil, &want.Entries[i])); own > EntrySize(&want.Entries[i]) {
				rt.Fatalf("an entry takes %d bytes, more than %d", own, EntrySize(&want.Entries[i]))
			}
		}
		for cut := range len(encoded) {
			if _, err := Decode(encoded[:cut]); err == nil {
				rt.Fatalf("%d of %d bytes are a hint", cut, len(encoded))
			}
		}
		if _, err := Decode(append(encoded, 0)); err == nil {
			rt.Fatal("a hint with a byte behind it is one")
		}
	})
}

// Entries that do not fit leave a hint with the head.
func TestHintsAreBounded(t *testing.T) {
	entry := func(seq uint64, content int) store.Entry {
		return store.Entry{Seq: seq, Kind: kaban.KindMessage, ID: "i", Author: "visitor:a", Username: "a", Content: strings.Repeat("x", content)}
	}
	many := make([]store.Entry, MaxEntries+1)
	for i := range many {
		many[i] = entry(uint64(i+1), 1)
	}
	overhead := len(appendEntry(nil, &store.Entry{Kind: 1, ID: "i", Author: "visitor:a", Username: "a", Content: strings.Repeat("x", 20_000)})) - 20_000
	for _, c := range []struct {
		name    string
		entries []store.Entry
		head    uint64
		want    int
	}{
		{"as many as fit", many[:MaxEntries], MaxEntries, MaxEntries},
		{"too many", many, MaxEntries + 1, 0},
		{"as long as fit", []store.Entry{entry(1, MaxEntryBytes-overhead)}, 1, 1},
		{"too long", []store.Entry{entry(1, MaxEntryBytes-overhead+1)}, 1, 0},
		{"not consecutive", []store.Entry{entry(1, 1), entry(3, 1)}, 3, 0},
		{"beyond the head", []store.Entry{entry(1, 1), entry(2, 1)}, 1, 0},
	} {
		h := &Hint{Epoch: "E", Room: roomName(t, "lobby"), Head: c.head, Entries: c.entries}
		encoded := h.Append(nil)
		got, err := Decode(encoded)
		if err != nil || len(got.Entries) != c.want || got.Head != c.head || len(encoded) > MaxHint {
			t.Errorf("%s: %d entries in %d bytes, %v, want %d", c.name, len(got.Entries), len(encoded), err, c.want)
		}
	}
}

// Every field is checked, and the error says which one is bad.
func TestMalformedHints(t *testing.T) {
	good := func() *Hint {
		h := sample(t)
		h.Entries = h.Entries[:1]
		return h
	}
	for _, c := range []struct {
		field  string
		entry  int
		spoil  func(h *Hint)
		encode func(h *Hint) []byte
	}{
		{"epoch", -1, func(h *Hint) { h.Epoch = "" }, nil},
		{"epoch", -1, func(h *Hint) { h.Epoch = "a b" }, nil},
		{"epoch", -1, func(h *Hint) { h.Epoch = strings.Repeat("e", maxEpoch+1) }, nil},
		{"timeline", -1, func(h *Hint) { h.Timeline = math.MaxUint32 + 1 }, nil},
		{"room", -1, func(h *Hint) { h.Room = kaban.RoomName{} }, nil},
		{"revision", -1, func(h *Hint) { h.Revision = math.MaxUint64 }, nil},
		{"head", -1, func(h *Hint) { h.Head = math.MaxUint64 }, nil},
		{"first", -1, nil, func(h *Hint) []byte { // entry 0
			h.Entries[0].Seq = 0
			return h.Append(nil)
		}},
		{"kind", 0, func(h *Hint) { h.Entries[0].Kind = 0 }, nil},
		{"id", 0, func(h *Hint) { h.Entries[0].ID = "" }, nil},
		{"id", 0, func(h *Hint) { h.Entries[0].ID = "a b" }, nil},
		{"author", 0, func(h *Hint) { h.Entries[0].Author = "" }, nil},
		{"author", 0, func(h *Hint) { h.Entries[0].Author = "ann" }, nil},
		{"author", 0, func(h *Hint) { h.Entries[0].Author = "visitor:" + strings.Repeat("a", maxAuthor) }, nil},
		{"username", 0, func(h *Hint) { h.Entries[0].Username = strings.Repeat("a", kaban.MaxUsername+1) }, nil},
		{"username", 0, func(h *Hint) { h.Entries[0].Username = "\xff" }, nil},
		{"target", 0, func(h *Hint) { h.Entries[0].Target = h.Entries[0].Seq }, nil},
		{"content", 0, func(h *Hint) { h.Entries[0].Content = "\xc3" }, nil},
		{"files", 0, func(h *Hint) { h.Entries[0].Files = "no files" }, nil},
		{"end", -1, nil, func(h *Hint) []byte { return append(h.Append(nil), 0) }},
		{"length", -1, nil, func(h *Hint) []byte { return append(h.Append(nil), make([]byte, MaxHint)...) }},
		{"version", -1, nil, func(*Hint) []byte { return nil }},
		{"files", 0, nil, func(h *Hint) []byte { b := h.Append(nil); return b[:len(b)-1] }},
	} {
		h := good()
		if c.spoil != nil {
			c.spoil(h)
		} else if _, err := Decode(h.Append(nil)); err != nil {
			t.Fatal(err)
		}
		encoded := h.Append(nil)
		if c.encode != nil {
			encoded = c.encode(h)
		}
		_, err := Decode(encoded)
		bad, ok := errors.AsType[*MalformedError](err)
		if !ok || bad.Field != c.field || bad.Entry != c.entry {
			t.Errorf("%s of entry %d: got %v", c.field, c.entry, err)
		}
	}
	if _, err := Decode([]byte{2, 1, 2, 3}); !errors.As(err, new(*VersionError)) {
		t.Errorf("another version: %v", err)
	}
}

// A number has one form only, and 64 bits.
func TestNumbersHaveOneForm(t *testing.T) {
	for _, c := range []struct {
		bytes string
		want  uint64
		bad   bool
	}{
		{"00", 0, false},
		{"7f", 127, false},
		{"8001", 128, false},
		{"ffffffffffffffffff01", math.MaxUint64, false},
		{"8000", 0, true},
		{"ffffffffffffffffff02", 0, true},
		{"ffffffffffffffffffff01", 0, true},
		{"80", 0, true},
		{"", 0, true},
	} {
		b, err := hex.DecodeString(c.bytes)
		if err != nil {
			t.Fatal(err)
		}
		d := &decoder{text: string(b), entry: -1}
		if got := d.uvarint("number", math.MaxUint64); got != c.want || (d.err != nil) != c.bad {
			t.Errorf("%s: got %d, %v, want %d", c.bytes, got, d.err, c.want)
		}
	}
}

// What is not sealed with the secret is not opened.
func TestForgedHints(t *testing.T) {
	key, err := NewKey(strings.Repeat("s", MinSecret))
	if err != nil {
		t.Fatal(err)
	}
	other, err := NewKey(strings.Repeat("s", MinSecret-1) + "t")
	if err != nil {
		t.Fatal(err)
	}
	sealed := key.Seal([]byte("hint"))
	if opened, err := key.Open(sealed); string(opened) != "hint" || err != nil {
		t.Errorf("opened %q, %v", opened, err)
	}
	for i := range sealed {
		forged := bytes.Clone(sealed)
		forged[i] ^= 1
		if _, err := key.Open(forged); !errors.Is(err, ErrForged) {
			t.Errorf("byte %d changed: %v", i, err)
		}
		if _, err := key.Open(sealed[:i]); !errors.Is(err, ErrForged) {
			t.Errorf("cut to %d bytes: %v", i, err)
		}
	}
	if _, err := other.Open(sealed); !errors.Is(err, ErrForged) {
		t.Errorf("with another secret: %v", err)
	}
	if _, err := NewKey(strings.Repeat("s", MinSecret-1)); !errors.Is(err, ErrShortSecret) {
		t.Errorf("a short secret: %v", err)
	}
}

// FuzzDecode checks that whatever is read is written the same.
func FuzzDecode(f *testing.F) {
	h := sample(f)
	f.Add(h.Append(nil))
	h.Entries = nil
	f.Add(h.Append(nil))
	f.Add([]byte{version})
	f.Fuzz(func(t *testing.T, encoded []byte) {
		h, err := Decode(encoded)
		if err != nil {
			if !errors.As(err, new(*MalformedError)) && !errors.As(err, new(*VersionError)) {
				t.Fatalf("%T: %v", err, err)
			}
			return
		}
		if again := h.Append(nil); !bytes.Equal(again, encoded) {
			t.Errorf("got\n%x\nwant\n%x", again, encoded)
		}
	})
}

// benchmarkHint is a hint with a message of 100 bytes, as most are.
func benchmarkHint(b *testing.B, entries int) *Hint {
	h := &Hint{Epoch: "GOLDENEPOCHGOLDENEPOCHGOLD", Room: roomName(b, "general"), Head: uint64(1_000_000 + entries - 1)}
	for i := range entries {
		h.Entries = append(h.Entries, store.Entry{
			Seq: uint64(1_000_000 + i), Time: 1_764_000_000_123, Kind: kaban.KindMessage, ID: "0198c5b2-7c0e-7cc1-9c9e-0123456789ab",
			Author: "account:0198c5b27c0e", Username: "somebody", Content: strings.Repeat("word ", 20),
		})
	}
	return h
}

func BenchmarkHint(b *testing.B) {
	key, err := NewKey(strings.Repeat("s", MinSecret))
	if err != nil {
		b.Fatal(err)
	}
	for _, entries := range []int{0, 1, 100} {
		h := benchmarkHint(b, entries)
		sealed := key.Seal(h.Append(nil))
		b.Run(fmt.Sprint("encode-", entries), func(b *testing.B) {
			b.ReportAllocs()
			buffer := make([]byte, 0, MaxHint)
			for b.Loop() {
				buffer = h.Append(buffer[:0])
			}
		})
		b.Run(fmt.Sprint("seal-", entries), func(b *testing.B) {
			b.ReportAllocs()
			buffer := make([]byte, 0, MaxHint)
			for b.Loop() {
				buffer = key.Seal(h.Append(buffer[:0]))
			}
		})
		b.Run(fmt.Sprint("open-and-decode-", entries), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				opened, err := key.Open(sealed)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := Decode(opened); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
