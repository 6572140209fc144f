package tui

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"syscall"
	"time"

	"kaban/client"
	"kaban/internal/display"
	"kaban/wire"
)

// statusNeeds returns how many rows the status line needs for a text that must not
// be cut, or 0.
func (m *Model) statusNeeds() int {
	left, whole := m.statusText()
	if !whole {
		return 0
	}
	return len(m.meter.wrap(left, m.width, 1))
}

// statusBar shows the connection, and what is unread below, in height rows.
func (m *Model) statusBar(height int) []line {
	bar := look{role: roleBar}
	left, whole := m.statusText()
	rows := []line{left}
	if whole {
		rows = m.meter.wrap(left, m.width, 1)
	}
	switch {
	case len(rows) > height && m.mode == asking: // the possible answers are at the end
		rows = rows[len(rows)-height:]
	case len(rows) > height && height > 0: // cut, with an ellipsis
		rows[height-1] = slices.Concat(rows[height-1], rows[height])
		rows = rows[:height]
	case len(rows) > height:
		rows = nil
	}
	right := m.belowStatus()
	if right == m.helpHint() && len(rows) == 1 && m.meter.lineWidth(rows[0])+m.meter.width(right) > m.width {
		right = "" // the least important part
	}
	if space := m.width - m.meter.width(right); right != "" && space > 0 && len(rows) == 1 {
		rows[0] = append(m.meter.pad(m.meter.cutLine(rows[0], space), space, bar), span{text: right, look: bar.with(bold)})
	}
	for n := range rows {
		rows[n] = m.meter.pad(rows[n], m.width, bar)
	}
	return rows
}

// statusText returns the status line, and whether it must not be cut.
func (m *Model) statusText() (left line, whole bool) {
	bar := look{role: roleBar}
	text := func(s string, attrs attributes) span { return span{text: s, look: bar.with(attrs)} }
	switch {
	case m.mode == greeting && !m.form.used:
		return nil, false
	case m.mode == greeting: // the form says why
		return m.connectionStatus(text)[:1], false
	case m.mode == asking:
		return line{text(" "+m.meter.clean(m.question.text)+" ", bold), text(m.question.answers(), 0)}, true
	case m.hint != "" && m.alarm:
		return line{text(" ! "+m.meter.clean(m.hint), bold|reversed)}, true
	case m.hint != "":
		return line{text(" "+m.meter.clean(m.hint), 0)}, true
	case m.mode == searching:
		return line{text(" "+m.meter.clean(m.finderStatus()), 0)}, true
	case m.mode == listingHits:
		return line{text(" "+m.meter.clean(m.listingStatus()), 0)}, true
	case m.mode == selecting:
		return line{text(" "+m.selectionStatus(), 0)}, true
	case m.mode == viewing:
		return line{text(" "+m.meter.clean(m.viewerStatus()), 0)}, false
	case m.mode == reacting:
		return line{text(" "+m.meter.clean(m.reactingStatus()), 0)}, true
	}
	return m.connectionStatus(text), m.status.err != nil && m.status.link != online
}

// answers names the keys that answer a question.
func (q *question) answers() string {
	if q.choices > 0 {
		return fmt.Sprintf("(1-%d, %s)", q.choices, label("esc"))
	}
	return "(y/n)"
}

