package tui

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
	"pgregory.net/rapid"

	"kaban"
	"kaban/client"
	"kaban/wire"
)

func TestAMessageIsPendingUntilItsAck(t *testing.T) {
	d := newDesk(t, 80, 12)
	d.keys("hello", "enter")
	d.typed("")
	if got := d.back.last("post"); got != `post lobby 1 "hello"` {
		t.Errorf("it posted %q", got)
	}
	d.shows("…        ann  hello")
	d.happens(sentEvent{room: "lobby", number: 1, receipt: client.Receipt{Seq: 1, Time: noon}})
	d.shows("12:00        ann  hello")
	d.hides("…")
}

func TestWhatWasTypedMeanwhileGoesOutOnceAndInOrder(t *testing.T) {
	d := newDesk(t, 80, 12)
	d.happens(stateEvent{link: offline, err: errors.New("connection lost")})
	for _, text := range []string{"one", "two", "three"} {
		d.keys(text, "enter")
	}
	d.shows("3 to be sent")
	d.happens(stateEvent{link: online})
	d.says("lobby", "ben", "meanwhile")
	for n := range 3 {
		d.happens(sentEvent{room: "lobby", number: uint64(n + 1), receipt: client.Receipt{Seq: uint64(n + 2), Time: noon}})
	}
	if want := []string{"one", "two", "three"}; !slices.Equal(d.back.posted, want) {
		t.Errorf("it posted %q, want %q", d.back.posted, want)
	}
	var shown []string
	for _, i := range d.active.items {
		shown = append(shown, i.content)
	}
	if want := []string{"meanwhile", "one", "two", "three"}; !slices.Equal(shown, want) || len(d.active.pending) > 0 {
		t.Errorf("the room has %q, want %q; %d are pending", shown, want, len(d.active.pending))
	}
}

// The server's messages and the acks come by different ways, in any order.
func TestAnAckThatOvertakesAMessage(t *testing.T) {
	d := newDesk(t, 80, 12)
	d.keys("mine", "enter")
	d.happens(sentEvent{room: "lobby", number: 1, receipt: client.Receipt{Seq: 2, Time: noon}})
	d.happens(messageEvent{room: "lobby", head: 2, message: wire.Message{Seq: 1, Username: "ben", Content: "ann?", Time: noon}})
	if got := d.active.items; len(got) != 2 || got[0].content != "ann?" || got[1].content != "mine" {
		t.Errorf("got %v", got)
	}
	d.happens(messageEvent{room: "lobby", head: 2, message: wire.Message{Seq: 1, Username: "ben", Content: "ann?", Time: noon}})
	if len(d.active.items) != 2 {
		t.Error("a message that came twice is there twice")
	}
}

func TestARefusedMessageStaysInTheInput(t *testing.T) {
	d := newDesk(t, 80, 12)
	d.keys(strings.Repeat("x", 5001), "enter")
	if got := len(d.Model.draft().text); got != 5001 {
		t.Errorf("the input has %d characters", got)
	}
	d.shows("! not sent: ")
	if len(d.back.posted) > 0 {
		t.Error("it was posted")
	}
	d = refusedDesk(t)
	d.typed("the first")
	d.keys("enter")
	if want := []string{"the first", "the second", "the first"}; !slices.Equal(d.back.posted, want) {
		t.Errorf("it posted %q, want %q", d.back.posted, want)
	}
}

func TestSlashes(t *testing.T) {
	for _, test := range []struct{ typed, posted string }{
		{"//etc is a directory", "/etc is a directory"},
		{"/me waves", "/me waves"},
		{"a / b", "a / b"},
		{"/nonsense", ""},
		{"   ", ""},
	} {
		d := newDesk(t, 80, 12)
		d.keys(test.typed, "enter")
		if got := strings.Join(d.back.posted, "|"); got != test.posted {
			t.Errorf("%q posted %q, want %q", test.typed, got, test.posted)
		}
	}
}

func TestCommands(t *testing.T) {
	for _, test := range []struct {
		typed string
		call  string // that the backend gets
		shows string
	}{
		{"/join Kitchen", "join kitchen", "joining kitchen"},
		{"/join #ops", "join ops", "ops"},
		{"/join a b", "", "is not a room name"},
		{"/join", "", "/join, /j ROOM: Join a room"},
		{"/part", "part lobby", "no room is open"},
		{"/part nowhere", "", "you are not in nowhere"},
		{"/nick Anna", "rename Anna", "changing your name to Anna"},
		{"/nick a b", "", "cannot be a name"},
		{"/who", "members lobby true", ""},
		{"/names ops", "members ops true", ""},
		{"/rooms", "rooms true", ""},
		{"/j ops", "join ops", "joining ops"},
		{"/leave", "part lobby", "no room is open"},
		{"/close lobby", "part lobby", "no room is open"},
		{"/list", "rooms true", ""},
		{"/msg ben hi", "", "only accounts can do that"},
		{"/query ben", "", "only accounts can do that"},
		{"/query", "", "only accounts can do that"},
		{"/help close", "", "/part, /leave, /close [ROOM]: "},
		{"/topic x", "", "you may not change the topic"},
		{"/topic", "", "there is no topic"},
		{"/kick ben", "", "/kick: only ops of a room can do that"},
		{"/create x", "", "guests and visitors cannot do that"},
		{"/invite ben", "", "you may not invite people"},
		{"/whois Ben", "whois chat.example:6440 lobby Ben", ""},
		{"/help part", "", "/part, /leave, /close [ROOM]: Leave a room"},
		{"/help prat", "", "did you mean /part?"},
		{"/help", "", "Type and press Enter"},
		{"/reconnect", "reconnect", "connecting"},
		{"/search xyz", "lookUp {number:1 query:xyz room: before:0}", "searching"},
		{"/search", "", "type what to look for"},
		{"/pins", "lookUp {number:1 query:is:pinned room:lobby before:0}", "pinned in lobby"},
		{"/ignore ben", "", "ben is ignored"},
		{"/ignore", "", "nobody is ignored"},
		{"/copy", "", "there is no message to copy"},
		{"/copy x", "", "/copy takes a number of"},
		{"/date 2026-11-01", "find lobby 2026-11-01T00:00:00Z", ""},
		{"/date 2026-11-01 13:30", "find lobby 2026-11-01T13:30:00Z", ""},
		{"/date yesterday", "", "is not a date such as 2026-11-25 12:00"},
		{"/theme loud", "", "is none of auto, dark, light"},
		{"/JOIN x", "join x", ""},
		{"/jo", "", "did you mean /join?"},
		{"/quti", "", "did you mean /quit?"},
		{"/xyzzy", "", "there is no command /xyzzy (/help lists all)"},
		{"/bye", "", "there is no command /bye (/help lists all)"},
		{"/lsit", "", "did you mean /list?"},
	} {
		t.Run(test.typed, func(t *testing.T) {
			d := newDesk(t, 120, 12)
			d.back.calls = nil
			d.keys(test.typed, "enter")
			if test.call == "" {
				test.call = "-"
				d.back.note("-")
			}
			if !slices.Contains(d.back.calls, test.call) {
				t.Errorf("calls: %q, want %q", d.back.calls, test.call)
			}
			d.shows(test.shows)
		})
	}
}

