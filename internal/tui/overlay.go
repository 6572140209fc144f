package tui

import (
	"fmt"
	"slices"
	"strings"

	tea "charm.land/bubbletea/v2"

	"kaban"
	"kaban/client/dial"
)

// switcher opens a room by a few letters of its name.
type switcher struct {
	query draft
	at    int
}

func (m *Model) openSwitcher() tea.Cmd {
	m.mode, m.switcher = switching, switcher{query: draft{column: -1}}
	m.backend.listRooms(false)
	return nil
}

// choices returns the rooms that match the query, the best first: rooms with unread
// messages, other joined rooms, other rooms of the server.
func (m *Model) choices() []string {
	type choice struct {
		name  string
		score int
	}
	var all []choice
	query := fold(strings.TrimLeft(m.switcher.query.text, "#~@"))
	for n, name := range m.roomNames() {
		score, ok := fuzzy(fold(m.titleOf(name)), query)
		if !ok {
			continue
		}
		if r := m.room(name); r != nil && query == "" {
			score -= 1000
			if r.mention > 0 {
				score -= 3000
			} else if m.news(r) > 0 {
				score -= 2000
			}
			if r == m.active {
				score += 1500
			}
		}
		all = append(all, choice{name, score*1000 + n})
	}
	slices.SortStableFunc(all, func(x, y choice) int { return x.score - y.score })
	names := make([]string, len(all))
	for n, c := range all {
		names[n] = c.name
	}
	return names
}

// fuzzy reports whether a name contains the letters of a query in their order, and
// how far apart: less is better.
func fuzzy(name, query string) (score int, ok bool) {
	letters := []rune(name)
	at := 0
	for n, q := range []rune(query) {
		begin := at
		for at < len(letters) && letters[at] != q {
			at++
		}
		if at == len(letters) {
			return 0, false
		}
		switch gap := at - begin; {
		case n == 0:
			score += at
		case gap > 0 && !isLetter(letters[at-1]): // the start of a word
			score++
		default:
			score += 2 * gap
		}
		at++
	}
	return score + (len(letters)-at)/8, true
}

func (m *Model) pressSwitcher(stroke, text string) tea.Cmd {
	choices := m.choices()
	switch stroke {
	case "esc", "ctrl+c":
		m.mode = chatting
	case "up", "ctrl+p", "shift+tab":
		m.switcher.at = max(0, m.switcher.at-1)
	case "down", "ctrl+n", "tab":
		m.switcher.at = max(0, min(len(choices)-1, m.switcher.at+1))
	case "enter":
		m.mode = chatting
		if m.switcher.at < len(choices) {
			m.open(choices[m.switcher.at])
			return nil
		}
		return m.join(m.switcher.query.text)
	default:
		if m.bindings.action(stroke) == "switcher" {
			m.mode = chatting
			return nil
		}
		m.pressLine(stroke, text)
		m.switcher.at = 0
	}
	return nil
}

func (m *Model) switcherView(width, height int) []line {
	choices := m.choices()
	rows := make([]line, 0, height)
	first := max(0, m.switcher.at-height+1)
	for n := first; n < len(choices) && len(rows) < height; n++ {
		name := choices[n]
		l, marker := look{}, "  "
		if n == m.switcher.at {
			l, marker = look{role: roleChoice, attrs: bold}, "▸ "
		}
		detail := "not joined"
		if r := m.room(name); r != nil {
			if detail = ""; m.news(r) > 0 {
				detail = short(m.news(r)) + " new"
			}
		}
		left := m.meter.cut(marker+m.meter.clean(m.labelOf(name)), max(width-len(detail)-3, 4))
		space := max(1, width-2-m.meter.width(left)-len(detail))
		rows = append(rows, m.meter.pad(line{{text: " " + left, look: l}, {text: strings.Repeat(" ", space), look: l}, {text: detail, look: look{role: l.role, attrs: l.attrs &^ bold}}}, width, l))
	}
	if len(choices) == 0 {
		rows = append(rows, m.aside("Enter creates a room of this name", width, height)...)
	}
	return append(rows, make([]line, height-len(rows))...)
}

func (m *Model) openHelp() tea.Cmd {
	m.mode, m.helpTop = helping, 0
	return nil
}

func (m *Model) pressHelp(stroke string) tea.Cmd {
	switch stroke {
	case "esc", "q", "enter", "ctrl+c":
		m.mode = chatting
	case "up", "ctrl+p":
		m.helpTop--
	case "down", "ctrl+n":
		m.helpTop++
	case "space", " ":
		m.helpTop += m.page()
	case "home":
		m.helpTop = 0
	case "end":
		m.helpTop = len(m.helpLines(m.width))
	default:
		switch m.bindings.action(stroke) {
		case "help", "quit":
			m.mode = chatting
		case "line_up":
			m.helpTop--
		case "line_down":
			m.helpTop++
		case "page_up":
			m.helpTop -= m.page()
		case "page_down":
			m.helpTop += m.page()
		case "top":
			m.helpTop = 0
		case "bottom":
			m.helpTop = len(m.helpLines(m.width))
		}
	}
	height := m.shows().height
	m.helpTop = max(0, min(m.helpTop, len(m.helpLines(m.width))-height))
	return nil
}

func (m *Model) helpView(width, height int) []line {
	lines := m.helpLines(width)
	rows := lines[min(m.helpTop, len(lines)):]
	rows = rows[:min(len(rows), height)]
	return append(rows[:len(rows):len(rows)], make([]line, height-len(rows))...)
}

