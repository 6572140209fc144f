package wire

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"kaban"
)

// readAll reads requests until the source fails and describes them.
func readAll(r *Reader) (got []string, end error) {
	for {
		var q Request
		err := r.ReadRequest(&q)
		bad, _ := errors.AsType[*ReaderError](err)
		switch {
		case err == nil:
			got = append(got, q.Type.String()+string(q.Ref))
		case bad != nil && bad.Code != "":
			got = append(got, string(bad.Code))
		default:
			return got, err
		}
	}
}

func TestFraming(t *testing.T) {
	ping := `{"type":"ping"}`
	pad := func(bytes int) string {
		return `{"type":"ping","x":"` + strings.Repeat("x", bytes-len(`{"type":"ping","x":""}`)) + `"}`
	}
	for _, test := range []struct {
		name, in, want string
		limit          int
		end            error
	}{
		{"nothing", "", "[]", 0, io.EOF},
		{"one", ping + "\n", "[ping]", 0, io.EOF},
		{"CR LF", ping + "\r\n" + ping + "\n", "[ping ping]", 0, io.EOF},
		{"empty line", "\n" + ping + "\n", "[bad_json ping]", 0, io.EOF},
		{"no end", ping + "\n" + ping, "[ping]", 0, io.ErrUnexpectedEOF},
		{"200 in one", strings.Repeat(ping+"\n", 200), fmt.Sprint(strings.Split(strings.TrimSpace(strings.Repeat("ping ", 200)), " ")), 0, io.EOF},
		{"at the limit", pad(MaxFrame) + "\n" + ping + "\n", "[ping ping]", 0, io.EOF},
		{"at the limit, CR LF", pad(MaxFrame) + "\r\n" + ping + "\n", "[ping ping]", 0, io.EOF},
		{"one more", pad(MaxFrame+1) + "\n" + ping + "\n", "[frame_too_long ping]", 0, io.EOF},
		{"one more, CR LF", pad(MaxFrame+1) + "\r\n" + ping + "\n", "[frame_too_long ping]", 0, io.EOF},
		{"hello limit", pad(MaxHelloFrame) + "\n" + ping + "\n", "[ping ping]", MaxHelloFrame, io.EOF},
		{"hello limit, one more", pad(MaxHelloFrame+1) + "\n" + ping + "\n", "[frame_too_long ping]", MaxHelloFrame, io.EOF},
		{"ten times too long", pad(10*MaxFrame) + "\n" + ping + "\n", "[frame_too_long ping]", 0, io.EOF},
		{"TLS hello", "\x16\x03\x01\x02\x00\x01\x00", "[bad_json]", 0, io.EOF},
		{"HTTP", "GET / HTTP/1.1\r\n\r\n", "[bad_json bad_json]", 0, io.EOF},
	} {
		for _, source := range []struct {
			name string
			wrap func(io.Reader) io.Reader
		}{{"", func(r io.Reader) io.Reader { return r }}, {", byte by byte", iotest.OneByteReader}, {", halves", iotest.HalfReader}, {", with the error", iotest.DataErrReader}} {
			t.Run(test.name+source.name, func(t *testing.T) {
				r := NewReader(source.wrap(strings.NewReader(test.in)))
				if test.limit > 0 {
					r.SetLimit(test.limit)
				}
				got, end := readAll(r)
				if fmt.Sprint(got) != test.want || !errors.Is(end, test.end) {
					t.Errorf("got %v, %v; want %s, %v", got, end, test.want, test.end)
				}
				r.Close()
			})
		}
	}
}

// endless is a line that never ends.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	if e.read > 10<<20 {
		return 0, io.EOF
	}
	for i := range p {
		p[i] = 'x'
	}
	e.read += len(p)
	return len(p), nil
}

func TestTooLongIsKnownAtTheLimit(t *testing.T) {
	source := new(endless)
	r := NewReader(source)
	var q Request
	if err := r.ReadRequest(&q); CodeOf(err) != CodeFrameTooLong {
		t.Fatalf("got %v", err)
	}
	if source.read > 2*MaxFrame {
		t.Errorf("the reader noticed after %d bytes", source.read)
	}
	if err := r.ReadRequest(&q); !errors.Is(err, io.EOF) {
		t.Errorf("after it: got %v, want EOF", err)
	}
	if len(r.buffer) > MaxFrame+2 {
		t.Errorf("the buffer has %d bytes", len(r.buffer))
	}
}

