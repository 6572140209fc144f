package server

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"kaban/internal/conn"
	"kaban/internal/server/wstest"
	"kaban/wire"
)

// First bytes of frames.
const (
	final      = 0x80
	someText   = 1
	finalText  = final | 1
	finalBytes = final | 2
	someMore   = 0
	finalMore  = final | someMore
	finalClose = final | 8
	finalPing  = final | 9
	finalPong  = final | 10
)

var testMask = [4]byte{0x37, 0xfa, 0x21, 0x3d}

func masked(first byte, payload string) string {
	return string(wstest.ClientFrame(first, payload, testMask))
}

// pieces is a source that gives what it has in pieces of a size and then blocks,
// as a socket does.
type pieces struct {
	bytes []byte
	size  int
}

func (s *pieces) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, io.EOF // as a socket of the system does
	}
	n := copy(p, s.bytes[:min(s.size, len(s.bytes))])
	s.bytes = s.bytes[n:]
	if len(s.bytes) == 0 || n < len(p) {
		return n, conn.ErrBlocked
	}
	return n, nil
}

// readAll reads through the framing. What it has given, what it has answered and
// why it has ended, if it has.
func readAll(w *webSocket, in []byte, piece, buffer int) (lines, answers string, err error) {
	src := &pieces{bytes: bytes.Clone(in), size: piece}
	var given strings.Builder
	defer func() { lines = given.String() }()
	p := make([]byte, buffer)
	for {
		for i := range min(len(p), 64) {
			p[i] = 'X' // bytes beyond n are not looked at
		}
		n, answer, err := w.read(src, p)
		given.Write(p[:n])
		answers += string(answer)
		switch {
		case err == conn.ErrBlocked && len(src.bytes) == 0 && len(w.early) == 0:
			return lines, answers, nil
		case err != nil && err != conn.ErrBlocked:
			return lines, answers, err
		}
	}
}

// noConnections skips a test that opens none: with -websocket or -tls it would be the same
// once more.
func noConnections(t *testing.T) {
	t.Helper()
	for _, name := range []string{"websocket", "tls"} {
		if flag.Lookup(name).Value.String() == "true" {
			t.Skip("it opens no connections")
		}
	}
}

