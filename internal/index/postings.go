package index

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
)

// This file reads the lists of terms as FTS5 has written them (fts5_index.c, "The %_data
// table"). FTS5 itself steps through them message by message, in code that was translated from
// C: a frequent word that none of somebody's rooms has took ten milliseconds a volume. It takes
// one to make bitmaps of its list and of those of 50 rooms.
//
// The format: record 10 of the table v…_data, the structure, says which segments there are. A
// segment is a row of numbered leaves with all its terms in ascending order; v…_idx has the
// first term of each leaf, as far as it is needed to tell it from the last one of the leaf
// before. With detail=none a term has only the rows in which it is.

const (
	// segmentShift: the id of a leaf is segment<<segmentShift + its number.
	segmentShift = 37
	// termPrefix is what FTS5 has in front of the terms of its main index.
	termPrefix = '0'
	leafHeader = 4
	// tombstoneShift is added to the number of a segment for the records with its tombstones: hash
	// tables of rows, which are 0 where there is none.
	tombstoneShift  = 1 << 16
	tombstoneHeader = 8
	// fewLookups is how many rooms are looked up one by one. With more, the lists of all
	// rooms are read, which are together.
	fewLookups = 8
)

// bitmap is a set of rows of a volume; row 1 is bit 0.
type bitmap []uint64

// set adds a row, or reports false if there is none with that number.
func (b bitmap) set(row, rows uint64) bool {
	if row-1 >= rows {
		return false
	}
	b[(row-1)/64] |= 1 << ((row - 1) % 64)
	return true
}

func (b bitmap) isEmpty() bool {
	for _, word := range b {
		if word != 0 {
			return false
		}
	}
	return true
}

// and keeps what is in another one, too.
func (b bitmap) and(other bitmap) {
	for i := range b {
		b[i] &= other[i]
	}
}

func (b bitmap) or(other bitmap) {
	for i := range b {
		b[i] |= other[i]
	}
}

func (b bitmap) andNot(other bitmap) {
	for i := range b {
		b[i] &^= other[i]
	}
}

// keep keeps what is within bounds, low ≤ bit < high. It returns how many that are.
func (b bitmap) keep(low, high uint64) (n int) {
	for i := range b {
		first := uint64(i) * 64
		if first+64 <= low || first >= high {
			b[i] = 0
			continue
		}
		if low > first {
			b[i] &= ^uint64(0) << (low - first)
		}
		if high < first+64 {
			b[i] &= 1<<(high-first) - 1
		}
		n += bits.OnesCount64(b[i])
	}
	return n
}

// last returns the last bits, at most n, from the last one on.
func (b bitmap) last(n int) (found []uint64) {
	for i := len(b) - 1; i >= 0 && len(found) < n; i-- {
		for word := b[i]; word != 0 && len(found) < n; {
			bit := 63 - bits.LeadingZeros64(word)
			found = append(found, uint64(i)*64+uint64(bit))
			word &^= 1 << bit
		}
	}
	return found
}

// segment is a part of a volume.
type segment struct {
	id, first, last uint64 // the first and the last leaf
	tombstones      uint64 // the number of records with rows whose terms are hidden
	hidden          bitmap // these rows; nil until they are needed
}

// volume reads the terms of a volume. Whatever it reads comes with the structure, as it was
// then: as long as that has not changed, neither has anything that it names.
type volume struct {
	ctx       context.Context
	reading   *sql.Stmt
	rows      uint64
	structure []byte
	segments  []segment
	unused    []bitmap
}

var (
	errMalformed = fmt.Errorf("%w: a volume is malformed", errUnusable)
	errChanged   = errors.New("a volume has changed")
)

// readRecords reads the structure and then the leaves of a segment, from the one on that may
// have a term, within bounds. What follows one another here is read in this order.
const readRecords = `SELECT id, block FROM %s_data WHERE id = 10
	UNION ALL SELECT id, block FROM %s_data WHERE id BETWEEN
		?1 + max(?2, coalesce((SELECT pgno FROM %s_idx WHERE segid = ?4 AND term <= ?5 ORDER BY term DESC LIMIT 1) >> 1, 0)) AND ?1 + ?3`

// withVolume runs work with a volume, and once more in a transaction if that has changed
// meanwhile. It has no segments if it is empty.
func (d *database) withVolume(ctx context.Context, id, rows uint64, work func(v *volume) error) error {
	return d.again(func() error {
		stmt, err := d.prepared(ctx, readRecords, id) // now, because a transaction may take the last connection
		if err != nil {
			return err
		}
		v := volume{ctx: ctx, reading: stmt, rows: rows}
		if v.structure = d.structureOf(id); v.structure != nil {
			if v.segments, err = decodeStructure(v.structure); err != nil {
				return err
			}
			if err := work(&v); !errors.Is(err, errChanged) {
				return err
			}
		}
		tx, err := d.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
		if err != nil {
			return err
		}
		defer tx.Rollback() // nothing is written
		v.reading, v.structure = tx.StmtContext(ctx, stmt), nil
		if err := v.records(0, 1, 0, 0, nil, nil); err != nil {
			return err
		}
		if v.segments, err = decodeStructure(v.structure); err != nil {
			return err
		}
		if len(v.segments) > 0 { // else nothing would be read that tells whether it has changed
			d.keepStructure(id, v.structure)
		}
		return work(&v)
	})
}