// Every command is explained and does not fall over without arguments.
func TestEveryCommandWithoutArguments(t *testing.T) {
	for _, c := range commands() {
		d := newDesk(t, 80, 24)
		d.keys("/"+c.name, "enter")
		d.screen()
		if c.help == "" {
			t.Errorf("/%s is not explained", c.name)
		}
		if len(d.back.posted) > 0 {
			t.Errorf("/%s was posted", c.name)
		}
	}
}

func TestQuitting(t *testing.T) {
	d := newDesk(t, 80, 12)
	d.keys("draft", "ctrl+c")
	d.typed("")
	d.keys("up")
	d.typed("draft")
	d.keys("ctrl+c", "ctrl+c")
	if d.quit {
		t.Fatal("the first Ctrl-C on an empty line quits")
	}
	d.shows("press Ctrl-C again to quit")
	later := d.now().Add(quitMemory)
	d.now = func() time.Time { return later }
	d.send(ticked(later))
	d.hides("again to quit")
	d.keys("ctrl+c")
	if d.quit {
		t.Fatal("a Ctrl-C long after the first quits")
	}
	d.keys("ctrl+c")
	if !d.quit {
		t.Error("the second Ctrl-C does not quit")
	}
	d = newDesk(t, 80, 12)
	d.back.lost = 2
	d.keys("/quit", "enter")
	d.shows("quitting when everything is sent")
	d.second(quitPatience)
	d.shows("2 messages are not sent yet. Quit anyway?")
	d.keys("n")
	if d.quit || d.mode != chatting {
		t.Error("n quits")
	}
	d.happens(stateEvent{link: offline})
	d.keys("ctrl+d")
	d.shows("2 messages are not sent yet. Quit anyway?")
	d.keys("y")
	if !d.quit {
		t.Error("y does not quit")
	}
	d = newDesk(t, 80, 12)
	d.back.lost = 1
	d.keys("hello", "enter", "/quit", "enter")
	d.back.lost = 0
	d.happens(sentEvent{room: "lobby", number: 1, receipt: client.Receipt{Seq: 1, Time: noon}})
	if !d.quit {
		t.Error("it does not end with the last ack")
	}
}

func TestUnread(t *testing.T) {
	d := newDesk(t, 80, 16)
	d.keys("/join ops", "enter")
	d.joined("ops", 150)
	d.keys("alt+1")
	d.says("ops", "ben", "one")
	d.says("ops", "ben", "two, @ann")
	d.shows("2 ops       @2")
	d.keys("alt+a")
	d.shows("─ new ─")
	if d.active.name != "ops" || d.active.unread() != 0 || d.active.mention != 0 {
		t.Errorf("in %s with %d unread and %d mentions", d.active.name, d.active.unread(), d.active.mention)
	}
	d.says("ops", "ben", "three") // the line stays while reading
	d.shows("─ new ─")
	d.keys("alt+1", "alt+2")
	d.hides("─ new ─")
	d.keys("alt+a")
	d.shows("nothing is unread in other rooms")
}

// Mentions come before other unread messages.
func TestNextActive(t *testing.T) {
	d := newDesk(t, 80, 16)
	for _, room := range []string{"ops", "kitchen"} {
		d.keys("/join "+room, "enter")
		d.joined(room, 0)
	}
	d.keys("alt+1")
	d.says("ops", "ben", "hello")
	d.says("kitchen", "ben", "@ann!")
	d.keys("alt+a")
	if d.active.name != "kitchen" {
		t.Errorf("went to %s first", d.active.name)
	}
	d.keys("alt+a")
	if d.active.name != "ops" {
		t.Errorf("went to %s then", d.active.name)
	}
	d.keys("alt+/")
	if d.active.name != "kitchen" {
		t.Errorf("alt+/ went to %s", d.active.name)
	}
}

