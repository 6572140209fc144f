package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"kaban"
	"kaban/client"
	"kaban/client/transfer"
	"kaban/internal/display"
)

// upload sends a file for the full-screen client.
func (c *chatCommand) upload(ctx context.Context, server, web, path string, report func(sent, size int64)) (kaban.File, error) {
	source, err := openSource(atHome(path), nil)
	if err != nil {
		return kaban.File{}, err
	}
	defer source.Close()
	web, options, err := c.filesFor(server, web)
	if err != nil {
		return kaban.File{}, err
	}
	source.draft.Name = filepath.Base(path)
	options.Progress = func(sent int64) { report(sent, source.draft.Size) }
	report(0, source.draft.Size)
	return transfer.Upload(ctx, web, source.Reader, source.draft, options)
}

// filesFor is filesOf with the token that the session has.
func (c *chatCommand) filesFor(server, said string) (web string, options transfer.Options, err error) {
	session, err := c.signIn(server, client.Options{}, nil)
	if err != nil {
		return "", options, err
	}
	return c.filesOf(server, session.Token, said)
}

// atHome replaces a ~ at the beginning of a path, which no shell has seen, by the home directory.
func atHome(path string) string {
	rest, ok := strings.CutPrefix(path, "~")
	if home, err := os.UserHomeDir(); err == nil && ok && (rest == "" || os.IsPathSeparator(rest[0])) {
		return home + rest
	}
	return path
}

// download saves a file for the full-screen client, and opens it unless it could run.
func (c *chatCommand) download(ctx context.Context, server, web string, f kaban.File) (said string, err error) {
	web, options, err := c.filesFor(server, web)
	if err != nil {
		return "", err
	}
	d, err := transfer.Open(ctx, web, f.ID, options)
	if err != nil {
		return "", err
	}
	defer d.Close()
	path, err := saveNew(downloadsDirectory(), transfer.CleanName(f.Name, f.ID), func(to io.Writer) error {
		n, err := io.Copy(to, io.LimitReader(d, f.Size+1))
		if err == nil && n != f.Size {
			err = fmt.Errorf("the server sent other bytes than the %s of the file", display.Bytes(f.Size))
		}
		return err
	})
	if err != nil {
		return "", err
	}
	said = "downloaded to " + display.Line(path)
	program, err := openWithin(path)
	if err != nil {
		return said + "; " + err.Error(), nil
	}
	return said + " and given to " + program, nil
}

// thumbnail returns a small picture of a file for the full-screen client.
func (c *chatCommand) thumbnail(ctx context.Context, server, web string, f kaban.File, limit int64) ([]byte, error) {
	web, options, err := c.filesFor(server, web)
	if err != nil {
		return nil, err
	}
	d, err := transfer.OpenThumbnail(ctx, web, f.ID, options)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return io.ReadAll(io.LimitReader(d, limit))
}

// previews returns a line about each page that a message links to, for the full-screen client: the host
// first, which the page cannot choose.
func (c *chatCommand) previews(ctx context.Context, server, web, room string, seq uint64) ([]string, error) {
	name, err := kaban.ParseAnyRoom(room)
	if err != nil {
		return nil, err
	}
	web, options, err := c.filesFor(server, web)
	if err != nil {
		return nil, err
	}
	found, err := transfer.Previews(ctx, web, name, seq, options)
	if err != nil {
		return nil, err
	}
	lines := make([]string, len(found))
	for i, p := range found {
		lines[i] = previewLine(&p)
	}
	return lines, nil
}

func previewLine(p *transfer.Preview) string {
	host := p.URL
	if u, err := url.Parse(p.URL); err == nil {
		host = u.Host
	}
	line := host + ": " + p.Title
	if p.Site != "" {
		line += " (" + p.Site + ")"
	}
	if p.Description != "" {
		line += " – " + p.Description
	}
	return line
}

// downloadsDirectory returns where downloads go: XDG_DOWNLOAD_DIR, or else ~/Downloads, or else,
// if neither is a directory, the working directory.
func downloadsDirectory() string {
	isDirectory := func(path string) bool {
		info, err := os.Stat(path)
		return err == nil && info.IsDir()
	}
	if path := os.Getenv("XDG_DOWNLOAD_DIR"); filepath.IsAbs(path) && isDirectory(path) {
		return path
	}
	if home, err := os.UserHomeDir(); err == nil && isDirectory(filepath.Join(home, "Downloads")) {
		return filepath.Join(home, "Downloads")
	}
	path, err := os.Getwd()
	if err != nil {
		return "."
	}
	return path
}

