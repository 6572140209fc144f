package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"kaban/internal/childtest"
)

// daemon is a server that can be killed and restarted with the same data.
type daemon struct {
	*running
	t    *testing.T
	addr string
	data string
}

func startServer(t *testing.T) *daemon {
	t.Helper()
	d := &daemon{t: t, addr: childtest.Address(t), data: newData(t)}
	d.start()
	return d
}

func (d *daemon) start() {
	d.t.Helper()
	d.running = command(d.t, "serve", "--listen", "tcp://"+d.addr, "--data", d.data)
	d.begin()
	d.await("msg=ready")
}

func (d *daemon) kill() {
	d.Process.Kill()
	<-d.ended
}

// chat opens a terminal client.
func (d *daemon) chat(width, height int, name string, args ...string) *pane {
	d.t.Helper()
	p := openPane(d.t, width, height, nil, append([]string{"--server", d.addr, "--username", name}, args...)...)
	p.await("● online")
	return p
}

// say sends a message under a name and waits until it is stored.
func (d *daemon) say(name, room string, lines ...string) {
	d.t.Helper()
	r := command(d.t, "chat", "--plain", "--server", d.addr, "--username", name, "--room", room)
	r.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	r.begin()
	if code := r.finish(); code != 0 {
		d.t.Fatalf("chat --plain ended with %d: %s", code, r)
	}
}

// stored returns the messages in a room.
func (d *daemon) stored(room string) string {
	d.t.Helper()
	r := command(d.t, "tail", "--server", d.addr, room, "--since", "0")
	r.begin()
	r.finish()
	return r.String()
}

func TestTerminalFirstStart(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	s.kill()
	p := openPane(t, 80, 24, nil)
	p.awaitLine("Server", "127.0.0.1:6440")
	p.awaitLine("Name", "guest")
	p.keys("C-u", s.addr, "Enter", "C-u", "ann", "Enter")
	p.await("nothing listens at " + s.addr)
	s.start() // the form waits for it
	p.await("● online")
	p.await("nobody has said anything here yet")
	p.keys("hello", "Enter")
	p.awaitLine("ann", "hello")
	p.keys("C-d")
	p.awaitEnd()
	file, err := os.ReadFile(filepath.Join(p.home, "config", "kaban", "config.toml"))
	if err != nil || !strings.Contains(string(file), `server = "`+s.addr+`"`) || !strings.Contains(string(file), `username = "ann"`) {
		t.Errorf("it keeps %q, %v", file, err)
	}
	p.close()
	p.start(80, 24, binary, "chat") // and does not ask again
	p.awaitLine("ann", "hello")
}

func TestTerminalTwoPeopleTalk(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	ann, ben := s.chat(100, 24, "ann"), s.chat(100, 24, "ben")
	ann.awaitLine("│ ben")
	ann.keys("hello **ben**, 你好 :wave:", "Enter")
	ben.awaitLine("ann", "hello ben, 你好 👋")
	ben.keys("two", "M-Enter", "lines", "Enter")
	ann.awaitLine("ben", "two")
	ann.awaitLine("lines")
	ann.keys("be", "Tab", "yes", "Enter")
	ben.awaitLine("▌", "ben: yes")
	ben.awaitLine("ann", "ben: yes")
	ben.keys("/nick benjamin", "Enter")
	ann.awaitLine("│ benjamin")
	ben.keys("as another", "Enter")
	ann.awaitLine("benjamin", "as another")
	ben.keys("//slash", "Enter", "/me waves", "Enter")
	ann.awaitLine("/slash")
	ann.awaitLine("*", "benjamin waves")
	if got := strings.Count(s.stored("lobby"), "\n"); got != 6 {
		t.Errorf("%d messages are stored, want 6:\n%s", got, s.stored("lobby"))
	}
}

