package tui

import (
	"hash/fnv"
	"image/color"
	"strings"

	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/x/ansi"

	"kaban"
)

// role is the purpose of a text. The theme has a colour for each.
type role uint8

// The roles. Those of names come last.
const (
	roleText   role = iota
	roleDim         // times, lines, secondary text
	roleAccent      // unread counts, prompts
	roleAlert       // errors
	roleGood        // online
	roleCode
	roleLink
	roleMention
	roleMatch // of a search
	roleBar   // the bars above and below the conversation
	roleChoice
	roleName
)

// attributes are styles that work without colours too.
type attributes uint8

const (
	bold attributes = 1 << iota
	faint
	italic
	underlined
	struck
	reversed
)

// look is the appearance of a text.
type look struct {
	role  role
	attrs attributes
}

func (l look) with(a attributes) look { l.attrs |= a; return l }

// pair is a colour on a dark and on a light terminal.
type pair struct{ dark, light string }

var colors = map[role]pair{
	roleDim:     {"#8a8a8a", "#767676"},
	roleAccent:  {"#ffaf5f", "#af5f00"},
	roleAlert:   {"#ff8787", "#af0000"},
	roleGood:    {"#87d787", "#008700"},
	roleCode:    {"#d7af87", "#875f00"},
	roleLink:    {"#87afff", "#005fd7"},
	roleMention: {"#ffd75f", "#875f00"},
}

// back are backgrounds.
var back = map[role]pair{
	roleCode:   {"#303030", "#e4e4e4"},
	roleMatch:  {"#5f5f00", "#ffff87"},
	roleBar:    {"#303030", "#dadada"},
	roleChoice: {"#005f87", "#afd7ff"},
}

// names are the colours of usernames. A name has the same index in the list, and
// so the same hue, on every terminal.
var names = []pair{
	{"#ff8787", "#af0000"},
	{"#ffaf5f", "#af5f00"},
	{"#d7d75f", "#6c6c00"},
	{"#87d75f", "#3a7d00"},
	{"#5fd787", "#00873f"},
	{"#5fd7d7", "#007f7f"},
	{"#5fafff", "#005fd7"},
	{"#8787ff", "#4040d7"},
	{"#af87ff", "#6f2fd7"},
	{"#d787ff", "#8f00af"},
	{"#ff87d7", "#af0087"},
	{"#ff87af", "#af005f"},
	{"#d7af87", "#875f2f"},
	{"#afd7af", "#3f6f3f"},
	{"#87d7ff", "#00719f"},
	{"#d7afd7", "#7f4f7f"},
}

// nameLook returns the look of a username, always the same for the same name.
func nameLook(username string) look {
	h := fnv.New32a()
	h.Write([]byte(nameKey(username)))
	return look{role: roleName + role(h.Sum32()%uint32(len(names)))}
}

// nameKey is the same for all spellings of a name.
func nameKey(username string) string {
	name, err := kaban.ParseUsername(username)
	if err != nil {
		return username
	}
	return name.Key()
}

// theme turns looks into the control sequences that switch them on.
type theme struct {
	dark bool
	open map[look]string
}

func newTheme(dark bool) *theme { return &theme{dark: dark, open: make(map[look]string)} }

func (t *theme) pick(p pair) color.Color {
	return lipgloss.LightDark(t.dark)(lipgloss.Color(p.light), lipgloss.Color(p.dark))
}

// sequence returns the control sequence of a look; "" for the plain one.
func (t *theme) sequence(l look) string {
	if known, ok := t.open[l]; ok {
		return known
	}
	var s ansi.Style
	for _, a := range []struct {
		is  attributes
		add func() ansi.Style
	}{
		{bold, func() ansi.Style { return s.Bold() }},
		{faint, func() ansi.Style { return s.Faint() }},
		{italic, func() ansi.Style { return s.Italic(true) }},
		{underlined, func() ansi.Style { return s.Underline(true) }},
		{struck, func() ansi.Style { return s.Strikethrough(true) }},
		{reversed, func() ansi.Style { return s.Reverse(true) }},
	} {
		if l.attrs&a.is != 0 {
			s = a.add()
		}
	}
	if l.role >= roleName {
		s = s.ForegroundColor(t.pick(names[int(l.role-roleName)%len(names)]))
	} else if p, ok := colors[l.role]; ok {
		s = s.ForegroundColor(t.pick(p))
	}
	if p, ok := back[l.role]; ok {
		s = s.BackgroundColor(t.pick(p))
	}
	text := ""
	if len(s) > 0 {
		text = s.String()
	}
	t.open[l] = text
	return text
}

// write renders a line. The only control sequences in it are those of the theme
// and, around links, OSC 8.
func (t *theme) write(b *strings.Builder, l line) {
	for _, s := range l {
		if s.text == "" {
			continue
		}
		open := t.sequence(s.look)
		b.WriteString(open)
		if s.link != "" {
			b.WriteString(ansi.SetHyperlink(s.link))
		}
		b.WriteString(s.text)
		if s.link != "" {
			b.WriteString(ansi.ResetHyperlink())
		}
		if open != "" {
			b.WriteString(ansi.ResetStyle)
		}
	}
}
