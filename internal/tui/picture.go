package tui

import (
	"image"
	"slices"
	"strings"

	tea "charm.land/bubbletea/v2"
	uv "github.com/charmbracelet/ultraviolet"

	"kaban"
	"kaban/internal/display"
)

// graphics is what is known of the terminal's pictures.
type graphics struct {
	protocol protocol
	cell     cells // in pixels; zero if the terminal has not reported it
	nested   bool  // the terminal is inside tmux or screen
}

// viewer shows a picture of a message on the whole screen.
type viewer struct {
	number uint64 // of the request for the picture; others are late
	room   string
	seq    uint64
	file   kaban.File
	img    image.Image // nil while it is on its way
	err    error       // why it is not shown
	space  space       // that the picture is drawn for; zero: it is not drawn
	busy   bool        // it is being encoded
}

// space is where on the screen a picture goes: an area, and the row at which it begins.
type space struct {
	area cells
	row  int
}

// drawnMsg has the picture of the viewer as the terminal shows it.
type drawnMsg struct {
	number  uint64
	space   space
	drawing drawing
	err     error
}

// isNested reports whether pictures would pass through tmux or screen, which draw their own idea of the screen
// over them.
func isNested(getenv func(string) string) bool {
	term := getenv("TERM")
	return getenv("TMUX") != "" || getenv("STY") != "" || strings.HasPrefix(term, "tmux") || strings.HasPrefix(term, "screen")
}

// askPictures asks the terminal what it shows, if that is wanted.
func (m *Model) askPictures() tea.Cmd {
	if !m.config.Pictures || m.graphics.nested || m.canvas == nil {
		return nil
	}
	return tea.Raw(askGraphics)
}

// sixelAttribute is the attribute of DA1 that means sixel (DEC STD 070).
const sixelAttribute = 4

// takeAnswer takes an answer of the terminal to askGraphics.
func (m *Model) takeAnswer(message tea.Msg) {
	g := &m.graphics
	switch msg := message.(type) {
	case uv.KittyGraphicsEvent:
		if msg.Options.ID == 31 && string(msg.Payload) == "OK" && m.config.Pictures && !g.nested {
			g.protocol = kittyGraphics
		}
	case uv.PrimaryDeviceAttributesEvent: // the first is the class of the terminal
		if len(msg) > 1 && slices.Contains(msg[1:], sixelAttribute) && g.protocol == noPictures && m.config.Pictures && !g.nested {
			g.protocol = sixelGraphics
		}
	case uv.CellSizeEvent:
		if size := (cells{msg.Width, msg.Height}); 2 <= size.width && size.width <= 200 && 2 <= size.height && size.height <= 200 {
			g.cell = size
		}
	}
}

// viewPicture shows a picture of a message. It asks for one if there are several.
func (m *Model) viewPicture(i *item) {
	var list []kaban.File
	for _, f := range i.files.List() {
		if f.Width > 0 {
			list = append(list, f)
		}
	}
	room, seq := m.active.name, i.seq
	switch {
	case len(list) == 0:
		m.complain("the message has no picture that the server shows")
	case m.options.Thumbnail == nil || m.account == nil:
		m.complain("files take an account: quit, and sign in with \"kaban login\"")
	case !m.config.Pictures:
		m.complain("pictures are off: set pictures = true in the configuration, or start with --pictures")
	case m.graphics.nested:
		m.complain("pictures are not shown inside tmux or screen; o opens them")
	case m.graphics.protocol == noPictures || m.canvas == nil:
		m.complain("this terminal has not said that it shows pictures, by the kitty protocol or sixel; o opens them")
	case len(list) == 1:
		m.startViewing(room, seq, list[0])
	default:
		m.askFile(list)
		m.question.text = strings.Replace(m.question.text, "file", "picture", 1)
		m.question.choose = func(m *Model, k int) { m.startViewing(room, seq, list[k]) }
	}
}

// startViewing opens the viewer. Any key closes it, also while the picture is on its way.
func (m *Model) startViewing(room string, seq uint64, f kaban.File) {
	m.mode = viewing
	m.number++
	m.viewer = viewer{number: m.number, room: room, seq: seq, file: f}
	m.backend.thumbnail(m.config.Server, m.number, f)
}

