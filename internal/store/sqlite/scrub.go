package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
)

// With secure_delete SQLite overwrites a row that it removes, and a page that becomes free.
// But when it moves rows from one page to another to balance a tree, the first page keeps
// copies of them in its gap, between the pointers to its rows and the rows. They stay when
// the rows are removed later: about one in a hundred, in a table that rooms share.
//
// So gaps are overwritten, too: those of all pages in the WAL, each time before it is moved
// into the database. Pages are in the WAL once they have changed, and a page that is in the
// database only has nothing in its gap.

// The format of pages, https://www.sqlite.org/fileformat.html, 1.5 and 1.6.
const (
	freeTrunk  = 32 // the offset in the header of the first page of the list of free pages
	leafHeader = 8  // bytes before the pointers in a page without children
	treeHeader = 12 // and in one with children
)

// gap returns the part of a page of a tree that has no meaning; nothing if it is no such
// page. Pages that are none begin with the number of another page.
func gap(number uint32, page []byte, pages uint32) []byte {
	at := 0
	if number == 1 {
		at = headerSize
	}
	header := leafHeader
	switch page[at] {
	case 0x0a, 0x0d:
	case 0x02, 0x05:
		header = treeHeader
	default:
		return nil
	}
	if uint64(page[at])<<24 <= uint64(pages) {
		return nil // it may be a number
	}
	begin := at + header + 2*int(binary.BigEndian.Uint16(page[at+3:]))
	end := int(binary.BigEndian.Uint16(page[at+5:]))
	if end == 0 {
		end = 1 << 16
	}
	if begin >= end || end > len(page) {
		return nil
	}
	return page[begin:end]
}

// isZero reports whether there are only zeros.
func isZero(p []byte) bool {
	for len(p) > len(zeroPage) {
		if !bytes.Equal(p[:len(zeroPage)], zeroPage[:]) {
			return false
		}
		p = p[len(zeroPage):]
	}
	return bytes.Equal(p, zeroPage[:len(p)])
}

var zeroPage [pageSize]byte

// dirtyPages reads frames of the WAL, from 0, and returns those of their pages that have
// something in their gaps. It may return some that have been overwritten since.
func (d *database) dirtyPages(from, to int) (dirty []uint32, err error) {
	if from >= to {
		return nil, nil
	}
	if d.walFile == nil {
		if d.walFile, err = os.Open(d.path + "-wal"); err != nil {
			return nil, err
		}
	}
	const frame = walFrameHeader + pageSize
	some := make([]byte, min(to-from, walRead)*frame)
	seen := make(map[uint32]bool) // whether the last one is dirty
	for ; from < to; from += len(some) / frame {
		some = some[:min(to-from, walRead)*frame]
		if _, err := d.walFile.ReadAt(some, walHeaderSize+int64(from)*frame); err != nil {
			return nil, fmt.Errorf("read the WAL: %w", err)
		}
		for one := range slices.Chunk(some, frame) {
			number := binary.BigEndian.Uint32(one)
			seen[number] = !isZero(gap(number, one[walFrameHeader:], 0))
		}
	}
	for number, is := range seen {
		if is {
			dirty = append(dirty, number)
		}
	}
	slices.Sort(dirty)
	return dirty, nil
}

// walRead is how many frames of the WAL are read at a time.
const walRead = 64

// scrub overwrites the gaps of all pages that are in the WAL only. It is called before each
// checkpoint, with writing held.
func (d *database) scrub(ctx context.Context) error {
	var busy, pages, moved int
	if err := d.stmts.walState.QueryRowContext(ctx).Scan(&busy, &pages, &moved); err != nil {
		return err
	}
	dirty, err := d.dirtyPages(moved, pages)
	if err != nil || len(dirty) == 0 {
		return err
	}
	return d.scrubPages(ctx, dirty, nil)
}

// remains returns the part of a page that has no meaning. Of a free page it is what comes
// from an offset on.
func remains(number uint32, page []byte, pages uint32, free map[uint32]int) []byte {
	if from, isFree := free[number]; isFree {
		return page[from:]
	}
	return gap(number, page, pages)
}

// scrubStep is how many pages are read at a time when they are scrubbed.
const scrubStep = 16

// readPagesQuery takes scrubStep numbers, some of which may be the same.
var readPagesQuery = "SELECT pgno, data FROM sqlite_dbpage WHERE pgno IN (" + times("?", scrubStep) + ")"