// connectionStatus describes the connection.
func (m *Model) connectionStatus(text func(string, attributes) span) line {
	s := m.status
	var l line
	switch s.link {
	case online:
		word := " ● online"
		if s.latency > 0 {
			word += " " + roundLatency(s.latency)
		}
		l = line{text(word, 0)}
	case connecting:
		l = line{text(" ○ connecting …", bold)}
	case silent:
		l = line{text(" ◌ the server does not answer", bold)}
	case offline:
		word := " ○ offline"
		if left := s.retryAt.Sub(m.now()).Round(time.Second); left >= time.Second {
			word += fmt.Sprintf(", again in %s", left)
		} else {
			word += ", connecting"
		}
		l = line{text(word, bold)}
		if s.err != nil {
			l = append(l, text("  "+m.meter.clean(m.explainOffline(s.err)), 0))
		}
	case ended:
		l = line{text(" ✗ disconnected", bold), text("  "+m.meter.clean(m.explainEnd(s.err)), 0)}
	}
	waits := 0
	for _, r := range m.rooms {
		waits += len(r.pending)
	}
	if waits > 0 && s.link != online {
		l = slices.Insert(l, 1, text(fmt.Sprintf("  %d to be sent", waits), bold))
	}
	if upload := m.uploadStatus(); upload != "" {
		l = slices.Insert(l, 1, text("  "+upload, bold))
	}
	if r := m.active; r != nil {
		if behind := r.known - min(r.known, r.head); behind > 0 && s.link == online {
			l = append(l, text(fmt.Sprintf("  catching up: %d to go", behind), bold))
		} else if m.here().loading {
			l = append(l, text("  loading …", 0))
		} else if who := m.whoTypes(r); who != "" {
			l = append(l, text("  "+m.meter.clean(who), italic))
		}
	}
	return l
}

// explainEnd explains why the client does not connect again by itself, and what to do.
func (m *Model) explainEnd(err error) string {
	if bye, ok := errors.AsType[*client.Goodbye](err); ok && bye.Reason == wire.ReasonAuth && m.options.Explain != nil {
		return m.options.Explain(m.config.Server, err)
	}
	return reasonOf(err) + "; /reconnect"
}

// explainOffline explains a lost connection, briefly once there has been one.
func (m *Model) explainOffline(err error) string {
	switch {
	case !m.status.ever:
	case isTaken(err):
		return "the name is still in use, perhaps by the lost connection; /nick takes another"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection was closed"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "the server is down"
	}
	if m.options.Explain != nil {
		return m.options.Explain(m.config.Server, err)
	}
	return err.Error()
}

func roundLatency(d time.Duration) string {
	if d < time.Millisecond {
		return "<1 ms"
	}
	return fmt.Sprintf("%d ms", d.Milliseconds())
}

// belowStatus counts the unread messages that are not visible.
func (m *Model) belowStatus() string {
	r := m.here()
	switch {
	case r == nil || m.mode != chatting && m.mode != switching || m.hint != "":
		return ""
	case !r.following && r.unread() > 0:
		return fmt.Sprintf(" ↓ %d new, %s ", r.unread(), m.keyOfBottom())
	case !r.following:
		return fmt.Sprintf(" ↓ %s ", m.keyOfBottom())
	case m.thread != nil && m.active.unread() > 0:
		return fmt.Sprintf(" %d new in the room, %s ", m.active.unread(), m.keyOf("close"))
	case m.thread != nil:
		return " " + m.keyOf("close") + " back to the room "
	}
	l := m.shows()
	if n := m.unreadElsewhere(); n > 0 && !l.rooms {
		return fmt.Sprintf(" %s new, %s ", display.Count(n, "room"), m.keyOf("active_room"))
	}
	if r.marked && r.mark > 0 && r.mark < r.first() {
		return fmt.Sprintf(" %d new, %s ", r.head-r.mark, m.keyOf("unread"))
	}
	return m.helpHint()
}

// keyOfBottom returns the key that goes to the newest message, for people.
func (m *Model) keyOfBottom() string {
	if r := m.here(); r.editing == 0 && r.replying == 0 && m.thread == nil {
		return m.keyOf("close")
	}
	return m.keyOf("bottom")
}

func (m *Model) helpHint() string { return m.keyOf("help") + " help " }

// keyOf returns the first key of an action, for people.
func (m *Model) keyOf(name string) string {
	for _, a := range actions() {
		if a.name == name {
			if keys := m.bindings.keysOf(a); len(keys) > 0 {
				return label(keys[0])
			}
		}
	}
	return "/help"
}

// isTaken reports whether somebody is connected under the name.
func isTaken(err error) bool {
	refused, ok := errors.AsType[*client.Error](err)
	return ok && refused.Code == wire.CodeUsernameTaken
}