// Who scrolled up stays where they are, whatever comes.
func TestAReaderIsNeverPulledDown(t *testing.T) {
	d := newDesk(t, 80, 16)
	d.joined("lobby", 150)
	d.keys("pgup", "pgup")
	before := d.screen()
	for n := range 2 * maxItems {
		d.says("lobby", "ben", fmt.Sprint("new ", n))
	}
	after := d.screen()
	conversation := func(screen string) string {
		var rows []string
		for row := range strings.Lines(screen) {
			_, text, _ := strings.Cut(row, "│")
			rows = append(rows, text)
		}
		return strings.Join(rows[1:len(rows)-2], "")
	}
	if conversation(before) != conversation(after) {
		t.Errorf("it was:\n%s\nand is:\n%s", before, after)
	}
	d.shows("↓ 10000 new, Esc")
	d.keys("esc")
	if got := d.back.last("load"); !strings.Contains(got, "Around:true") {
		t.Fatalf("asked for %q, want the newest", got)
	}
	e := pageEvent{room: "lobby", page: page{Around: true}, got: pageWith(true, entry(old(10149)), entry(old(10150)))}
	d.happens(e)
	d.shows("message 10150")
	d.hides("↓")
	if d.active.unread() != 0 {
		t.Errorf("%d are unread", d.active.unread())
	}
	d.says("lobby", "ben", "and on")
	d.shows("and on")
}

// What is held is bounded, however much is said, and however far one scrolls.
func TestMemoryIsBoundedOverADay(t *testing.T) {
	const messages = 40_000
	d := newDesk(t, 80, 16)
	r := d.active
	for n := 0; n < messages; n += 100 {
		var events batch
		for k := range 100 {
			seq := uint64(n + k + 1)
			events = append(events, messageEvent{room: "lobby", head: seq, message: wire.Message{Seq: seq, Username: fmt.Sprint("user", seq%20000), Content: "hello, everybody", Time: noon}})
		}
		d.Update(events)
		if n%10_000 == 0 {
			d.render()
		}
	}
	if len(r.items) > maxItems || cap(r.items) > 3*maxItems {
		t.Errorf("%d items are held, in a slice of %d", len(r.items), cap(r.items))
	}
	if len(r.speakers) > 50 {
		t.Errorf("%d speakers are held", len(r.speakers))
	}
	if r.head != messages || r.last() != messages || r.unread() != 0 {
		t.Errorf("head %d, last %d, unread %d", r.head, r.last(), r.unread())
	}
	for r.first() > 1 {
		before := r.first()
		d.keys("pgup")
		if r.loading {
			d.happens(d.pageOf("lobby", page{Before: r.first(), HasBefore: true}, messages))
		}
		if len(r.items) > maxItems {
			t.Fatalf("%d items are held while scrolling up", len(r.items))
		}
		if r.first() < messages-20_000 {
			break
		}
		if r.first() > before {
			t.Fatalf("the window went from %d to %d", before, r.first())
		}
	}
	wrapped := 0
	for _, i := range r.items {
		wrapped += len(i.wrapped)
	}
	if wrapped > 2*maxItems {
		t.Errorf("%d laid out lines are held", wrapped)
	}
}

// The looks of names are bounded, however many names are shown, and kept until then.
func TestLooksAreBounded(t *testing.T) {
	var looks lookCache
	most := 0
	for n := range maxLooks + maxLooks/2 {
		name := fmt.Sprint("user", n)
		if got := looks.of(name); n%100 == 0 && got != nameLook(name) {
			t.Fatalf("%s has the look %v, want %v", name, got, nameLook(name))
		}
		most = max(most, len(looks))
	}
	if most != maxLooks {
		t.Errorf("%d looks were held at most, want %d", most, maxLooks)
	}
}

// Scrolling up reaches the first message, and down again the newest.
func TestScrollbackToTheFirstMessage(t *testing.T) {
	const head = 20_000
	d := newDesk(t, 80, 24)
	d.joined("lobby", head)
	seen := make(map[uint64]bool)
	scroll := func(key string, until func() bool) {
		for n := 0; !until(); n++ {
			if n > 3*head {
				t.Fatalf("%s does not get there:\n%s", key, d.screen())
			}
			d.keys(key)
			for d.active.loading {
				asked := d.back.last("load")
				p := page{}
				if _, err := fmt.Sscanf(asked, "load lobby {Before:%d After:%d HasBefore:%t HasAfter:%t", &p.Before, &p.After, &p.HasBefore, &p.HasAfter); err != nil {
					t.Fatalf("%q: %v", asked, err)
				}
				d.happens(d.pageOf("lobby", p, head))
			}
			width, height := d.conversationSize()
			k, _ := d.topView(d.active, width, height)
			for ; k < len(d.active.items) && height > 0; k++ {
				seen[d.active.items[k].seq] = true
				height -= len(d.block(d.active, k, width))
			}
		}
	}
	scroll("pgup", func() bool { return strings.Contains(d.screen(), "the beginning of lobby") })
	d.shows("message 1\n")
	if len(seen) < head-24 {
		t.Errorf("%d of %d messages came by on the way up", len(seen), head)
	}
	seen = make(map[uint64]bool)
	scroll("pgdown", func() bool { return d.active.following })
	d.shows("message 20000")
	if len(seen) < head-24 {
		t.Errorf("%d of %d messages came by on the way down", len(seen), head)
	}
}

func TestJumps(t *testing.T) {
	d := newDesk(t, 80, 16)
	d.joined("lobby", 20_000)
	d.keys("ctrl+home")
	if got := d.back.last("load"); !strings.Contains(got, "After:0") || !strings.Contains(got, "Target:1") {
		t.Fatalf("asked for %q", got)
	}
	e := d.pageOf("lobby", page{HasAfter: true}, 20_000)
	e.page.Around, e.page.Target = true, 1
	d.happens(e)
	d.shows("the beginning of lobby")
	d.shows("message 1\n")
	d.keys("alt+g")
	d.typed("/date 2026-11-25")
	d.keys("enter")
	if got := d.back.last("find"); got != "find lobby 2026-11-25T00:00:00Z" {
		t.Errorf("asked for %q", got)
	}
	e = d.pageOf("lobby", page{HasAfter: true, After: 600}, 20_000)
	e.page.Around, e.page.Target = true, 700
	d.happens(e)
	if !strings.Contains(strings.Split(d.screen(), "\n")[1], "message 700") {
		t.Errorf("message 700 is not at the top:\n%s", d.screen())
	}
}

