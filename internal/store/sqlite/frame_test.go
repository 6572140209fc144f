package sqlite

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"kaban"
	"kaban/internal/store"
)

// randomEntry returns an entry as it may be in a frame of a time.
func randomEntry(random *rand.Rand, batch, time int64) (e unmergedEntry, room int64) {
	number := func() uint64 { return random.Uint64() >> random.IntN(64) }
	text := func() string {
		b := make([]byte, random.IntN(1<<random.IntN(10)))
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		return string(b)
	}
	e = unmergedEntry{batch: batch, user: int64(number() >> 1)}
	e.Entry = store.Entry{Seq: number(), Time: time, Kind: kaban.Kind(random.IntN(100)), ID: text(), Target: number(), Content: text()}
	if e.Username = text(); e.Username != "" {
		e.ownName = true
	}
	if random.IntN(4) == 0 {
		e.Files = text()
	}
	if random.IntN(3) == 0 {
		e.mentions = &store.Mentions{Everyone: random.IntN(2) == 0, Here: random.IntN(2) == 0}
		for range random.IntN(3) {
			e.mentions.Accounts, e.mentions.Online = append(e.mentions.Accounts, text()), append(e.mentions.Online, text())
		}
	}
	return e, int64(number() >> 1)
}

func TestFramesRoundTrip(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		batch := int64(random.Uint64() >> 1)
		time := []int64{0, 1, -1, math.MaxInt64, math.MinInt64, 1_700_000_000_000}[random.IntN(6)]
		payload := appendFrameHead(nil, time)
		var want []unmergedEntry
		var wantRooms []int64
		for range random.IntN(8) {
			e, room := randomEntry(random, batch, time)
			payload = appendFrameEntry(payload, room, &e)
			want, wantRooms = append(want, e), append(wantRooms, room)
		}
		got, rooms, err := parseFrame(uint64(batch), payload)
		if err != nil || !reflect.DeepEqual(got, want) || !slices.Equal(rooms, wantRooms) {
			t.Fatalf("%x is read as %+v of %d, %v; want %+v of %d", payload, got, rooms, err, want, wantRooms)
		}
		// A username that is in users is not in the frame.
		if len(want) > 0 {
			e := want[0]
			e.ownName = false
			got, _, err := parseFrame(uint64(batch), appendFrameEntry(appendFrameHead(nil, time), 1, &e))
			if err != nil || got[0].ownName || got[0].Username != "" || got[0].Content != e.Content {
				t.Fatalf("%+v, %v; want %+v", got, err, e)
			}
		}
		// No end of it is taken for a whole one with as many entries.
		if cut := random.IntN(len(payload)); len(want) > 0 {
			if got, _, err := parseFrame(uint64(batch), payload[:cut]); err == nil && len(got) >= len(want) {
				t.Fatalf("the first %d bytes of %x are read as %d entries", cut, payload, len(got))
			}
		}
	}
}

// version1 returns a frame as versions without mentions wrote it.
func version1(entries []unmergedEntry, rooms []int64) []byte {
	payload := binary.AppendVarint([]byte{1}, entries[0].Time)
	for i := range entries {
		e := &entries[i]
		for _, n := range []uint64{uint64(rooms[i]), e.Seq, uint64(e.Kind), uint64(e.user), e.Target} {
			payload = binary.AppendUvarint(payload, n)
		}
		for _, text := range []string{e.Username, e.ID, e.Content} {
			payload = append(binary.AppendUvarint(payload, uint64(len(text))), text...)
		}
	}
	return payload
}

func TestFramesOfVersion1(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for range 200 {
		var want []unmergedEntry
		var wantRooms []int64
		for range 1 + random.IntN(5) {
			e, room := randomEntry(random, 3, 17)
			e.mentions, e.Files = nil, ""
			want, wantRooms = append(want, e), append(wantRooms, room)
		}
		payload := version1(want, wantRooms)
		if got, rooms, err := parseFrame(3, payload); err != nil || !reflect.DeepEqual(got, want) || !slices.Equal(rooms, wantRooms) {
			t.Fatalf("%x is read as %+v, %v; want %+v", payload, got, err, want)
		}
	}
}

// A message without files is written as it was before there were any, but for the version, and is
// read from such a frame. What only this version writes is damage there.
func TestFramesOfVersion2(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	for n := range 200 {
		payload := appendFrameHead(nil, 17)
		var want []unmergedEntry
		var wantRooms []int64
		for range 1 + random.IntN(5) {
			e, room := randomEntry(random, 3, 17)
			e.Files = ""
			payload = appendFrameEntry(payload, room, &e)
			want, wantRooms = append(want, e), append(wantRooms, room)
		}
		payload[0] = 2
		if got, rooms, err := parseFrame(3, payload); err != nil || !reflect.DeepEqual(got, want) || !slices.Equal(rooms, wantRooms) {
			t.Fatalf("%x is read as %+v, %v; want %+v", payload, got, err, want)
		}
		e := unmergedEntry{Entry: store.Entry{Seq: 1, Kind: 1, ID: "id", Content: "hello", Files: "[…]"}, user: 1}
		if n%2 == 0 {
			e.mentions = &store.Mentions{Everyone: n%4 == 0, Accounts: []string{"ann"}}
		}
		payload = appendFrameEntry(appendFrameHead(nil, 17), 1, &e)
		payload[0] = 2
		if got, _, err := parseFrame(3, payload); err == nil {
			t.Fatalf("files in a frame of version 2 are read as %+v", got)
		}
	}
	one := unmergedEntry{Entry: store.Entry{Seq: 1, Kind: 1, ID: "id", Content: "hello"}, user: 1}
	if got, want := len(appendFrameEntry(nil, 1, &one)), 5+1+3+6+1; got != want {
		t.Errorf("a message without files takes %d bytes, want %d", got, want)
	}
}

func FuzzParseFrame(f *testing.F) {
	random := rand.New(rand.NewPCG(3, 4))
	f.Add([]byte{})
	f.Add([]byte{frameVersion})
	f.Add([]byte{frameVersion + 1, 0})
	f.Add(append([]byte{frameVersion}, bytes.Repeat([]byte{0xff}, 30)...))
	for n := range 4 {
		payload := appendFrameHead(nil, 1_700_000_000_000)
		for range n {
			e, room := randomEntry(random, 1, 1)
			payload = appendFrameEntry(payload, room, &e)
		}
		f.Add(payload)
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		entries, rooms, err := parseFrame(7, payload)
		if err != nil {
			if entries != nil || rooms != nil {
				t.Errorf("%d entries and %v", len(entries), err)
			}
			return
		}
		if len(rooms) != len(entries) {
			t.Fatalf("%d entries of %d rooms", len(entries), len(rooms))
		}
		// What was read can be written and is read as the same.
		time := int64(0)
		if len(entries) > 0 {
			time = entries[0].Time
		}
		again := appendFrameHead(nil, time)
		for i := range entries {
			again = appendFrameEntry(again, rooms[i], &entries[i])
		}
		if got, gotRooms, err := parseFrame(7, again); err != nil || !reflect.DeepEqual(got, entries) || !slices.Equal(gotRooms, rooms) {
			t.Errorf("%x, written again as %x, is read as %+v, %v; want %+v", payload, again, got, err, entries)
		}
	})
}
