package sqlite

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"kaban/internal/store"
)

// SQLite ends a query at the first page that it cannot use, and whatever is behind it is out of
// reach. A btree reads a table or an index page by page instead, so a page costs the rows in it
// and no others. It goes by the format only as far as it must: callers compare the checksums of rows.
//
// Callers take rows from any page that no other one leads to, not only those that fit where some are missing. Such a
// page may be a free one, and nothing in it tells that its rows were deleted. They do not come back because SQLite
// overwrites pages that become free: every connection that removes rows has secure_delete = 1.
//
// https://www.sqlite.org/fileformat2.html, 1.6 and 2.1.

// The types of pages.
const (
	pageOfIndexInner = 2
	pageOfTableInner = 5
	pageOfIndexLeaf  = 10
	pageOfTableLeaf  = 13
)

const (
	maxTreeDepth   = 40       // SQLite's own limit is half of that
	maxSavedRecord = 16 << 20 // bytes; far above the limits of documents and messages
	maxColumns     = 64       // several times as many as any table has
)

var errPage = errors.New("it is not as SQLite writes one")

// pages reads the pages of a database, in the transaction of its connection.
type pages struct {
	ctx   context.Context
	stmt  *sql.Stmt
	count uint32
	used  int // bytes of a page that SQLite uses
}

func (c *conn) newPages(ctx context.Context) (*pages, error) {
	p := &pages{ctx: ctx}
	n, err := c.number(ctx, "PRAGMA page_count")
	if err != nil {
		return nil, err
	}
	p.count = uint32(n)
	if p.used, err = c.number(ctx, "PRAGMA page_size"); err != nil {
		return nil, err
	}
	if p.stmt, err = c.PrepareContext(ctx, "SELECT data FROM sqlite_dbpage WHERE pgno = ?"); err != nil {
		return nil, err
	}
	first, err := p.read(1)
	if err == nil && len(first) > 20 {
		p.used -= int(first[20]) // reserved at the end of each
	}
	return p, err
}

// read returns the bytes of a page. One that is not in the file, or that the disk does not give, is damage; any other
// error, such as too little memory, may pass and says nothing about the page.
func (p *pages) read(n uint32) (data []byte, err error) {
	if n == 0 || n > p.count {
		return nil, errPage
	}
	err = p.stmt.QueryRowContext(p.ctx, n).Scan(&data)
	if isDamage(err) || isOfDisk(err) || errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("%w: %w", errPage, err)
	}
	return data, err
}

// node is a page of a b-tree.
type node struct {
	data  []byte
	kind  byte
	cells []int  // where they begin
	right uint32 // the last child of an inner page
}

// node returns a page if it is one of a b-tree.
func (p *pages) node(n uint32) (node, error) {
	data, err := p.read(n)
	if err != nil {
		return node{}, err
	}
	of := node{data: data, kind: data[0]}
	header := 8
	switch of.kind {
	case pageOfIndexInner, pageOfTableInner:
		header = 12
		of.right = binary.BigEndian.Uint32(data[8:])
	case pageOfIndexLeaf, pageOfTableLeaf:
	default:
		return node{}, errPage
	}
	count := int(binary.BigEndian.Uint16(data[3:]))
	if header+2*count > p.used {
		return node{}, errPage
	}
	for i := range count {
		of.cells = append(of.cells, int(binary.BigEndian.Uint16(data[header+2*i:])))
	}
	return of, nil
}

func (n *node) isInner() bool { return n.kind == pageOfIndexInner || n.kind == pageOfTableInner }

// child returns the page below a cell of an inner page.
func (n *node) child(i int) (uint32, error) {
	at := n.cells[i]
	if at+4 > len(n.data) {
		return 0, errPage
	}
	return binary.BigEndian.Uint32(n.data[at:]), nil
}

// row is a row of a table, or an entry of an index. An integer is an int64, a text a string, a blob a
// []byte, NULL is nil.
type row struct {
	id     int64 // of a table with rowids
	values []any
}

func (r *row) text(i int) (text string, ok bool) {
	if i < len(r.values) {
		text, ok = r.values[i].(string)
	}
	return text, ok
}

func (r *row) blob(i int) (blob []byte, ok bool) {
	if i < len(r.values) {
		blob, ok = r.values[i].([]byte)
	}
	return blob, ok
}

// number returns an integer. A column that was added later is 0 in the rows from before.
func (r *row) number(i int) (n int64, ok bool) {
	if i >= len(r.values) {
		return 0, true
	}
	n, ok = r.values[i].(int64)
	return n, ok
}

// row returns the row that a cell has.
func (p *pages) row(of *node, i int) (row, error) {
	start, err := p.start(of, i)
	if err != nil {
		return row{}, err
	}
	r := row{id: start.id}
	record, err := p.record(start.rest, start.size, start.local)
	if err == nil {
		r.values, err = parseRecord(record)
	}
	return r, err
}