func TestTerminalMessagesChange(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	ann, ben := s.chat(100, 24, "ann"), s.chat(100, 24, "ben")
	ann.keys("the first", "Enter", "shall we depoly?", "Enter")
	ben.awaitLine("shall we depoly?")
	ben.keys("M-s", "r", "yes, today", "Enter")
	ann.awaitLine("┌ ann: shall we depoly?")
	ann.awaitLine("ben", "yes, today")
	ann.keys("M-s", "Up", "e")
	ann.await("edit> shall we depoly?")
	ann.keys("C-w", "deploy?", "Enter")
	for _, p := range []*pane{ann, ben} {
		p.awaitLine("shall we deploy? (edited)")
		p.awaitLine("┌ ann: shall we deploy?")
	}
	ann.keys("M-s", "+", "tada", "Enter")
	ann.awaitLine("[🎉 1]")
	ben.awaitLine("🎉 1")
	ben.keys("/react #3 :tada:", "Enter") // the own one
	ann.awaitLine("[🎉 2]")
	ben.awaitLine("[🎉 2]")
	ann.keys("M-s", "Up", "Up", "d")
	ann.await("Delete ann: the first? (y/n)")
	ann.keys("y")
	for _, p := range []*pane{ann, ben} {
		p.awaitLine("ann", "(deleted)")
		p.awaitGone("the first")
		p.awaitGone("…")
	}
	ben.keys("/edit #2 no", "Enter")
	ben.await("you can edit only your own messages")
	// Whoever comes later sees the same.
	cid := s.chat(100, 24, "cid")
	cid.awaitLine("ann", "(deleted)")
	cid.awaitLine("shall we deploy? (edited)")
	cid.awaitLine("┌ ann: shall we deploy?")
	cid.awaitLine("🎉 2")
}

func TestTerminalUnread(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	ann := s.chat(90, 24, "ann")
	ann.keys("/join ops", "Enter")
	ann.await("▸ ops") // in lobby as well nobody has said anything
	ann.await("nobody has said anything here yet")
	s.say("ben", "lobby", "one", "two", "@ann, three")
	ann.awaitLine("lobby", "@3")
	ann.keys("M-a")
	ann.awaitLine("ben", "one")
	ann.await("─ new ─")
	ann.awaitGone("@3")
	ann.keys("/quit", "Enter")
	ann.awaitEnd()
	s.say("ben", "ops", "while you were away")
	ann.close()
	ann.start(90, 24, binary, "chat", "--server", s.addr, "--username", "ann")
	ann.awaitLine("ops", "1")
	ann.keys("M-a")
	ann.awaitLine("ben", "while you were away")
	ann.await("─ new ─")
}

func TestTerminalScrollback(t *testing.T) {
	t.Parallel()
	const n = 20_000
	s := startServer(t)
	lines := make([]string, n)
	for i := range lines {
		lines[i] = fmt.Sprintf("message %d.", i+1)
	}
	s.say("ben", "lobby", lines...)
	p := s.chat(80, 120, "ann")
	p.await("message 20000.")
	// A slow machine takes long for all pages, but not for one. A press while a page is
	// under way may not move the view, so presses are not counted.
	top := ""
	for deadline := time.Now().Add(patience); !strings.Contains(p.screen(), "the beginning of lobby"); {
		p.keys("PageUp")
		p.awaitGone("loading …")
		if now := regexp.MustCompile(`message \d+\.`).FindString(p.screen()); now != top {
			top, deadline = now, time.Now().Add(patience)
		} else if time.Now().After(deadline) {
			t.Fatalf("PgUp does not go beyond %q", top)
		}
	}
	p.await("message 1.")
	s.say("ben", "lobby", "something new")
	p.await("↓ 1 new")
	p.await("message 1.") // the view stays
	p.keys("Escape")
	p.await("something new")
	p.keys("C-Home")
	p.await("message 1.")
	p.keys("C-f", "message 77.", "Enter")
	p.awaitLine("▸", "message 77.")
}

func TestTerminalSwitcher(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	s.say("ben", "operations", "hello from there")
	p := s.chat(80, 24, "ann")
	p.keys("C-k")
	p.await("go to room:")
	p.awaitLine("operations", "not joined")
	p.keys("ops")
	p.awaitLine("▸ operations")
	p.keys("Enter")
	p.await("hello from there")
	p.keys("C-k", "lob", "Enter")
	p.await("nobody has said anything here yet")
	p.keys("M-2")
	p.await("hello from there")
	p.keys("F7")
	p.awaitGone("│")
}

