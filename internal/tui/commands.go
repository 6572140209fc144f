package tui

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	tea "charm.land/bubbletea/v2"

	"kaban"
	"kaban/internal/config"
	"kaban/internal/display"
)

// command is typed with a slash in front. Completion, the help and docs/terminal.md
// are made from the table of commands.
type command struct {
	name  string
	usage string // its arguments
	help  string
	needs int // minimum number of arguments
	do    func(m *Model, rest string) tea.Cmd
	also  []string // aliases, known from other clients
	right right    // without it the command is not offered
}

// commands returns the table, sorted by name.
func commands() []command {
	return []command{
		{"away", "[TIME] [TEXT]", "Say that you are away, on all your devices, for good or for a time such as 30m, 12h or 7d: /away 1h at lunch", 0, (*Model).away, nil, accounts},
		{"back", "", "Say that you are there again", 0, (*Model).back, nil, accounts},
		{"ban", "NAME [TIME] [REASON]", "Remove somebody from this room for good, or for a time such as 30m, 12h or 7d", 1, moderation("banned", 0), nil, ops},
		{"clear", "", "Empty the screen of this room; scrolling up brings it back", 0, (*Model).clear, nil, anyone},
		{"copy", "[N]", "Copy the last message, or the last N, to the clipboard (OSC 52)", 0, (*Model).copy, nil, anyone},
		{"create", "NAME [private] [TOPIC]", "Create a room, which everybody or only its members can find", 1, (*Model).create, nil, members},
		{"date", "YYYY-MM-DD [HH:MM]", "Go to a date", 1, (*Model).toDate, nil, anyone},
		{"delete", "[#N] [REASON]", "Delete your last message, or the one with a number; it asks first", 0, (*Model).deleteCommand, nil, anyone},
		{"deop", "NAME", "Make somebody a plain member of this room", 1, moderation("role", kaban.RoomRoleMember), []string{"devoice"}, ops},
		{"devices", "", "List the devices that are signed in to your account", 0, (*Model).listDevices, nil, accounts},
		{"edit", "[#N] [TEXT]", "Edit your last message, or the one with a number; without a text, in the input", 0, (*Model).editCommand, nil, anyone},
		{"help", "[COMMAND]", "Explain a command, or all keys and commands", 0, (*Model).explain, nil, anyone},
		{"ignore", "[NAME]", "Hide the messages of a person, or show them again; without a name, list the ignored people", 0, (*Model).ignore, nil, anyone},
		{"inbox", "", "List your unread mentions, then the rooms with what is new; r reads one and goes on, Enter opens it", 0, (*Model).openInbox, nil, accounts},
		{"invite", "NAME [REASON]", "Make somebody a member of this room", 1, moderation("invited", 0), nil, inviters},
		{"join", "ROOM", "Join a room, creating it if necessary", 1, (*Model).join, []string{"j"}, anyone},
		{"kick", "NAME [REASON]", "Remove somebody from this room", 1, moderation("kicked", 0), nil, ops},
		{"me", "TEXT", "Describe an action: /me waves", 1, (*Model).act, nil, anyone},
		{"msg", "NAME [TEXT]", "Talk to one person; with a text, say it there", 1, (*Model).message, []string{"query"}, accounts},
		{"mute", "NAME [REASON]", "Let somebody read in this room but not send", 1, moderation("muted", 0), nil, ops},
		{"names", "[ROOM]", "List the people in a room", 0, (*Model).listMembers, []string{"who"}, anyone},
		{"nick", "NAME", "Change your name, or the name to display of your account", 1, (*Model).rename, nil, anyone},
		{"notify", "all|mentions|none", "Choose which messages of this room notify you", 1, (*Model).setNotify, nil, accounts},
		{"op", "NAME", "Make somebody an op of this room", 1, moderation("role", kaban.RoomRoleOp), nil, ops},
		{"part", "[ROOM]", "Leave a room; its messages stay on the server", 0, (*Model).part, []string{"leave", "close"}, anyone},
		{"pin", "[#N]", "Pin the last message, or the one with a number, or take that back", 0, (*Model).pinCommand, nil, pinRight},
		{"pins", "", "List the pinned messages of this room; Enter goes to one", 0, (*Model).listPins, nil, anyone},
		{"quit", "", "Quit", 0, func(m *Model, _ string) tea.Cmd { return m.quit() }, []string{"exit"}, anyone},
		{"react", "[#N] EMOJI", "React to the last message of somebody else, or to the one with a number, or take that back: /react :tada:", 1, (*Model).reactCommand, nil, anyone},
		{"reconnect", "", "Drop the connection and connect again at once", 0, (*Model).reconnect, nil, anyone},
		{"reply", "[#N] [TEXT]", "Reply to the last message of somebody else, or to the one with a number; without a text, in the input", 0, (*Model).replyCommand, nil, anyone},
		{"rooms", "", "List the rooms of the server", 0, (*Model).listRooms, []string{"list"}, anyone},
		{"search", "[QUERY]", "Search all rooms, for words, \"two words\", word*, from:NAME, in:ROOM, before:DATE, after:DATE, has:link, has:file, mentions:me, is:pinned; a - excludes", 0, (*Model).searchAll, nil, anyone},
		{"set", "[[-]announce] [[-]locked] [[-]archived] [history all|joined] [private]", "Change this room: announce is for announcements of ops and speakers, locked keeps topic and pins to ops, archived is for reading only, history is what later members see; a minus takes away", 0, (*Model).set, nil, ops},
		{"theme", "auto|dark|light", "Change the colours", 1, (*Model).changeTheme, nil, anyone},
		{"thread", "[#N]", "Show only a message and its replies: those of the last message that has some, or of the one with a number", 0, (*Model).threadCommand, nil, anyone},
		{"topic", "[TEXT]", "Show the topic of this room, or change it; - removes it", 0, (*Model).topic, nil, anyone},
		{"unban", "NAME", "Lift a ban", 1, moderation("unbanned", 0), nil, ops},
		{"unmute", "NAME", "Let somebody speak again", 1, moderation("unmuted", 0), nil, ops},
		{"upload", "PATH [TEXT]", "Send a file, with a text if you like: /upload ~/plan.pdf the plan; a path with spaces goes in quotes", 1, (*Model).startUpload, nil, accounts},
		{"voice", "NAME", "Make somebody a speaker, who sends even where only ops do", 1, moderation("role", kaban.RoomRoleSpeaker), nil, ops},
		{"whois", "NAME", "Explain who somebody is: in this room, or on the server", 1, (*Model).whois, nil, anyone},
	}
}