// TestWebSocketFraming has the cases of the Autobahn suite that concern a server
// without extensions, and some more, each cut in many ways.
func TestWebSocketFraming(t *testing.T) {
	noConnections(t)
	const hello = "Hello-µ@ßöäüàá-UTF-8!!"
	long := strings.Repeat("*", 65536)
	for name, test := range map[string]struct {
		in      string
		lines   string
		answers string
		code    wire.Code // of the error, "" for none
		closed  closeCode // that is sent where there is an error
		eof     bool
	}{
		"nothing":                         {},
		"text":                            {in: masked(finalText, "abc"), lines: "abc\n"},
		"empty text":                      {in: masked(finalText, ""), lines: "\n"},
		"two":                             {in: masked(finalText, "a") + masked(finalText, "b"), lines: "a\nb\n"},
		"125 bytes":                       {in: masked(finalText, long[:125]), lines: long[:125] + "\n"},
		"126 bytes":                       {in: masked(finalText, long[:126]), lines: long[:126] + "\n"},
		"65535 bytes":                     {in: masked(finalText, long[:65535]), lines: long[:65535] + "\n"},
		"65536 bytes":                     {in: masked(finalText, long), lines: long + "\n"},
		"line feeds do not end a message": {in: masked(finalText, "a\nb\r\n\nc"), lines: "a\rb\r\r\rc\n"},
		"a mask of zeros":                 {in: string(wstest.ClientFrame(finalText, "abc", [4]byte{})), lines: "abc\n"},

		"ping":                         {in: masked(finalPing, ""), answers: "\x8a\x00"},
		"ping with payload":            {in: masked(finalPing, "payload"), answers: "\x8a\x07payload"},
		"ping of 125 bytes":            {in: masked(finalPing, long[:125]), answers: "\x8a\x7d" + long[:125]},
		"ping with bytes that no text": {in: masked(finalPing, "\x00\xff\xfe"), answers: "\x8a\x03\x00\xff\xfe"},
		"ping of 126 bytes":            {in: masked(finalPing, long[:126]), code: wire.CodeBadFrame, closed: ws.StatusProtocolError},
		"ten pings":                    {in: strings.Repeat(masked(finalPing, "x"), 10), answers: strings.Repeat("\x8a\x01x", 10)},
		"pong":                         {in: masked(finalPong, "unasked") + masked(finalText, "a"), lines: "a\n"},
		"ping in fragments":            {in: masked(9, "a"), code: wire.CodeBadFrame, closed: ws.StatusProtocolError},

		"RSV1":               {in: masked(0x40|finalText, "a"), code: wire.CodeBadFrame, closed: ws.StatusProtocolError},
		"RSV2":               {in: masked(0x20|finalText, "a"), code: wire.CodeBadFrame, closed: ws.StatusProtocolError},
		"RSV3":               {in: masked(0x10|finalText, "a"), code: wire.CodeBadFrame, closed: ws.StatusProtocolError},
		"RSV1 on a ping":     {in: masked(0x40|finalPing, "a"), code: wire.CodeBadFrame, closed: ws.StatusProtocolError},
		"RSV1 behind a text": {in: masked(finalText, "a") + masked(0x40|finalText, "b"), lines: "a\n", code: wire.CodeBadFrame, closed: ws.StatusProtocolError},
		"opcode 3":           {in: masked(final|3, "a"), code: wire.CodeBadFrame, closed: ws.StatusProtocolError},
		"opcode 7":           {in: masked(final|7, "a"), code: wire.CodeBadFrame, closed: ws.StatusProtocolError},
		"opcode 11":          {in: masked(final|11, ""), code: wire.CodeBadFrame, closed: ws.StatusProtocolError},
		"opcode 15":          {in: masked(final|15, ""), code: wire.CodeBadFrame, closed: ws.StatusProtocolError},
		"unmasked":           {in: "\x81\x03abc", code: wire.CodeBadFrame, closed: ws.StatusProtocolError},
		"unmasked ping":      {in: "\x89\x00", code: wire.CodeBadFrame, closed: ws.StatusProtocolError},
		"lines of kaban/1":   {in: `{"type":"hello"}` + "\n", code: wire.CodeBadFrame, closed: ws.StatusProtocolError},
		"binary":             {in: masked(finalBytes, "abc"), code: wire.CodeBadFrame, closed: ws.StatusUnsupportedData},
		"binary in parts":    {in: masked(2, "abc"), code: wire.CodeBadFrame, closed: ws.StatusUnsupportedData},

		"length with its highest bit": {in: "\x81\xff\x80\x00\x00\x00\x00\x00\x00\x00mask", code: wire.CodeBadFrame, closed: ws.StatusProtocolError},
		"length too wide, 16 bits":    {in: "\x81\xfe\x00\x01maska", code: wire.CodeBadFrame, closed: ws.StatusProtocolError},
		"length too wide, 64 bits":    {in: "\x81\xff\x00\x00\x00\x00\x00\x00\xff\xffmask", code: wire.CodeBadFrame, closed: ws.StatusProtocolError},
		"a frame without an end":      {in: "\x81\xff\x00\x00\x7f\xff\xff\xff\xff\xff\x00\x00\x00\x00abc", lines: "abc"},

		"two fragments":             {in: masked(someText, "ab") + masked(finalMore, "cd"), lines: "abcd\n"},
		"three fragments":           {in: masked(someText, "ab") + masked(someMore, "cd") + masked(finalMore, "ef"), lines: "abcdef\n"},
		"empty fragments":           {in: masked(someText, "") + masked(someMore, "") + masked(finalMore, ""), lines: "\n"},
		"the last is empty":         {in: masked(someText, "abc") + masked(finalMore, ""), lines: "abc\n"},
		"a ping between":            {in: masked(someText, "ab") + masked(finalPing, "p") + masked(finalMore, "cd"), lines: "abcd\n", answers: "\x8a\x01p"},
		"pings between":             {in: masked(someText, "a") + masked(finalPing, "1") + masked(someMore, "b") + masked(finalPing, "2") + masked(finalMore, "c"), lines: "abc\n", answers: "\x8a\x011\x8a\x012"},
		"continues nothing":         {in: masked(finalMore, "a"), code: wire.CodeBadFrame, closed: ws.StatusProtocolError},
		"continues nothing, behind": {in: masked(finalText, "a") + masked(someMore, "b"), lines: "a\n", code: wire.CodeBadFrame, closed: ws.StatusProtocolError},
		"a text within a text":      {in: masked(someText, "a") + masked(finalText, "b"), lines: "a", code: wire.CodeBadFrame, closed: ws.StatusProtocolError},

		"UTF-8":                          {in: masked(finalText, hello), lines: hello + "\n"},
		"UTF-8 cut within a character":   {in: masked(someText, "κ\xcf") + masked(finalMore, "\x8cσ"), lines: "κόσ\n"},
		"UTF-8 in fragments of one byte": {in: oneByOne("𐍈€ß"), lines: "𐍈€ß\n"},
		"UTF-8 with a ping within":       {in: masked(someText, "\xe2\x82") + masked(finalPing, "\xff") + masked(finalMore, "\xac"), lines: "€\n", answers: "\x8a\x01\xff"},
		"no UTF-8":                       {in: masked(finalText, "\xce\xba\xed\xa0\x80"), code: wire.CodeBadUTF8, closed: ws.StatusInvalidFramePayloadData},
		"no UTF-8, in the second":        {in: masked(someText, "ok") + masked(finalMore, "\xff"), lines: "ok", code: wire.CodeBadUTF8, closed: ws.StatusInvalidFramePayloadData},
		"UTF-8 that ends early":          {in: masked(finalText, "ok\xe2\x82"), code: wire.CodeBadUTF8, closed: ws.StatusInvalidFramePayloadData},
		"UTF-8 that ends early, later":   {in: masked(someText, "\xe2") + masked(finalMore, "\x82"), code: wire.CodeBadUTF8, closed: ws.StatusInvalidFramePayloadData},
		"an overlong form":               {in: masked(finalText, "\xc0\xaf"), code: wire.CodeBadUTF8, closed: ws.StatusInvalidFramePayloadData},
		"beyond Unicode":                 {in: masked(finalText, "\xf4\x90\x80\x80"), code: wire.CodeBadUTF8, closed: ws.StatusInvalidFramePayloadData},
		"the last code point":            {in: masked(finalText, "\U0010ffff\ufffd"), lines: "\U0010ffff\ufffd\n"},
		"UTF-8 continues in the wrong":   {in: masked(someText, "\xe2\x82") + masked(finalMore, "a"), code: wire.CodeBadUTF8, closed: ws.StatusInvalidFramePayloadData},

		"close":                    {in: masked(finalClose, ""), eof: true},
		"close with a code":        {in: masked(finalClose, "\x03\xe8"), eof: true},
		"close with a reason":      {in: masked(finalClose, "\x03\xe9bye €"), eof: true},
		"close behind a text":      {in: masked(finalText, "a") + masked(finalClose, "\x03\xe8"), lines: "a\n", eof: true},
		"nothing counts behind it": {in: masked(finalClose, "\x03\xe8") + masked(finalText, "a") + "\xff\xff", eof: true},
		"close within a text":      {in: masked(someText, "a") + masked(finalClose, "\x03\xe8"), lines: "a", eof: true},
		"close with half a code":   {in: masked(finalClose, "\x03"), code: wire.CodeBadFrame, closed: ws.StatusProtocolError},
		"close with a bad reason":  {in: masked(finalClose, "\x03\xe8\xff"), code: wire.CodeBadUTF8, closed: ws.StatusInvalidFramePayloadData},
		"close of 126 bytes":       {in: masked(finalClose, "\x03\xe8"+long[:124]), code: wire.CodeBadFrame, closed: ws.StatusProtocolError},
	} {
		t.Run(name, func(t *testing.T) {
			for _, piece := range []int{1, 2, 3, 5, 6, 7, 13, 1 << 20} {
				for _, buffer := range []int{1, 2, 5, 64 << 10} {
					for _, early := range []int{0, 1, 7, len(test.in)} {
						early = min(early, len(test.in))
						if len(test.in) > 1000 && (piece < 7 || buffer < 5) && early > 0 {
							continue // takes long and shows nothing new
						}
						w := &webSocket{early: []byte(test.in[:early])}
						lines, answers, err := readAll(w, []byte(test.in[early:]), piece, buffer)
						at := fmt.Sprintf("%d early, in pieces of %d, read %d at a time", early, piece, buffer)
						if test.code == "" && lines != test.lines || !strings.HasPrefix(lines, test.lines) || answers != test.answers {
							t.Fatalf("%s: got %.100q and the answers %.100q, want %.100q and %.100q", at, lines, answers, test.lines, test.answers)
						}
						var bad *framingError
						switch {
						case test.eof && err != io.EOF, !test.eof && test.code == "" && err != nil:
							t.Fatalf("%s: it ends with %v", at, err)
						case test.code != "" && (!errors.As(err, &bad) || bad.code != test.code || bad.close != test.closed):
							t.Fatalf("%s: it ends with %#v, want %s and %d", at, err, test.code, test.closed)
						}
					}
				}
			}
		})
	}
}