func TestTerminalPaste(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	p := s.chat(80, 24, "ann")
	p.must("set-buffer", "one\ntwo\nthree\nfour \x1b[31mfive\n")
	p.must("paste-buffer", "-p")
	p.await("Paste 4 lines into the message?")
	p.keys("n")
	p.awaitGone("Paste 4 lines")
	p.must("paste-buffer", "-p")
	p.await("Paste 4 lines into the message?")
	p.keys("y")
	p.awaitLine("ann> one")
	p.keys("Enter")
	p.awaitThat("the ack", func(string) bool { return strings.Contains(s.stored("lobby"), `one\ntwo\nthree\nfour five`) })
	if got := strings.Count(s.stored("lobby"), "\n"); got != 1 {
		t.Errorf("%d messages are stored", got)
	}
}

func TestTerminalResizeStorm(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	s.say("ben", "lobby", "a first message that is long enough to be wrapped when the terminal is narrow", "the last one")
	p := s.chat(80, 24, "ann")
	p.await("the last one")
	before := p.screen()
	sizes := rand.New(rand.NewPCG(1, 2))
	for range 150 {
		p.must("resize-window", "-x", strconv.Itoa(1+sizes.IntN(150)), "-y", strconv.Itoa(1+sizes.IntN(50)))
	}
	p.must("resize-window", "-x", "1", "-y", "1")
	p.must("resize-window", "-x", "80", "-y", "24")
	p.awaitThat("the screen as it was", func(screen string) bool { return withoutLatency(screen) == withoutLatency(before) })
	p.keys("still here", "Enter")
	p.awaitLine("ann", "still here")
}

// withoutLatency removes the part of the screen that changes by itself.
func withoutLatency(screen string) string {
	return regexp.MustCompile(`online.*`).ReplaceAllString(screen, "")
}

func TestTerminalServerKilledAndBack(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	ann, ben := s.chat(100, 24, "ann"), s.chat(100, 24, "ben")
	ann.keys("before", "Enter")
	ben.awaitLine("ann", "before")
	for round := range 3 {
		s.kill()
		ann.await("○ offline")
		for i := range 3 {
			ann.keys(fmt.Sprintf("typed-%d-%d", round, i), "Enter")
		}
		ann.await("3 to be sent")
		s.start()
		ann.await("● online")
		ann.awaitGone("…")
		ben.await(fmt.Sprintf("typed-%d-0", round))
		ben.await(fmt.Sprintf("typed-%d-2", round))
	}
	var want []string
	want = append(want, "before")
	for n := range 9 {
		want = append(want, fmt.Sprintf("typed-%d-%d", n/3, n%3))
	}
	var got []string
	for l := range strings.Lines(s.stored("lobby")) {
		fields := strings.Fields(l)
		got = append(got, fields[len(fields)-1])
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("stored is %q, want %q", got, want)
	}
	for _, p := range []*pane{ann, ben} {
		screen := p.screen()
		at := 0
		for _, text := range want {
			next := strings.Index(screen[at:], text)
			if next < 0 || strings.Count(screen, text) != 1 {
				t.Errorf("%q is not there once and in order:\n%s", text, screen)
				break
			}
			at += next
		}
	}
	// A server that shuts down gracefully says goodbye.
	s.Process.Signal(os.Interrupt)
	s.finish()
	ann.await("○ offline")
}

