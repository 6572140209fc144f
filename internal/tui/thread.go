package tui

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	tea "charm.land/bubbletea/v2"

	"kaban/client"
)

// A thread is a filter: a view of one message and its replies. It is a room of its own that
// is in no list, with the items that fit and the drafts that are written there. What is sent,
// and what is under way, is the business of the room that it is of.

// here returns what the person looks at and writes in: the open thread, or else the open
// room; nil if there is none.
func (m *Model) here() *room {
	if m.thread != nil {
		return m.thread
	}
	return m.active
}

// threadOf returns the open thread of a room, or nil.
func (m *Model) threadOf(r *room) *room {
	if m.thread != nil && m.thread.of == r {
		return m.thread
	}
	return nil
}

// front returns what is seen of a room: its open thread, or the room.
func (m *Model) front(r *room) *room {
	if t := m.threadOf(r); t != nil {
		return t
	}
	return r
}

// fitsThread reports whether a message is the first one of a thread or one of its replies.
func (r *room) fitsThread(seq, replyTo uint64) bool { return seq == r.root || replyTo == r.root }

// isThread reports whether a message is the first one of the open thread.
func (m *Model) isThread(seq uint64) bool { return m.thread != nil && m.thread.root == seq }

// openThread shows only a message and its replies.
func (m *Model) openThread(root uint64) {
	r := m.active
	m.closeThread()
	m.closeSearch()
	m.mode = chatting
	t := newRoom(r.name)
	t.draft.column = -1
	t.of, t.root = r, root
	t.epoch, t.head, t.known = r.epoch, r.head, r.known
	t.altering = slices.Clone(r.altering)
	m.thread = t
	m.syncThread()
	if !t.joined {
		return
	}
	t.loading = true
	m.backend.load(r.name, page{Thread: root})
}

// closeThread goes back to the room. A draft is in the history then.
func (m *Model) closeThread() {
	t := m.thread
	if t == nil {
		return
	}
	for _, text := range []string{t.kept.text, t.draft.text} {
		if strings.TrimSpace(text) != "" {
			t.of.remember(text)
			m.hint = "Up in the input brings your text back"
		}
	}
	if m.mode == selecting || m.mode == reacting {
		m.mode = chatting
	}
	m.thread = nil
	m.completing = completing{}
	m.look()
}

// endThread closes the thread of a room whose log is read anew.
func (m *Model) endThread(r *room) {
	if m.threadOf(r) != nil {
		m.closeThread()
	}
}

// reloadThread loads the newest replies of the open thread of a room again.
func (m *Model) reloadThread(r *room) {
	if t := m.threadOf(r); t != nil && t.joined {
		t.loading = true
		m.backend.load(r.name, page{Thread: t.root})
	}
}

// syncThread makes the open thread what its room is.
func (m *Model) syncThread() {
	t := m.thread
	if t == nil {
		return
	}
	t.joined, t.failed = t.of.joined, t.of.failed
	t.pending = nil
	for _, i := range t.of.pending {
		if i.replyTo == t.root {
			t.pending = append(t.pending, i)
		}
	}
}

// followThread takes an entry of the open room into its thread.
func (m *Model) followThread(r *room, e client.Entry) {
	t := m.threadOf(r)
	if t == nil {
		return
	}
	t.head, t.known = max(t.head, e.Seq), max(t.known, r.known)
	t.fold.Username = m.username
	if e.Message == nil {
		t.renew(t.fold.Add(e))
		return
	}
	if t.fitsThread(e.Message.Seq, e.Message.ReplyTo) && t.insert(itemOf(e, m.username)) {
		t.trimOld()
	}
	if t.message(e.Message.Seq) != nil || e.Message.ReplyTo == t.root {
		t.renew(t.fold.Add(e))
	}
}

// alterThread shows own changes that are under way in the thread, too.
func (m *Model) alterThread(r *room, target uint64) {
	if t := m.threadOf(r); t != nil {
		t.altering = slices.Clone(r.altering)
		t.renew([]uint64{target})
	}
}

// takeThreadPage adds a page to the open thread, and goes on while pages have no replies: the
// server looks through a bounded part of the log for each.
func (m *Model) takeThreadPage(r *room, e *pageEvent) {
	t := m.threadOf(r)
	if t == nil || t.root != e.page.Thread {
		return
	}
	t.loading = false
	if e.err != nil {
		m.sayIn(r, "the thread could not be loaded: "+reasonOf(e.err))
		return
	}
	t.fold.Username = m.username
	for _, entry := range e.got.Entries {
		t.insert(itemOf(entry, m.username))
	}
	if e.root != nil {
		t.beginning = itemOf(*e.root, m.username)
		t.fold.Add(*e.root)
	}
	t.renew(t.fold.AddPage(&e.got))
	t.oldest = e.got.First
	switch {
	case len(t.items) >= maxItems:
		t.complete = true
	case !e.got.More || t.oldest == 0:
		if t.complete = true; t.beginning != nil && t.insert(t.beginning) {
			t.renew([]uint64{t.root})
		}
	case len(e.got.Entries) == 0:
		m.loadOlder(t)
	}
}

// toggleThread opens the thread of the last message on the screen that has one, or closes
// the open one.
func (m *Model) toggleThread() tea.Cmd {
	r := m.active
	if r == nil || m.thread != nil {
		m.closeThread()
		return nil
	}
	for k := min(m.lastOnScreen(r), len(r.items)-1); k >= 0; k-- {
		if i := r.items[k]; m.isTarget(i) && (i.replies > 0 || i.replyTo > 0) {
			m.openThread(i.threadRoot())
			return nil
		}
	}
	m.hint = "no message here has replies; " + m.keyOf("select") + " selects one, and t shows its thread"
	return nil
}

// threadRoot returns the first message of the thread that a message is in: the message that
// it answers, unless it has replies of its own.
func (i *item) threadRoot() uint64 {
	if i.replyTo > 0 && i.replies == 0 {
		return i.replyTo
	}
	return i.seq
}

// threadCommand is /thread.
func (m *Model) threadCommand(rest string) tea.Cmd {
	digits, numbered := strings.CutPrefix(rest, "#")
	if seq, err := strconv.ParseUint(digits, 10, 64); numbered && err == nil && seq > 0 && m.active != nil {
		m.openThread(seq) // also one that is not loaded
		return nil
	}
	if rest != "" {
		m.complain("/thread takes the number of a message, such as /thread #41")
		return nil
	}
	m.closeThread()
	return m.toggleThread()
}

// threadTitle describes the open thread.
func (m *Model) threadTitle() string {
	t := m.thread
	if first := t.message(t.root); first != nil {
		return "thread of " + m.firstWords(first)
	}
	if t.beginning != nil {
		return "thread of " + m.firstWords(t.beginning)
	}
	return fmt.Sprintf("thread of #%d", t.root)
}