func TestSourceErrorsKeepTheLine(t *testing.T) {
	r := NewReader(iotest.TimeoutReader(iotest.HalfReader(strings.NewReader(`{"type":"ping"}` + "\n" + `{"type":"pong"}` + "\n"))))
	got, end := readAll(r)
	if !errors.Is(end, iotest.ErrTimeout) {
		t.Fatalf("got %v, %v; want a timeout", got, end)
	}
	more, end := readAll(r)
	if all := fmt.Sprint(append(got, more...)); all != "[ping pong]" || !errors.Is(end, io.EOF) {
		t.Errorf("got %s, %v", all, end)
	}
	if _, end := readAll(NewReader(iotest.ErrReader(io.ErrClosedPipe))); !errors.Is(end, io.ErrClosedPipe) {
		t.Errorf("got %v", end)
	}
}

type silent struct{}

func (silent) Read([]byte) (int, error) { return 0, nil }

func TestSourceWithoutProgress(t *testing.T) {
	if _, end := readAll(NewReader(silent{})); !errors.Is(end, io.ErrNoProgress) {
		t.Errorf("got %v", end)
	}
}

func TestBuffered(t *testing.T) {
	r := NewReader(strings.NewReader(`{"type":"ping"}` + "\n" + `{"type":"pong"}` + "\n{"))
	var q Request
	for i, want := range []bool{true, false} {
		if err := r.ReadRequest(&q); err != nil {
			t.Fatal(err)
		}
		if got := r.Buffered(); got != want {
			t.Errorf("after frame %d: got %v", i, got)
		}
	}
}

func TestWriter(t *testing.T) {
	var out strings.Builder
	w := NewWriter(&out)
	for range 3 {
		if err := w.Write(&Request{Type: TypePing}); err != nil {
			t.Fatal(err)
		}
	}
	if out.Len() != 0 || w.Buffered() == 0 {
		t.Errorf("Write wrote before Flush, or buffered nothing")
	}
	if err := w.Write(&Request{Type: TypeHello, Resume: strings.Repeat("x", MaxFrame)}); !errors.Is(err, ErrFrameTooLong) {
		t.Errorf("got %v", err)
	}
	if err := w.Flush(); err != nil || out.String() != strings.Repeat("{\"type\":\"ping\"}\n", 3) {
		t.Errorf("got %q, %v", out.String(), err)
	}
	broken := NewWriter(brokenPipe{})
	broken.Write(&Request{Type: TypePing})
	if err := broken.Flush(); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("got %v", err)
	}
	if err := broken.Write(&Request{Type: TypePing}); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("after a failure: got %v", err)
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestAllocations(t *testing.T) {
	ann := mustUsername(t, "ann")
	line := `{"type":"send","room":"lobby","id":"abc-1","content":"hello","ref":"1"}` + "\n"
	r := NewReader(&repeat{line: line})
	r.SetAuthor(new(kaban.Visitor(ann)))
	var q Request
	if n := testing.AllocsPerRun(1000, func() { r.ReadRequest(&q) }); n > 3 {
		t.Errorf("reading a send allocates %v times; id, content and reader's copy are 3", n)
	}
	buffer := make([]byte, 0, 1024)
	m := Message{Seq: 1, ID: "a", Username: "ann", Content: "hello"}
	if n := testing.AllocsPerRun(1000, func() { AppendMessage(buffer, "lobby", m); AppendAck(buffer, nil, "lobby", "a", 1, m.Time, false) }); n > 0 {
		t.Errorf("appending allocates %v times", n)
	}
}

// repeat is a source that repeats a line forever.
type repeat struct {
	line string
	at   int
}

func (r *repeat) Read(p []byte) (int, error) {
	n := copy(p, r.line[r.at:])
	r.at = (r.at + n) % len(r.line)
	return n, nil
}

func TestCodes(t *testing.T) {
	seen := make(map[Code]bool)
	for _, code := range Codes() {
		if seen[code] {
			t.Errorf("%s is in the list twice", code)
		}
		seen[code] = true
		for _, bad := range []*ReaderError{{Code: code, detail: "x"}, {Code: code, Field: "room", detail: "x"}} {
			if bad.Error() == "" {
				t.Errorf("%s has no text", code)
			}
		}
	}
	if CodeOf(nil) != "" || CodeOf(io.EOF) != CodeInternal {
		t.Error("CodeOf of nil or of a foreign error is wrong")
	}
	if len(Reasons()) != 7 {
		t.Errorf("got %d reasons", len(Reasons()))
	}
}
