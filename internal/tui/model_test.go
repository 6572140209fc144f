package tui

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"kaban"
	"kaban/client"
	"kaban/wire"
)

var update = flag.Bool("update", false, "write the golden files anew")

// asked is a backend that notes what it is asked for.
type asked struct {
	calls  []string
	posted []string
	lost   int // what unsent returns
}

func (a *asked) note(format string, args ...any) {
	a.calls = append(a.calls, fmt.Sprintf(format, args...))
}
func (a *asked) connect(server string, names []string) { a.note("connect %s %v", server, names) }
func (a *asked) join(room string)                      { a.note("join %s", room) }
func (a *asked) part(room string)                      { a.note("part %s", room) }
func (a *asked) post(room string, number, replyTo uint64, content string, files ...string) {
	if len(files) > 0 {
		a.note("post files %s %d to %d %q %v", room, number, replyTo, content, files)
		return
	}
	if replyTo > 0 {
		a.note("reply %s %d to %d %q", room, number, replyTo, content)
		return
	}
	a.note("post %s %d %q", room, number, content)
	a.posted = append(a.posted, content)
}

func (a *asked) alter(room string, c alteration) {
	a.note("alter %s %d %s %d %q %q %q %v %d", room, c.number, c.change.Type, c.change.Target, c.change.Content, c.change.Emoji, c.change.Reason, c.change.On, c.base)
}
func (a *asked) load(room string, p page)   { a.note("load %s %+v", room, p) }
func (a *asked) search(room string, q scan) { a.note("search %s %+v", room, q) }
func (a *asked) stopSearch()                { a.note("stopSearch") }
func (a *asked) find(room string, moment time.Time) {
	a.note("find %s %s", room, moment.Format(time.RFC3339))
}

func (a *asked) members(room string, asked bool)             { a.note("members %s %v", room, asked) }
func (a *asked) listRooms(asked bool)                        { a.note("rooms %v", asked) }
func (a *asked) rename(name string)                          { a.note("rename %s", name) }
func (a *asked) me()                                         { a.note("me") }
func (a *asked) markRead(room string, seq uint64)            { a.note("read %s %d", room, seq) }
func (a *asked) markUnread(room string, seq uint64)          { a.note("unread %s %d", room, seq) }
func (a *asked) inbox(number, before uint64)                 { a.note("inbox %d %d", number, before) }
func (a *asked) lookUp(q lookup)                             { a.note("lookUp %+v", q) }
func (a *asked) notify(room string, level kaban.NotifyLevel) { a.note("notify %s %s", room, level) }
func (a *asked) create(r client.NewRoom)                     { a.note("create %s %s %q", r.Name, r.Kind, r.Topic) }

func (a *asked) setAway(away client.Away) {
	until := "/back"
	if !away.Until.IsZero() {
		until = away.Until.UTC().Format(time.RFC3339)
	}
	a.note("away %v %q until %s", away.Away, away.Text, until)
}

func (a *asked) direct(username, text string) { a.note("direct %s %q", username, text) }

func (a *asked) change(room string, c wire.Change) {
	a.note("change %s %s", room, Describe(&c))
}
func (a *asked) devices(server string)           { a.note("devices %s", server) }
func (a *asked) setName(server, name string)     { a.note("setName %s %q", server, name) }
func (a *asked) whois(server, room, name string) { a.note("whois %s %s %s", server, room, name) }
func (a *asked) reconnect()                      { a.note("reconnect") }
func (a *asked) upload(server string, number uint64, path string) {
	a.note("upload %s %d %s", server, number, path)
}
func (a *asked) cancelUpload() { a.note("cancelUpload") }
func (a *asked) previews(server, room string, seq uint64) {
	a.note("previews %s %s %d", server, room, seq)
}

func (a *asked) thumbnail(server string, number uint64, f kaban.File) {
	a.note("thumbnail %s %d %s", server, number, f.Name)
}

func (a *asked) download(server, room string, f kaban.File) {
	a.note("download %s %s %s", server, room, f.Name)
}
func (a *asked) ping()              {}
func (a *asked) typing(room string) { a.note("typing %s", room) }
func (a *asked) unsent() int        { return a.lost }

// last returns the newest call that begins with a word, "" for none.
func (a *asked) last(word string) string {
	for _, call := range slices.Backward(a.calls) {
		if strings.HasPrefix(call, word) {
			return call
		}
	}
	return ""
}

// desk is a Model with a keyboard and a server that are played by the test.
type desk struct {
	*Model
	t    *testing.T
	back *asked
	quit bool
	raw  []string // output to the terminal beside the screen
}

// noon is when all tests take place.
var noon = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