func TestJumpToUnreadThatIsNotLoaded(t *testing.T) {
	d := newDesk(t, 80, 16)
	d.keys("/join ops", "enter")
	r := d.active
	r.epoch, r.read = "e", 1000 // from the last time
	d.joined("ops", 20_000)
	d.shows("19000 new, Alt-U")
	d.keys("alt+u")
	if got := d.back.last("load"); !strings.Contains(got, "Target:1001") {
		t.Fatalf("asked for %q", got)
	}
	e := d.pageOf("ops", page{HasAfter: true, After: 950}, 20_000)
	e.page.Around, e.page.Target = true, 1001
	d.happens(e)
	rows := strings.Split(d.screen(), "\n")
	if !strings.Contains(rows[1], "─ new ─") || !strings.Contains(rows[2], "message 1001") {
		t.Errorf("got:\n%s", d.screen())
	}
}

func TestMentionsRing(t *testing.T) {
	for notify, want := range map[string]string{
		"":       "\a",
		"bell":   "\a",
		"osc9":   "\x1b]9;ben in ops: hey @ann, <U+001B>]52;c;x<U+0007> look\a",
		"osc777": "\x1b]777;notify;ben in ops;hey @ann, <U+001B>]52,c,x<U+0007> look\x1b\\",
		"off":    "",
	} {
		d := newDesk(t, 80, 12)
		d.config.Notify = notify
		d.keys("/join ops", "enter")
		d.joined("ops", 0)
		d.keys("alt+1")
		d.says("ops", "ben", "hey @ann, \x1b]52;c;x\a look")
		if got := strings.Join(d.raw, ""); got != want {
			t.Errorf("%s: got %q, want %q", notify, got, want)
		}
		d.raw = nil
		d.says("ops", "ben", "no names, @annabel and ann")
		d.says("lobby", "ben", "@ann, you are looking at this")
		if len(d.raw) > 0 {
			t.Errorf("%s: it rang without a reason: %q", notify, d.raw)
		}
	}
}

func TestEverybodyIsMentioned(t *testing.T) {
	for _, content := range []string{"@all look", "@here", "hi @Channel!", "(@everyone)"} {
		d := newDesk(t, 80, 12)
		d.keys("/join ops", "enter")
		d.joined("ops", 0)
		d.keys("alt+1")
		d.says("ops", "ben", content)
		if got := strings.Join(d.raw, ""); got != "\a" {
			t.Errorf("%q: got %q, want a bell", content, got)
		}
		d.raw = nil
		d.says("ops", "ben", "all are here; `@all`")
		if len(d.raw) > 0 {
			t.Errorf("%q: it rang without a reason", content)
		}
	}
}

func TestCompletion(t *testing.T) {
	for _, test := range []struct {
		typed string
		tabs  int
		want  string
	}{
		{"be", 1, "@ben: "},
		{"hello be", 1, "hello ben "},
		{"hello @be", 1, "hello @ben "},
		{"/jo", 1, "/join "},
		{"/join op", 1, "/join ops"},
		{"/join op", 2, "/join opera"},
		{"/join op", 3, "/join ops"},
		{"/part lo", 1, "/part lobby"},
		{"/leave lo", 1, "/leave lobby"},
		{"/lis", 1, "/list "},
		{"/msg be", 1, "/msg ben "},
		{"/kic", 1, "/kic"}, // a visitor is no op
		{"/help ni", 1, "/help nick"},
		{"/theme l", 1, "/theme light"},
		{":smil", 1, "😄"},
		{"a :tada:", 0, "a 🎉"},
		{"at 12:30: not an emoji", 0, "at 12:30: not an emoji"},
		{"x:tada:", 0, "x:tada:"},
		{"nobody-by-that-name", 1, "nobody-by-that-name"},
	} {
		d := newDesk(t, 80, 12)
		d.happens(roomsEvent{rooms: []wire.RoomInfo{{Room: "lobby"}, {Room: "ops"}, {Room: "opera"}}})
		d.keys(test.typed)
		for range test.tabs {
			d.keys("tab")
		}
		if got := d.Model.draft().text; got != test.want {
			t.Errorf("%q and %d tabs: got %q, want %q", test.typed, test.tabs, got, test.want)
		}
	}
}

// Who spoke last is completed first.
func TestCompletionOfTheLastSpeaker(t *testing.T) {
	d := newDesk(t, 80, 12)
	d.happens(presenceEvent{Room: "lobby", Members: 3, Joined: []string{"bea"}})
	d.says("lobby", "ben", "hi")
	d.keys("be", "tab")
	d.typed("@ben: ")
	d.keys("tab")
	d.typed("@bea: ")
	d.keys("shift+tab")
	d.typed("@ben: ")
}

func TestEditing(t *testing.T) {
	for _, test := range []struct {
		keys []string
		want string // with | where the cursor is
	}{
		{[]string{"one two", "ctrl+w"}, "one |"},
		{[]string{"one two", "ctrl+a", "x"}, "x|one two"},
		{[]string{"one two", "alt+b", "alt+b", "ctrl+e", "x"}, "one twox|"},
		{[]string{"one two", "alt+b", "ctrl+u"}, "|two"},
		{[]string{"one two", "alt+b", "alt+k"}, "one |"},
		{[]string{"one two", "ctrl+w", "ctrl+a", "ctrl+y"}, "two|one "},
		{[]string{"ab", "ctrl+t"}, "ba|"},
		{[]string{"one two", "ctrl+a", "alt+d"}, "| two"},
		{[]string{"abc", "left", "backspace"}, "a|c"},
		{[]string{"abc", "left", "delete"}, "ab|"},
		{[]string{"e\u0301x", "left", "left"}, "|e\u0301x"},
		{[]string{"👩‍👩‍👧", "backspace"}, "|"},
		{[]string{"你好", "left", "x"}, "你x|好"},
		{[]string{"one", "alt+enter", "two", "up", "x"}, "onex|\ntwo"},
		{[]string{"one", "alt+enter", "two", "ctrl+a", "backspace"}, "one|two"},
		{[]string{"?", "?"}, "|"}, // help, closed again
		{[]string{"a?"}, "a?|"},
	} {
		d := newDesk(t, 80, 12)
		d.keys(test.keys...)
		got := d.Model.draft()
		if text := got.text[:got.at] + "|" + got.text[got.at:]; text != test.want {
			t.Errorf("%q: got %q, want %q", test.keys, text, test.want)
		}
	}
}

