package tui

import (
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"kaban"
)

// draft returns the text that is being edited.
func (m *Model) draft() *draft {
	switch {
	case m.mode == greeting:
		return &m.form.fields[m.form.at]
	case m.mode == switching:
		return &m.switcher.query
	case m.mode == searching:
		return &m.finder.query
	case m.mode == listingHits:
		return &m.listing.query
	case m.mode == reacting:
		return &m.reaction
	case m.active != nil:
		return &m.here().draft
	}
	return &m.loose
}

// press handles a key.
func (m *Model) press(key tea.Key) tea.Cmd {
	m.hint, m.alarm, m.quitting = "", false, 0
	stroke := key.Keystroke()
	if key.Text != "" && key.Mod&^tea.ModShift == 0 {
		stroke = key.Text
	}
	if a := m.bindings.action(stroke); a != "quit" && a != "delete" {
		m.quitAsked = time.Time{}
	}
	switch m.mode {
	case greeting:
		return m.pressForm(stroke, key.Text)
	case switching:
		return m.pressSwitcher(stroke, key.Text)
	case searching:
		return m.pressSearch(stroke, key.Text)
	case listingHits:
		return m.pressListing(stroke, key.Text)
	case helping:
		return m.pressHelp(stroke)
	case asking:
		return m.pressQuestion(stroke)
	case selecting:
		return m.pressSelection(stroke)
	case viewing:
		return m.closeViewer()
	case reacting:
		return m.pressReacting(stroke, key.Text)
	}
	if a, ok := m.bindings[stroke]; ok && (!isTextKey(stroke) || m.draft().text == "") {
		return a.do(m)
	}
	m.insertKey(key.Text)
	return nil
}

// insertKey types a character.
func (m *Model) insertKey(text string) {
	text, _ = fit(text)
	if text == "" {
		return
	}
	d := m.draft()
	d.recalled = 0
	m.editor.insert(d, text)
	if text == ":" && m.mode == chatting {
		nameToEmoji(d)
	}
}

// pressLine edits a draft of one line; false if the key is for something else.
func (m *Model) pressLine(stroke, text string) bool {
	a, ok := m.bindings[stroke]
	switch {
	case ok && a.group == groupWriting && !slices.Contains([]string{"send", "newline", "complete", "complete_back", "up", "down"}, a.name):
		a.do(m)
		return true
	case !ok && text != "", ok && isTextKey(stroke):
		m.insertKey(text)
		return true
	}
	return false
}

func (m *Model) ask(text string, yes func(*Model) tea.Cmd) {
	m.mode, m.question = asking, question{text: text, yes: yes}
}

func (m *Model) pressQuestion(stroke string) tea.Cmd {
	if m.question.choices > 0 {
		m.pressChoice(strings.ToLower(stroke))
		return nil
	}
	switch strings.ToLower(stroke) {
	case "y", "enter":
		m.mode = chatting
		return m.question.yes(m)
	case "n", "esc", "ctrl+c":
		m.mode = chatting
	}
	return nil
}

func (m *Model) vertical(direction int) tea.Cmd {
	d := m.draft()
	if !m.editor.vertical(d, direction) && m.active != nil {
		d.recall(m.active.history, -direction)
	}
	return nil
}

func (m *Model) deleteOrQuit() tea.Cmd {
	d := m.draft()
	if d.text == "" && m.mode == chatting {
		return m.quit()
	}
	m.editor.remove(d, d.at, m.editor.next(d, d.at))
	return nil
}

// interrupt clears the draft, or cancels an upload, or quits when pressed twice.
func (m *Model) interrupt() tea.Cmd {
	if r := m.here(); r != nil && r.editing > 0 && m.mode == chatting {
		m.active.remember(r.draft.text)
		r.endEdit()
		m.hint = "the message stays as it was"
		return nil
	}
	if d := m.draft(); d.text != "" {
		if m.active != nil && m.mode == chatting {
			m.active.remember(d.text)
		}
		*d = draft{column: -1}
		m.hint = "cleared; Up brings it back"
		return nil
	}
	if m.cancelUpload() {
		m.hint = "cancelled"
		return nil
	}
	if !m.quitAsked.IsZero() {
		return m.quit()
	}
	m.quitAsked = m.now()
	m.hint = "press " + m.keyOf("quit") + " again to quit"
	return nil
}

// escape ends an edit or an answer, or else goes back from a thread, or to the newest
// message.
func (m *Model) escape() tea.Cmd {
	switch r := m.here(); {
	case r != nil && r.editing > 0:
		m.active.remember(r.draft.text) // the key also goes to the newest message
		r.endEdit()
		m.hint = "the message stays as it was; Up brings the text back"
	case r != nil && r.replying > 0:
		r.replying = 0
	case m.thread != nil:
		m.closeThread()
	default:
		m.toBottom()
	}
	return nil
}

// send carries out the draft: a command, or a message.
func (m *Model) send() tea.Cmd {
	text := m.draft().text
	switch {
	case m.active != nil && m.here().editing > 0:
		m.sendEdit()
	case strings.TrimSpace(text) == "":
		return nil
	case strings.HasPrefix(text, "//"):
		m.post(text[1:])
	case strings.HasPrefix(text, "/"):
		return m.run(text)
	default:
		m.post(text)
	}
	return nil
}

// accept moves the draft from the input to the history.
func (m *Model) accept(text string) {
	if m.active != nil {
		m.active.remember(text)
	}
	d := m.draft()
	d.recalled = 0
	d.set("")
}

// post sends a message to the room. An invalid one stays in the input.
func (m *Model) post(content string) {
	r := m.active
	if r == nil {
		m.complain("no room is open; /join ROOM")
		return
	}
	if err := kaban.CheckContent(content, m.limit); err != nil {
		m.complain("not sent: " + err.Error())
		return
	}
	typed := m.draft().text
	if typed != "" {
		m.accept(typed)
	}
	m.number++
	replyTo := r.replying
	if r.replying = 0; m.thread != nil {
		replyTo = m.thread.root
	}
	r.post(&item{username: m.username, content: content, time: m.now(), number: m.number, replyTo: replyTo})
	m.backend.post(r.name, m.number, replyTo, content)
	m.syncThread()
	m.toBottom()
}