// helpLines returns the help: all keys and commands.
func (m *Model) helpLines(width int) []line {
	lines := []line{
		plain(" Type and press Enter to say something. Esc closes this help, PgDn shows more.", look{}),
		nil,
	}
	entry := func(what, help string) {
		label := span{text: fmt.Sprintf("   %-22s ", what), look: look{role: roleAccent}}
		if width < wide || len(label.text) > 26 { // the explanation goes below
			lines = append(lines, m.meter.wrap(line{label}, width, 4)...)
			label.text = strings.Repeat(" ", 26)
			if width < wide {
				label.text = "      "
			}
		}
		lines = append(lines, m.meter.wrap(line{label, {text: help}}, width, min(26, len(label.text)))...)
	}
	for _, group := range groups {
		lines = append(lines, plain(" "+group, look{attrs: bold}))
		for _, a := range actions() {
			if a.group == group {
				entry(labels(m.bindings.keysOf(a)), a.help)
			}
		}
		lines = append(lines, nil)
	}
	lines = append(lines, plain(" While a message is selected", look{attrs: bold}))
	for _, p := range picks() {
		entry(labels(p.keys), p.help)
	}
	lines = append(lines, nil, plain(" Commands", look{attrs: bold}))
	for _, c := range commands() {
		if !m.may(c.right) {
			continue
		}
		entry(strings.TrimSpace(c.names()+" "+c.usage), c.help)
	}
	entry("//text", "Send a line that begins with a slash")
	return lines
}

// form asks for server and name at the first start.
type form struct {
	fields [2]draft // server, name
	at     int
	fault  string
	used   bool // to be saved once connected
}

// defaultServer is where "kaban serve" listens on this machine.
const defaultServer = "127.0.0.1:6440"

// greet asks for server and name; fault is why the last ones failed.
func (m *Model) greet(fault string) {
	f := &m.form
	if f.fields[0].text == "" {
		f.fields[0].set(defaultServer)
		if m.config.Server != "" {
			f.fields[0].set(m.config.Server)
		}
		name := m.config.Username
		if name == "" && len(m.options.Names) > 0 {
			name = m.options.Names[0]
		}
		f.fields[1].set(name)
	}
	f.fault = fault
	m.mode = greeting
}

func (m *Model) pressForm(stroke, text string) tea.Cmd {
	f := &m.form
	switch stroke {
	case "tab", "down", "shift+tab", "up":
		f.at = 1 - f.at
	case "enter":
		if f.at == 1 {
			return m.fillIn()
		}
		if _, err := f.server(); err != nil {
			f.fault = err.Error()
			return nil
		}
		f.fault, f.at = "", 1
	case "ctrl+c", "esc":
		return tea.Quit
	case "ctrl+d":
		if m.draft().text == "" {
			return tea.Quit
		}
		fallthrough
	default:
		m.pressLine(stroke, text)
	}
	return nil
}

// server returns the address in the form, if it is valid.
func (f *form) server() (string, error) { return parseServer(f.fields[0].text) }

// fillIn connects to the server in the form, if the fields are valid.
func (m *Model) fillIn() tea.Cmd {
	f := &m.form
	name := strings.TrimSpace(f.fields[1].text)
	server, err := f.server()
	if err != nil {
		f.fault, f.at = err.Error(), 0
		return nil
	}
	if name != "" {
		if _, err := kaban.ParseUsername(name); err != nil {
			f.fault, f.at = err.Error(), 1
			return nil
		}
	}
	f.fault, f.used = "", true
	m.config.Server, m.config.Username = server, name
	m.start()
	return nil
}

// parseServer returns the usual form of the address of a server.
func parseServer(text string) (string, error) {
	address, err := dial.Parse(text)
	return address.String(), err
}

// labelsOfForm are the labels of the fields.
var labelsOfForm = [2]string{" Server  ", " Name    "}

func (m *Model) formView(width, height int) []line {
	f := &m.form
	lines := []line{plain(" Welcome to Kaban.", look{attrs: bold}), nil}
	for n, field := range f.fields {
		l := look{}
		if n == f.at {
			l = look{attrs: underlined}
		}
		lines = append(lines, line{{text: labelsOfForm[n], look: look{role: roleDim}}, {text: m.meter.clean(field.text[m.formScroll(&field):]), look: l}})
	}
	lines = append(lines, nil)
	if f.fault != "" {
		lines = append(lines, m.meter.wrap(plain(" "+m.meter.clean(f.fault), look{role: roleAlert, attrs: bold}), width, 1)...)
		lines = append(lines, nil)
	}
	for _, text := range []string{
		" Enter continues, Tab changes the field, Esc quits.",
		" No server yet? \"kaban serve\" starts one here.",
	} {
		lines = append(lines, m.meter.wrap(plain(text, look{role: roleDim}), width, 1)...)
	}
	if len(lines) > height {
		lines = lines[min(len(lines)-height, 2):]
	}
	lines = lines[:min(len(lines), height)]
	return append(lines, make([]line, height-len(lines))...)
}

// formCursor is the position of the cursor in the form.
func (m *Model) formCursor(l layout) (x, y int) {
	f := &m.form
	d := f.fields[f.at]
	y = 2 + f.at
	if l.title {
		y++
	}
	return len(labelsOfForm[0]) + m.meter.width(m.meter.clean(d.text[m.formScroll(&d):d.at])), y
}

// formScroll returns the first column of a field to show, so that its cursor is
// visible.
func (m *Model) formScroll(d *draft) (from int) {
	space := max(m.width-len(labelsOfForm[0])-1, 1)
	for from < d.at && m.meter.width(m.meter.clean(d.text[from:d.at])) > space {
		from = m.editor.next(d, from)
	}
	return from
}
