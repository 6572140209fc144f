package export

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"kaban/internal/store"
)

// Beginnings of files.
const (
	utf8Mark       = "\ufeff"
	utf16LowFirst  = "\xff\xfe"
	utf16HighFirst = "\xfe\xff"
	sqliteHeader   = "SQLite format 3\x00"
)

// maxLine bounds a line of an export, in bytes. No line that can be imported
// is nearly as long.
const maxLine = 1 << 20

// Reader reads an export, even if an editor or another system has changed its form:
// with a byte order mark, empty lines, or no end of the last line.
type Reader struct {
	src    *bufio.Reader
	number int // of the last line that was read, from 1
	line   []byte
}

// NewReader returns a Reader of an export. It refuses other kinds of files that people
// take for one.
func NewReader(src io.Reader) (*Reader, error) {
	r := &Reader{src: bufio.NewReaderSize(src, 64<<10)}
	start, err := r.src.Peek(len(sqliteHeader))
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(start, []byte(sqliteHeader)):
		return nil, errors.New("this is a backup and not an export; use \"kaban restore\"")
	case bytes.HasPrefix(start, []byte(utf16LowFirst)), bytes.HasPrefix(start, []byte(utf16HighFirst)):
		return nil, errors.New("this is UTF-16, which PowerShell writes when it redirects output; convert it to UTF-8, or export again with \"cmd /c\"")
	case bytes.HasPrefix(start, []byte(utf8Mark)):
		_, err = r.src.Discard(len(utf8Mark))
		return r, err
	}
	return r, nil
}

// Number returns the number of the last line that was read, from 1.
func (r *Reader) Number() int { return r.number }

// Line is a line of an export: a record, a document or a front.
type Line struct {
	Record   *store.Record
	Front    *store.Front
	Document *store.Document
}

// Read returns the next line, or io.EOF. Another error concerns the line.
func (r *Reader) Read() (Line, error) {
	line, err := r.next()
	if err != nil {
		return Line{}, err
	}
	return parse(line)
}

// next returns the next line that is not empty, without its end, or io.EOF. It is
// valid until the next call.
func (r *Reader) next() ([]byte, error) {
	for {
		r.line = r.line[:0]
		var err error
		for {
			var piece []byte
			piece, err = r.src.ReadSlice('\n')
			if r.line = append(r.line, piece...); !errors.Is(err, bufio.ErrBufferFull) {
				break
			}
			if len(r.line) > maxLine {
				r.number++
				return nil, fmt.Errorf("the line is longer than %d bytes", maxLine)
			}
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		if len(r.line) > 0 {
			r.number++
		}
		if line := bytes.TrimSuffix(r.line, []byte("\n")); len(bytes.TrimSpace(line)) > 0 {
			return line, nil
		}
		if err != nil {
			return nil, err
		}
	}
}
