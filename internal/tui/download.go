package tui

import (
	"fmt"
	"strings"

	"kaban"
	"kaban/internal/display"
)

// maxDownloads bounds the downloads that wait for one another.
const maxDownloads = 20

// openFile downloads a file of a message and opens it. It asks for one if there are several.
func (m *Model) openFile(i *item) {
	list := i.files.List()
	switch {
	case len(list) == 0:
		m.complain("the message has no files")
	case m.options.Download == nil || m.account == nil:
		m.complain("files take an account: quit, and sign in with \"kaban login\"")
	case len(list) == 1:
		m.download(list[0])
	default:
		m.askFile(list)
	}
}

// maxAskedName is how many characters of a name are in the question for a file.
const maxAskedName = 24

// askFile asks for the number of a file. There are up to kaban.MaxFiles, 10; the last has the key 0.
func (m *Model) askFile(list []kaban.File) {
	var names []string
	for k := range list {
		name := []rune(display.Line(list[k].Name))
		if len(name) > maxAskedName {
			name = append(name[:maxAskedName-1], '…')
		}
		names = append(names, fmt.Sprintf("%d %s", (k+1)%10, string(name)))
	}
	m.mode = asking
	m.question = question{text: "Which file? " + strings.Join(names, ", "), choices: len(list), choose: func(m *Model, k int) { m.download(list[k]) }}
}

// pressChoice handles a key while a number is asked for.
func (m *Model) pressChoice(stroke string) {
	switch {
	case stroke == "n" || stroke == "esc" || stroke == "q" || stroke == "ctrl+c":
		m.mode = chatting
	case len(stroke) == 1 && stroke[0] >= '0' && stroke[0] <= '9':
		if k := (int(stroke[0]-'0') + 9) % 10; k < m.question.choices {
			m.mode = chatting
			m.question.choose(m, k)
		}
	}
}

// downloading begins the hint about a download.
const downloading = "downloading "

// download asks for a file, once at a time.
func (m *Model) download(f kaban.File) {
	name := display.Line(f.Name)
	switch {
	case m.downloads[f.ID]:
		m.hint = name + " is on its way already"
		return
	case len(m.downloads) >= maxDownloads:
		m.complain(fmt.Sprintf("%d files are on their way already; try again when some of them are here", maxDownloads))
		return
	case m.downloads == nil:
		m.downloads = make(map[string]bool)
	}
	m.downloads[f.ID] = true
	m.hint = downloading + name + ", " + display.Bytes(f.Size)
	room := ""
	if m.active != nil {
		room = m.active.name
	}
	m.backend.download(m.config.Server, room, f)
}

// takeDownload says what has become of a download.
func (m *Model) takeDownload(e downloadEvent) {
	delete(m.downloads, e.file.ID)
	if strings.HasPrefix(m.hint, downloading) {
		m.hint = ""
	}
	text := e.text
	if e.err != nil {
		text = display.Line(e.file.Name) + " was not downloaded: " + reasonOf(e.err)
	}
	if r := m.room(e.room); r != nil {
		m.sayIn(r, text)
	} else {
		m.say(text)
	}
}