func TestHistoryAndDraftsOfEachRoom(t *testing.T) {
	d := newDesk(t, 80, 12)
	d.keys("one", "enter", "two", "enter", "typing", "up")
	d.typed("two")
	d.keys("up", "up")
	d.typed("one")
	d.keys("down", "down")
	d.typed("typing")
	d.keys("ctrl+k", "other", "enter")
	d.typed("")
	d.keys("up")
	d.typed("")
	d.keys("in another", "ctrl+p")
	d.typed("typing")
	d.keys("ctrl+n")
	d.typed("in another")
}

func TestPasting(t *testing.T) {
	d := newDesk(t, 80, 12)
	d.send(tea.PasteMsg{Content: "one\r\ntwo\rthree"})
	d.typed("one\ntwo\nthree")
	d.keys("ctrl+c")
	d.send(tea.PasteMsg{Content: "1\n2\n3\n4\n5"})
	d.shows("Paste 5 lines into the message?")
	d.keys("n")
	d.typed("")
	d.send(tea.PasteMsg{Content: "1\n2\n3\n4\n5"})
	d.keys("enter")
	d.typed("1\n2\n3\n4\n5")
	if len(d.back.posted) > 0 {
		t.Error("pasting sends")
	}
	d.keys("ctrl+c")
	d.send(tea.PasteMsg{Content: "\x1b[31mred\x00"})
	d.typed("[31mred")
	d.shows("control characters were removed")
}

func TestSearch(t *testing.T) {
	d := newDesk(t, 80, 16)
	d.joined("lobby", 1000)
	d.keys("ctrl+f", "MESSAGE 90", "up")
	d.shows("2 of 10 in the loaded messages")
	d.shows("message 908")
	d.keys("down")
	d.shows("1 of 10 in the loaded messages")
	d.keys("ctrl+u", "message 500")
	d.shows("not found in the loaded messages")
	d.keys("enter")
	d.shows("searching further back …; Esc stops")
	if got := d.back.last("search"); !strings.Contains(got, "query:message 500 ") || !strings.Contains(got, "direction:-1 from:801") {
		t.Fatalf("asked for %q", got)
	}
	number := d.finder.number
	d.happens(scanEvent{room: "lobby", number: number, scanned: 250, at: 551, time: old(551).Time})
	d.shows("searching back: 250 messages, to 24 Nov 2026 21:11 …; Esc stops")
	d.happens(scanEvent{room: "lobby", number: number, scanned: 301, found: 500})
	d.shows("searching back: 250") // until it is shown
	if got := d.back.last("load"); !strings.Contains(got, "After:449") || !strings.Contains(got, "Target:500") {
		t.Fatalf("asked for %q", got)
	}
	e := d.pageOf("lobby", page{HasAfter: true, After: 449}, 1000)
	e.page.Around, e.page.Target = true, 500
	d.happens(e)
	d.shows("1 of 1 in the loaded messages")
	d.shows("▸20:20        ben  message 500")
	if row := strings.Split(d.screen(), "\n")[7]; !strings.Contains(row, "message 500") {
		t.Errorf("what was found is not in the middle:\n%s", d.screen())
	}
	d.keys("enter")
	d.happens(scanEvent{room: "lobby", number: d.finder.number, scanned: 449, done: true})
	d.shows("no more matches before 24 Nov 2026 20:20; Down newer, Esc closes")
	d.keys("down")
	if got := d.back.last("search"); !strings.Contains(got, "direction:1 from:649") {
		t.Fatalf("asked for %q", got)
	}
	d.happens(scanEvent{room: "lobby", number: d.finder.number, scanned: 351, done: true})
	d.shows("no more matches after 24 Nov 2026 20:20; Enter older, Esc closes")
	d.says("lobby", "ben", "message 500 again")
	d.keys("down") // there is something now
	d.happens(scanEvent{room: "lobby", number: d.finder.number, found: 1001})
	e = d.pageOf("lobby", page{HasAfter: true, After: 950}, 1000)
	again := wire.Message{Seq: 1001, Username: "ben", Content: "message 500 again", Time: noon}
	e.got = pageWith(false, append(e.got.Entries, entry(again))...)
	e.page.Around, e.page.Target = true, 1001
	d.happens(e)
	d.shows("message 500 again")
	d.happens(failedEvent{room: "lobby", err: client.ErrJoined}) // the room goes away
	d.shows("no room is open")
}

