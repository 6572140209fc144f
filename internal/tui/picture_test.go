package tui

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	uv "github.com/charmbracelet/ultraviolet"
	"github.com/charmbracelet/x/ansi/kitty"
	"github.com/charmbracelet/x/ansi/sixel"

	"kaban"
	"kaban/client"
	"kaban/wire"
)

// flagOf returns a picture of two colours, the left half red and the right half blue.
func flagOf(width, height int) *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			if x < width/2 {
				img.Set(x, y, color.NRGBA{255, 0, 0, 255})
			} else {
				img.Set(x, y, color.NRGBA{0, 0, 255, 255})
			}
		}
	}
	return img
}

func pngOf(t *testing.T, img image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// painted notes what is drawn.
type painted struct{ drawn []drawing }

func (p *painted) draw(d drawing) { p.drawn = append(p.drawn, d) }

// last is what is shown.
func (p *painted) last() drawing {
	if len(p.drawn) == 0 {
		return drawing{}
	}
	return p.drawn[len(p.drawn)-1]
}

// draws passes a message to the Model and carries out a command of the Model that encodes a picture, as Bubble Tea does.
func (d *desk) draws(msg tea.Msg) {
	d.t.Helper()
	_, cmd := d.Update(msg)
	if cmd == nil {
		return
	}
	switch msg := cmd().(type) {
	case drawnMsg:
		d.draws(msg)
	case tea.BatchMsg:
		for _, cmd := range msg {
			if drawn, ok := cmd().(drawnMsg); ok {
				d.draws(drawn)
			}
		}
	}
}

// gallery is a client on a terminal that shows pictures, with a message of one in the open room.
func gallery(t *testing.T, answers ...tea.Msg) (*desk, *painted) {
	t.Helper()
	d, p := sender(t), &painted{}
	d.options.Thumbnail = func(context.Context, string, string, kaban.File, int64) ([]byte, error) { panic("not here") }
	d.config.Pictures, d.canvas = true, p
	for _, a := range answers {
		d.send(a)
	}
	cat := fileOf("a", "gpj.\u202ecat.png")
	cat.Width, cat.Height = 1200, 900
	files, err := kaban.NewFiles(cat)
	if err != nil {
		t.Fatal(err)
	}
	m := wire.Message{Seq: 4, ID: "4", Username: "ben", Files: files, Time: time.Unix(0, 0)}
	d.happens(entryEvent{room: "lobby", entry: client.Entry{Seq: 4, Message: &m}})
	return d, p
}

var (
	kittyAnswer = uv.KittyGraphicsEvent{Options: kitty.Options{ID: 31}, Payload: []byte("OK")}
	sixelAnswer = uv.PrimaryDeviceAttributesEvent{62, 4, 22}
	cellAnswer  = uv.CellSizeEvent{Width: 10, Height: 20}
)

// view selects the message and shows its picture.
func (d *desk) view(img image.Image) {
	d.t.Helper()
	d.keys("alt+s", "v")
	if d.mode != viewing {
		d.t.Fatalf("the viewer does not open: %q", d.hint)
	}
	d.draws(batch{thumbnailEvent{number: d.viewer.number, img: img}})
}

// A picture is shown in the size of the screen, again after a change of that, and gone after any key.
func TestPictures(t *testing.T) {
	for name, c := range map[string]struct {
		answer tea.Msg
		show   string
	}{
		"kitty": {kittyAnswer, "\x1b_Ga=p,i="},
		"sixel": {sixelAnswer, "\x1bP0;1q"},
	} {
		t.Run(name, func(t *testing.T) {
			d, p := gallery(t, c.answer, cellAnswer)
			d.view(flagOf(720, 540))
			first := p.last()
			if !strings.Contains(first.show, c.show) || len(p.drawn) != 1 {
				t.Fatalf("%d drawings, of them %.80q", len(p.drawn), first.show)
			}
			d.shows("cat")
			d.shows("any key closes it")
			if d.View().Cursor != nil {
				t.Error("the cursor is on the picture")
			}
			d.draws(tea.WindowSizeMsg{Width: 40, Height: 12})
			if second := p.last(); second.show == first.show || len(p.drawn) != 3 || p.drawn[1] != (drawing{}) {
				t.Errorf("after a change of the size there are %d drawings, the second of them %.80q", len(p.drawn), p.drawn[1].show)
			}
			d.send(batch{})
			if len(p.drawn) != 3 {
				t.Error("an event draws the picture again")
			}
			d.draws(tea.PasteMsg{Content: "a name"}) // its hint takes two rows
			if len(p.drawn) != 5 || p.last().show == p.drawn[2].show {
				t.Errorf("beside a long hint there are %d drawings", len(p.drawn))
			}
			d.keys("x")
			if d.mode != chatting || p.last() != (drawing{}) || d.here().draft.text != "" {
				t.Errorf("after a key the mode is %d, and %.80q is shown", d.mode, p.last().show)
			}
			if strings.Contains(strings.Join(d.raw, "")+d.screen(), "\u202e") {
				t.Error("the name of the file is a control sequence")
			}
		})
	}
}

// The viewer ends with its message, and what comes for an earlier one is dropped.
func TestPicturesOfMessagesThatGo(t *testing.T) {
	for name, goes := range map[string]event{
		"the picture was deleted": entryEvent{room: "lobby", entry: client.Entry{Seq: 5, Change: &wire.Change{Type: wire.TypeDelete, Target: 4, Username: "ben", Time: time.Unix(0, 0)}}},
		"you were removed":        failedEvent{room: "lobby", err: errors.New("you were removed")},
	} {
		t.Run(name, func(t *testing.T) {
			d, p := gallery(t, kittyAnswer)
			d.view(flagOf(10, 10))
			d.happens(goes)
			if d.mode != chatting || p.last() != (drawing{}) {
				t.Errorf("the mode is %d, and %.80q is shown", d.mode, p.last().show)
			}
			d.shows(name)
		})
	}
	d, p := gallery(t, kittyAnswer)
	d.keys("alt+s", "v")
	late := d.viewer.number
	d.keys("x", "alt+s", "v")
	d.draws(batch{thumbnailEvent{number: late, img: flagOf(10, 10)}})
	if len(p.last().show) > 0 || d.viewer.img != nil {
		t.Error("the picture of a viewer that was closed is shown")
	}
	if d.draws(drawnMsg{number: late, space: d.pictureSpace(), drawing: drawing{show: "x"}}); len(p.last().show) > 0 {
		t.Error("a drawing for a viewer that was closed is shown")
	}
	d.happens(thumbnailEvent{number: d.viewer.number, err: errors.New("\x1b[2Jgone")})
	d.shows("gpj.<U+202E>cat.png")
	d.shows("it cannot be shown: <U+001B>[2Jgone")
}

// A picture of a thread stays while the window of its room is elsewhere.
func TestPicturesOfThreads(t *testing.T) {
	d, p := gallery(t, kittyAnswer)
	d.keys("alt+s", "v")
	thread := *d.active
	thread.of, d.thread = d.active, &thread
	d.active.items = nil
	for seq := uint64(2); seq < 9; seq += 6 { // around the message, without it
		d.active.items = append(d.active.items, &item{kind: itemMessage, seq: seq})
	}
	d.draws(batch{thumbnailEvent{number: d.viewer.number, img: flagOf(10, 10)}})
	if d.mode != viewing || p.last().show == "" {
		t.Errorf("the mode is %d, the hint %q", d.mode, d.hint)
	}
}

// A terminal that does not answer, or answers something else, shows no pictures, and nobody waits for it.
func TestTerminalsWithoutPictures(t *testing.T) {
	for name, answers := range map[string][]tea.Msg{
		"none":          nil,
		"only a class":  {uv.PrimaryDeviceAttributesEvent{4}, uv.PrimaryDeviceAttributesEvent{4, 22}, uv.PrimaryDeviceAttributesEvent{}},
		"no sixel":      {uv.PrimaryDeviceAttributesEvent{62, 22}},
		"a refusal":     {uv.KittyGraphicsEvent{Options: kitty.Options{ID: 31}, Payload: []byte("ENOSYS")}},
		"another query": {uv.KittyGraphicsEvent{Options: kitty.Options{ID: 7}, Payload: []byte("OK")}},
		"sizes":         {uv.CellSizeEvent{Width: 0, Height: 1 << 30}, uv.CellSizeEvent{Width: -1, Height: 20}},
	} {
		t.Run(name, func(t *testing.T) {
			d, p := gallery(t, answers...)
			d.keys("alt+s", "v")
			if d.mode == viewing || len(p.drawn) > 0 || d.graphics.cell != (cells{}) {
				t.Errorf("the mode is %d, %d drawings, cells of %v", d.mode, len(p.drawn), d.graphics.cell)
			}
			d.shows("has not said that it shows pictures")
			d.send(sixelAnswer) // late
			d.view(flagOf(10, 10))
			if p.last().show == "" {
				t.Error("an answer that comes late is of no use")
			}
		})
	}
	d, _ := gallery(t, kittyAnswer)
	d.config.Pictures = false
	d.keys("alt+s", "v")
	d.shows("pictures are off")
	if d.askPictures() != nil {
		t.Error("the terminal is asked though pictures are off")
	}
	d.config.Pictures, d.graphics.nested = true, true
	d.keys("alt+s", "v")
	d.shows("not shown inside tmux")
	if d.askPictures() != nil {
		t.Error("the terminal is asked through tmux")
	}
	for _, env := range []map[string]string{{"TMUX": "/tmp/x"}, {"TERM": "screen-256color"}, {"TERM": "tmux"}, {"STY": "1.a"}} {
		if !isNested(func(name string) string { return env[name] }) {
			t.Errorf("%v is a terminal of its own", env)
		}
	}
	if isNested(func(name string) string { return map[string]string{"TERM": "xterm-kitty"}[name] }) {
		t.Error("kitty is no terminal")
	}
}

// What is no picture, is cut off or would take too much memory is not decoded.
func TestThumbnailsThatAreWrong(t *testing.T) {
	good := pngOf(t, flagOf(64, 48))
	if _, err := decodeThumbnail(good); err != nil {
		t.Error(err)
	}
	huge := bytes.Clone(pngOf(t, flagOf(1, 1)))
	copy(huge[16:24], []byte{0, 1, 134, 160, 0, 1, 134, 160}) // 100,000 x 100,000; the checksum is wrong, too
	wide := pngOf(t, flagOf(maxThumbnailSide+1, 1))
	for name, data := range map[string][]byte{
		"empty": nil, "text": []byte("\x1b[2J"), "cut": good[:len(good)-20], "head": good[:30], "huge": huge, "wide": wide,
		"long": append(bytes.Clone(good), make([]byte, maxThumbnail)...),
	} {
		if img, err := decodeThumbnail(data); err == nil {
			t.Errorf("%s: %v", name, img.Bounds())
		}
	}
}

// Both encoders show the pixels, scaled to the space, in its middle, and nothing outside it.
func TestDrawings(t *testing.T) {
	img := flagOf(400, 100)
	area, cell := cells{20, 10}, cells{10, 20}
	k, err := drawingOf(kittyGraphics, img, area, 1, 0, cell)
	if err != nil {
		t.Fatal(err)
	}
	if want := "\x1b7\x1b[5;1H\x1b_Ga=p,i=1802658401,p=1,c=20,r=3,C=1,q=2\x1b\\\x1b8"; k.show != want {
		t.Errorf("kitty is placed with %q, want %q", k.show, want)
	}
	if want := "\x1b_Ga=d,d=I,i=1802658401,q=2\x1b\\"; k.hide != want {
		t.Errorf("kitty is removed with %q, want %q", k.hide, want)
	}
	checkKitty(t, k.load, 200, 50)
	s, err := drawingOf(sixelGraphics, img, area, 1, 0, cell)
	if err != nil || s.hide != "" || s.load != "" {
		t.Fatalf("%q and %q, %v", s.load, s.hide, err)
	}
	inner, ok := strings.CutPrefix(s.show, "\x1b7\x1b[5;1H\x1bP0;1q")
	inner, ends := strings.CutSuffix(inner, "\x1b\\\x1b8")
	if !ok || !ends || strings.ContainsFunc(inner, func(r rune) bool { return r < ' ' || r > '~' }) {
		t.Fatalf("sixel is %.60q", s.show)
	}
	got, err := (&sixel.Decoder{}).Decode(strings.NewReader(inner))
	if err != nil {
		t.Fatal(err)
	}
	if size := got.Bounds().Size(); size != image.Pt(200, 50) {
		t.Errorf("the picture is %v", size)
	}
	if !isColor(got.At(20, 20), 255, 0, 0) || !isColor(got.At(180, 20), 0, 0, 255) {
		t.Errorf("the halves are %v and %v", got.At(20, 20), got.At(180, 20))
	}
}

// checkKitty takes the chunks of a transmission apart.
func checkKitty(t *testing.T, load string, width, height int) {
	t.Helper()
	chunks := regexp.MustCompile("\x1b_G([^;]*);([A-Za-z0-9+/=]*)\x1b\\\\").FindAllStringSubmatch(load, -1)
	var payload, all strings.Builder
	for _, c := range chunks {
		all.WriteString(c[0])
		payload.WriteString(c[2])
	}
	if all.String() != load || len(chunks) == 0 {
		t.Fatalf("%d chunks of %.80q", len(chunks), load)
	}
	data, err := base64.StdEncoding.DecodeString(payload.String())
	if err != nil {
		t.Fatal(err)
	}
	got, err := (&kitty.Decoder{Decompress: true, Format: kitty.RGBA, Width: width, Height: height}).Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if !isColor(got.At(5, 5), 255, 0, 0) || !isColor(got.At(width-5, 5), 0, 0, 255) {
		t.Errorf("the halves are %v and %v", got.At(5, 5), got.At(width-5, 5))
	}
}

func isColor(c color.Color, r, g, b uint8) bool {
	have := color.NRGBAModel.Convert(c).(color.NRGBA)
	near := func(a, b uint8) bool { return max(a, b)-min(a, b) < 8 }
	return near(have.R, r) && near(have.G, g) && near(have.B, b)
}

// A picture follows every frame of the renderer, until there is none.
func TestCanvas(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	c := &canvas{File: w}
	fmt.Fprint(c, "1")
	c.draw(drawing{load: "l", show: "s", hide: "h"})
	io.WriteString(c, "2")
	c.draw(drawing{load: "m", show: "t", hide: "i"})
	fmt.Fprint(c, "3")
	c.draw(drawing{})
	fmt.Fprint(c, "4")
	c.draw(drawing{load: "n", show: "u", hide: "k"})
	fmt.Fprint(c, "5\x1b[?1049l6") // the client ends
	fmt.Fprint(c, "7")
	w.Close()
	if got, err := io.ReadAll(r); err != nil || string(got) != "1ls2shmt3ti4nuk5\x1b[?1049l67" {
		t.Errorf("%q, %v", got, err)
	}
}
