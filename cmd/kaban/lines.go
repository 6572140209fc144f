package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// What a file begins with.
const (
	utf8Mark       = "\ufeff"
	utf16LowFirst  = "\xff\xfe"
	utf16HighFirst = "\xfe\xff"
	sqliteHeader   = "SQLite format 3\x00"
)

// exportLines reads an export as editors and other systems hand it on: with a
// byte order mark, with empty lines, without the end of its last line.
type exportLines struct {
	src     *bufio.Reader
	number  int   // of the last line that was read, from 1
	numbers []int // of those that were given on and not asked for
	within  bool  // a line that has begun
	rest    []byte
	err     error
}

// newExportLines refuses what is no text of ours.
func newExportLines(src io.Reader) (*exportLines, error) {
	l := &exportLines{src: bufio.NewReaderSize(src, 64<<10)}
	start, err := l.src.Peek(len(sqliteHeader))
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(start, []byte(sqliteHeader)):
		return nil, errors.New("this is a backup and not an export; \"kaban restore\" takes it")
	case bytes.HasPrefix(start, []byte(utf16LowFirst)), bytes.HasPrefix(start, []byte(utf16HighFirst)):
		return nil, errors.New("this is UTF-16, as PowerShell redirects output; convert it to UTF-8, or export again with \"cmd /c\"")
	case bytes.HasPrefix(start, []byte(utf8Mark)):
		_, err = l.src.Discard(len(utf8Mark))
		return l, err
	}
	return l, nil
}

// Read implements io.Reader.
func (l *exportLines) Read(p []byte) (int, error) {
	for len(l.rest) == 0 {
		if l.err != nil {
			return 0, l.err
		}
		l.next()
	}
	n := copy(p, l.rest)
	l.rest = l.rest[n:]
	return n, nil
}

// next reads the next piece of a line.
func (l *exportLines) next() {
	piece, err := l.src.ReadSlice('\n')
	if !l.within && len(piece) > 0 {
		l.number++
		if len(bytes.TrimSpace(piece)) == 0 && !errors.Is(err, bufio.ErrBufferFull) {
			piece = nil
		} else {
			l.numbers = append(l.numbers, l.number)
		}
	}
	if l.within = errors.Is(err, bufio.ErrBufferFull); l.within {
		err = nil
	}
	if errors.Is(err, io.EOF) && len(piece) > 0 {
		piece = append(bytes.Clone(piece), '\n')
	}
	l.rest, l.err = piece, err
}

// line returns the number of the next line that was given on.
func (l *exportLines) line() int {
	if len(l.numbers) == 0 {
		return l.number
	}
	n := l.numbers[0]
	l.numbers = l.numbers[1:]
	return n
}