// newDesk returns a client that is ann's, online and in the lobby.
func newDesk(t *testing.T, width, height int) *desk {
	t.Helper()
	d := offlineDesk(t, width, height, Options{Config: Config{Server: "chat.example:6440", Username: "ann"}})
	d.happens(stateEvent{link: online, username: "ann", server: "kaban/test", limit: kaban.DefaultMaxContent}, stateEvent{link: online}, pingEvent{took: 12 * time.Millisecond})
	d.joined("lobby", 0)
	return d
}

func offlineDesk(t *testing.T, width, height int, o Options) *desk {
	t.Helper()
	b := &asked{}
	d := &desk{Model: newModel(b, o), t: t, back: b}
	d.now, d.zone = func() time.Time { return noon }, time.UTC
	d.send(tea.WindowSizeMsg{Width: width, Height: height})
	return d
}

// send passes a message to the Model and carries out what comes of it.
func (d *desk) send(msg tea.Msg) {
	d.t.Helper()
	_, cmd := d.Update(msg)
	d.carryOut(cmd)
}

func (d *desk) carryOut(cmd tea.Cmd) {
	if cmd == nil {
		return
	}
	switch msg := cmd().(type) {
	case tea.QuitMsg:
		d.quit = true
	case tea.RawMsg:
		d.raw = append(d.raw, fmt.Sprint(msg.Msg))
	case tea.BatchMsg:
		for _, c := range msg {
			d.carryOut(c)
		}
	case nil:
	default:
		d.raw = append(d.raw, fmt.Sprint(msg))
	}
}

// second lets a second pass for a user that waits to quit.
func (d *desk) second(n int) {
	d.t.Helper()
	for range n {
		d.carryOut(d.goOnQuitting(true))
	}
}

func (d *desk) happens(events ...event) { d.t.Helper(); d.send(batch(events)) }

// joined plays that a room is joined which has so many messages.
func (d *desk) joined(room string, head uint64) {
	d.t.Helper()
	d.happens(
		joinedEvent{asked: room, room: room, cursor: client.Cursor{Epoch: "e", Seq: head}, head: head},
		membersEvent{room: room, members: []wire.Member{{Username: "ann"}, {Username: "ben"}}},
		d.pageOf(room, page{Before: head + 1, HasBefore: true}, head),
	)
}

// pageOf plays the server's answer to a page of a room with head messages.
func (d *desk) pageOf(room string, p page, head uint64) pageEvent {
	more := false
	from, to := uint64(1), head
	switch {
	case p.HasBefore:
		to = min(head, p.Before-1)
		from = to - min(to, pageSize) + 1
		more = from > 1
	case p.HasAfter:
		from = p.After + 1
		to = min(head, p.After+pageSize)
		more = to < head
	default:
		from = head - min(head, pageSize) + 1
		more = from > 1
	}
	var entries []client.Entry
	for seq := from; seq <= to; seq++ {
		entries = append(entries, entry(old(seq)))
	}
	return pageEvent{room: room, page: p, got: pageWith(more, entries...)}
}

func entry(m wire.Message) client.Entry { return client.Entry{Seq: m.Seq, Message: &m} }

// pageWith returns the page of some entries.
func pageWith(more bool, entries ...client.Entry) client.HistoryPage {
	p := client.HistoryPage{Entries: entries, More: more}
	if n := len(entries); n > 0 {
		p.First, p.Last = entries[0].Seq, entries[n-1].Seq
	}
	return p
}

// old is a message of a room's past, one a minute.
func old(seq uint64) wire.Message {
	return wire.Message{Seq: seq, ID: fmt.Sprint("old", seq), Username: []string{"ben", "cid"}[seq/3%2], Content: fmt.Sprint("message ", seq), Time: noon.Add(-24*time.Hour + time.Duration(seq)*time.Minute)}
}

// says plays that somebody says something.
func (d *desk) says(room, username, content string) {
	d.t.Helper()
	head := d.room(room).head + 1
	d.happens(messageEvent{room: room, head: head, message: wire.Message{
		Seq: head, ID: fmt.Sprint(head), Username: username, Content: content, Time: noon.Add(time.Duration(head) * time.Second),
	}})
}

// keys presses keys: names such as "ctrl+k", or else text that is typed.
func (d *desk) keys(strokes ...string) {
	d.t.Helper()
	for _, stroke := range strokes {
		if key, ok := keyOf(stroke); ok {
			d.send(tea.KeyPressMsg(key))
			continue
		}
		for _, r := range stroke {
			d.send(tea.KeyPressMsg(tea.Key{Text: string(r), Code: r}))
		}
	}
}