// maxSameName is how many files with one name a directory of downloads may have.
const maxSameName = 1000

// saveNew writes a file under a name that is free, such as "cat (2).png", and returns its path. It
// appears once it is complete, and nothing is overwritten.
func saveNew(directory, name string, write func(io.Writer) error) (path string, err error) {
	draft, err := os.CreateTemp(directory, ".kaban-*.part")
	if err != nil {
		return "", err
	}
	defer os.Remove(draft.Name())
	if err := errors.Join(write(draft), draft.Sync(), draft.Close()); err != nil {
		return "", err
	}
	ending := filepath.Ext(name)
	for n := 1; n <= maxSameName; n++ {
		path = filepath.Join(directory, name)
		if n > 1 {
			path = filepath.Join(directory, fmt.Sprintf("%s (%d)%s", strings.TrimSuffix(name, ending), n, ending))
		}
		place, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) // takes the name
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		place.Close()
		if err := os.Rename(draft.Name(), path); err != nil {
			os.Remove(path)
			return "", err
		}
		return path, nil
	}
	return "", fmt.Errorf("%s has %d files of the name %s", directory, maxSameName, name)
}

// opened are the endings of files that no program runs, with what their bytes must look like.
// All others stay closed: a list of what could run is never complete.
var opened = map[string]string{
	".png": "image/", ".jpg": "image/", ".jpeg": "image/", ".gif": "image/", ".webp": "image/", ".bmp": "image/",
	".mp3": "audio/", ".wav": "audio/", ".flac": "audio/", ".m4a": "audio/", ".ogg": "application/ogg", ".oga": "application/ogg", ".opus": "application/ogg",
	".mp4": "video/", ".webm": "video/", ".mov": "video/", ".m4v": "video/", ".mkv": "video/",
	".pdf": "application/pdf", ".txt": "text/plain", ".log": "text/plain", ".csv": "text/plain", ".md": "text/plain",
}

// lookedLike are endings of media that http.DetectContentType does not know.
var lookedLike = map[string]bool{".flac": true, ".m4a": true, ".mov": true, ".m4v": true, ".mkv": true, ".mp3": true}

var (
	errMayRun   = errors.New("it is not opened, since it is of a kind that could run; open it yourself if you trust it")
	errNoScreen = errors.New("it is not opened, since there is no screen for another program here")
)

// mayOpen returns why a file stays closed.
func mayOpen(path string) error {
	ending := strings.ToLower(filepath.Ext(path))
	want, ok := opened[ending]
	if !ok {
		return errMayRun
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	head := make([]byte, 512) // as much as http.DetectContentType reads
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return err
	}
	got := http.DetectContentType(head[:n])
	if strings.HasPrefix(got, want) || lookedLike[ending] && (got == "application/octet-stream" || strings.HasPrefix(got, "video/")) && !isProgram(head[:n]) {
		return nil
	}
	return errMayRun
}

// isProgram reports whether a file begins as programs do.
func isProgram(head []byte) bool {
	for _, magic := range []string{"\x7fELF", "MZ", "#!", "\xfe\xed\xfa", "\xce\xfa\xed\xfe", "\xcf\xfa\xed\xfe", "\xca\xfe\xba\xbe"} {
		if strings.HasPrefix(string(head), magic) {
			return true
		}
	}
	return false
}

// opener returns the program that opens a file with what the person has chosen for its type, and
// its arguments, or nil if there is no screen. No shell sees the path.
func opener(goos string, getenv func(string) string, path string) []string {
	switch {
	case goos == "windows":
		return []string{"rundll32", "url.dll,FileProtocolHandler", path}
	case goos == "darwin" && getenv("SSH_CONNECTION") == "":
		return []string{"open", path}
	case goos != "darwin" && (getenv("DISPLAY") != "" || getenv("WAYLAND_DISPLAY") != ""):
		return []string{"xdg-open", path}
	}
	return nil
}

// openWithin gives a file to the program that opens it, and returns its name, or why not.
func openWithin(path string) (program string, err error) {
	if err := mayOpen(path); err != nil {
		return "", err
	}
	words := opener(runtime.GOOS, os.Getenv, path)
	if words == nil {
		return "", errNoScreen
	}
	command := exec.Command(words[0], words[1:]...) // without the terminal, which is in use
	if err := command.Start(); err != nil {
		return "", fmt.Errorf("it is not opened: %w", err)
	}
	// What shows the file may outlive this process, which therefore does not wait for it.
	return words[0], command.Process.Release()
}
