package sqlite

import (
	"errors"
	"math"
	"reflect"
	"testing"

	"kaban/internal/store"
)

func FuzzParsePeople(f *testing.F) {
	whole := reaction{place: 3<<seqBits | 7, people: []reactor{
		{1, store.Reactor{Change: store.Change{Seq: 8, Time: 1_700_000_000_000}}},
		{math.MaxInt64, store.Reactor{Change: store.Change{Seq: 9, Time: 5}, Username: "Änne"}},
		{2, store.Reactor{Change: store.Change{Seq: maxSeq, Time: -1}}},
	}}
	written := whole.appendPeople(nil)
	got := reaction{place: whole.place}
	if err := got.parsePeople(written); err != nil || !reflect.DeepEqual(got, whole) {
		f.Fatalf("read again it is %+v, %v", got, err)
	}
	for n := range written { // each prefix ends with a whole person, or in one
		cut := reaction{place: whole.place}
		if err := cut.parsePeople(written[:n]); err != nil && !errors.Is(err, errPeople) {
			f.Errorf("the first %d bytes: %v", n, err)
		} else if err == nil && !reflect.DeepEqual(cut.people, whole.people[:len(cut.people)]) {
			f.Errorf("the first %d bytes are %+v", n, cut.people)
		}
		f.Add(written[:n])
	}
	for _, bad := range []string{"", "\x00\x01\x02\x00", "\x01\x00\x02\x00", "\x01\x01\x02\x01", "\x80", "\x01\x01\x02\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"} {
		if err := new(reaction).parsePeople([]byte(bad)); !errors.Is(err, errPeople) {
			f.Errorf("%q: %v, want %v", bad, err, errPeople)
		}
		f.Add([]byte(bad))
	}
	f.Fuzz(func(t *testing.T, from []byte) {
		r := reaction{place: 7}
		if r.parsePeople(from) != nil {
			return
		}
		again := reaction{place: 7}
		if err := again.parsePeople(r.appendPeople(nil)); err != nil || !reflect.DeepEqual(again, r) {
			t.Errorf("%+v read again is %+v, %v", r, again, err)
		}
	})
}
