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
	also  []string // other names, as people know them from other clients
}

// commands returns the table, sorted by name.
func commands() []command {
	return []command{
		{"clear", "", "Empty the screen of this room; scrolling up brings it back", 0, (*Model).clear, nil},
		{"copy", "[N]", "Copy the last message, or the last N, to the clipboard (OSC 52)", 0, (*Model).copy, nil},
		{"date", "YYYY-MM-DD [HH:MM]", "Go to what was said at a date", 1, (*Model).toDate, nil},
		{"help", "[COMMAND]", "Explain a command, or all keys and commands", 0, (*Model).explain, nil},
		{"ignore", "[NAME]", "Hide what somebody says, or show it again; without a name, list who is ignored", 0, (*Model).ignore, nil},
		{"join", "ROOM", "Join a room, which is made if it does not exist", 1, (*Model).join, []string{"j"}},
		{"me", "TEXT", "Say what you do: /me waves", 1, (*Model).act, nil},
		{"msg", "NAME [TEXT]", "Not yet: there are no direct messages; it says what there is instead", 1, (*Model).message, []string{"query"}},
		{"names", "[ROOM]", "List who is in a room", 0, (*Model).listMembers, []string{"who"}},
		{"nick", "NAME", "Go by another name; this connects anew under it", 1, (*Model).rename, nil},
		{"part", "[ROOM]", "Leave a room and close it here; its messages stay on the server", 0, (*Model).part, []string{"leave", "close"}},
		{"quit", "", "End", 0, func(m *Model, _ string) tea.Cmd { return m.quit() }, []string{"exit"}},
		{"reconnect", "", "Give the connection up and connect again at once", 0, (*Model).reconnect, nil},
		{"rooms", "", "List the rooms of the server", 0, (*Model).listRooms, []string{"list"}},
		{"search", "TEXT", "Search this room, back to its first message", 1, (*Model).search, nil},
		{"theme", "auto|dark|light", "Change the colours", 1, (*Model).changeTheme, nil},
		{"topic", "[TEXT]", "Not yet: rooms have no topics so far", 0, (*Model).topic, nil},
	}
}

// called reports whether a command has a name, in any case.
func (c command) called(name string) bool {
	name = strings.ToLower(name)
	return c.name == name || slices.Contains(c.also, name)
}

// names returns all that a command is called, with slashes.
func (c command) names() string {
	return "/" + strings.Join(append([]string{c.name}, c.also...), ", /")
}

// message is for what is to come: a message must not go to a room by mistake.
func (m *Model) message(rest string) tea.Cmd {
	name, _, _ := strings.Cut(rest, " ")
	m.say("not sent: there are no direct messages yet, since a name here is not an account that only one person has. " +
		"You can /join a room that only you and " + name + " know of, but everybody can find it with /rooms and read it")
	return nil
}

func (m *Model) topic(string) tea.Cmd {
	m.say("rooms have no topics yet")
	return nil
}

// run carries out a line that begins with a slash.
func (m *Model) run(text string) tea.Cmd {
	name, rest, _ := strings.Cut(strings.TrimPrefix(text, "/"), " ")
	rest = strings.TrimSpace(rest)
	table := commands()
	at := slices.IndexFunc(table, func(c command) bool { return c.called(name) })
	if at < 0 {
		m.complain("there is no command /" + name + nearestCommand(name) + "; // sends a line that begins with /")
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

// line explains a command.
func (c command) line() string { return strings.TrimSpace(c.names()+" "+c.usage) + ": " + c.help }

// nearestCommand says which command was probably meant.
func nearestCommand(name string) string {
	if best, ok := config.Closest(name, commandNames("")); ok {
		return ", did you mean /" + best + "?"
	}
	return " (/help lists all)"
}

func (m *Model) explain(rest string) tea.Cmd {
	if rest == "" {
		return m.openHelp()
	}
	name := strings.ToLower(strings.TrimPrefix(rest, "/"))
	for _, c := range commands() {
		if c.called(name) {
			m.say(c.line())
			return nil
		}
	}
	m.say("there is no command /" + name + nearestCommand(name))
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

func (m *Model) listRooms(string) tea.Cmd { m.backend.listRooms(true); return nil }

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
	if at := slices.IndexFunc(m.config.Ignore, func(other string) bool { return nameKey(other) == name.Key() }); at >= 0 {
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