// takeThumbnail takes the picture that the viewer waits for.
func (m *Model) takeThumbnail(e thumbnailEvent) {
	if m.mode == viewing && e.number == m.viewer.number {
		m.viewer.img, m.viewer.err = e.img, e.err
	}
}

// pictureSpace returns where a picture goes: below the title, above the status line.
func (m *Model) pictureSpace() space {
	l := m.shows()
	s := space{area: cells{m.width, l.height}}
	if l.title {
		s.row = 1
	}
	return s
}

// fitPicture encodes the picture of the viewer for its present space, unless that is done or under way. What was
// drawn for another space is taken from the screen first.
func (m *Model) fitPicture() tea.Cmd {
	v := &m.viewer
	if m.mode != viewing || v.img == nil || v.err != nil || v.busy {
		return nil
	}
	now := m.pictureSpace()
	if v.space == now {
		return nil
	}
	var clear tea.Cmd
	if v.space != (space{}) {
		v.space = space{}
		m.canvas.draw(drawing{})
		clear = tea.ClearScreen
	}
	if now.area.height < 1 {
		return clear
	}
	v.busy = true
	number, img, protocol, cell := v.number, v.img, m.graphics.protocol, m.graphics.cell
	if cell == (cells{}) {
		cell = assumedCell
	}
	return tea.Batch(clear, func() tea.Msg {
		d, err := drawingOf(protocol, img, now.area, now.row, 0, cell)
		return drawnMsg{number: number, space: now, drawing: d, err: err}
	})
}

// takeDrawn shows the picture, unless the viewer has been closed or has another space by now.
func (m *Model) takeDrawn(msg drawnMsg) {
	v := &m.viewer
	if m.mode != viewing || msg.number != v.number {
		return
	}
	v.busy, v.err = false, msg.err
	if v.err == nil && msg.space == m.pictureSpace() {
		v.space = msg.space
		m.canvas.draw(msg.drawing)
	}
}

// closeViewer returns to the conversation. The screen is drawn anew, over the picture.
func (m *Model) closeViewer() tea.Cmd {
	if m.mode == viewing {
		m.mode = chatting
	}
	m.viewer = viewer{}
	m.canvas.draw(drawing{})
	return tea.ClearScreen
}

// watchViewer closes the viewer once its message is deleted, has lost its file, or can no longer be read.
func (m *Model) watchViewer() tea.Cmd {
	v := &m.viewer
	if v.number == 0 {
		return nil
	}
	r := m.room(v.room)
	if r == nil || r.failed != "" || m.mode != viewing { // which says itself why
		return m.closeViewer()
	}
	r = m.front(r)
	i := r.message(v.seq)
	if i == nil && (v.seq < r.first() || v.seq > r.last()) || i != nil && hasFile(i.files, v.file.ID) {
		return nil
	}
	if m.hint == "" {
		m.complain("the picture was deleted")
	}
	return m.closeViewer()
}

func hasFile(files kaban.Files, id string) bool {
	return slices.ContainsFunc(files.List(), func(f kaban.File) bool { return f.ID == id })
}

// viewerView is the space of the picture, with what is known of it until it is there.
func (m *Model) viewerView(width, height int) []line {
	v := &m.viewer
	rows := make([]line, height)
	if v.img != nil && v.err == nil || height == 0 {
		return rows
	}
	text := "loading …"
	if v.err != nil {
		text = "it cannot be shown: " + reasonOf(v.err)
	}
	var said []line
	for _, s := range []string{display.File(&v.file), text} {
		said = append(said, m.meter.wrap(plain(m.meter.clean(s), look{role: roleDim}), max(width, 1), 0)...)
	}
	copy(rows[max(0, (height-len(said))/2):], said)
	return rows
}

// viewerStatus names the picture.
func (m *Model) viewerStatus() string {
	return display.Line(m.viewer.file.Name) + ", " + display.Bytes(m.viewer.file.Size) + "; any key closes it"
}
