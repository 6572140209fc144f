package tui

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"kaban/client"
)

func written(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kaban", "config.toml")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestConfigErrors(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{`sever = "a:1"`, `line 1: unknown key "sever", did you mean "server"?`},
		{"\ntheme = \"loud\"", `line 2: theme: "loud" is none of auto, dark, light`},
		{`notify = "drum"`, `notify: "drum" is none of bell, off, osc9, osc777`},
		{`mouse = "yes"`, "mouse: it must be true or false"},
		{`typing = "no"`, "typing: it must be true or false"},
		{`username = "a b"`, "line 1: username: "},
		{`server = ["a", "b"]`, "server must be one value"},
		{`key_send = "crtl+x"`, `"crtl+x" is not a key`},
		{`key_send = ["entr"]`, `"entr" is not a key`},
		{`key_sned = "f5"`, `did you mean "key_send"?`},
		{`server = `, "line 1"},
		{`key_send = "ctrl+i"`, `"ctrl+i" is the same as "tab" for most terminals`},
		{`key_send = "f99"`, `"f99" is not a key`},
		{`server = "a:b:c"`, `server: "a:b:c" is not HOST or HOST:PORT`},
		{`server = "chat.example:http"`, "server: "},
		{`ignore = ["ben", "a b"]`, `ignore: "a b": `},
		{`key_send = ""`, `"" is not a key`},
		{`key_send = "ctrl"`, `"ctrl" is not a key`},
		{"key_help = \"f5\"\nkey_redraw = [\"ctrl+l\", \"F5\"]", `key_help and key_redraw both have "f5"`},
		{"key_help = \"ctrl+alt+x\"\nkey_redraw = \"alt+ctrl+x\"", `key_help and key_redraw both have "ctrl+alt+x"`},
		{`key_help = ["f5", "f5"]`, `key_help has "f5" twice`},
		{`key_kill_end = "ctrl+k"`, `key_kill_end takes "ctrl+k" from switcher, which has no other key; give it one with key_switcher`},
		{`key_send = []`, "key_send must have a key"},
		{`key_quit = []`, "key_quit must have a key"},
	} {
		path := written(t, test.text)
		if _, err := LoadConfig(path); err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%q: got %v, want %q", test.text, err, test.want)
		}
	}
	if _, err := LoadConfig(t.TempDir()); err == nil {
		t.Error("a directory is taken")
	}
	if c, err := LoadConfig(filepath.Join(t.TempDir(), "none")); err != nil || c.Server != "" {
		t.Errorf("a file that is not there: got %+v, %v", c, err)
	}
}

// What --print-config prints is a configuration that means the same.
func TestPrintedConfigCanBeRead(t *testing.T) {
	path := written(t, `
server = "chat.example:6440"
username = "ann"
theme = "light"
notify = "off"
mouse = true
ignore = ["ben", "c\u0301id"]
key_switcher = ["ctrl+g", "f5"]
key_kill_end = "ctrl+k"
`)
	before, err := LoadConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(before.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	after, err := LoadConfig(path)
	if err != nil || !reflect.DeepEqual(before, after) {
		t.Errorf("got %+v, %v\nwant %+v", after, err, before)
	}
	defaults := Config{path: path}.String()
	for _, s := range settings() {
		if !strings.Contains(defaults, "\n# "+s.name+" = "+s.initial+"\n") {
			t.Errorf("%s is not printed with its default", s.name)
		}
	}
	// The defaults that are printed are those that hold.
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(defaults, "\n# ", "\n#")), 0o600); err != nil {
		t.Fatal(err)
	}
	uncommented := strings.Builder{}
	for l := range strings.Lines(defaults) {
		if key, ok := strings.CutPrefix(l, "# "); ok && strings.Contains(key, " = ") && !strings.Contains(strings.Split(key, " = ")[0], " ") {
			l = key
		}
		uncommented.WriteString(l)
	}
	if err := os.WriteFile(path, []byte(uncommented.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := LoadConfig(path)
	if err != nil {
		t.Fatalf("%v\n%s", err, uncommented.String())
	}
	if got, want := bind(c.Keys), bind(nil); len(got) != len(want) {
		t.Errorf("the printed keys are %d, the default ones %d", len(got), len(want))
	}
}

// Keeping a setting changes its line and no other.
func TestSavingKeepsTheRest(t *testing.T) {
	path := written(t, "# mine\nserver = \"old:1\" # where\n\nignore = [\n  \"x\",\n  \"y\",\n]\nmouse = true\n")
	c, err := LoadConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	c.Server, c.Username, c.Ignore = `new:2`, `ann`, []string{"z"}
	if err := c.save("server", "username", "ignore"); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	want := "# mine\nserver = \"new:2\"\n\nignore = [\"z\"]\nmouse = true\nusername = \"ann\"\n"
	if err != nil || string(got) != want {
		t.Errorf("got %q, %v\nwant %q", got, err, want)
	}
	fresh := Config{path: filepath.Join(t.TempDir(), "a", "b", "config.toml"), Server: "https://s/chat"}
	if err := fresh.save("server"); err != nil {
		t.Fatal(err)
	}
	if again, err := LoadConfig(fresh.path); err != nil || again.Server != "https://s/chat" {
		t.Errorf("got %+v, %v", again, err)
	}
	if info, err := os.Stat(filepath.Dir(fresh.path)); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory has mode %v, %v", info.Mode(), err)
	}
}

