package tui

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	tea "charm.land/bubbletea/v2"

	"kaban"
	"kaban/internal/display"
)

// maxUploads bounds the uploads that wait for one another.
const maxUploads = 20

// upload is a file that is on its way, with the message that is sent once it is there.
type upload struct {
	number  uint64
	room    string
	replyTo uint64 // the seq of the message that it answers, or 0
	path    string
	content string
	typed   string // the command, which comes back into the input if the upload fails
	sent    int64  // bytes
	size    int64  // bytes; 0 before the first report, -1 if it is not known
}

// startUpload is /upload.
func (m *Model) startUpload(rest string) tea.Cmd {
	typed := "/upload " + rest
	path, content, err := splitPath(rest)
	r := m.active
	switch {
	case r == nil:
		err = errors.New("no room is open; /join ROOM")
	case err != nil:
	case m.options.Upload == nil || m.account == nil:
		err = errors.New("files take an account: quit, and sign in with \"kaban login\"")
	case len(m.uploads) >= maxUploads:
		err = fmt.Errorf("%d files are on their way already; try again when some of them are sent", maxUploads)
	case content != "":
		err = kaban.CheckContent(content, m.limit)
	}
	if err != nil {
		m.draft().set(typed)
		m.complain("not sent: " + err.Error())
		return nil
	}
	m.number++
	u := upload{number: m.number, room: r.name, replyTo: r.replying, path: path, content: content, typed: typed}
	if r.replying = 0; m.thread != nil {
		u.replyTo = m.thread.root
	}
	m.uploads = append(m.uploads, u)
	if len(m.uploads) == 1 {
		m.nextUpload()
	}
	return nil
}

// nextUpload starts the first upload of those that wait.
func (m *Model) nextUpload() {
	if len(m.uploads) > 0 {
		m.backend.upload(m.config.Server, m.uploads[0].number, m.uploads[0].path)
	}
}

// splitPath splits the arguments of /upload. A path with spaces is in quotes, or has a backslash
// before each, as terminals write one that is dropped on them.
func splitPath(rest string) (path, content string, err error) {
	if quote := rest[:1]; quote == `"` || quote == "'" {
		path, content, ok := strings.Cut(rest[1:], quote)
		if !ok || path == "" {
			return "", "", fmt.Errorf("the path begins with %s and does not end with it", quote)
		}
		return path, strings.TrimSpace(content), nil
	}
	var b strings.Builder
	for at := 0; at < len(rest); at++ {
		switch c := rest[at]; {
		case c == ' ' || c == '\n' || c == '\t':
			return b.String(), strings.TrimSpace(rest[at:]), nil
		case c == '\\' && runtime.GOOS != "windows" && at+1 < len(rest):
			at++
			b.WriteByte(rest[at])
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), "", nil
}

// takeUpload takes a report about the upload that is under way.
func (m *Model) takeUpload(e uploadEvent) {
	k := slices.IndexFunc(m.uploads, func(u upload) bool { return u.number == e.number })
	if k < 0 {
		return
	}
	u := &m.uploads[k]
	if u.sent, u.size = e.sent, e.size; !e.done {
		return
	}
	ended := *u
	m.uploads = slices.Delete(m.uploads, k, k+1)
	m.nextUpload()
	var files kaban.Files
	if e.err == nil {
		files, e.err = kaban.NewFiles(e.file)
	}
	r := m.room(ended.room)
	if e.err == nil && r == nil {
		e.err = fmt.Errorf("you are no longer in %s", m.labelOf(ended.room))
	}
	if e.err != nil {
		m.uploadFailed(r, &ended, e.err)
		return
	}
	m.number++
	r.post(&item{username: m.username, content: ended.content, files: files, time: m.now(), number: m.number, replyTo: ended.replyTo, typed: ended.typed})
	m.backend.post(r.name, m.number, ended.replyTo, ended.content, e.file.ID)
	m.syncThread()
	if r == m.active {
		m.toBottom()
	}
}

// uploadFailed gives the command back, in the input if nothing else is typed there.
func (m *Model) uploadFailed(r *room, u *upload, err error) {
	text := display.Line(filepath.Base(u.path)) + " was not sent: " + reasonOf(err)
	if errors.Is(err, context.Canceled) {
		text = display.Line(filepath.Base(u.path)) + " was not sent: you have cancelled it"
	}
	if r != nil && r == m.here() && r.draft.text == "" && r.editing == 0 {
		r.draft.set(u.typed)
		r.replying = u.replyTo
		m.complain(text)
		return
	}
	if r == nil {
		m.say(text + "; the command was " + u.typed)
		return
	}
	r.remember(u.typed)
	m.sayIn(r, text+"; the command was "+u.typed)
}

// cancelUpload stops the upload that is under way. It reports whether there was one.
func (m *Model) cancelUpload() bool {
	if len(m.uploads) == 0 {
		return false
	}
	m.backend.cancelUpload()
	return true
}

// uploadStatus says how far the upload is, "" if there is none.
func (m *Model) uploadStatus() string {
	if len(m.uploads) == 0 {
		return ""
	}
	u := &m.uploads[0]
	text := "↑ " + m.meter.clean(filepath.Base(u.path))
	switch {
	case u.size > 0:
		text += fmt.Sprintf(" %d %%", min(u.sent, u.size)*100/u.size)
	case u.sent > 0:
		text += " " + display.Bytes(u.sent)
	}
	if n := len(m.uploads) - 1; n > 0 {
		text += fmt.Sprintf(", %d more", n)
	}
	return text + ", " + m.keyOf("quit") + " cancels"
}

// unsent returns how many messages are not sent, with those that wait for their files.
func (m *Model) unsent() int { return m.backend.unsent() + len(m.uploads) }