// oneByOne is a text in fragments of one byte.
func oneByOne(text string) (in string) {
	for i := range len(text) {
		first := byte(someMore)
		if i == 0 {
			first = someText
		}
		if i == len(text)-1 {
			first |= final
		}
		in += masked(first, text[i:i+1])
	}
	return in
}

// TestCloseCodes takes all codes that a client can close with: those that mean
// something are given back.
func TestCloseCodes(t *testing.T) {
	noConnections(t)
	good := []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999}
	for _, code := range append([]int{0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535}, good...) {
		w := new(webSocket)
		_, _, err := readAll(w, wstest.ClientFrame(finalClose, string([]byte{byte(code >> 8), byte(code)}), testMask), 1<<20, 1<<10)
		got := w.farewell(nil, wire.Reason("").Close())
		switch {
		case !slices.Contains(good, code):
			var bad *framingError
			if !errors.As(err, &bad) || bad.close != ws.StatusProtocolError {
				t.Errorf("%d: got %v, want an error", code, err)
			}
		case err != io.EOF || !bytes.Equal(got, []byte{0x88, 2, byte(code >> 8), byte(code)}):
			t.Errorf("%d: got %v and the answer % x", code, err, got)
		}
	}
	w := new(webSocket)
	readAll(w, wstest.ClientFrame(finalClose, "", testMask), 1<<20, 1<<10)
	if got := w.farewell(nil, wire.Reason("").Close()); !bytes.Equal(got, []byte{0x88, 0}) {
		t.Errorf("without a code: got % x", got)
	}
}

