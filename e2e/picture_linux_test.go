package e2e

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// gallery runs the full-screen client of an account with pictures on, in a room with a message of a picture, whose
// thumbnail is that of the test. It returns the keyboard and what is sent.
func gallery(t *testing.T, thumbnail []byte, env ...string) (r *running, keys *os.File, sent chan string) {
	t.Helper()
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/thumbnail") || r.Header.Get("Authorization") != "Bearer kbt_test" {
			http.NotFound(w, r)
			return
		}
		w.Write(thumbnail)
	}))
	t.Cleanup(page.Close)
	sent = make(chan string, 10)
	addr := fake(t, func(r request) ([]string, bool) {
		switch r.Type {
		case "hello":
			return []string{fmt.Sprintf(`{"type":"welcome","version":1,"session":"s","username":"ann","server":"fake","web":%q,"account":{"username":"ann","name":"Ann","role":"member"},"limits":{"username":32,"content":5000,"frame":65536},"heartbeat":30,"ref":"REF"}`, page.URL)}, true
		case "join":
			return []string{`{"type":"joined","room":"lobby","epoch":"e","head":1,"members":1,"ref":"REF"}`}, true
		case "history":
			return []string{`{"type":"history","room":"lobby","messages":[{"seq":1,"id":"1","username":"bob","content":"look","time":"2026-11-24T02:35:37.101Z","files":[{"file":"` + strings.Repeat("a", 26) +
				`","name":"gpj.\u202ecat.png","size":70211,"type":"image/png","width":1200,"height":900}]}],"more":false,"ref":"REF"}`}, true
		case "send":
			sent <- r.Content
		}
		return nil, false
	})
	home := t.TempDir()
	token := filepath.Join(home, "token")
	if err := os.WriteFile(token, []byte("kbt_test\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r = command(t, "chat", "--pictures", "--server", addr, "--username", "ann", "--room", "lobby", "--token-file", token)
	r.Env = append(os.Environ(), "TERM=xterm", "TMUX=", "STY=", "XDG_CONFIG_HOME="+home, "XDG_STATE_HOME="+home)
	r.Env = append(r.Env, env...)
	keys = r.beginOnTerminal(80, 24)
	r.await("gpj.<U+202E>cat.png")
	return r, keys, sent
}

// redPicture is a PNG of red pixels.
func redPicture(t *testing.T, width, height int) []byte {
	t.Helper()
	img := image.NewNRGBA(image.Rect(0, 0, width, height))
	for i := range width * height {
		img.Set(i%width, i/width, color.NRGBA{255, 0, 0, 255})
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// awaitDrawn waits for a text on the screen. The client draws only what has changed, and everything after a change of
// the size.
func (r *running) awaitDrawn(keys *os.File, text string) {
	r.t.Helper()
	columns, from := uint16(80), len(r.String())
	for deadline := time.Now().Add(patience); !strings.Contains(r.String()[from:], text); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatalf("%q is not on the screen: %q", text, r)
		}
		columns ^= 1
		if err := unix.IoctlSetWinsize(int(keys.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: columns}); err != nil {
			r.t.Fatal(err)
		}
	}
}

const (
	kittyQuery = "\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\\x1b[c\x1b[16t"
	showKitty  = "\x1b_Ga=p,i=1802658401,p=1,"
	hideKitty  = "\x1b_Ga=d,d=I,i=1802658401,q=2\x1b\\"
	showSixel  = "\x1bP0;1q\"1;1;"
)

// A terminal shows a picture by the protocol that it has answered for, and removes it with a key, which types nothing.
func TestPicturesInTerminals(t *testing.T) {
	for name, c := range map[string]struct{ answers, shows, hides string }{
		"kitty":          {"\x1b_Gi=31;OK\x1b\\\x1b[?62;c\x1b[6;20;10t", showKitty + "c=10,r=5,C=1,q=2\x1b\\", hideKitty},
		"sixel":          {"\x1b[?62;4;22c\x1b[6;20;10t", showSixel + `100;100#0;2;100;0;0#0!100~-`, "\x1b[2J"},
		"sixel, no size": {"\x1b[?62;4;22c", showSixel + `100;100#0;2;100;0;0`, "\x1b[2J"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, keys, sent := gallery(t, redPicture(t, 100, 100))
			r.await(kittyQuery)
			fmt.Fprint(keys, c.answers)
			fmt.Fprint(keys, "\x1bs") // Alt-S
			r.await("r reply")
			fmt.Fprint(keys, "v")
			r.await(c.shows)
			shown := len(r.String())
			fmt.Fprint(keys, "x")
			r.until(func() bool { return strings.Contains(r.String()[shown:], c.hides) })
			fmt.Fprint(keys, "hello\r")
			if got := receive(t, sent, "message"); got != "hello" {
				t.Errorf("it sent %q", got)
			}
			if strings.Contains(r.String(), "\u202e") {
				t.Error("the name of the file reaches the terminal as it is")
			}
		})
	}
}

// A terminal that answers nothing, or junk, types what the person types; so does one whose thumbnail is no picture.
func TestTerminalsThatShowNoPictures(t *testing.T) {
	for name, c := range map[string]struct {
		env     string
		answers string
		picture []byte
		says    string
	}{
		"silent":  {"A=b", "", nil, "has not said that it shows pictures"},
		"junk":    {"A=b", "\x1b_Gi=31;\x1b\\\x1b_Gjunk;OK\x1b\\\x1b[?4c\x1b[?;;c\x1b[6;0;99999999t\x1b_Gi=99;OK\x1b\\", nil, "has not said that it shows pictures"},
		"refusal": {"A=b", "\x1b_Gi=31;ENOTSUP: \x1b\\\x1b[?1;2c", nil, "has not said that it shows pictures"},
		"tmux":    {"TMUX=/tmp/tmux-0/default,1,0", "", nil, "not shown inside tmux or screen"},
		"text":    {"A=b", "\x1b_Gi=31;OK\x1b\\", []byte("\x1b]0;owned\x07"), "it cannot be shown: its thumbnail is no picture"},
		"cut":     {"A=b", "\x1b[?62;4c", redPicture(t, 100, 100)[:60], "it cannot be shown: its thumbnail is no picture"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, keys, sent := gallery(t, c.picture, c.env)
			fmt.Fprint(keys, c.answers)
			fmt.Fprint(keys, "\x1bs")
			r.await("r reply")
			fmt.Fprint(keys, "v")
			r.awaitDrawn(keys, c.says)
			if len(c.picture) > 0 {
				closing := len(r.String())
				fmt.Fprint(keys, "x")
				r.until(func() bool { return strings.Contains(r.String()[closing:], "\x1b[2J") })
			}
			fmt.Fprint(keys, "hello\r")
			if got := receive(t, sent, "message"); got != "hello" {
				t.Errorf("it sent %q", got)
			}
			for _, bad := range []string{showKitty, showSixel, "]0;owned"} {
				if strings.Contains(r.String(), bad) {
					t.Errorf("the terminal gets %q", bad)
				}
			}
			if asks := strings.Contains(r.String(), kittyQuery); asks != (name != "tmux") {
				t.Errorf("the terminal is asked: %v", asks)
			}
		})
	}
}