// A search that takes long can be stopped and goes on where it was; what comes
// of one that is over is not shown.
func TestStoppingASearch(t *testing.T) {
	for _, key := range []string{"esc", "ctrl+c"} {
		d := newDesk(t, 80, 16)
		d.joined("lobby", 20_000)
		d.keys("ctrl+f", "nowhere", "enter")
		number := d.finder.number
		d.happens(scanEvent{room: "lobby", number: number, scanned: 5000, at: 14_801, time: noon})
		d.keys(key)
		if d.back.last("stopSearch") == "" || d.mode != searching {
			t.Fatalf("%s does not stop the search, or closes it", key)
		}
		d.shows("not found back to 25 Nov 2026 12:00; Enter continues, Esc closes")
		d.happens(scanEvent{room: "lobby", number: number, found: 77})
		if d.finder.found != 0 {
			t.Error("a search that was stopped finds")
		}
		d.keys("enter")
		if got := d.back.last("search"); !strings.Contains(got, "from:14801 scanned:5000") {
			t.Errorf("asked for %q, which is not where it was", got)
		}
		d.happens(scanEvent{room: "lobby", number: number, found: 77})
		if d.finder.found != 0 {
			t.Error("what a search before this one found is shown")
		}
		d.happens(scanEvent{room: "lobby", number: d.finder.number, err: client.ErrOffline})
		d.shows("the search was interrupted: ")
		d.keys("enter")
		d.happens(scanEvent{room: "lobby", number: d.finder.number, done: true})
		d.shows("not found in this room; Ctrl-F searches all rooms, Esc closes")
		d.keys("enter", "x") // the text starts another search
		if got := d.back.calls[len(d.back.calls)-1]; got != "stopSearch" {
			t.Errorf("typing leaves the search going: %q", got)
		}
		d.keys("enter", key, key)
		if d.mode != chatting {
			t.Errorf("%s does not close the search", key)
		}
		d.keys("ctrl+f", "x", "enter")
		d.open("other")
		if got := d.finder.looking; got != 0 || d.mode != chatting {
			t.Errorf("in another room the search goes on: %d", got)
		}
	}
}

func TestMouse(t *testing.T) {
	d := newDesk(t, 80, 16)
	d.keys("/join ops", "enter")
	d.joined("ops", 150)
	if d.View().MouseMode != tea.MouseModeNone {
		t.Error("the mouse is taken without being asked for")
	}
	d.config.Mouse = true
	if d.View().MouseMode == tea.MouseModeNone {
		t.Error("the mouse is not taken")
	}
	d.send(tea.MouseWheelMsg{Button: tea.MouseWheelUp})
	if d.active.following {
		t.Error("the wheel does not scroll up")
	}
	d.send(tea.MouseWheelMsg{Button: tea.MouseWheelDown})
	if !d.active.following {
		t.Error("the wheel does not scroll down")
	}
	d.send(tea.MouseClickMsg{Button: tea.MouseLeft, X: 3, Y: 1})
	if d.active.name != "lobby" {
		t.Error("a click does not go to a room")
	}
	d.send(tea.MouseClickMsg{Button: tea.MouseLeft, X: 3, Y: 9})
	d.send(tea.MouseClickMsg{Button: tea.MouseLeft, X: 30, Y: 2})
	if d.active.name != "lobby" {
		t.Error("a click beside the list goes somewhere")
	}
}

func TestIgnore(t *testing.T) {
	d := newDesk(t, 80, 12)
	d.says("lobby", "ben", "noise")
	d.says("lobby", "cid", "signal")
	d.keys("/ignore ben", "enter")
	d.hides("noise")
	d.shows("signal")
	d.says("lobby", "ben", "ann, ann, ann")
	d.hides("ann, ann, ann")
	d.says("lobby", "BEN", "in capitals")
	d.hides("in capitals")
	d.keys("/ignore Ben", "enter")
	d.shows("noise")
}

// Rooms that the panel has no space for are told of.
func TestMoreRoomsThanRows(t *testing.T) {
	d := newDesk(t, 80, 9)
	for n := range 12 {
		d.keys(fmt.Sprintf("/join room%02d", n), "enter")
		d.joined(fmt.Sprintf("room%02d", n), 0)
	}
	d.keys("alt+1")
	d.shows("  8 more")
	d.says("room10", "ben", "hello")
	d.shows("  8 more, 1 new")
	d.says("room11", "ben", "@ann")
	d.shows("  8 more, @1")
	d.config.Mouse = true
	d.send(tea.MouseClickMsg{Button: tea.MouseLeft, X: 3, Y: 5})
	if d.active.name != "room03" {
		t.Errorf("a click goes to %s:\n%s", d.active.name, d.screen())
	}
	d.send(tea.MouseClickMsg{Button: tea.MouseLeft, X: 3, Y: 6})
	if d.mode != switching {
		t.Error("a click on what is not shown does not open the switcher")
	}
	d.keys("esc", "alt+a")
	if d.active.name != "room11" || !strings.Contains(d.screen(), "▸ room11") {
		t.Errorf("the open room is not in the panel:\n%s", d.screen())
	}
	d.send(tea.MouseClickMsg{Button: tea.MouseLeft, X: 3, Y: 1})
	if d.active.name != "room07" {
		t.Errorf("a click in a list that has moved goes to %s:\n%s", d.active.name, d.screen())
	}
}

func TestClear(t *testing.T) {
	d := newDesk(t, 80, 12)
	d.joined("lobby", 50)
	d.keys("/clear", "enter")
	d.hides("message 50")
	d.says("lobby", "ben", "after")
	d.shows("after")
	d.keys("pgup")
	if got := d.back.last("load"); !strings.Contains(got, "Before:51") {
		t.Fatalf("asked for %q", got)
	}
	d.happens(d.pageOf("lobby", page{Before: 51, HasBefore: true}, 50))
	d.keys("pgup")
	d.shows("message 45")
}