var special = map[string]rune{
	"enter": tea.KeyEnter, "tab": tea.KeyTab, "esc": tea.KeyEscape, "up": tea.KeyUp, "down": tea.KeyDown, "left": tea.KeyLeft,
	"right": tea.KeyRight, "home": tea.KeyHome, "end": tea.KeyEnd, "pgup": tea.KeyPgUp, "pgdown": tea.KeyPgDown,
	"backspace": tea.KeyBackspace, "delete": tea.KeyDelete, "f1": tea.KeyF1, "f5": tea.KeyF5, "f6": tea.KeyF6, "f7": tea.KeyF7, "f8": tea.KeyF8,
}

// keyOf returns the key of a name, false if it is none.
func keyOf(stroke string) (tea.Key, bool) {
	var k tea.Key
	parts := strings.Split(stroke, "+")
	for _, modifier := range parts[:len(parts)-1] {
		switch modifier {
		case "ctrl":
			k.Mod |= tea.ModCtrl
		case "alt":
			k.Mod |= tea.ModAlt
		case "shift":
			k.Mod |= tea.ModShift
		default:
			return k, false
		}
	}
	name := parts[len(parts)-1]
	if code, ok := special[name]; ok {
		k.Code = code
		return k, true
	}
	if k.Mod == 0 || len([]rune(name)) != 1 {
		return k, false
	}
	k.Code = []rune(name)[0]
	return k, true
}

// screen returns the screen without colours.
func (d *desk) screen() string {
	d.t.Helper()
	content, _, _ := d.render()
	d.checkSize(content)
	return ansi.Strip(content)
}

// checkSize wants the screen to have exactly the terminal's height and to be no
// wider.
func (d *desk) checkSize(content string) {
	d.t.Helper()
	rows := strings.Split(content, "\n")
	if len(rows) != d.height {
		d.t.Errorf("the screen has %d rows, want %d:\n%s", len(rows), d.height, ansi.Strip(content))
	}
	for n, row := range rows {
		if width := d.meter.method.StringWidth(row); width > d.width {
			d.t.Errorf("row %d has %d columns, more than %d: %q", n, width, d.width, row)
		}
	}
}

func (d *desk) shows(text string) {
	d.t.Helper()
	if got := d.screen(); !strings.Contains(got, text) {
		d.t.Errorf("the screen does not show %q:\n%s", text, got)
	}
}

func (d *desk) hides(text string) {
	d.t.Helper()
	if got := d.screen(); strings.Contains(got, text) {
		d.t.Errorf("the screen shows %q:\n%s", text, got)
	}
}

func (d *desk) typed(want string) {
	d.t.Helper()
	if got := d.Model.draft().text; got != want {
		d.t.Errorf("the input has %q, want %q", got, want)
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is different; if that is right, run \"make golden\". Got:\n%s\nwant:\n%s", path, got, want)
	}
}

// trim drops spaces at the ends of lines.
func trim(screen string) string {
	var b strings.Builder
	for l := range strings.Lines(screen) {
		b.WriteString(strings.TrimRight(l, " \n"))
		b.WriteByte('\n')
	}
	return b.String()
}

// busy is a room with something of everything.
func busy(t *testing.T, width, height int) *desk {
	t.Helper()
	d := newDesk(t, width, height)
	for _, room := range []string{"ops", "a-room-with-a-rather-long-name"} {
		d.keys("/join "+room, "enter")
		d.joined(room, 0)
	}
	d.keys("alt+1")
	d.says("lobby", "ben", "morning! has anybody seen the *release notes*?")
	d.says("lobby", "ben", "they were at https://docs.example.org/releases/2026/11 yesterday")
	d.says("lobby", "cid", "```\nmake build\nbin/kaban serve\n```")
	d.keys("I have them, `git pull` and look into docs/", "enter")
	d.happens(sentEvent{room: "lobby", number: 1, receipt: client.Receipt{Seq: 4, Time: noon.Add(5 * time.Second)}})
	d.says("lobby", "a-name-that-is-rather-long", "你好，世界 👋 – wide characters line up")
	d.says("lobby", "ben", "@ann: thanks! That is a long answer which has to be wrapped, since no terminal is as wide as what people have to say to each other on a Monday")
	d.says("lobby", "cid", "/me waves")
	d.says("ops", "ben", "deployed")
	d.says("ops", "cid", "@ann, please look")
	d.keys("and this is on its way", "enter")
	d.keys("being typed")
	d.happens(presenceEvent{Room: "lobby", Members: 5, Joined: []string{"cid", "a-name-that-is-rather-long", "dan"}})
	return d
}