// records reads the records base+number for numbers from first to last, but of a segment not those
// that are before a term. It ends early if each returns false.
func (v *volume) records(base, first, last, segment uint64, term []byte, each func(record []byte) (more bool, err error)) error {
	// With a context that may end, each query has a goroutine or two of its own.
	rows, err := v.reading.QueryContext(context.Background(), base, first, last, segment, term)
	if err != nil {
		return err
	}
	defer rows.Close()
	for n, before := 0, uint64(0); rows.Next(); n++ {
		var id uint64
		var record sql.RawBytes
		if err := cmp.Or(v.ctx.Err(), rows.Scan(&id, &record)); err != nil {
			return err
		}
		switch {
		case n == 0 && v.structure == nil:
			v.structure = bytes.Clone(record)
		case n == 0 && !bytes.Equal(v.structure, record):
			return errChanged
		case n > 1 && id != before+1:
			return errMalformed
		case n > 0:
			if more, err := each(record); !more || err != nil {
				return err
			}
		}
		before = id
	}
	return rows.Err()
}

// blank returns an empty set, which release takes back.
func (v *volume) blank() bitmap {
	last := len(v.unused) - 1
	if last < 0 {
		return make(bitmap, (v.rows+63)/64)
	}
	b := v.unused[last]
	v.unused = v.unused[:last]
	clear(b)
	return b
}

func (v *volume) release(b bitmap) {
	if b != nil {
		v.unused = append(v.unused, b)
	}
}

// reader takes numbers of SQLite from a record. After an error it returns 0.
type reader struct {
	data []byte
	bad  bool
}

func (r *reader) next() uint64 {
	n, size := varint(r.data)
	if size == 0 {
		r.bad = true
		return 0
	}
	r.data = r.data[size:]
	return n
}

// varint returns the number of SQLite at the start of data, and how many bytes it has, 0 if
// it is cut off.
func varint(data []byte) (n uint64, size int) {
	for i, b := range data {
		if i == 8 {
			return n<<8 | uint64(b), 9
		}
		n = n<<7 | uint64(b&0x7F)
		if b < 0x80 {
			return n, i + 1
		}
	}
	return 0, 0
}

// decodeStructure returns the segments that a structure record names.
func decodeStructure(record []byte) (all []segment, err error) {
	data, ok := bytes.CutPrefix(record[min(4, len(record)):], []byte{0xFF, 0, 0, 1}) // behind a cookie
	if !ok {
		return nil, errMalformed // the version before contentless_delete
	}
	r := reader{data: data}
	levels := r.next()
	r.next() // how many segments there are
	r.next() // how many leaves were written
	for range min(levels, uint64(len(record))) {
		r.next() // how many are being merged
		for range min(r.next(), uint64(len(record))) {
			s := segment{id: r.next(), first: r.next(), last: r.next()}
			r.next() // the first and the last transaction
			r.next()
			s.tombstones = r.next()
			r.next() // how many entries are hidden, and how many there are
			r.next()
			if r.bad || s.last < s.first || s.last >= 1<<31 || s.tombstones >= 1<<31 || s.id >= tombstoneShift {
				return nil, errMalformed
			}
			if s.first > 0 { // else it is empty
				all = append(all, s)
			}
		}
	}
	if r.bad {
		return nil, errMalformed
	}
	return all, nil
}

// verdict is what to do with a term.
type verdict int

const (
	skip verdict = iota
	take
	stop
)

// lookup is a term, or all terms that begin with it.
type lookup struct {
	term   string
	prefix bool
}

// add adds the rows that have a term to a set.
func (v *volume) add(to bitmap, l lookup) error {
	want := append([]byte{termPrefix}, l.term...)
	return v.scan(to, want, func(term []byte) verdict {
		switch {
		case bytes.Equal(term, want), l.prefix && bytes.HasPrefix(term, want):
			return take
		case bytes.Compare(term, want) > 0:
			return stop
		}
		return skip
	})
}

// withAll returns the rows that have all of some terms, or nil if there are none.
func (v *volume) withAll(terms []lookup) (all bitmap, err error) {
	for _, l := range terms {
		one := v.blank()
		if err := v.add(one, l); err != nil {
			return nil, err
		}
		if all == nil {
			all = one
		} else {
			all.and(one)
			v.release(one)
		}
		if all.isEmpty() {
			v.release(all)
			return nil, nil
		}
	}
	return all, nil
}