func TestCopyIsClean(t *testing.T) {
	d := newDesk(t, 80, 12)
	d.says("lobby", "ben", "first")
	d.says("lobby", "ben", "evil \x1b]0;x\a \u202egpj.exe\nsecond line")
	d.keys("/copy 2", "enter")
	if got, want := strings.Join(d.raw, ""), "first\nevil <U+001B>]0;x<U+0007> <U+202E>gpj.exe\nsecond line"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestRename(t *testing.T) {
	d := newDesk(t, 80, 12)
	d.happens(renamedEvent{name: "ben", err: &client.Error{Code: wire.CodeUsernameTaken, Text: "somebody is connected under this name; choose another"}})
	d.shows("your name stays ann: somebody is connected ")
	d.happens(renamedEvent{name: "anna"})
	d.shows("anna> ")
	d.says("lobby", "ben", "@anna: hi")
	if !d.active.items[len(d.active.items)-1].mention {
		t.Error("the new name is not mentioned")
	}
}

func TestResync(t *testing.T) {
	d := newDesk(t, 80, 12)
	d.joined("lobby", 50)
	d.happens(resyncEvent{room: "lobby", err: &client.ResyncError{Room: "lobby", Epoch: "f", Head: 3, Oldest: 1}, cursor: client.Cursor{Epoch: "f", Seq: 3}})
	d.hides("message 50")
	d.shows("was interrupted")
	if got := d.back.last("load"); !strings.Contains(got, "Before:4") {
		t.Errorf("asked for %q", got)
	}
	d.happens(d.pageOf("lobby", page{Before: 4, HasBefore: true}, 3))
	d.shows("message 3")
}

func TestTheFormAsksAgain(t *testing.T) {
	d := offlineDesk(t, 80, 14, Options{Names: []string{"ann"}})
	for range 2 { // Enter does the same each time
		d.keys("ctrl+u", "nowhere:99999", "enter")
		d.shows("nowhere:99999")
		d.shows("the port must be a number")
		if d.form.at != 0 {
			t.Fatalf("it goes on from a server that is none:\n%s", d.screen())
		}
	}
	d.keys("ctrl+u", "127.0.0.1", "enter", "ctrl+u", "a b", "enter")
	if d.mode != greeting || d.form.at != 1 {
		t.Errorf("a name with a space is taken:\n%s", d.screen())
	}
	d.keys("ctrl+u", "ann", "enter")
	if got := d.back.last("connect"); got != "connect 127.0.0.1:6440 [ann]" {
		t.Errorf("got %q", got)
	}
	d.happens(stateEvent{link: ended, err: &client.Error{Code: wire.CodeUsernameTaken, Text: "somebody is connected under this name; choose another"}})
	d.shows("choose another")
	d.keys("2", "enter")
	if got := d.back.last("connect"); got != "connect 127.0.0.1:6440 [ann2]" {
		t.Errorf("got %q", got)
	}
	d.happens(stateEvent{link: online, username: "ann2"})
	d.shows("joining lobby")
	d.typed("")
}

// Whoever is signed out while they are here reads how to come back; connecting again does not help.
func TestSignedOut(t *testing.T) {
	d := newDesk(t, 100, 12)
	d.options.Explain = func(server string, err error) string { return "sign in at " + server }
	d.happens(stateEvent{link: ended, err: &client.Goodbye{Reason: wire.ReasonAuth}})
	d.shows("disconnected  sign in at chat.example:6440")
	d.hides("/reconnect")
	d.happens(stateEvent{link: ended, err: &client.Goodbye{Reason: wire.ReasonReplaced}})
	d.shows("(replaced); /reconnect")
}

// Who fills the form in is not disturbed by the attempts that go on meanwhile,
// and sees what they type.
func TestTheFormWaits(t *testing.T) {
	d := offlineDesk(t, 20, 9, Options{Names: []string{"ann"}})
	d.keys("ctrl+u", "chat.somewhere.example:6440")
	d.shows("ample:6440")
	if x, _ := d.formCursor(d.Model.shows()); x != 19 {
		t.Errorf("the cursor is in column %d", x)
	}
	d.keys("home")
	d.shows("chat.somew")
	d.keys("enter", "enter")
	failed := stateEvent{link: offline, err: errors.New("no such host")}
	d.happens(failed)
	d.shows("no such host")
	d.keys("tab", "a")
	d.happens(failed)
	d.keys("b")
	if got := d.form.fields[1].text; got != "annab" {
		t.Errorf("the name is %q: an attempt that failed took the cursor away", got)
	}
}

// The author of a long run of messages stays visible: at the top of the screen,
// and every few minutes.
func TestTheAuthorOfALongRun(t *testing.T) {
	d := newDesk(t, 80, 10)
	for n := range 60 {
		d.happens(messageEvent{room: "lobby", head: 60, message: wire.Message{Seq: uint64(n + 1), Username: "ben", Content: fmt.Sprint("message ", n), Time: noon.Add(time.Duration(n) * time.Minute)}})
	}
	for range 40 {
		_, height := d.conversationSize()
		rows := strings.Split(d.screen(), "\n")[1:][:height]
		if !strings.Contains(rows[0], "ben  message") && !strings.Contains(rows[0], "─") {
			t.Fatalf("the top row does not say who is speaking:\n%s", d.screen())
		}
		if names := strings.Count(strings.Join(rows[1:], "\n"), "ben  message"); names < 1 || names > 2 {
			t.Fatalf("the name is there %d times below:\n%s", names, d.screen())
		}
		d.keys("shift+up")
	}
	d = newDesk(t, 80, 10) // a message that is longer than the screen
	d.says("lobby", "a-name-that-is-rather-long", strings.Repeat("word ", 300))
	if row := strings.Split(d.screen(), "\n")[1]; !strings.Contains(row, "12:00 a-name-th…  word") {
		t.Errorf("the top row does not say who is speaking:\n%s", d.screen())
	}
}

// Whatever the size and the state, the screen has the size of the terminal.
func TestEverySize(t *testing.T) {
	for _, method := range []ansi.Method{ansi.WcWidth, ansi.GraphemeWidth} {
		for width := 1; width <= 130; width += 1 + width/8 {
			for _, height := range []int{1, 2, 4, 9, 25} {
				d := busy(t, width, height)
				d.meter.method = method
				d.editor.meter = d.meter
				d.screen()
				for _, keys := range [][]string{{"ctrl+k"}, {"esc", "ctrl+f", "a"}, {"esc", "f1", "pgdown"}, {"esc", "f7", "f8"}, {"pgup", "pgup"}, {"f7", "f8"}} {
					d.keys(keys...)
					d.screen()
				}
				d.send(tea.PasteMsg{Content: strings.Repeat("x\n", 50)})
				d.screen()
			}
		}
		for _, size := range [][2]int{{1, 1}, {3, 2}, {20, 5}} {
			d := offlineDesk(t, size[0], size[1], Options{})
			d.meter.method = method
			d.screen()
		}
	}
}

// Any keys and events in any order leave a room in order.
func TestAnythingInAnyOrder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		d := newDesk(t, 70, 14)
		d.joined("lobby", 300)
		d.keys("/join ops", "enter")
		d.joined("ops", 0)
		keys := []string{
			"a", " ", ":", "/", "?", "enter", "alt+enter", "tab", "shift+tab", "up", "down", "left", "right", "alt+b", "alt+f", "home", "end",
			"backspace", "ctrl+w", "ctrl+u", "ctrl+y", "pgup", "pgdown", "shift+up", "shift+down", "ctrl+home", "esc", "alt+u", "alt+g", "ctrl+f",
			"ctrl+n", "ctrl+p", "alt+a", "alt+/", "ctrl+k", "alt+1", "alt+2", "f1", "f7", "f8", "ctrl+c", "/clear", "/part", "y", "n",
		}
		head := map[string]uint64{"lobby": 300, "ops": 0}
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			switch rapid.IntRange(0, 9).Draw(rt, "kind") {
			case 0:
				room := rapid.SampledFrom([]string{"lobby", "ops"}).Draw(rt, "room")
				head[room]++
				d.happens(messageEvent{room: room, head: head[room], message: old(head[room])})
			case 1:
				asked := d.back.last("load")
				var room string
				p := page{}
				if n, _ := fmt.Sscanf(strings.TrimSuffix(asked, "}"), "load %s {Before:%d After:%d HasBefore:%t HasAfter:%t Around:%t Target:%d", &room, &p.Before, &p.After, &p.HasBefore, &p.HasAfter, &p.Around, &p.Target); n == 7 {
					d.happens(d.pageOf(room, p, head[room]))
				}
			case 2:
				if n := len(d.back.posted); n > 0 {
					for _, r := range d.rooms {
						if len(r.pending) > 0 {
							head[r.name]++
							d.happens(sentEvent{room: r.name, number: r.pending[0].number, receipt: client.Receipt{Seq: head[r.name], Time: noon}})
							break
						}
					}
				}
			case 3:
				d.send(tea.WindowSizeMsg{Width: rapid.IntRange(1, 120).Draw(rt, "width"), Height: rapid.IntRange(1, 40).Draw(rt, "height")})
			case 4:
				d.happens(stateEvent{link: link(rapid.IntRange(0, 2).Draw(rt, "link")), err: errors.New("lost"), retryAt: noon})
			default:
				d.keys(rapid.SampledFrom(keys).Draw(rt, "key"))
			}
			d.screen()
			for _, r := range d.rooms {
				checkOrder(rt, r)
			}
		}
	})
}

