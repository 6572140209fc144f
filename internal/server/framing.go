package server

import (
	"io"

	"github.com/gobwas/ws"

	"kaban/internal/chat"
	"kaban/internal/frame"
	"kaban/wire"
)

// framing is how the frames of kaban/1 lie in the bytes of a connection. All else
// is the same for all of them.
type framing interface {
	// format is what members with this framing read. They share its bytes.
	format() chat.Format
	// read does at most one read of the source and turns its bytes into lines.
	// answer, valid until the next call, is a reply of the framing itself, as it is
	// sent. The error is the socket's, io.EOF when the peer has said that nothing
	// more comes, or a *framingError; the last two are permanent.
	read(src io.Reader, p []byte) (n int, answer []byte, err error)
	// begin and end enclose one line that is appended to dst: begin before, and
	// end with where begin was called.
	begin(dst []byte) []byte
	end(dst []byte, start int) []byte
	// frontEnd is the way in which connections with this framing come.
	frontEnd() frontEnd
	// farewell appends the end of the output, if the framing has such a thing. code
	// is why.
	farewell(dst []byte, code uint16) []byte
}

// framingError says why bytes are not of the framing. It ends the connection.
type framingError struct {
	code  wire.Code
	close ws.StatusCode
	text  string
}

func (e *framingError) Error() string { return e.text }

// lines is the framing over TCP: one JSON object a line.
type lines struct{}

func (lines) format() chat.Format { return jsonLines }

func (lines) read(src io.Reader, p []byte) (n int, answer []byte, err error) {
	n, err = src.Read(p)
	return n, nil, err
}

func (lines) frontEnd() frontEnd                   { return overTCP }
func (lines) begin(dst []byte) []byte              { return dst }
func (lines) end(dst []byte, _ int) []byte         { return dst }
func (lines) farewell(dst []byte, _ uint16) []byte { return dst }

// encryptedLines is lines where TLS is below them.
type encryptedLines struct{ lines }

func (encryptedLines) frontEnd() frontEnd { return overTLS }

// appendFrame appends an event as it is sent.
func appendFrame(dst []byte, f framing, event *wire.Event) []byte {
	start := len(dst)
	return f.end(event.Append(f.begin(dst)), start)
}

// frameFormat encodes what members with one framing read.
type frameFormat struct{ framing framing }

// Formats: all members with the same framing share the bytes.
var (
	jsonLines    chat.Format = frameFormat{lines{}}
	jsonMessages chat.Format = frameFormat{(*webSocket)(nil)}
)

// AppendEntry implements chat.Format.
func (f frameFormat) AppendEntry(dst []byte, room string, e *chat.Entry) []byte {
	start := len(dst)
	return f.framing.end(frame.AppendEntry(f.framing.begin(dst), room, e), start)
}

// AppendPresence implements chat.Format. Names that do not fit a frame are
// left out: the count says enough.
func (f frameFormat) AppendPresence(dst []byte, room string, members int, joined, left []string) []byte {
	start := len(dst)
	e := wire.Event{Type: wire.TypePresence, Room: room, Members: members, Joined: joined, Left: left}
	dst = e.Append(f.framing.begin(dst))
	if len(dst)-start > wire.MaxFrame {
		e.Joined, e.Left = nil, nil
		dst = e.Append(f.framing.begin(dst[:start]))
	}
	return f.framing.end(dst, start)
}

// AppendTyping implements chat.Format. A room that shows who is typing is small enough
// for all names to fit a frame.
func (f frameFormat) AppendTyping(dst []byte, room string, names []string) []byte {
	return appendFrame(dst, f.framing, &wire.Event{Type: wire.TypeTyping, Room: room, Usernames: names})
}