// addRooms adds the rows of messages in rooms.
func (v *volume) addRooms(to bitmap, rooms map[uint32]bool) error {
	if len(rooms) <= fewLookups {
		for id := range rooms {
			if err := v.add(to, lookup{term: termOfRoom(id)}); err != nil {
				return err
			}
		}
		return nil
	}
	wanted := make(map[string]bool, len(rooms))
	for id := range rooms {
		wanted[termOfRoom(id)] = true
	}
	begin := append([]byte{termPrefix}, roomTerm...)
	return v.scan(to, begin, func(term []byte) verdict {
		switch {
		case !bytes.HasPrefix(term, begin):
			if bytes.Compare(term, begin) > 0 {
				return stop
			}
		case wanted[string(term[1:])]:
			return take
		}
		return skip
	})
}

// scan reads the terms of all segments, from the first that may be at least begin, until the
// verdict about one is to stop, and adds the rows of those that are to be taken.
func (v *volume) scan(to bitmap, begin []byte, about func(term []byte) verdict) error {
	for i := range v.segments {
		s := &v.segments[i]
		if s.tombstones == 0 {
			if err := v.scanSegment(s, to, begin, about); err != nil {
				return err
			}
			continue
		}
		if s.hidden == nil {
			if err := v.readTombstones(s); err != nil {
				return err
			}
		}
		of := v.blank()
		if err := v.scanSegment(s, of, begin, about); err != nil {
			return err
		}
		of.andNot(s.hidden)
		to.or(of)
		v.release(of)
	}
	return nil
}

// readTombstones reads which rows of a segment are hidden.
func (v *volume) readTombstones(s *segment) error {
	s.hidden = v.blank()
	return v.records((s.id+tombstoneShift)<<segmentShift, 0, s.tombstones-1, 0, nil, func(table []byte) (more bool, err error) {
		if len(table) < tombstoneHeader || table[0] != 4 || len(table)%4 != 0 { // bytes of a row
			return false, errMalformed
		}
		for at := tombstoneHeader; at < len(table); at += 4 {
			if row := binary.BigEndian.Uint32(table[at:]); row != 0 && !s.hidden.set(uint64(row), v.rows) {
				return false, errMalformed
			}
		}
		return true, nil
	})
}

func (v *volume) scanSegment(s *segment, to bitmap, begin []byte, about func(term []byte) verdict) error {
	l := lists{to: to, rows: v.rows, about: about}
	return v.records(s.id<<segmentShift, s.first, s.last, s.id, begin, l.leaf)
}

// lists takes lists of rows from leaves that follow each other.
type lists struct {
	to    bitmap
	rows  uint64
	about func(term []byte) verdict
	term  []byte  // the last one
	what  verdict // about it
}

// leaf reads a leaf. It returns false if the next ones are not needed.
func (l *lists) leaf(leaf []byte) (more bool, err error) {
	if len(leaf) < leafHeader {
		return false, errMalformed
	}
	size := int(binary.BigEndian.Uint16(leaf[2:])) // behind it is where terms begin
	if size < leafHeader || size > len(leaf) {
		return false, errMalformed
	}
	starts := reader{data: leaf[size:]}
	at := size
	if len(starts.data) > 0 {
		at = int(starts.next())
	}
	if starts.bad || at < leafHeader || at > size {
		return false, errMalformed
	}
	if l.what == take { // the list of the last leaf goes on
		if err := l.list(leaf[leafHeader:at]); err != nil {
			return false, err
		}
	}
	l.term = l.term[:0]
	for at < size {
		end := size
		if len(starts.data) > 0 {
			end = at + int(starts.next())
		}
		if starts.bad || end <= at || end > size {
			return false, errMalformed
		}
		list, err := l.begin(leaf[at:end])
		if err != nil {
			return false, err
		}
		if l.what = l.about(l.term); l.what == stop {
			return false, nil
		}
		if l.what == take {
			if err := l.list(list); err != nil {
				return false, err
			}
		}
		at = end
	}
	return true, nil
}

// begin reads a term and returns the list behind it. Terms, but for the first of a leaf, lack
// what they have in common with the one before.
func (l *lists) begin(data []byte) (list []byte, err error) {
	r := reader{data: data}
	same := uint64(0)
	if len(l.term) > 0 {
		same = r.next()
	}
	size := r.next()
	if r.bad || same > uint64(len(l.term)) || size == 0 || size > uint64(len(r.data)) {
		return nil, errMalformed
	}
	l.term = append(l.term[:same], r.data[:size]...)
	return r.data[size:], nil
}

// list adds rows. On each leaf the first is a number, and others say by how much they are
// greater. 0 is a sign of FTS5 for deletions, which contentless_delete replaces.
func (l *lists) list(data []byte) error {
	row := uint64(0)
	for at := 0; at < len(data); {
		b := data[at]
		if b < 0x80 {
			row, at = row+uint64(b), at+1
			if b == 0 {
				continue
			}
		} else {
			n, size := varint(data[at:])
			if size == 0 {
				return errMalformed
			}
			row, at = row+n, at+size
		}
		if !l.to.set(row, l.rows) {
			return errMalformed
		}
	}
	return nil
}