func checkOrder(t *rapid.T, r *room) {
	last := uint64(0)
	for _, i := range r.items {
		if i.seq < last || i.kind == itemMessage && i.seq == last {
			t.Fatalf("%s: %d comes behind %d", r.name, i.seq, last)
		}
		if i.kind == itemMessage {
			last = i.seq
		}
	}
	if r.joined && r.read > r.head {
		t.Fatalf("%s: read %d of %d", r.name, r.read, r.head)
	}
	if r.attached && !r.loading && r.joined && r.last() > 0 && r.last() < r.head {
		t.Fatalf("%s: it ends at %d and claims to reach the head %d", r.name, r.last(), r.head)
	}
}

// Keywords ring as mentions do, also if the server counts those, and nothing rings while the
// account does not want to be disturbed.
func TestNotificationsOfTheAccountRing(t *testing.T) {
	plans := stateOf("plans", kaban.RoomPrivate, kaban.RoomRoleMember, 0, 0)
	plans.Notify = kaban.NotifyMentions
	d := newMember(t, kaban.RoleMember, plans, stateOf("other", kaban.RoomPublic, kaban.RoomRoleMember, 0, 0))
	d.joined("plans", 0)
	d.joined("other", 0)
	d.keys("/join other", "enter")
	rings := func(what, by, content string, want bool) {
		t.Helper()
		d.raw = nil
		d.says("plans", by, content)
		if got := len(d.raw) > 0; got != want {
			t.Errorf("%s: it rang: %t, want %t", what, got, want)
		}
	}
	rings("no keyword yet", "ben", "deploy now", false)
	words := client.Notifications{Keywords: []string{"deploy"}, Level: kaban.NotifyMentions}
	d.happens(notificationsEvent(words))
	rings("a keyword", "ben", "Deploy now", true)
	rings("a keyword and a mention", "ben", "@ann deploy", true)
	d.raw = nil
	plans.Mentions = 1
	plans.Head = d.Model.room("plans").head
	d.happens(roomStateEvent(plans))
	if len(d.raw) > 0 {
		t.Error("it rang again when the server counted the mention")
	}
	rings("part of a word", "ben", "deployed", false)
	rings("one's own", "ann", "deploy now", false)
	words.Quiet = &wire.Quiet{From: "11:30", To: "12:30", Zone: "UTC"}
	d.happens(notificationsEvent(words))
	rings("in quiet hours", "ben", "deploy now", false)
	words.Quiet = &wire.Quiet{From: "12:30", To: "13:30", Zone: "UTC"}
	d.happens(notificationsEvent(words))
	rings("in other hours", "ben", "deploy now", true)
	plans.Notify = kaban.NotifyNone
	d.happens(roomStateEvent(plans))
	rings("in a room that does not notify", "ben", "deploy now", false)
	plans.Notify = kaban.NotifyMentions
	d.happens(roomStateEvent(plans), meEvent{me: client.Me{Account: *d.account, Rooms: []wire.RoomState{plans}}})
	rings("after a new start without keywords", "ben", "deploy now", false)
}