func TestConfiguredKeys(t *testing.T) {
	d := offlineDesk(t, 80, 12, Options{Config: Config{Server: "s:1", Username: "ann", Keys: map[string][]string{
		"switcher": {"ctrl+g"}, "kill_end": {"ctrl+k"},
	}}})
	d.happens(stateEvent{link: online, username: "ann"})
	d.joined("lobby", 0)
	d.keys("one two", "alt+b", "ctrl+k")
	d.typed("one ")
	d.keys("ctrl+g")
	if d.mode != switching {
		t.Error("ctrl+g does not open the switcher")
	}
	d.keys("esc")
	for _, want := range []string{"Ctrl-G  ", "Ctrl-K  "} {
		found := false
		for _, l := range d.helpLines(80) {
			found = found || strings.Contains(l.text(), "   "+want)
		}
		if !found {
			t.Errorf("the help does not show %s", want)
		}
	}
	for key, a := range d.bindings {
		if parsed, err := parseKey(key); err != nil || parsed != key {
			t.Errorf("%s: got %q, %v of %q", a.name, parsed, err, key)
		}
	}
}

func TestParseKey(t *testing.T) {
	for written, want := range map[string]string{
		"ctrl+k": "ctrl+k", "Ctrl-K": "ctrl+k", "alt+ctrl+x": "ctrl+alt+x", "Shift-Alt-Enter": "alt+shift+enter", "pgdn": "pgdown", "Escape": "esc",
		"shift+a": "A", "a": "a", "A": "A", "?": "?", "-": "-", "+": "+", "alt+-": "alt+-", "Alt--": "alt+-", "alt++": "alt++", "space": " ",
		"ctrl+space": "ctrl+space", "F7": "f7", "ü": "ü", "alt+<": "alt+<",
	} {
		if got, err := parseKey(written); err != nil || got != want {
			t.Errorf("%q: got %q, %v, want %q", written, got, err, want)
		}
		if got, err := parseKey(label(want)); err != nil || got != want && len(want) > 1 {
			t.Errorf("the help shows %q as %q, which is read as %q, %v", want, label(want), got, err)
		}
	}
	for _, bad := range []string{"", "ctrl", "ctrl+", "hyper+x", "f0", "f64", "entr", "ctrl+entr", "\a", "ab"} {
		if got, err := parseKey(bad); err == nil {
			t.Errorf("%q is taken as %q", bad, got)
		}
	}
}

// Keys that are configured hold everywhere, also where an action takes two of
// them and in what is open above the conversation.
func TestConfiguredKeysHoldEverywhere(t *testing.T) {
	d := offlineDesk(t, 80, 12, Options{Config: Config{Server: "s:1", Username: "ann", Keys: map[string][]string{
		"quit": {"ctrl+q"}, "help": {"f5"}, "page_down": {"f6"},
	}}})
	d.happens(stateEvent{link: online, username: "ann"})
	d.joined("lobby", 0)
	d.keys("f5", "f6")
	if d.mode != helping || d.helpTop == 0 {
		t.Errorf("F6 does not scroll the help")
	}
	d.keys("f5")
	if d.mode != chatting {
		t.Errorf("F5 does not close the help")
	}
	d.keys("ctrl+q")
	d.shows("press Ctrl-Q again to quit")
	d.keys("ctrl+q")
	if !d.quit {
		t.Error("Ctrl-Q twice does not quit")
	}
}

