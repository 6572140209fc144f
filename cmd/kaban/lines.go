package main

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

// maxExportLine bounds a line of an export, in bytes. No line that can be imported
// is nearly as long.
const maxExportLine = 1 << 20

// exportLines reads an export even if an editor or another system has changed its
// form: with a byte order mark, empty lines, or no end of the last line.
type exportLines struct {
	src    *bufio.Reader
	number int // of the last line that was read, from 1
	line   []byte
}

// newExportLines refuses a file that is no text of ours.
func newExportLines(src io.Reader) (*exportLines, error) {
	l := &exportLines{src: bufio.NewReaderSize(src, 64<<10)}
	start, err := l.src.Peek(len(sqliteHeader))
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(start, []byte(sqliteHeader)):
		return nil, errors.New("this is a backup and not an export; use \"kaban restore\"")
	case bytes.HasPrefix(start, []byte(utf16LowFirst)), bytes.HasPrefix(start, []byte(utf16HighFirst)):
		return nil, errors.New("this is UTF-16, which PowerShell writes when it redirects output; convert it to UTF-8, or export again with \"cmd /c\"")
	case bytes.HasPrefix(start, []byte(utf8Mark)):
		_, err = l.src.Discard(len(utf8Mark))
		return l, err
	}
	return l, nil
}

// record returns the record in the next line, or io.EOF.
func (l *exportLines) record() (store.Record, error) {
	line, err := l.next()
	if err != nil {
		return store.Record{}, err
	}
	return parseRecord(line)
}

// next returns the next line that is not empty, without its end, or io.EOF. It is
// valid until the next call.
func (l *exportLines) next() ([]byte, error) {
	for {
		l.line = l.line[:0]
		var err error
		for {
			var piece []byte
			piece, err = l.src.ReadSlice('\n')
			if l.line = append(l.line, piece...); !errors.Is(err, bufio.ErrBufferFull) {
				break
			}
			if len(l.line) > maxExportLine {
				l.number++
				return nil, fmt.Errorf("the line is longer than %d bytes", maxExportLine)
			}
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		if len(l.line) > 0 {
			l.number++
		}
		if line := bytes.TrimSuffix(l.line, []byte("\n")); len(bytes.TrimSpace(line)) > 0 {
			return line, nil
		}
		if err != nil {
			return nil, err
		}
	}
}