// called reports whether a command has a name, ignoring case.
func (c command) called(name string) bool {
	name = strings.ToLower(name)
	return c.name == name || slices.Contains(c.also, name)
}

// IsCommand reports whether a line is one of the commands of this client, known by its
// first word.
func IsCommand(line string) bool {
	name, slash := strings.CutPrefix(line, "/")
	name, _, _ = strings.Cut(name, " ")
	return slash && slices.ContainsFunc(commands(), func(c command) bool { return c.called(name) })
}

// names returns all names of a command, with slashes.
func (c command) names() string {
	return "/" + strings.Join(append([]string{c.name}, c.also...), ", /")
}

// run carries out a line that begins with a slash.
func (m *Model) run(text string) tea.Cmd {
	name, rest, _ := strings.Cut(strings.TrimPrefix(text, "/"), " ")
	rest = strings.TrimSpace(rest)
	table := commands()
	at := slices.IndexFunc(table, func(c command) bool { return c.called(name) })
	if at < 0 {
		m.complain("there is no command /" + name + m.nearestCommand(name) + "; // sends a line that begins with /")
		return nil
	}
	c := table[at]
	if !m.may(c.right) {
		m.accept(text) // nothing in it needs to be corrected
		m.complain("/" + c.name + ": " + c.right.whose())
		return nil
	}
	if c.needs > 0 && rest == "" {
		m.complain(c.line())
		return nil
	}
	m.accept(text)
	return c.do(m, rest)
}

// line explains a command.
func (c command) line() string { return strings.TrimSpace(c.names()+" "+c.usage) + ": " + c.help }

// nearestCommand suggests the command that was probably meant.
func (m *Model) nearestCommand(name string) string {
	if best, ok := config.Closest(name, m.commandNames("")); ok {
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
	m.say("there is no command /" + name + m.nearestCommand(name))
	return nil
}

// roomArgument returns the room of a command: the one it names, or the open one.
func (m *Model) roomArgument(rest string) (string, bool) {
	if rest == "" {
		if m.active == nil {
			m.say("no room is open; /join ROOM")
			return "", false
		}
		return m.active.name, true
	}
	for _, r := range m.rooms { // as the list shows it
		if rest == m.labelOf(r.name) {
			return r.name, true
		}
	}
	name, err := kaban.ParseAnyRoom(strings.TrimPrefix(rest, "#"))
	if err != nil {
		m.say(fmt.Sprintf("%q is not a room name: %v", rest, err))
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
		m.say(fmt.Sprintf("%s not sent to %s yet; wait, or /quit", display.Count(len(r.pending), "of your messages is", "of your messages are"), name))
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
	if m.account != nil {
		m.backend.setName(m.config.Server, rest)
		return nil
	}
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
	m.closeThread()
	if r := m.active; r != nil {
		r.forget(r.items)
		r.items, r.complete, r.attached, r.following = nil, r.head == 0, true, true
		r.passed = nil
		r.cleared = r.head
	}
	return nil
}

func (m *Model) copy(rest string) tea.Cmd {
	n := 1
	if rest != "" {
		var err error
		if n, err = strconv.Atoi(rest); err != nil || n < 1 {
			m.say("/copy takes a number of messages, such as /copy 3")
			return nil
		}
	}
	if m.active == nil {
		return nil
	}
	var items []*item
	shown := m.here().items
	for k := len(shown) - 1; k >= 0 && len(items) < n; k-- {
		if i := shown[k]; i.kind == itemMessage && !i.deleted && !m.ignores(i) {
			items = append(items, i)
		}
	}
	if len(items) == 0 {
		m.say("there is no message to copy")
		return nil
	}
	slices.Reverse(items)
	return m.copyItems(items...)
}

// copyItems copies messages to the clipboard.
func (m *Model) copyItems(items ...*item) tea.Cmd {
	var texts []string
	for _, i := range items {
		texts = append(texts, strings.Join(m.meter.cleanLines(i.text()), "\n"))
	}
	m.hint = fmt.Sprintf("%d copied, if your terminal allows programs to use the clipboard", len(texts))
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
		m.say(fmt.Sprintf("%q is not a name: %v", rest, err))
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
