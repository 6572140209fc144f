package tui

import (
	"bytes"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	tea "charm.land/bubbletea/v2"
)

const (
	// pasteStart and pasteEnd enclose pasted text (bracketed paste).
	pasteStart, pasteEnd = "\x1b[200~", "\x1b[201~"
	// pasteSilence is how long a paste may pause. A key that comes after that
	// ends it.
	pasteSilence = time.Second
	// maxPaste bounds a paste in bytes; the rest is dropped.
	maxPaste = 1 << 20
	// maxKeyBytes is the longest sequence of one key.
	maxKeyBytes = 16
)

// pasteGuard watches the bytes of a terminal and ends a paste whose end marker never
// comes. Otherwise every key, Ctrl-C too, would be a part of the paste, and the
// keyboard would be lost. A paste that merely stalls goes on: if it were ended, the
// newlines in the rest would be keys, and send messages.
type pasteGuard struct {
	now     func() time.Time
	pasting bool
	matched int // bytes of the next marker that have been read
	size    int // of the present paste
	last    time.Time
}

// take filters n bytes that were read into buffer[len(pasteEnd):]. It returns how
// many bytes at the start of buffer to pass on.
func (g *pasteGuard) take(buffer []byte, n int) int {
	read := buffer[len(pasteEnd):][:n]
	now := g.now()
	silence := now.Sub(g.last)
	g.last = now
	kept := 0
	if g.pasting && (isInterrupt(read) || silence >= pasteSilence && isOneKey(read)) {
		g.pasting, g.matched = false, 0
		kept = copy(buffer, pasteEnd)
	}
	for _, b := range read {
		if g.follow(b) {
			buffer[kept] = b
			kept++
		}
	}
	return kept
}

// follow takes one byte and reports whether to pass it on.
func (g *pasteGuard) follow(b byte) bool {
	marker := pasteStart
	if g.pasting {
		marker = pasteEnd
		g.size++
	}
	switch {
	case b == marker[g.matched]:
		g.matched++
	case b == marker[0]:
		g.matched = 1
	default:
		g.matched = 0
	}
	if g.matched == len(marker) {
		g.pasting, g.matched, g.size = !g.pasting, 0, 0
		return true
	}
	return g.matched > 0 || g.size <= maxPaste
}

// interrupts are the sequences of Ctrl-C: the plain one, and those of the keyboard
// protocols that the client enables (Kitty, modifyOtherKeys).
var interrupts = [][]byte{[]byte("\x03"), []byte("\x1b[99;5u"), []byte("\x1b[27;5;99~")}

// isInterrupt reports whether the input is Ctrl-C alone.
func isInterrupt(read []byte) bool {
	rest := read
	for _, sequence := range interrupts {
		rest = bytes.ReplaceAll(rest, sequence, nil)
	}
	return len(read) > 0 && len(rest) == 0
}

// isOneKey reports whether the input is one key: a character or an escape sequence.
func isOneKey(read []byte) bool {
	if len(read) > 1 && read[0] == pasteStart[0] {
		return len(read) <= maxKeyBytes && !bytes.HasPrefix(read, []byte(pasteEnd))
	}
	_, size := utf8.DecodeRune(read)
	return len(read) > 0 && size == len(read)
}

const (
	// pasteLines is how many lines are pasted without asking.
	pasteLines = 3
	// pasteSpace is the longest draft after a paste, in messages; more can only be a
	// mistake, and would make every key slow.
	pasteSpace = 4
)

// paste inserts pasted text.
func (m *Model) paste(content string) tea.Cmd {
	m.hint, m.alarm = "", false
	content, dropped := fit(content)
	if dropped {
		m.hint = "control characters were removed from the pasted text"
	}
	if n := utf8.RuneCountInString(content); n+utf8.RuneCountInString(m.draft().text) > pasteSpace*m.limit {
		m.complain(fmt.Sprintf("not pasted: it has %d characters, and a message may have %d", n, m.limit))
		return nil
	}
	if m.mode != chatting {
		if m.mode == helping || m.mode == asking || m.mode == selecting || m.mode == viewing {
			m.complain("not pasted: there is nothing to paste into here")
			return nil
		}
		m.editor.insert(m.draft(), strings.ReplaceAll(strings.TrimSpace(content), "\n", " "))
		return nil
	}
	content = strings.TrimRight(content, "\n")
	lines := strings.Count(content, "\n") + 1
	insert := func(m *Model) tea.Cmd {
		m.draft().recalled = 0
		m.editor.insert(m.draft(), content)
		return nil
	}
	if lines <= pasteLines {
		return insert(m)
	}
	m.ask(fmt.Sprintf("Paste %d lines into the message?", lines), insert)
	return nil
}
