package export

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

func TestReader(t *testing.T) {
	long := "{" + strings.Repeat("x", 200<<10) + "}"
	for _, c := range []struct {
		name, in, want string
		numbers        []int
	}{
		{"as it was written", "{1}\n{2}\n", "{1}\n{2}\n", []int{1, 2}},
		{"of Windows, with a mark", "\ufeff{1}\r\n{2}\r\n", "{1}\r\n{2}\r\n", []int{1, 2}},
		{"empty lines", "\n{1}\n\n \r\n{2}\n\n\n", "{1}\n{2}\n", []int{2, 5}},
		{"no last end", "{1}\n{2}", "{1}\n{2}\n", []int{1, 2}},
		{"spaces at the end", "{1}\n  ", "{1}\n", []int{1}},
		{"a long line", long + "\n\n" + long, long + "\n" + long + "\n", []int{1, 3}},
		{"nothing", "", "", nil},
		{"only a mark", "\ufeff", "", nil},
		{"a mark later is content", "{1}\n\ufeff{2}\n", "{1}\n\ufeff{2}\n", []int{1, 2}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := NewReader(iotest.HalfReader(strings.NewReader(c.in)))
			if err != nil {
				t.Fatal(err)
			}
			var got strings.Builder
			var numbers []int
			for {
				line, err := l.next()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				fmt.Fprintf(&got, "%s\n", line)
				numbers = append(numbers, l.Number())
			}
			if got.String() != c.want {
				t.Errorf("got %.100q, want %.100q", got.String(), c.want)
			}
			if !slices.Equal(numbers, c.numbers) {
				t.Errorf("the lines are %v, want %v", numbers, c.numbers)
			}
		})
	}
	l, err := NewReader(strings.NewReader("\n" + strings.Repeat("x", 2*maxLine)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.next(); err == nil || errors.Is(err, io.EOF) || l.Number() != 2 {
		t.Errorf("an endless line: %v in line %d", err, l.Number())
	}
	for in, want := range map[string]string{
		"SQLite format 3\x00\x10\x00": "kaban restore",
		"\xff\xfe{\x00":               "UTF-16",
		"\xfe\xff\x00{":               "UTF-16",
	} {
		if _, err := NewReader(bytes.NewReader([]byte(in))); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", in, err, want)
		}
	}
}