// Each key does one thing, and each action has a key and an explanation.
func TestActions(t *testing.T) {
	seen := make(map[string]string)
	for _, a := range actions() {
		if a.help == "" || len(a.keys) == 0 || a.do == nil {
			t.Errorf("%s lacks something", a.name)
		}
		for _, key := range a.keys {
			if other := seen[key]; other != "" {
				t.Errorf("%s is for %s and for %s", key, a.name, other)
			}
			seen[key] = a.name
			if parsed, err := parseKey(key); err != nil || parsed != key {
				t.Errorf("%s: got %q, %v of %q", a.name, parsed, err, key)
			}
		}
	}
}

// Every action can be done at any time.
func TestEveryActionInEveryState(t *testing.T) {
	for name, state := range map[string]func() *desk{
		"connecting": func() *desk { return offlineDesk(t, 80, 12, Options{Config: Config{Server: "s:1"}}) },
		"no room":    func() *desk { d := newDesk(t, 80, 12); d.keys("/part", "enter"); return d },
		"empty":      func() *desk { return newDesk(t, 80, 12) },
		"busy":       func() *desk { return busy(t, 80, 24) },
	} {
		for _, a := range actions() {
			d := state()
			a.do(d.Model)
			d.screen()
			d.keys("x", "enter", "esc")
			d.screen()
			if t.Failed() {
				t.Fatalf("%s: %s", name, a.name)
			}
		}
	}
}

func TestPlaces(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	p := placesOf("chat.example:6440", "ann/../x")
	if got := p.load(); len(got) != 0 {
		t.Errorf("got %v of nothing", got)
	}
	all := []place{{"lobby", client.Cursor{Epoch: "e", Seq: 42}, false}, {"ops", client.Cursor{Epoch: "e", Seq: 0}, true}}
	if err := p.save(all); err != nil {
		t.Fatal(err)
	}
	if got := p.load(); !reflect.DeepEqual(got, all) {
		t.Errorf("got %v, want %v", got, all)
	}
	if err := os.WriteFile(p.path, []byte("lobby 3@e\nhalf\nnot a room 1@e\n\x1b[2J 3@e\nops 7@e\n\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := p.load(); len(got) != 2 || got[0].room != "lobby" || got[1].cursor.Seq != 7 {
		t.Errorf("of a damaged file: got %v", got)
	}
	if filepath.Dir(p.path) != filepath.Join(os.Getenv("XDG_STATE_HOME"), "kaban") {
		t.Errorf("it is at %s", p.path)
	}
}

// The rooms of the last time are open again, with their unread messages.
func TestTheNextStart(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	o := Options{Config: Config{Server: "s:1", Username: "ann"}, Keep: true}
	if err := placesOf("s:1", "ann").save([]place{{"ops", client.Cursor{Epoch: "e", Seq: 40}, false}, {"kitchen", client.Cursor{Epoch: "other", Seq: 7}, true}}); err != nil {
		t.Fatal(err)
	}
	d := offlineDesk(t, 80, 20, o)
	d.happens(stateEvent{link: online, username: "ann"})
	d.joined("kitchen", 9)
	d.joined("ops", 50)
	if d.active.name != "kitchen" {
		t.Errorf("%s is open, want kitchen, which was open at last", d.active.name)
	}
	d.enter(d.room("ops"))
	d.shows("─ new ─")
	if r := d.room("kitchen"); r.unread() != 0 || r.marked {
		t.Errorf("kitchen, whose data was replaced, has %d unread", r.unread())
	}
	if got := d.saved(); len(got) != 2 || got[0].room != "ops" || got[0].cursor != (client.Cursor{Epoch: "e", Seq: 50}) || !got[0].last || got[1].last {
		t.Errorf("it would keep %v", got)
	}
}