// Every reason of the engine has words, and their close code says the same.
func TestEveryReasonHasACloseCode(t *testing.T) {
	noConnections(t)
	want := map[conn.Reason]uint16{
		conn.HungUp: 1000, conn.Draining: 1001, conn.Idle: 1001, conn.Late: 1001, conn.SlowConsumer: 1008, conn.Refused: 1008,
		conn.Violation: 1002, conn.Replaced: 4001, conn.Internal: 1011, conn.Unavailable: 1011, conn.Crowded: 1011, conn.Full: 1011, // the last two have the code of their error
	}
	said := make(map[wire.Reason]bool)
	for reason := conn.HungUp; reason <= conn.Internal; reason++ {
		words := reasonOf(reason)
		said[words] = true
		if got := words.Close(); want[reason] == 0 || got != want[reason] {
			t.Errorf("%d: got %d, want %d", reason, got, want[reason])
		}
	}
	for _, reason := range wire.Reasons() {
		if !said[reason] {
			t.Errorf("no end of a connection is %s", reason)
		}
	}
}

// Lines of every length are sent with the shortest header that holds them.
func TestServerFrames(t *testing.T) {
	noConnections(t)
	w := new(webSocket)
	var sent []byte
	var want strings.Builder
	for _, size := range []int{0, 1, 124, 125, 126, 127, 128, 65534, 65535, 65536, 70000} {
		line := strings.Repeat("x", size)
		start := len(sent)
		sent = w.end(append(w.begin(sent), line+"\n"...), start)
		want.WriteString(line + "\n")
	}
	got, rest, err := wstest.ServerFrames(sent)
	if err != nil || len(rest) > 0 || got != want.String() {
		t.Errorf("got %d bytes, %d are left, %v; want %d", len(got), len(rest), err, want.Len())
	}
}

// FuzzWebSocket has any bytes come in any pieces: that must make no difference,
// never a panic, and only text.
func FuzzWebSocket(f *testing.F) {
	f.Add([]byte(masked(finalText, "abc")+masked(finalPing, "x")+masked(finalClose, "\x03\xe8")), 3, 10)
	f.Add([]byte(masked(someText, "a\n€")+masked(finalMore, strings.Repeat("é", 100))), 1, 1)
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"), 2, 64)
	f.Fuzz(func(t *testing.T, in []byte, piece, buffer int) {
		piece, buffer = max(1, piece&0xff), max(1, buffer&0xfff)
		lines, answers, err := readAll(new(webSocket), in, 1<<20, 1<<20)
		got, gotAnswers, gotErr := readAll(new(webSocket), in, piece, buffer)
		var bad *framingError
		if !errors.As(err, &bad) && got != lines || gotAnswers != answers || fmt.Sprint(gotErr) != fmt.Sprint(err) {
			t.Errorf("in one piece %q, %q, %v; in pieces of %d %q, %q, %v", lines, answers, err, piece, got, gotAnswers, gotErr)
		}
		if len(lines) > len(in) {
			t.Errorf("%d bytes became %d", len(in), len(lines))
		}
	})
}
