package postgres

import (
	"bytes"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgtype"
)

// Arrays are encoded as by pgx.
func TestArrays(t *testing.T) {
	types := pgtype.NewMap()
	for _, c := range []struct {
		name       string
		array, oid uint32
		add        func(a *array)
		want       any
	}{
		{"texts", pgtype.TextArrayOID, pgtype.TextOID, func(a *array) { a.text("one"); a.text(""); a.text(strings.Repeat("ü", 1000)) }, []string{"one", "", strings.Repeat("ü", 1000)}},
		{"64 bits", pgtype.Int8ArrayOID, pgtype.Int8OID, func(a *array) { a.int64(1); a.int64(-1 << 63) }, []int64{1, -1 << 63}},
		{"32 bits", pgtype.Int4ArrayOID, pgtype.Int4OID, func(a *array) { a.int32(-1); a.int32(1 << 30) }, []int32{-1, 1 << 30}},
		{"16 bits", pgtype.Int2ArrayOID, pgtype.Int2OID, func(a *array) { a.int16(-2); a.int16(3) }, []int16{-2, 3}},
		{"nothing", pgtype.Int8ArrayOID, pgtype.Int8OID, func(*array) {}, []int64{}},
		{"nothing any more", pgtype.TextArrayOID, pgtype.TextOID, func(a *array) { a.text("one"); a.clear() }, []string{}},
		{"something again", pgtype.TextArrayOID, pgtype.TextOID, func(a *array) { a.text("one"); a.clear(); a.text("two") }, []string{"two"}},
	} {
		a := newArray(c.oid, 0)
		c.add(&a)
		want, err := types.Encode(c.array, pgtype.BinaryFormatCode, c.want, nil)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // also for another attempt
			if got := a.encoded(); !bytes.Equal(got, want) {
				t.Errorf("%s: encoded as % x, want % x", c.name, got, want)
			}
		}
	}
}