// start is the beginning of a row, as its own page has it.
type start struct {
	id    int64  // of a table with rowids
	rest  []byte // of the page: the record, or its beginning
	size  int    // bytes of the record
	local int    // how many bytes a record may have that is on this page only
}

// start returns the beginning of the row that a cell has. It reads no other page.
func (p *pages) start(of *node, i int) (start, error) {
	at := of.cells[i]
	if of.kind == pageOfIndexInner {
		at += 4
	}
	if at >= p.used {
		return start{}, errPage
	}
	rest := of.data[at:p.used]
	size, n := varint(rest)
	if n == 0 || size > maxSavedRecord {
		return start{}, errPage
	}
	s := start{rest: rest[n:], size: int(size), local: (p.used-12)*64/255 - 23}
	if of.kind == pageOfTableLeaf {
		id, n := varint(s.rest)
		if n == 0 {
			return start{}, errPage
		}
		s.id, s.rest, s.local = int64(id), s.rest[n:], p.used-35
	}
	return s, nil
}

// record returns a record, whose end may be on pages of its own.
func (p *pages) record(rest []byte, size, most int) ([]byte, error) {
	local := size
	if size > most {
		least := (p.used-12)*32/255 - 23
		if local = least + (size-least)%(p.used-4); local > most {
			local = least
		}
	}
	if local > len(rest) {
		return nil, errPage
	}
	record := append([]byte(nil), rest[:local]...)
	if local == size {
		return record, nil
	}
	if local+4 > len(rest) {
		return nil, errPage
	}
	for next := binary.BigEndian.Uint32(rest[local:]); len(record) < size; {
		data, err := p.read(next)
		if err != nil {
			return nil, err
		}
		next = binary.BigEndian.Uint32(data)
		record = append(record, data[4:min(p.used, 4+size-len(record))]...)
	}
	return record, nil
}

// varint returns a number, and how many bytes it takes; 0 is none.
func varint(p []byte) (n uint64, bytes int) {
	for i := range min(len(p), 9) {
		if i == 8 {
			return n<<8 | uint64(p[i]), 9
		}
		if n = n<<7 | uint64(p[i]&0x7f); p[i] < 0x80 {
			return n, i + 1
		}
	}
	return 0, 0
}

// parseRecord returns the values of a record.
func parseRecord(record []byte) ([]any, error) {
	kinds, body, err := kindsOf(record)
	if err != nil {
		return nil, err
	}
	values := make([]any, len(kinds))
	for i, kind := range kinds {
		size := 0
		if values[i], size, err = valueOf(kind, body); err != nil {
			return nil, err
		}
		body = body[size:]
	}
	return values, nil
}

// kindsOf returns the types of a record's values, and the values. Of the record it needs the beginning only.
func kindsOf(record []byte) (kinds []uint64, body []byte, _ error) {
	size, n := varint(record)
	if n == 0 || size > uint64(len(record)) || uint64(n) > size {
		return nil, nil, errPage
	}
	for rest := record[n:size]; len(rest) > 0; {
		kind, n := varint(rest)
		if n == 0 || len(kinds) == maxColumns {
			return nil, nil, errPage
		}
		kinds, rest = append(kinds, kind), rest[n:]
	}
	return kinds, record[size:], nil
}

// isText reports whether a type is that of texts.
func isText(kind uint64) bool { return kind > 12 && kind%2 == 1 }

// valueOf returns the value of a type at the beginning of some bytes, and its size.
func valueOf(kind uint64, body []byte) (value any, size int, _ error) {
	switch {
	case kind <= 9:
		size = []int{0, 1, 2, 3, 4, 6, 8, 8, 0, 0}[kind]
	case kind < 12 || (kind-12)/2 > uint64(len(body)):
		return nil, 0, errPage
	default:
		size = int(kind-12) / 2
	}
	if size > len(body) {
		return nil, 0, errPage
	}
	switch p := body[:size]; {
	case kind == 0:
		return nil, 0, nil
	case kind == 7:
		return math.Float64frombits(binary.BigEndian.Uint64(p)), size, nil
	case kind == 8, kind == 9:
		return int64(kind - 8), 0, nil
	case kind <= 6:
		n := int64(int8(p[0]))
		for _, b := range p[1:] {
			n = n<<8 | int64(b)
		}
		return n, size, nil
	case kind%2 == 0:
		return append([]byte{}, p...), size, nil
	default:
		return string(p), size, nil
	}
}

// btree is a walk over all rows of one.
type btree struct {
	*pages
	leaf, inner byte
	// visit gets each row with where it is. Rows in pages that no other one leads to any more come last, and are
	// in no order. They may be anything, also of other trees.
	visit func(r *row, at cell, found bool) error
	// detached gets each leaf that no other page leads to any more, of whatever tree, if it is not nil: visit gets
	// nothing then, and no row is read.
	detached func(of *node, page uint32) error
	// lost gets each page that cannot be used, and the page of each cell that cannot, with an errPage.
	lost func(page uint32, cause error) error
	// gap gets the ids that rows below a lost page may have, as the page above says, in order, if it is not nil and the
	// tree is that of a table.
	gap  func(span)
	seen map[uint32]struct{}
	bad  int
}

