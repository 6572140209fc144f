package tui

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	tea "charm.land/bubbletea/v2"

	"kaban"
	"kaban/internal/config"
)

// command is something that is typed with a slash in front. The table of them is
// what completion, the help and docs/terminal.md are made of.
type command struct {
	name  string
	usage string // its arguments
	help  string
	needs int // arguments at least
	do    func(m *Model, rest string) tea.Cmd
}

// commands returns the table, sorted by name.
func commands() []command {
	return []command{
		{"clear", "", "Empty the screen of this room; scrolling up brings it back", 0, (*Model).clear},
		{"copy", "[N]", "Copy the last message, or the last N, to the clipboard (OSC 52)", 0, (*Model).copy},
		{"date", "YYYY-MM-DD [HH:MM]", "Go to what was said at a date", 1, (*Model).toDate},
		{"help", "[COMMAND]", "Explain a command, or all keys and commands", 0, (*Model).explain},
		{"ignore", "[NAME]", "Hide what somebody says, or show it again; without a name, list who is ignored", 0, (*Model).ignore},
		{"join", "ROOM", "Join a room, which is made if it does not exist", 1, (*Model).join},
		{"me", "TEXT", "Say what you do: /me waves", 1, (*Model).act},
		{"msg", "NAME TEXT", "Not yet: there are no direct messages so far", 0, notYet("direct messages")},
		{"names", "[ROOM]", "List who is in a room", 0, (*Model).listMembers},
		{"nick", "NAME", "Go by another name; this connects anew under it", 1, (*Model).rename},
		{"part", "[ROOM]", "Leave a room", 0, (*Model).part},
		{"quit", "", "End", 0, func(m *Model, _ string) tea.Cmd { return m.quit() }},
		{"reconnect", "", "Give the connection up and connect again at once", 0, (*Model).reconnect},
		{"rooms", "", "List the rooms of the server", 0, (*Model).listRooms},
		{"search", "TEXT", "Search in what is loaded of this room", 1, (*Model).search},
		{"theme", "auto|dark|light", "Change the colours", 1, (*Model).changeTheme},
		{"topic", "[TEXT]", "Not yet: rooms have no topics so far", 0, notYet("topics")},
		{"who", "[ROOM]", "The same as /names", 0, (*Model).listMembers},
	}
}

// notYet is for what is to come.
func notYet(what string) func(*Model, string) tea.Cmd {
	return func(m *Model, _ string) tea.Cmd {
		m.say("there are no " + what + " yet; they are being built")
		return nil
	}
}

// run carries out a line that begins with a slash.
func (m *Model) run(text string) tea.Cmd {
	name, rest, _ := strings.Cut(strings.TrimPrefix(text, "/"), " ")
	rest = strings.TrimSpace(rest)
	table := commands()
	at := slices.IndexFunc(table, func(c command) bool { return c.name == strings.ToLower(name) })
	if at < 0 {
		m.complain("there is no command /" + name + m.nearestCommand(name) + "; // sends a line that begins with /")
		return nil
	}
	c := table[at]
	if c.needs > 0 && rest == "" {
		m.complain(c.line())
		return nil
	}
	m.accept(text)
	return c.do(m, rest)
}

func (c command) line() string { return strings.TrimSpace("/"+c.name+" "+c.usage) + ": " + c.help }

// nearestCommand says which command was probably meant.
func (m *Model) nearestCommand(name string) string {
	best, distance := "", 3
	for _, c := range commands() {
		switch d := config.Distance(strings.ToLower(name), c.name); {
		case strings.HasPrefix(c.name, strings.ToLower(name)) && name != "":
			return ", did you mean /" + c.name + "?"
		case d < distance:
			best, distance = c.name, d
		}
	}
	if best == "" {
		return " (/help lists all)"
	}
	return ", did you mean /" + best + "?"
}

func (m *Model) explain(rest string) tea.Cmd {
	if rest == "" {
		return m.openHelp()
	}
	name := strings.ToLower(strings.TrimPrefix(rest, "/"))
	for _, c := range commands() {
		if c.name == name {
			m.say(c.line())
			return nil
		}
	}
	m.say("there is no command /" + name + m.nearestCommand(name))
	return nil
}