// Output from a server cannot control the terminal.
func TestTerminalHostileMessages(t *testing.T) {
	t.Parallel()
	evil := []string{
		`\u001b[2J\u001b[H`, `\u001b]0;owned\u0007`, `\u001b]52;c;b3duZWQ=\u0007`, `\u001b[?1049l`, `\u001b[6n`, `\u001bPq#0~\u001b\\`,
		`\u009b31m`, `\u202egpj.exe`, `a\rb`, `\u0007\u0008`, `e` + strings.Repeat(`\u0301`, 500), `\u200b\ufeff`, `\u001b[8;1;1t`,
	}
	addr := fake(t, func(r request) ([]string, bool) {
		switch r.Type {
		case "history":
			var messages []string
			for n, text := range evil {
				messages = append(messages, fmt.Sprintf(`{"seq":%d,"id":"m%d","username":"%s","content":"%s","time":"2026-11-24T02:35:37.101Z"}`, n+1, n, text, text))
			}
			return []string{fmt.Sprintf(`{"type":"history","room":"lobby","messages":[%s],"more":false,"ref":"REF"}`, strings.Join(messages, ","))}, true
		case "join":
			return []string{fmt.Sprintf(`{"type":"joined","room":"lobby","epoch":"e","head":%d,"members":1,"ref":"REF"}`, len(evil))}, true
		case "members":
			return []string{`{"type":"members","room":"lobby","usernames":["\u001b[31mred","\u202enna"],"more":false,"ref":"REF"}`}, true
		}
		return nil, false
	})
	p := openPane(t, 100, 40, nil, "--server", addr, "--username", "ann")
	p.await("● online")
	p.await("<U+202E>gpj.exe")
	p.await("<U+001B>[2J<U+001B>[H")
	p.await("<492 marks>")
	p.await("│ <U+001B>[31")
	p.await("ann>")
	if got := p.must("display-message", "-p", "#{pane_title} #{alternate_on} #{window_width}x#{window_height}"); got != "kaban lobby 1 100x40\n" {
		t.Errorf("title, alternate screen and size are %q", got)
	}
	if out, err := p.run("show-buffer"); err == nil {
		t.Errorf("a message reached the clipboard: %q", out)
	}
	for _, r := range p.screen() {
		if r == '\u202e' || r == '\u200b' || r < ' ' && r != '\n' {
			t.Errorf("%U is on the screen", r)
		}
	}
}

func TestTerminalSuspendAndSignals(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	s.say("ben", "lobby", "hello")
	p := openPane(t, 80, 24, nil, "--print-config") // only for the terminal
	p.awaitEnd()
	p.close()
	p.start(80, 24, "bash", "--norc", "--noprofile", "-i")
	chat := fmt.Sprintf("'%s' chat --server %s --username ann", binary, s.addr)
	p.keys("PS1='shell> '; "+chat, "Enter")
	p.await("● online")
	p.awaitLine("ben", "hello")
	p.keys("a draft", "C-z")
	p.await("Stopped")
	p.keys("fg", "Enter")
	p.await("ann> a draft")
	p.awaitLine("ben", "hello")
	p.keys(" that is sent", "Enter")
	p.awaitThat("the ack", func(string) bool { return strings.Contains(s.stored("lobby"), "a draft that is sent") })

	for i, signal := range []syscall.Signal{syscall.SIGHUP, syscall.SIGTERM, syscall.SIGINT} {
		if i > 0 {
			p.keys(chat, "Enter")
			p.await("● online")
		}
		if err := syscall.Kill(p.child(), signal); err != nil {
			t.Fatal(err)
		}
		p.awaitThat("the prompt", func(screen string) bool {
			return strings.HasSuffix(strings.TrimSpace(screen), "\nshell>")
		})
		p.keys(fmt.Sprintf("echo %d ended with $?", signal), "Enter")
		p.await(fmt.Sprintf("%d ended with 0", signal))
	}
}

func TestTerminalWithoutColours(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	s.say("ben", "lobby", "*hello* @ann https://example.org")
	p := openPane(t, 80, 24, []string{"NO_COLOR=1"}, "--server", s.addr, "--username", "ann")
	p.awaitLine("▌", "ben", "hello @ann")
	if colour := regexp.MustCompile(`\x1b\[[0-9;]*[34]8;[0-9;]*m|\x1b\[(3[0-7]|4[0-7]|9[0-7])m`).FindString(p.coloured()); colour != "" {
		t.Errorf("there is a colour: %q", colour)
	}
}
