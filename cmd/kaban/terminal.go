package main

import (
	"io"
	"os"
	"runtime"
	"sync/atomic"

	"golang.org/x/term"
)

func isTerminal(stream any) bool {
	file, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// canEdit reports whether lines can be edited on the terminal that the
// environment describes.
func canEdit() bool {
	kind := os.Getenv("TERM")
	return kind != "dumb" && (kind != "" || runtime.GOOS == "windows")
}

const (
	cursorQuery  = "\x1b[6n"
	cursorAnswer = "\x1b[1;1R"
)

// knownCursor is between the line editor and a terminal and answers when the
// editor asks where the cursor is, since not every terminal does and the editor
// would wait for ever. All that is printed ends with a newline, so the cursor is
// at the start of a line.
type knownCursor struct {
	in    io.Reader
	out   io.Writer
	asked atomic.Bool
}

// Write implements io.Writer. The editor asks with a write of its own.
func (k *knownCursor) Write(p []byte) (int, error) {
	if string(p) == cursorQuery {
		k.asked.Store(true)
		return len(p), nil
	}
	return k.out.Write(p)
}

// Read implements io.Reader. The editor asks before it reads.
func (k *knownCursor) Read(p []byte) (int, error) {
	if len(p) >= len(cursorAnswer) && k.asked.CompareAndSwap(true, false) {
		return copy(p, cursorAnswer), nil
	}
	return k.in.Read(p)
}
