package index

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"kaban/internal/store/memory"
)

// What is read of a volume is what FTS5 finds: lists of many leaves and of one row, prefixes and terms
// that are not there, before and after messages were hidden, changed and purged.
func TestListsAreThoseOfFTS5(t *testing.T) {
	const rows = 1 << 14
	x := newIndex(memory.New(0), t.TempDir(), Options{Eager: true, shape: shape{volume: rows, chunk: 1 << 10, spacing: 64, stretch: 1 << 12}})
	if err := x.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer x.db.close()
	random := rand.New(rand.NewPCG(11, 12))
	used := make(map[string]bool)
	text := func() string {
		var terms []string
		for range 1 + random.IntN(12) {
			term := fmt.Sprintf("%s%d", []string{"a", "ab", "b", "é", "東"}[random.IntN(5)], int(100/(0.01+random.Float64())))
			terms, used[term] = append(terms, term), true
		}
		return strings.Join(append(terms, "all"), " ")
	}
	exec := func(query string, args ...any) {
		t.Helper()
		if _, err := x.db.write.Exec(query, args...); err != nil {
			t.Fatal(err)
		}
	}
	w := writer{x: x}
	tx, err := x.db.write.Begin()
	if err != nil {
		t.Fatal(err)
	}
	w.tx = tx
	if err := w.openVolume(0); err != nil {
		t.Fatal(err)
	}
	w.close()
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	used["all"] = true
	several, tombstones := false, false
	compare := func(when string) {
		t.Helper()
		terms := slices.Sorted(maps.Keys(used))
		lookups := []lookup{{"nothing", false}, {"", false}, {"zzz", false}, {"b", true}, {"ab1", true}, {"東", true}, {"all", true}, {"c", true}}
		for range 300 {
			lookups = append(lookups, lookup{terms[random.IntN(len(terms))], random.IntN(10) == 0})
		}
		for _, l := range append(lookups, lookup{term: "all"}) {
			match := `"` + l.term + `"`
			if l.prefix {
				match += " *"
			}
			var want []uint64
			if l.term != "" {
				found, err := x.db.read.Query("SELECT rowid-1 FROM v0 WHERE v0 MATCH ? ORDER BY rowid DESC", match)
				if err != nil {
					t.Fatal(err)
				}
				for found.Next() {
					var bit uint64
					if err := found.Scan(&bit); err != nil {
						t.Fatal(err)
					}
					want = append(want, bit)
				}
				if err := found.Err(); err != nil {
					t.Fatal(err)
				}
			}
			err := x.db.withVolume(t.Context(), 0, rows, func(v *volume) error {
				several = several || len(v.segments) > 1
				tombstones = tombstones || slices.ContainsFunc(v.segments, func(s segment) bool { return s.tombstones > 0 })
				set := v.blank()
				if err := v.add(set, l); err != nil {
					return err
				}
				if got := set.last(rows); !slices.Equal(got, want) {
					t.Fatalf("%s: %q, prefix %t: %d rows, want %d", when, l.term, l.prefix, len(got), len(want))
				}
				return nil
			})
			if err != nil {
				t.Fatalf("%s: %q: %v", when, l.term, err)
			}
		}
	}
	compare("empty")
	for row := 1; row <= rows; {
		exec("BEGIN")
		for range 1000 + random.IntN(2000) {
			if row <= rows {
				exec("INSERT INTO v0(rowid, terms) VALUES (?, ?)", row, text())
				row++
			}
		}
		exec("COMMIT")
		compare(fmt.Sprint("after ", row))
	}
	for round := range 3 {
		exec("BEGIN")
		for range 1500 {
			row := 1 + random.IntN(rows)
			exec("DELETE FROM v0 WHERE rowid = ?", row)
			if random.IntN(2) == 0 {
				exec("INSERT INTO v0(rowid, terms) VALUES (?, ?)", row, text())
			}
		}
		exec("COMMIT")
		compare(fmt.Sprint("after changes ", round))
	}
	exec("INSERT INTO v0(v0) VALUES ('optimize')")
	compare("purged")
	if !several || !tombstones {
		t.Errorf("several segments: %t, tombstones: %t; want both", several, tombstones)
	}
}

func TestBitmap(t *testing.T) {
	const rows = 200
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		set := make(bitmap, (rows+63)/64)
		var want []uint64
		low, high := random.Uint64N(rows+1), random.Uint64N(rows+1)
		for bit := range uint64(rows) {
			if random.IntN(3) == 0 {
				set.set(bit+1, rows)
				if low <= bit && bit < high {
					want = append([]uint64{bit}, want...)
				}
			}
		}
		most := random.IntN(rows)
		if n := set.keep(low, high); n != len(want) || set.isEmpty() != (n == 0) {
			t.Fatalf("from %d to %d: %d are kept, want %d", low, high, n, len(want))
		}
		if got := set.last(most); !slices.Equal(got, want[:min(most, len(want))]) {
			t.Fatalf("from %d to %d: got %d, want %d", low, high, got, want)
		}
	}
	if set := make(bitmap, 4); set.set(0, rows) || set.set(rows+1, rows) || !set.set(rows, rows) {
		t.Error("a row is set that there is not, or the last one is not")
	}
}

// FuzzLeaf reads leaves that may be damaged: a prefix of all terms, so that every list is read.
func FuzzLeaf(f *testing.F) {
	leaf := func(starts []byte, content string) []byte {
		size := binary.BigEndian.AppendUint16([]byte{0, 0}, uint16(leafHeader+len(content)))
		return append(append(size, content...), starts...)
	}
	f.Add(leaf([]byte{4}, "\x02"+"0a"+"\x01\x02\x03"), []byte{})
	f.Add(leaf([]byte{4, 5}, "\x02"+"0a"+"\x01\x02"+"\x01\x01b"+"\x05"), leaf([]byte{6}, "\x07\x01"+"\x02"+"0c"+"\x81\x01"))
	f.Add(leaf(nil, "\x01\x01"), leaf([]byte{200}, "\x01"))
	f.Fuzz(func(t *testing.T, first, second []byte) {
		const rows = 256
		l := lists{to: make(bitmap, rows/64), rows: rows, about: func(term []byte) verdict {
			if len(term) == 0 || bytes.Equal(term, []byte("stop")) {
				return stop
			}
			return take
		}}
		for _, leaf := range [][]byte{first, second} {
			before := bytes.Clone(leaf)
			if more, err := l.leaf(leaf); !more || err != nil {
				break
			}
			if !bytes.Equal(before, leaf) {
				t.Fatal("a leaf was changed")
			}
		}
	})
}

// FuzzStructure reads structure records that may be damaged.
func FuzzStructure(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1, 0xFF, 0, 0, 1, 0, 0, 0})
	f.Add([]byte{0, 0, 0, 1, 0xFF, 0, 0, 1, 1, 1, 9, 0, 1, 3, 1, 7, 1, 1, 0, 0, 5})
	f.Add([]byte{0, 0, 0, 1, 0xFF, 0, 0, 1, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF})
	f.Fuzz(func(t *testing.T, record []byte) {
		all, err := decodeStructure(record)
		if err != nil {
			return
		}
		if len(all) > len(record) {
			t.Fatalf("%d segments in %d bytes", len(all), len(record))
		}
		for _, s := range all {
			if s.last < s.first || s.id<<segmentShift>>segmentShift != s.id {
				t.Fatalf("a segment %+v", s)
			}
		}
	})
}