// span is a run of ids of rows, from the first to the last.
type span struct{ first, last int64 }

func (s span) isKnown() bool { return s.first <= s.last }

// cell is where a row is.
type cell struct {
	page uint32
	n    int
}

// run walks over the tree of a table or an index. Pages are sought in the whole file if any is bad.
func (t *btree) run(root uint32, index bool) error {
	if t.leaf, t.inner = pageOfTableLeaf, pageOfTableInner; index {
		t.leaf, t.inner = pageOfIndexLeaf, pageOfIndexInner
	}
	t.seen = make(map[uint32]struct{})
	if err := t.walk(root, 0, span{math.MinInt64, math.MaxInt64}); err != nil || t.bad == 0 {
		return err
	}
	for n := uint32(2); n <= t.count; n++ {
		if _, seen := t.seen[n]; seen {
			continue
		}
		of, err := t.node(n)
		switch {
		case errors.Is(err, errPage):
			continue
		case err == nil && (of.kind == t.leaf || of.kind == t.inner && index):
			err = t.found(&of, n)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// found passes on a page that no other one leads to any more.
func (t *btree) found(of *node, n uint32) error {
	if t.detached != nil {
		return t.detached(of, n)
	}
	for i := range of.cells {
		r, err := t.row(of, i)
		if err == nil {
			err = t.visit(&r, cell{n, i}, true)
		}
		if err != nil && !errors.Is(err, errPage) {
			return err
		}
	}
	return nil
}

// walk walks over a page and whatever is below it: rows with the ids of a span, if that is known.
func (t *btree) walk(n uint32, depth int, ids span) error {
	of, err := t.node(n)
	_, twice := t.seen[n]
	if err == nil && (twice || depth > maxTreeDepth || of.kind != t.leaf && of.kind != t.inner) {
		err = errPage
	}
	switch {
	case errors.Is(err, errPage):
		if t.gap != nil && ids.isKnown() {
			t.gap(ids)
		}
		return t.lose(n, err)
	case err != nil:
		return err
	}
	t.seen[n] = struct{}{}
	below := of.spans(ids)
	for i := range of.cells {
		if of.isInner() {
			child, err := of.child(i)
			if err == nil {
				err = t.walk(child, depth+1, below[i])
			} else {
				err = t.lose(n, err)
			}
			if err != nil {
				return err
			}
		}
		if of.kind == pageOfTableInner || t.detached != nil {
			continue
		}
		r, err := t.row(&of, i)
		switch {
		case errors.Is(err, errPage):
			err = t.lose(n, err)
		case err == nil:
			err = t.visit(&r, cell{n, i}, false)
		}
		if err != nil {
			return err
		}
	}
	if of.isInner() {
		return t.walk(of.right, depth+1, below[len(of.cells)])
	}
	return nil
}

// spans returns the ids of the rows below each child of an inner page. They are not known if the page is not one of a
// table, or if its keys are not in order.
func (n *node) spans(ids span) []span {
	if !n.isInner() {
		return nil
	}
	unknown := slices.Repeat([]span{{0, -1}}, len(n.cells)+1)
	if n.kind != pageOfTableInner || !ids.isKnown() {
		return unknown
	}
	spans := make([]span, 0, len(n.cells)+1)
	for _, at := range n.cells {
		key, size := varint(n.data[min(at+4, len(n.data)):])
		if size == 0 || int64(key) < ids.first || int64(key) >= ids.last {
			return unknown
		}
		spans = append(spans, span{ids.first, int64(key)})
		ids.first = int64(key) + 1
	}
	return append(spans, ids)
}

func (t *btree) lose(page uint32, cause error) error {
	t.bad++
	return t.lost(page, cause)
}

// rootOf returns the first page of a table or an index.
func (c *conn) rootOf(ctx context.Context, name string) (root uint32, err error) {
	err = c.QueryRowContext(ctx, "SELECT rootpage FROM sqlite_schema WHERE name = ?", name).Scan(&root)
	return root, err
}

// pageError names a page of the database that cannot be read. The rows in it are lost.
type pageError struct {
	table string
	page  uint32
	err   error  // why it cannot be read
	lost  string // what was in it, as far as it is known
}

func (e *pageError) Error() string {
	return fmt.Sprintf("page %d of the database, of the table %s, cannot be read: %v; lost with it: %s", e.page, e.table, e.err, e.lost)
}

// Unwrap makes every pageError an ErrDamaged.
func (e *pageError) Unwrap() []error { return []error{store.ErrDamaged, e.err} }
