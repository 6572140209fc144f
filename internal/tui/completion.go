package tui

import (
	"slices"
	"strings"
	"sync"

	tea "charm.land/bubbletea/v2"
	kyokomi "github.com/kyokomi/emoji/v2"

	"kaban/internal/emoji"
)

// completing is a completion that the next Tab replaces.
type completing struct {
	found []string
	at    int
	from  int // where the completed text begins
	to    int
	after string   // what follows it
	text  string   // the draft as the completion left it
	shown []string // what the hint says instead of found; nil if there is nothing else
	once  bool     // the next Tab goes on behind the only candidate, as into a directory
}

// complete completes the word before the cursor, or switches to the next
// candidate.
func (m *Model) complete(direction int) tea.Cmd {
	d := m.draft()
	c := &m.completing
	if c.text != d.text || c.to != d.at || len(c.found) == 0 {
		*c = m.candidates(d)
		if len(c.found) == 0 {
			return nil
		}
		c.at = 0
		if direction < 0 {
			c.at = len(c.found) - 1
		}
	} else {
		c.at = (c.at + direction + len(c.found)) % len(c.found)
	}
	text := c.found[c.at] + c.after
	d.text = d.text[:c.from] + text + d.text[max(c.to, d.at):]
	c.to = c.from + len(text)
	d.move(c.to)
	c.text = d.text
	if len(c.found) > 1 {
		shown := c.found
		if c.shown != nil {
			shown = c.shown
		}
		m.hint = strings.Join(shown[:min(len(shown), 12)], "  ")
	} else if c.once {
		c.found = nil
	}
	return nil
}

// candidates returns the possible completions of the word before the cursor.
func (m *Model) candidates(d *draft) completing {
	begin := strings.LastIndexAny(d.text[:d.at], " \n") + 1
	word := d.text[begin:d.at]
	c := completing{from: begin, to: d.at}
	first, _, isArgument := strings.Cut(d.text[:begin], " ")
	about := command{}
	if name, ok := strings.CutPrefix(first, "/"); ok && isArgument {
		if at := slices.IndexFunc(commands(), func(c command) bool { return c.called(name) }); at >= 0 {
			about = commands()[at]
		}
	}
	switch {
	case about.name == "upload":
		return m.pathCandidates(d, len(first)+1)
	case begin == 0 && strings.HasPrefix(word, "/") && !strings.HasPrefix(word, "//"):
		c.found, c.after = completions(m.commandNames("/"), word), " "
	case strings.Contains(about.usage, "ROOM"):
		c.found = completions(m.roomNames(), strings.TrimPrefix(word, "#"))
	case about.name == "help":
		c.found = completions(m.commandNames(""), word)
	case about.name == "notify":
		c.found = completions([]string{"all", "mentions", "none"}, word)
	case about.name == "set" && strings.HasSuffix(strings.TrimRight(d.text[:begin], " "), " history"):
		c.found, c.after = completions(histories, word), " "
	case about.name == "set":
		c.found, c.after = completions(settable, word), " "
	case about.name == "create" && begin > len(first)+1:
		c.found, c.after = completions([]string{"private", "public"}, word), " "
	case about.name == "react" && word != "" && !strings.HasPrefix(word, "#"):
		for _, n := range emoji.Complete(word, maxOffered) {
			c.found = append(c.found, n.Emoji)
		}
	case about.name == "theme":
		c.found = completions(themes, word)
	case strings.HasPrefix(word, ":") && len(word) > 2:
		c.found = emojiFor(word[1:])
	case word != "":
		c.found, c.after = completions(m.people(), strings.TrimPrefix(word, "@")), " "
		switch {
		case strings.HasPrefix(word, "@"):
			c.from++
		case begin == 0: // a name in front addresses its person
			for n, name := range c.found {
				c.found[n] = "@" + name
			}
			c.after = ": "
		}
	}
	return c
}

// commandNames returns all names of the commands that are offered, after a prefix;
// aliases come last.
func (m *Model) commandNames(slash string) (all []string) {
	table := slices.DeleteFunc(commands(), func(c command) bool { return !m.may(c.right) })
	for _, c := range table {
		all = append(all, slash+c.name)
	}
	for _, c := range table {
		for _, name := range c.also {
			all = append(all, slash+name)
		}
	}
	return all
}

// people returns the names to complete in a room, latest speaker first.
func (m *Model) people() []string {
	if m.active == nil {
		return nil
	}
	people := slices.Clone(m.active.speakers)
	return append(people, m.active.sorted()...)
}

// roomNames returns the room names to complete, joined rooms first.
func (m *Model) roomNames() []string {
	var all []string
	for _, r := range m.rooms {
		all = append(all, r.name)
	}
	for _, name := range m.elsewhere {
		if !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	return all
}

// emojis are the emoji by name, without colons.
var emojis = sync.OnceValue(func() map[string]string {
	all := make(map[string]string)
	for code, text := range kyokomi.CodeMap() {
		name := strings.Trim(code, ":")
		if strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_+-") == "" {
			all[name] = text
		}
	}
	return all
})

// emojiFor returns the emoji whose names begin with a text, shortest first.
func emojiFor(prefix string) []string {
	var found []string
	for name := range emojis() {
		if strings.HasPrefix(name, prefix) {
			found = append(found, name)
		}
	}
	slices.SortFunc(found, func(x, y string) int {
		if d := len(x) - len(y); d != 0 {
			return d
		}
		return strings.Compare(x, y)
	})
	var texts []string
	for _, name := range found {
		if text := emojis()[name]; !slices.Contains(texts, text) {
			texts = append(texts, text)
		}
	}
	return texts
}

// nameToEmoji replaces the :name: before the cursor by its emoji.
func nameToEmoji(d *draft) {
	before := d.text[:d.at]
	end := len(before) - 1
	begin := strings.LastIndexByte(before[:max(end, 0)], ':')
	if begin < 0 || begin > 0 && before[begin-1] != ' ' && before[begin-1] != '\n' && before[begin-1] < 0x80 {
		return
	}
	if text, ok := emojis()[before[begin+1:end]]; ok {
		d.text = d.text[:begin] + text + d.text[d.at:]
		d.move(begin + len(text))
	}
}