// roomArgument returns the room that a command is about: the one that is named,
// or the present one.
func (m *Model) roomArgument(rest string) (string, bool) {
	if rest == "" {
		if m.active == nil {
			m.say("there is no room here; /join ROOM")
			return "", false
		}
		return m.active.name, true
	}
	name, err := kaban.ParseRoomName(strings.TrimPrefix(rest, "#"))
	if err != nil {
		m.say(fmt.Sprintf("%q is no name of a room: %v", rest, err))
		return "", false
	}
	return name.String(), true
}

func (m *Model) join(rest string) tea.Cmd {
	if name, ok := m.roomArgument(rest); ok {
		m.open(name)
	}
	return nil
}

func (m *Model) part(rest string) tea.Cmd {
	name, ok := m.roomArgument(rest)
	if !ok {
		return nil
	}
	r := m.room(name)
	switch {
	case r == nil:
		m.say("you are not in " + name)
	case len(r.pending) > 0:
		m.say(fmt.Sprintf("%d of your messages in %s are not sent yet; wait for them, or /quit", len(r.pending), name))
	default:
		m.backend.part(name)
		m.remove(r)
	}
	return nil
}

func (m *Model) act(rest string) tea.Cmd { m.post(me + rest); return nil }

func (m *Model) listMembers(rest string) tea.Cmd {
	if name, ok := m.roomArgument(rest); ok {
		m.backend.members(name, true)
	}
	return nil
}

func (m *Model) listRooms(string) tea.Cmd { m.backend.rooms(true); return nil }

func (m *Model) rename(rest string) tea.Cmd {
	if _, err := kaban.ParseUsername(rest); err != nil {
		m.say(fmt.Sprintf("%q cannot be a name: %v", rest, err))
		return nil
	}
	m.say("changing your name to " + rest + " …")
	m.backend.rename(rest)
	return nil
}

func (m *Model) reconnect(string) tea.Cmd {
	m.status.link, m.status.err = connecting, nil
	m.backend.reconnect()
	return nil
}

func (m *Model) clear(string) tea.Cmd {
	if r := m.active; r != nil {
		r.items, r.complete, r.attached, r.following = nil, r.head == 0, true, true
		r.cleared = r.head
	}
	return nil
}

func (m *Model) copy(rest string) tea.Cmd {
	n := 1
	if rest != "" {
		var err error
		if n, err = strconv.Atoi(rest); err != nil || n < 1 {
			m.say("/copy takes how many messages, such as /copy 3")
			return nil
		}
	}
	if m.active == nil {
		return nil
	}
	var texts []string
	for k := len(m.active.items) - 1; k >= 0 && len(texts) < n; k-- {
		if i := m.active.items[k]; i.kind == itemMessage && !m.ignores(i) {
			texts = append(texts, strings.Join(m.meter.cleanLines(i.content), "\n"))
		}
	}
	if len(texts) == 0 {
		m.say("there is no message to copy")
		return nil
	}
	slices.Reverse(texts)
	m.hint = fmt.Sprintf("%d copied, if your terminal lets programs use the clipboard", len(texts))
	return tea.SetClipboard(strings.Join(texts, "\n"))
}

func (m *Model) ignore(rest string) tea.Cmd {
	if rest == "" {
		if len(m.config.Ignore) == 0 {
			m.say("nobody is ignored")
		} else {
			m.say("ignored: " + strings.Join(m.config.Ignore, ", "))
		}
		return nil
	}
	name, err := kaban.ParseUsername(rest)
	if err != nil {
		m.say(fmt.Sprintf("%q is no name: %v", rest, err))
		return nil
	}
	if at := slices.Index(m.config.Ignore, name.String()); at >= 0 {
		m.config.Ignore = slices.Delete(m.config.Ignore, at, at+1)
		m.say(name.String() + " is shown again")
	} else {
		m.config.Ignore = append(m.config.Ignore, name.String())
		m.say(name.String() + " is ignored; /ignore " + name.String() + " again undoes it")
	}
	return m.save("ignore")
}

func (m *Model) changeTheme(rest string) tea.Cmd {
	if err := checkTheme(rest); err != nil {
		m.say(err.Error())
		return nil
	}
	m.config.Theme = rest
	m.applyTheme()
	return m.save("theme")
}