// scrubPages overwrites what has no meaning in some pages, in one transaction.
func (d *database) scrubPages(ctx context.Context, numbers []uint32, free map[uint32]int) error {
	return d.writer.transact(ctx, func() error {
		var count uint32
		if err := d.writer.QueryRowContext(ctx, "PRAGMA page_count").Scan(&count); err != nil {
			return err
		}
		numbers = slices.DeleteFunc(numbers, func(number uint32) bool { return number > count })
		var s scrubber
		for some := range slices.Chunk(numbers, scrubStep) {
			if err := s.read(ctx, d.stmts.readPages, some, func(number uint32, page []byte) bool {
				old := remains(number, page, count, free)
				is := !isZero(old)
				clear(old)
				return is
			}); err != nil {
				return err
			}
			for one := range slices.Chunk(s.pages, 2) {
				if _, err := d.stmts.writePage.ExecContext(ctx, one...); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// scrubber has some pages on their way.
type scrubber struct {
	numbers [scrubStep]any
	buffer  []byte
	pages   []any // the arguments of writePage for each
}

// read reads some pages, scrubStep at most, and keeps those that differ after a change.
func (s *scrubber) read(ctx context.Context, stmt *sql.Stmt, numbers []uint32, change func(number uint32, page []byte) (differs bool)) error {
	for i := range s.numbers {
		s.numbers[i] = numbers[min(i, len(numbers)-1)]
	}
	rows, err := stmt.QueryContext(ctx, s.numbers[:]...)
	if err != nil {
		return err
	}
	defer rows.Close()
	s.buffer, s.pages = slices.Grow(s.buffer[:0], scrubStep*pageSize), s.pages[:0]
	var number uint32 // outside of the loop, because Scan makes both escape
	var data sql.RawBytes
	for rows.Next() {
		if err := rows.Scan(&number, &data); err != nil {
			return err
		}
		at := len(s.buffer)
		s.buffer = append(s.buffer, data...)
		if page := s.buffer[at:]; change(number, page) {
			s.pages = append(s.pages, page, number)
		} else {
			s.buffer = s.buffer[:at]
		}
	}
	return closeRows(rows)
}

// sweepStep is how many pages of a file that is swept are read at a time.
const sweepStep = 256

// sweep overwrites what is left of former rows anywhere in the file: it was written by an
// older version, or is a copy that others have made.
func (d *database) sweep(ctx context.Context) error {
	for first := uint32(1); ; first += sweepStep {
		if d.eraser.isStopped() {
			return errStopped
		}
		done, err := d.sweepSome(ctx, first)
		if err != nil || done {
			return err
		}
	}
}

// errStopped ends what the next start begins anew.
var errStopped = errors.New("the store is being closed")

// sweepSome sweeps the next pages. It reports whether they are the last.
func (d *database) sweepSome(ctx context.Context, first uint32) (last bool, err error) {
	d.writing.Lock()
	defer d.writing.Unlock()
	if d.closed {
		return false, errStopped
	}
	var count uint32
	if err := d.writer.QueryRowContext(ctx, "PRAGMA page_count").Scan(&count); err != nil {
		return false, err
	}
	free, err := d.freePages(ctx)
	if err != nil {
		return false, err
	}
	var dirty []uint32
	end := min(first+sweepStep, count+1)
	for number := first; number < end; number++ {
		var page []byte
		if err := d.stmts.readPage.QueryRowContext(ctx, number).Scan(&page); err != nil {
			return false, err
		}
		if !isZero(remains(number, page, count, free)) {
			dirty = append(dirty, number)
		}
	}
	if len(dirty) > 0 {
		if err := d.scrubPages(ctx, dirty, free); err != nil {
			return false, err
		}
		d.tendWAL(ctx)
	}
	return end > count, nil
}

// freePages returns the pages that are free, each with the offset of what has no meaning:
// some of them have the list of the others.
func (d *database) freePages(ctx context.Context) (map[uint32]int, error) {
	free := make(map[uint32]int)
	var page []byte
	if err := d.stmts.readPage.QueryRowContext(ctx, 1).Scan(&page); err != nil {
		return nil, err
	}
	for next := binary.BigEndian.Uint32(page[freeTrunk:]); next != 0; next = binary.BigEndian.Uint32(page) {
		if _, twice := free[next]; twice {
			return nil, damaged("the list of free pages", errLoop)
		}
		if err := d.stmts.readPage.QueryRowContext(ctx, next).Scan(&page); err != nil {
			return nil, err
		}
		n := min(int(binary.BigEndian.Uint32(page[4:])), len(page)/4-2)
		for i := range n {
			free[binary.BigEndian.Uint32(page[8+4*i:])] = 0
		}
		free[next] = 8 + 4*n
	}
	return free, nil
}

var errLoop = errors.New("it has a loop")
