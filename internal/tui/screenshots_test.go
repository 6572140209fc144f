package tui

import (
	"fmt"
	"image/color"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	uv "github.com/charmbracelet/ultraviolet"
	"github.com/charmbracelet/x/ansi"

	"kaban/client"
	"kaban/wire"
)

// The pictures of the documents are drawn from the very screens, so that they
// cannot be out of date: "make screenshots" draws them again.
func TestScreenshots(t *testing.T) {
	for name, picture := range map[string]func(*testing.T) *desk{
		"chat":     func(t *testing.T) *desk { return team(t, 100, 26) },
		"light":    func(t *testing.T) *desk { d := team(t, 100, 26); d.config.Theme = "light"; d.applyTheme(); return d },
		"narrow":   func(t *testing.T) *desk { return team(t, 40, 26) },
		"switcher": func(t *testing.T) *desk { d := team(t, 100, 14); d.keys("ctrl+u", "ctrl+k", "re"); return d },
		"search":   func(t *testing.T) *desk { d := team(t, 100, 14); d.keys("ctrl+u", "ctrl+f", "deploy"); return d },
		"offline": func(t *testing.T) *desk {
			d := team(t, 100, 14)
			d.keys("ctrl+u")
			d.happens(stateEvent{link: offline, err: &client.Goodbye{Reason: wire.ReasonDraining}, retryAt: noon.Add(4 * time.Second)})
			d.keys("I type on, it goes out by itself", "enter")
			return d
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := picture(t)
			path := filepath.Join("..", "..", "docs", "screenshots", name+".svg")
			got := svg(d)
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if want, err := os.ReadFile(path); err != nil || got != string(want) {
				t.Errorf("%s is not what the client shows (%v); \"make screenshots\" draws it anew", path, err)
			}
		})
	}
}

// team is a room of people at work, for pictures.
func team(t *testing.T, width, height int) *desk {
	t.Helper()
	d := newDesk(t, width, height)
	d.joined("lobby", 0)
	for _, room := range []string{"ops", "releases", "kitchen"} {
		d.keys("/join "+room, "enter")
		d.joined(room, 0)
	}
	d.keys("alt+1")
	d.happens(
		membersEvent{room: "lobby", members: []wire.Member{{Username: "ann"}, {Username: "ben"}, {Username: "carol"}, {Username: "dmitri"}, {Username: "yuki"}}},
		roomsEvent{rooms: []wire.RoomInfo{{Room: "lobby"}, {Room: "ops"}, {Room: "releases"}, {Room: "kitchen"}, {Room: "retro"}}},
	)
	at := noon.Add(-15 * time.Hour)
	say := func(minutes int, name, content string) {
		at = at.Add(time.Duration(minutes) * time.Minute)
		head := d.room("lobby").head + 1
		d.happens(messageEvent{room: "lobby", head: head, message: wire.Message{Seq: head, Username: name, Content: content, Time: at}})
	}
	own := func(minutes int, content string) {
		at = at.Add(time.Duration(minutes) * time.Minute)
		d.keys(content, "enter")
		d.happens(sentEvent{room: "lobby", number: d.number, receipt: client.Receipt{Seq: d.room("lobby").head + 1, Time: at}})
	}
	say(0, "carol", "the new build is on the test machines, everybody please have a look")
	say(1, "carol", "notes: https://wiki.example.org/releases/42")
	own(12, "looks good here, I left it running over night :moon:")
	say(735, "ben", "morning! *nothing* burned down :)")
	say(1, "dmitri", "can somebody tell me how to deploy to ops-3?")
	say(1, "ben", "```\ngit pull\nmake deploy HOST=ops-3\n```")
	say(1, "dmitri", "thank you, that worked – **0** errors")
	d.send(tea.BlurMsg{})
	say(9, "yuki", "お疲れさま！ shall we release today? 🎉")
	say(1, "carol", "@ann: are you fine with that? You had the last word on the migration, and I would rather wait a day than wake everybody up at night")
	d.send(tea.FocusMsg{})
	own(1, "yes, let us do it after lunch")
	d.says("ops", "ben", "disk of ops-2 at 80%")
	d.says("ops", "ben", "and falling")
	d.says("kitchen", "yuki", "@ann, there is cake")
	d.keys("I will write the announcement")
	return d
}

// Sizes of a character and of the margin, in pixels.
const (
	cellWidth, cellHeight = 9.0, 19.0
	margin                = 12.0
)

// svg draws a screen.
func svg(d *desk) string {
	content, x, y := d.render()
	ink, paper := "#d0d0d0", "#1c1c1c"
	if !d.theme.dark {
		ink, paper = "#202020", "#fafafa"
	}
	width, height := float64(d.width)*cellWidth+2*margin, float64(d.height)*cellHeight+2*margin
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %g" width="%g" height="%g" font-family="ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace" font-size="15">`+"\n", width, height, width, height)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" rx="8" fill="%s"/>`+"\n", paper)
	for row, cells := range uv.NewStyledString(content).Lines(ansi.WcWidth) {
		column := 0
		for begin := 0; begin < len(cells); {
			end, columns, text := begin, 0, ""
			for end < len(cells) && cells[end].Style.Equal(&cells[begin].Style) && (end == begin || isInline(cells[end]) && isInline(cells[begin])) {
				text += cells[end].Content
				columns += cells[end].Width
				end++
			}
			drawRun(&b, cells[begin].Style, text, column, row, columns, ink, paper)
			column += columns
			begin = end
		}
	}
	if x >= 0 {
		fmt.Fprintf(&b, `<rect x="%g" y="%g" width="2" height="%g" fill="%s"/>`+"\n", margin+float64(x)*cellWidth, margin+float64(y)*cellHeight, cellHeight, ink)
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// isInline reports whether a cell can be drawn together with its neighbours;
// wide characters and borders are drawn where they have to be.
func isInline(c uv.Cell) bool { return c.Width == 1 && c.Content != "│" }

// drawRun draws text of one style.
func drawRun(b *strings.Builder, s uv.Style, text string, column, row, columns int, ink, paper string) {
	left, top := margin+float64(column)*cellWidth, margin+float64(row)*cellHeight
	front, behind := hex(s.Fg, ink), hex(s.Bg, "")
	if s.Attrs&uv.AttrReverse != 0 {
		front, behind = hex(s.Bg, paper), front
	}
	if behind != "" {
		fmt.Fprintf(b, `<rect x="%g" y="%g" width="%g" height="%g" fill="%s"/>`+"\n", left, top, float64(columns)*cellWidth, cellHeight, behind)
	}
	if strings.TrimSpace(text) == "" {
		return
	}
	style := ""
	if s.Attrs&uv.AttrBold != 0 {
		style += ` font-weight="bold"`
	}
	if s.Attrs&uv.AttrItalic != 0 {
		style += ` font-style="italic"`
	}
	if s.Underline != 0 {
		style += ` text-decoration="underline"`
	}
	fmt.Fprintf(b, `<text x="%g" y="%g" fill="%s" textLength="%g" lengthAdjust="spacingAndGlyphs" xml:space="preserve"%s>%s</text>`+"\n",
		left, top+cellHeight-5, front, float64(columns)*cellWidth, style, strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(text))
}

func hex(c color.Color, otherwise string) string {
	if c == nil {
		return otherwise
	}
	r, g, bl, _ := c.RGBA()
	return fmt.Sprintf("#%02x%02x%02x", r>>8, g>>8, bl>>8)
}
