package index

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
)

// This file reads the lists of terms as FTS5 has written them (fts5_index.c, "The %_data
// table"). FTS5 itself steps through them message by message, in code that was translated from
// C, which is several hundred times slower than to decode a list into a bitmap: a frequent
// word that none of somebody's rooms has took ten milliseconds a volume.
//
// The format: the record structureID of the table v…_data says which segments there are. A
// segment is a row of numbered leaves with all its terms in ascending order; v…_idx has the
// first term of each leaf, as far as it is needed to tell it from the last one of the leaf
// before. With detail=none a term has only the rows in which it is.

const (
	structureID = 10
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

func newBitmap(rows uint64) bitmap { return make(bitmap, (rows+63)/64) }

// set adds a row, or reports false if there is none with that number.
func (b bitmap) set(row, rows uint64) bool {
	if row-1 >= rows {
		return false
	}
	b[(row-1)/64] |= 1 << ((row - 1) % 64)
	return true
}

// and keeps what is in another one, too. It reports whether anything is left.
func (b bitmap) and(other bitmap) bool {
	left := uint64(0)
	for i := range b {
		b[i] &= other[i]
		left |= b[i]
	}
	return left != 0
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

// volume reads the terms of a volume in one transaction.
type volume struct {
	ctx      context.Context
	tx       *sql.Tx
	reading  [len(ofLists)]*sql.Stmt
	rows     uint64
	segments []segment
}

var errMalformed = fmt.Errorf("%w: a volume is malformed", errUnusable)

// The queries about the lists of a volume.
const (
	record = iota
	firstLeaf
	leaves
)

var ofLists = [...]string{
	record:    "SELECT block FROM %s_data WHERE id = ?",
	firstLeaf: "SELECT pgno FROM %s_idx WHERE segid = ? AND term <= ? ORDER BY term DESC LIMIT 1",
	leaves:    "SELECT id, block FROM %s_data WHERE id BETWEEN ? AND ? ORDER BY id",
}

// withVolume runs work with a volume. It has no segments if it is empty.
func (d *database) withVolume(ctx context.Context, id, rows uint64, work func(v *volume) error) error {
	return d.again(func() (err error) {
		v := volume{ctx: ctx, rows: rows}
		for i, query := range ofLists { // now, because the transaction may take the last connection
			if v.reading[i], err = d.prepared(ctx, query, id); err != nil {
				return err
			}
		}
		if v.tx, err = d.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true}); err != nil {
			return err
		}
		defer v.tx.Rollback() // nothing is written
		for i, stmt := range v.reading {
			v.reading[i] = v.tx.StmtContext(ctx, stmt)
		}
		var structure []byte
		if found, err := v.first(record, &structure, structureID); !found || err != nil {
			return err
		}
		if v.segments, err = decodeStructure(structure); err != nil {
			return err
		}
		return work(&v)
	})
}

// first reads the column of the first row, and reports whether there is one.
func (v *volume) first(query int, to any, args ...any) (bool, error) {
	err := v.reading[query].QueryRowContext(v.ctx, args...).Scan(to)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
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
		of := newBitmap(v.rows)
		if err := v.scanSegment(s, of, begin, about); err != nil {
			return err
		}
		of.andNot(s.hidden)
		to.or(of)
	}
	return nil
}

// readTombstones reads which rows of a segment are hidden.
func (v *volume) readTombstones(s *segment) error {
	base := (s.id + tombstoneShift) << segmentShift
	rows, err := v.reading[leaves].QueryContext(v.ctx, base, base+s.tombstones-1)
	if err != nil {
		return err
	}
	defer rows.Close()
	s.hidden = newBitmap(v.rows)
	for rows.Next() {
		var id uint64
		var table sql.RawBytes
		if err := rows.Scan(&id, &table); err != nil {
			return err
		}
		if len(table) < tombstoneHeader || table[0] != 4 || len(table)%4 != 0 { // bytes of a row
			return errMalformed
		}
		for at := tombstoneHeader; at < len(table); at += 4 {
			if row := binary.BigEndian.Uint32(table[at:]); row != 0 && !s.hidden.set(uint64(row), v.rows) {
				return errMalformed
			}
		}
	}
	return rows.Err()
}

func (v *volume) scanSegment(s *segment, to bitmap, begin []byte, about func(term []byte) verdict) error {
	var number uint64
	found, err := v.first(firstLeaf, &number, s.id, begin)
	if err != nil {
		return err
	}
	if number >>= 1; !found || number < s.first { // the last bit is of lists that have an index
		number = s.first
	}
	base := s.id << segmentShift
	rows, err := v.reading[leaves].QueryContext(v.ctx, base+number, base+s.last)
	if err != nil {
		return err
	}
	defer rows.Close()
	l := lists{to: to, rows: v.rows, about: about}
	for want := base + number; rows.Next(); want++ {
		var id uint64
		var leaf sql.RawBytes
		if err := rows.Scan(&id, &leaf); err != nil {
			return err
		}
		if id != want {
			return errMalformed
		}
		if more, err := l.leaf(leaf); !more || err != nil {
			return err
		}
	}
	return rows.Err()
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