func TestGoldenViews(t *testing.T) {
	for name, make := range map[string]func(*testing.T) *desk{
		"empty":  func(t *testing.T) *desk { return newDesk(t, 80, 12) },
		"busy":   func(t *testing.T) *desk { return busy(t, 100, 24) },
		"wide":   func(t *testing.T) *desk { return busy(t, 160, 24) },
		"narrow": func(t *testing.T) *desk { return busy(t, 40, 24) },
		"tiny":   func(t *testing.T) *desk { return busy(t, 20, 6) },
		"first-start": func(t *testing.T) *desk {
			return offlineDesk(t, 80, 12, Options{Names: []string{"ann", "ann-2"}})
		},
		"first-start-refused": func(t *testing.T) *desk {
			d := offlineDesk(t, 80, 12, Options{Names: []string{"ann"}})
			d.keys("enter", "enter")
			d.happens(stateEvent{link: offline, err: errors.New("nothing listens at 127.0.0.1:6440")})
			return d
		},
		"connecting": func(t *testing.T) *desk {
			return offlineDesk(t, 80, 12, Options{Config: Config{Server: "chat.example:6440", Username: "ann"}})
		},
		"offline": func(t *testing.T) *desk {
			d := newDesk(t, 100, 12)
			d.says("lobby", "ben", "hello")
			d.happens(stateEvent{link: offline, err: &client.Goodbye{Reason: wire.ReasonDraining}, retryAt: noon.Add(7 * time.Second)})
			d.keys("typed while offline", "enter", "and more", "enter")
			return d
		},
		"replaced": func(t *testing.T) *desk {
			d := newDesk(t, 100, 12)
			d.happens(stateEvent{link: ended, err: &client.Goodbye{Reason: wire.ReasonReplaced}})
			return d
		},
		"catching-up": func(t *testing.T) *desk {
			d := newDesk(t, 80, 12)
			d.happens(messageEvent{room: "lobby", head: 5000, message: old(1)})
			return d
		},
		"unread": func(t *testing.T) *desk {
			d := newDesk(t, 80, 16)
			d.joined("lobby", 3)
			d.send(tea.BlurMsg{})
			d.says("lobby", "ben", "are you there?")
			d.says("lobby", "ben", "it is important")
			return d
		},
		"scrolled-up": func(t *testing.T) *desk {
			d := newDesk(t, 80, 16)
			d.joined("lobby", 150)
			d.keys("pgup", "pgup")
			d.says("lobby", "ben", "something new")
			return d
		},
		"search": func(t *testing.T) *desk {
			d := newDesk(t, 80, 16)
			d.joined("lobby", 150)
			d.keys("ctrl+f", "message 14", "enter", "enter")
			return d
		},
		"switcher": func(t *testing.T) *desk {
			d := busy(t, 80, 16)
			d.happens(roomsEvent{rooms: []wire.RoomInfo{{Room: "lobby"}, {Room: "ops"}, {Room: "kitchen"}, {Room: "opera"}}})
			d.keys("ctrl+k", "op")
			return d
		},
		"help":        func(t *testing.T) *desk { d := busy(t, 100, 40); d.keys("f1"); return d },
		"help-narrow": func(t *testing.T) *desk { d := busy(t, 40, 24); d.keys("?"); return d },
		"folded":      func(t *testing.T) *desk { d := busy(t, 100, 24); d.keys("f7", "f8"); return d },
		"paste": func(t *testing.T) *desk {
			d := newDesk(t, 80, 12)
			d.send(tea.PasteMsg{Content: "a\nb\nc\nd\n"})
			return d
		},
		"refused": refusedDesk,
		"several-lines": func(t *testing.T) *desk {
			d := newDesk(t, 60, 12)
			d.keys("one", "alt+enter", "two", "ctrl+j", "three")
			return d
		},
		"bad-command": func(t *testing.T) *desk { d := newDesk(t, 80, 12); d.keys("/jion lobby", "enter"); return d },
	} {
		t.Run(name, func(t *testing.T) { golden(t, name, trim(make(t).screen())) })
	}
}

// refusedDesk shows one refused message in the input and one in the room.
func refusedDesk(t *testing.T) *desk {
	d := newDesk(t, 80, 12)
	d.keys("the first", "enter", "the second", "enter")
	no := &client.Error{Code: wire.CodeTooLongContent, Text: "the content has 9 characters and may have 5"}
	d.happens(sentEvent{room: "lobby", number: 1, err: no}, sentEvent{room: "lobby", number: 2, err: no})
	return d
}

// Colours are compared too, once for each kind of terminal.
func TestGoldenColours(t *testing.T) {
	for _, theme := range []string{"dark", "light"} {
		t.Run(theme, func(t *testing.T) {
			d := busy(t, 100, 24)
			d.keys("ctrl+u", "/theme "+theme, "enter")
			content, _, _ := d.render()
			golden(t, theme, strings.ReplaceAll(content, "\x1b", "␛")+"\n")
		})
	}
}
