package web_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"mime"
	"mime/multipart"
	"net"
	"net/http"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/account"
	"kaban/internal/chat"
	"kaban/internal/files"
	"kaban/internal/files/disk"
	"kaban/internal/files/keep"
	"kaban/internal/files/upload"
	"kaban/internal/people"
	"kaban/internal/picture"
	"kaban/internal/store"
	"kaban/internal/store/teststore"
	"kaban/internal/web"
)

// pictureRole makes the test binary the process that encodes a picture.
const pictureRole = "TEST_WEB_PICTURE"

// servePicture encodes a picture, if that is what this process is for.
func servePicture() {
	if os.Getenv(pictureRole) == "" {
		return
	}
	if err := picture.Serve(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// worker makes pictures in processes of this program.
func worker(t *testing.T) *picture.Worker {
	t.Helper()
	w := picture.NewWorker(func() (*exec.Cmd, error) {
		c := exec.Command(os.Args[0])
		c.Env = []string{pictureRole + "=1"}
		return c, nil
	}, 100)
	t.Cleanup(w.Close)
	return w
}

// form returns a form with a file and, if there is one, a description; and its type.
func form(t testing.TB, name, content, alt string) (body, contentType string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	part, err := w.CreatePart(textproto.MIMEHeader{"Content-Disposition": {mime.FormatMediaType("form-data", map[string]string{"name": "file", "filename": name})}})
	if err == nil {
		_, err = io.WriteString(part, content)
	}
	if err == nil && alt != "" {
		err = w.WriteField("alt", alt)
	}
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.String(), w.FormDataContentType()
}

// upload uploads a file in a form.
func (f *fixture) upload(by account.Session, name, content, alt string) *answer {
	f.t.Helper()
	body, contentType := form(f.t, name, content, alt)
	return f.do("POST", "/v1/files", body, with(bearer(by), []string{"Content-Type", contentType})...)
}

// file uploads a file in a form and returns its id.
func (f *fixture) file(by account.Session, name, content string) string {
	f.t.Helper()
	return fmt.Sprint(f.upload(by, name, content, "").has(f.t, 201).json["file"])
}

// message posts a message with files.
func (f *fixture) message(by account.Session, room string, ids ...string) uint64 {
	f.t.Helper()
	name, err := kaban.ParseRoomName(room)
	if err != nil {
		f.t.Fatal(err)
	}
	id, err := kaban.ParseMessageID(fmt.Sprint("m-", f.acts.Add(1)))
	if err != nil {
		f.t.Fatal(err)
	}
	receipt, _, err := f.user(by).PostFiles(f.t.Context(), name, id, "look", 0, ids)
	if err != nil {
		f.t.Fatal(err)
	}
	return receipt.Seq
}

func metadata(name, alt string) string {
	encode := base64.StdEncoding.EncodeToString
	return "filename " + encode([]byte(name)) + ",alt " + encode([]byte(alt))
}

// tus are the headers of a request of tus.
func tus(by account.Session, headers ...string) []string {
	return with(bearer(by), []string{"Tus-Resumable", "1.0.0"}, headers)
}

const offsetType = "application/offset+octet-stream"

// pictureOf returns a PNG of some size.
func pictureOf(t *testing.T, width, height int) string {
	t.Helper()
	m := image.NewRGBA(image.Rect(0, 0, width, height))
	for i := range m.Pix {
		m.Pix[i] = uint8(i*i>>4) | 3
	}
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// A picture is uploaded in a form, and with tus in two parts; whoever reads the room sees it and its
// thumbnail inline.
func TestAPictureEndToEnd(t *testing.T) {
	f := start(t, web.Config{Files: keeper(t, nil, worker(t))}, nil)
	owner := f.claim("open")
	source := pictureOf(t, 900, 90)
	sent := f.upload(owner, "sea.png", source, " the\n sea ").has(t, 201, "name", "sea.png", "type", "image/png", "width", 900, "height", 90, "alt", "the sea")
	for key := range sent.json {
		if !slices.Contains([]string{"file", "name", "size", "type", "width", "height", "alt"}, key) {
			t.Errorf("the answer has %s", key)
		}
	}
	begun := f.do("POST", "/v1/files", "", tus(owner, "Upload-Length", strconv.Itoa(len(source)), "Upload-Metadata", metadata("ä sea.png", "the sea"))...).has(t, 201)
	at := begun.header.Get("Location")
	if !strings.HasPrefix(at, "/v1/uploads/") {
		t.Fatalf("the upload is at %q", at)
	}
	half := len(source) / 2
	f.do("PATCH", at, source[:half], tus(owner, "Upload-Offset", "0", "Content-Type", offsetType)...).has(t, 204)
	if got := f.do("HEAD", at, "", tus(owner)...); got.header.Get("Upload-Offset") != strconv.Itoa(half) || got.header.Get("Kaban-File") != "" {
		t.Errorf("in the middle: %v", got.header)
	}
	done := f.do("PATCH", at, source[half:], tus(owner, "Upload-Offset", strconv.Itoa(half), "Content-Type", offsetType)...).has(t, 204)
	again := f.do("HEAD", at, "", tus(owner)...).has(t, 200)
	for _, h := range []http.Header{done.header, again.header} {
		if h.Get("Kaban-File") == "" || h.Get("Kaban-Name") != "%C3%A4%20sea.png" || h.Get("Kaban-Type") != "image/png" || h.Get("Kaban-Width") != "900" || h.Get("Kaban-Height") != "90" || h.Get("Kaban-Size") == "" {
			t.Errorf("the answer says %v", h)
		}
	}
	if done.header.Get("Kaban-File") != again.header.Get("Kaban-File") {
		t.Error("the upload has become two files")
	}
	id := fmt.Sprint(sent.json["file"])
	f.message(owner, "lobby", id, done.header.Get("Kaban-File"))
	for path, width := range map[string]int{"/v1/files/" + id: 900, "/v1/files/" + id + "/thumbnail": 720} {
		got := f.get(path).has(t, 200) // a visitor
		config, _, err := image.DecodeConfig(strings.NewReader(got.body))
		if err != nil || config.Width != width || !strings.HasPrefix(got.header.Get("Content-Disposition"), "inline") || got.header.Get("Content-Type") == "" {
			t.Errorf("%s: %+v, %v, %v", path, config, err, got.header)
		}
	}
}

// Whatever a browser could run is an attachment without a type, in a sandbox.
func TestHostileFilesAreAttachments(t *testing.T) {
	f := start(t, web.Config{Files: keeper(t, nil, worker(t))}, nil)
	owner := f.claim("open")
	script := "<script>alert(document.domain)</script>"
	gif := "GIF89a" + script
	for name, content := range map[string]string{
		"x.svg": `<svg xmlns="http://www.w3.org/2000/svg">` + script + "</svg>", "x.html": "<!DOCTYPE html>" + script, "x.pdf": "%PDF-1.7 " + script,
		"x.xml": `<?xml version="1.0"?><x/>`, "x.js": "alert(1)", "x.gif": gif, "x.png": "\x89PNG\r\n\x1a\n" + script, "x.jpg": script,
	} {
		sent := f.upload(owner, name, content, "")
		if sent.status == 415 { // it cannot be told what is in it
			continue
		}
		got := f.get("/v1/files/"+fmt.Sprint(sent.has(t, 201).json["file"]), bearer(owner)...).has(t, 200)
		h := got.header
		if media := h.Get("Content-Type"); media != "application/octet-stream" && !strings.HasPrefix(media, "text/plain") {
			t.Errorf("%s is served as %s", name, media)
		}
		if !strings.HasPrefix(h.Get("Content-Disposition"), "attachment") || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Content-Security-Policy") != "sandbox; default-src 'none'" || h.Get("Cache-Control") != "private, no-cache" {
			t.Errorf("%s is served with %v", name, h)
		}
	}
	// A picture that is something else as well is nothing else afterwards.
	both := pictureOf(t, 3, 3) + script
	got := f.get("/v1/files/"+f.file(owner, "both.png", both), bearer(owner)...).has(t, 200)
	if strings.Contains(got.body, script) || got.header.Get("Content-Type") != "image/png" || got.header.Get("Content-Security-Policy") == "" {
		t.Errorf("%q is served with %v", got.body, got.header)
	}
}

func TestNamesOfFiles(t *testing.T) {
	f, owner := claimed(t, "open")
	long := strings.Repeat("ä", 150) + ".txt"
	for sent, want := range map[string]string{
		"../../etc/passwd": "passwd", `C:\x\a.txt`: "a.txt", "a\x00b.txt": "ab.txt", "evil\u202Etxt.exe": "eviltxt.exe", "": "file", "...": "file",
		"CON": "_CON", long: strings.Repeat("ä", 125) + ".txt", "a\r\nSet-Cookie: x": "aSet-Cookie_ x", `"; filename="x`: "_; filename=_x",
	} {
		begun := f.do("POST", "/v1/files", "x", tus(owner, "Upload-Length", "1", "Content-Type", offsetType, "Upload-Metadata", metadata(sent, ""))...).has(t, 201)
		id := begun.header.Get("Kaban-File")
		got := f.get("/v1/files/"+id, bearer(owner)...).has(t, 200)
		_, parameters, err := mime.ParseMediaType(got.header.Get("Content-Disposition"))
		if err != nil || parameters["filename"] != want {
			t.Errorf("%q is served as %q, %v; want %q", sent, parameters["filename"], err, want)
		}
	}
}

func TestRangesAndConditions(t *testing.T) {
	f, owner := claimed(t, "open")
	at := "/v1/files/" + f.file(owner, "x.txt", "0123456789")
	whole := f.get(at, bearer(owner)...).has(t, 200)
	tag := whole.header.Get("ETag")
	if whole.body != "0123456789" || !strings.HasPrefix(tag, `"files-`) || whole.header.Get("Last-Modified") != "" {
		t.Errorf("%s with %v", whole, whole.header)
	}
	for _, c := range []struct {
		method string
		header []string
		status int
		body   string
	}{
		{"HEAD", nil, 200, ""},
		{"GET", []string{"Range", "bytes=2-4"}, 206, "234"},
		{"GET", []string{"Range", "bytes=-3"}, 206, "789"},
		{"GET", []string{"Range", "bytes=5-"}, 206, "56789"},
		{"GET", []string{"Range", "bytes=2-4", "If-Range", tag}, 206, "234"},
		{"GET", []string{"Range", "bytes=2-4", "If-Range", `"other"`}, 200, "0123456789"},
		{"GET", []string{"If-None-Match", tag}, 304, ""},
		{"GET", []string{"If-None-Match", `"other"`}, 200, "0123456789"},
	} {
		got := f.do(c.method, at, "", with(bearer(owner), c.header)...)
		if got.status != c.status || got.body != c.body {
			t.Errorf("%s %v is answered with %d %q, want %d %q", c.method, c.header, got.status, got.body, c.status, c.body)
		}
		if c.method == "HEAD" && got.header.Get("Content-Length") != "10" {
			t.Errorf("HEAD says %v", got.header)
		}
	}
}

// slowBlobs does something while it opens a blob, and takes its time.
type slowBlobs struct {
	files.Store
	during func()
}

func (s *slowBlobs) Open(ctx context.Context, key files.Key) (io.ReadSeekCloser, files.Info, error) {
	if s.during != nil {
		s.during()
		time.Sleep(200 * time.Millisecond) // more than slowOpen
	}
	return s.Store.Open(ctx, key)
}

// Whoever loses the right to a file while it is opened gets nothing of it.
func TestAFileThatIsOpenedSlowly(t *testing.T) {
	uploads, err := upload.Open(upload.Config{Dir: t.TempDir(), Limits: upload.DefaultLimits()})
	if err != nil {
		t.Fatal(err)
	}
	blobs, err := disk.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	slow := &slowBlobs{Store: blobs}
	f := start(t, web.Config{Files: keep.New(keep.Config{Staging: uploads, Store: slow})}, nil)
	f.claim("open")
	ann, bob := f.person("ann", kaban.RoleMember), f.person("bob", kaban.RoleMember)
	f.den(ann, "den", "bob")
	id := f.file(ann, "x.txt", "the secret")
	f.message(ann, "den", id)
	at := "/v1/files/" + id
	slow.during = func() {}
	f.get(at, bearer(bob)...).has(t, 200)
	slow.during = func() { f.act(ann, access.Kick, "den", "bob") }
	if got := f.get(at, bearer(bob)...); got.status != 404 || strings.Contains(got.body, "secret") {
		t.Errorf("somebody that was kicked meanwhile gets %s", got)
	}
}

// A link is worth nothing without the right to read its message now.
func TestWhoGetsAFile(t *testing.T) {
	f, _ := claimed(t, "open")
	ann, bob, eve := f.person("ann", kaban.RoleMember), f.person("bob", kaban.RoleMember), f.person("eve", kaban.RoleMember)
	f.den(ann, "den", "bob")
	const secret = "the secret"
	id := f.file(ann, "x.txt", secret)
	at := "/v1/files/" + id
	who := func(when string, want map[string]bool) {
		t.Helper()
		for name, by := range map[string]account.Session{"ann": ann, "bob": bob, "eve": eve} {
			for _, path := range []string{at, at + "/thumbnail"} {
				got := f.get(path, bearer(by)...)
				code, _ := got.json["code"].(string)
				if may := want[name] && path == at; may != (got.status == 200) || !may && (got.status != 404 || code != "not_found" || strings.Contains(got.body, secret)) {
					t.Errorf("%s: %s gets %s of %s", when, name, got, path)
				}
			}
		}
		if got := f.get(at); got.status != 404 {
			t.Errorf("%s: a visitor gets %s", when, got)
		}
	}
	who("loose", map[string]bool{"ann": true})
	seq := f.message(ann, "den", id)
	who("in a private room", map[string]bool{"ann": true, "bob": true})
	for _, guess := range []string{strings.Repeat("a", 26), id[:25], id + "a", strings.ToUpper(id), "..%2F" + id, id[:25] + "%00"} {
		if got := f.get("/v1/files/"+guess, bearer(ann)...); got.status != 404 {
			t.Errorf("the guess %s is answered with %s", guess, got)
		}
	}
	// The hash of the bytes is known to whoever has them, and no name of anything.
	if got := f.get("/v1/files/"+strings.Repeat("0", 64), bearer(eve)...); got.status != 404 {
		t.Errorf("a hash is answered with %s", got)
	}
	if own := f.file(eve, "x.txt", secret); own == id {
		t.Error("the same bytes give the file of somebody else")
	}
	who("after somebody has uploaded the same", map[string]bool{"ann": true, "bob": true})
	f.act(ann, access.Kick, "den", "bob")
	who("kicked", map[string]bool{"ann": true})
	room, err := kaban.ParseRoomName("den")
	if err != nil {
		t.Fatal(err)
	}
	gone, err := kaban.ParseMessageID("gone")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.user(ann).Change(t.Context(), room, gone, chat.Change{Kind: kaban.KindDelete, Target: seq}); err != nil {
		t.Fatal(err)
	}
	who("deleted", nil)
}

// An upload is there for its owner only, whatever is asked of it.
func TestUploadsAreTheirOwners(t *testing.T) {
	f, owner := claimed(t, "open")
	eve := f.person("eve", kaban.RoleMember)
	at := f.do("POST", "/v1/files", "", tus(owner, "Upload-Length", "3")...).has(t, 201).header.Get("Location")
	for _, c := range []struct{ method, body string }{{"HEAD", ""}, {"PATCH", "abc"}, {"DELETE", ""}} {
		headers := []string{"Upload-Offset", "0", "Content-Type", offsetType}
		if got := f.do(c.method, at, c.body, tus(eve, headers...)...); got.status != 404 {
			t.Errorf("%s by somebody else: %s", c.method, got)
		}
		if got := f.do(c.method, at, c.body, "Tus-Resumable", "1.0.0"); got.status != 401 {
			t.Errorf("%s by nobody: %s", c.method, got)
		}
	}
	f.do("PATCH", at, "abc", tus(owner, "Upload-Offset", "0", "Content-Type", "text/plain")...).has(t, 400)
	f.do("PATCH", at, "abc", tus(owner, "Upload-Offset", "1", "Content-Type", offsetType)...).has(t, 409)
	f.do("PATCH", at, "abcd", tus(owner, "Upload-Offset", "0", "Content-Type", offsetType)...).has(t, 413, "code", "too_large")
	f.do("PATCH", at, "abc", with(bearer(owner), []string{"Upload-Offset", "0", "Content-Type", offsetType})...).has(t, 412)
	f.do("DELETE", at, "", tus(owner)...).has(t, 204)
	f.do("HEAD", at, "", tus(owner)...).has(t, 404)
	if got := f.do("OPTIONS", "/v1/files", "").has(t, 204).header; got.Get("Tus-Version") != "1.0.0" || got.Get("Tus-Max-Size") != "100000000" || !strings.Contains(got.Get("Tus-Extension"), "creation") {
		t.Errorf("OPTIONS answers %v", got)
	}
}

// A message over HTTP has files, which its history and its stream show, and which go with it.
func TestMessagesWithFiles(t *testing.T) {
	f, _ := claimed(t, "open")
	ann, bob := f.person("ann", kaban.RoleMember), f.person("bob", kaban.RoleMember)
	first, second := f.file(ann, "a.txt", "a"), f.file(ann, "b.txt", "bb")
	post := func(by account.Session, id, body string) *answer {
		t.Helper()
		return f.post("lobby", `{"id":"`+id+`",`+body+`}`, bearer(by)...)
	}
	files := `"files":["` + second + `","` + first + `"]`
	post(bob, "1", files).has(t, 404, "code", "not_found")
	sent := post(ann, "2", files).has(t, 201, "duplicate", false)
	post(ann, "2", files).has(t, 200, "duplicate", true, "seq", sent.json["seq"])
	post(ann, "3", `"content":"x","files":["`+first+`"]`).has(t, 404, "code", "not_found")
	post(ann, "4", `"content":"x","files":["x"]`).has(t, 400, "code", "bad_field", "field", "files")
	page := f.get("/v1/rooms/lobby/messages", bearer(bob)...).has(t, 200)
	var read struct {
		Messages []struct {
			Seq     json.Number
			Content string
			Files   []kaban.File
		}
	}
	if err := json.Unmarshal([]byte(page.body), &read); err != nil {
		t.Fatal(err)
	}
	m := read.Messages[len(read.Messages)-1]
	if len(m.Files) != 2 || m.Files[0].ID != second || m.Files[0].Name != "b.txt" || m.Files[0].Size != 2 || m.Files[1].ID != first || m.Content != "" {
		t.Errorf("the page has %s", page)
	}
	r := f.followIn("lobby", "?after=0", bearer(bob)...)
	for {
		e, err := r.next()
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(fmt.Sprint(e.data["files"]), second) {
			break
		}
	}
	f.get("/v1/files/"+first, bearer(bob)...).has(t, 200)
	f.do("DELETE", "/v1/rooms/lobby/messages/"+m.Seq.String()+"?id=gone", "", bearer(ann)...).has(t, 201)
	f.get("/v1/files/"+first, bearer(bob)...).has(t, 404)
	if page := f.get("/v1/rooms/lobby/messages", bearer(bob)...); strings.Contains(page.body, "b.txt") {
		t.Errorf("a deleted message has %s", page)
	}
}

// setting changes a setting.
func (f *fixture) setting(s store.Store, key, value string) {
	f.t.Helper()
	err := s.Update(f.t.Context(), func(tx store.Tx) error { return people.Settings.Put(tx, &people.Setting{Key: key, Value: value}) })
	if err != nil {
		f.t.Fatal(err)
	}
}

// faultyBlobs is a store of blobs that fails.
type faultyBlobs struct {
	files.Store
	err atomic.Pointer[error]
}

func (b *faultyBlobs) Add(ctx context.Context, key files.Key, staged files.Staged) error {
	if err := b.err.Load(); err != nil {
		return *err
	}
	return b.Store.Add(ctx, key, staged)
}

// staging returns the uploads of a directory of the test.
func staging(t *testing.T, dir string) *upload.Staging {
	t.Helper()
	s, err := upload.Open(upload.Config{Dir: filepath.Join(dir, "uploads"), Limits: upload.DefaultLimits()})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// counted is a body that counts what is read of it.
type counted struct {
	io.Reader
	n atomic.Int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// zeros are as many bytes as are read.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// What is around the file of endless.
const (
	beforeFile = "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"big\"\r\n\r\n"
	behindFile = "\r\n--x--\r\n"
)

// endless returns a form with a file of some bytes, as it is read.
func endless(bytes int64) (body io.Reader, contentType string) {
	return io.MultiReader(
		strings.NewReader(beforeFile), io.LimitReader(zeros{}, bytes), strings.NewReader(behindFile),
	), `multipart/form-data; boundary=x`
}

// What is too much is refused before it has come, where its size is declared, and soon after it is
// too much where not. Nothing is left.
func TestQuotaOfFiles(t *testing.T) {
	docs, dir := teststore.New(t), t.TempDir()
	blobs, err := disk.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	uploads := staging(t, dir)
	f := start(t, web.Config{Files: keep.New(keep.Config{Staging: uploads, Store: blobs})}, docs)
	owner := f.claim("open")
	f.setting(docs, people.SettingFileSize, "10MB")
	f.setting(docs, people.SettingFileQuota, "12MB")
	f.file(owner, "first", strings.Repeat("x", 3_000_000))
	for _, c := range []struct {
		size int64
		code string
		max  int
	}{{11_000_000, "too_large", 10_000_000}, {9_500_000, "quota_exceeded", 12_000_000}} {
		f.do("POST", "/v1/files", "", tus(owner, "Upload-Length", strconv.FormatInt(c.size, 10))...).has(t, 413, "code", c.code, "max", c.max)
		for _, declared := range []bool{true, false} {
			body, contentType := endless(c.size)
			sent := &counted{Reader: body}
			r, err := http.NewRequestWithContext(t.Context(), "POST", f.url+"/v1/files", sent)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", contentType)
			r.Header.Set("Authorization", "Bearer "+owner.Secret)
			if declared {
				// Exactly: on a busy machine all of it may be in buffers before the refusal has come.
				r.ContentLength = int64(len(beforeFile)) + c.size + int64(len(behindFile))
			}
			got, err := f.client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			text, _ := io.ReadAll(got.Body)
			got.Body.Close()
			var p web.Problem
			want := c.code
			if !declared {
				want = "quota_exceeded" // which it reaches first
			}
			if json.Unmarshal(text, &p); got.StatusCode != 413 || p.Code != want || p.Max == nil {
				t.Errorf("%d bytes, declared %t: %d %s", c.size, declared, got.StatusCode, text)
			}
		}
	}
	if all := uploads.All(); len(all) != 0 {
		t.Errorf("left are %+v", all)
	}
	if got := f.upload(owner, "x", strings.Repeat("y", 1000), ""); got.status != 201 {
		t.Errorf("what fits: %s", got)
	}
	// Each of two uploads fits when it begins; the second is refused at its end, and gone.
	const size = 5_000_000
	var at []string
	for range 2 {
		begun := f.do("POST", "/v1/files", "", tus(owner, "Upload-Length", strconv.Itoa(size))...).has(t, 201)
		at = append(at, begun.header.Get("Location"))
	}
	for i, want := range []int{204, 413} {
		f.do("PATCH", at[i], strings.Repeat(strconv.Itoa(i), size), tus(owner, "Upload-Offset", "0", "Content-Type", offsetType)...).has(t, want)
	}
	f.do("HEAD", at[0], "", tus(owner)...).has(t, 200)
	f.do("HEAD", at[1], "", tus(owner)...).has(t, 404)
}

// A full disk, or a store that is away, is said so, and the upload goes on when it is back.
func TestNoRoomForFiles(t *testing.T) {
	dir := t.TempDir()
	under, err := disk.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	blobs := &faultyBlobs{Store: under}
	uploads := staging(t, dir)
	f := start(t, web.Config{Files: keep.New(keep.Config{Staging: uploads, Store: blobs})}, nil)
	owner := f.claim("open")
	for _, c := range []struct {
		err    error
		status int
		code   string
	}{
		{fmt.Errorf("add: %w", files.ErrNoSpace), 507, "storage_full"},
		{&files.UnreachableError{Store: "s3", Err: errors.New("secret detail")}, 503, "unavailable"},
		{errors.New("secret detail"), 500, "internal"},
		// All bytes have come: these are no words about the client.
		{fmt.Errorf("secret detail: %w", io.ErrUnexpectedEOF), 500, "internal"},
		{fmt.Errorf("secret detail: %w", os.ErrDeadlineExceeded), 500, "internal"},
		{fmt.Errorf("secret detail: %w", net.ErrClosed), 500, "internal"},
		{&net.OpError{Op: "read", Err: errors.New("secret detail")}, 500, "internal"},
	} {
		blobs.err.Store(&c.err)
		got := f.upload(owner, "x", "abc", "")
		if got.has(t, c.status, "code", c.code); strings.Contains(got.body, "secret") {
			t.Errorf("the client is told %s", got)
		}
		at := f.do("POST", "/v1/files", "", tus(owner, "Upload-Length", "3")...).has(t, 201).header.Get("Location")
		f.do("PATCH", at, "abc", tus(owner, "Upload-Offset", "0", "Content-Type", offsetType)...).has(t, c.status, "code", c.code)
		blobs.err.Store(nil)
		if got := f.do("HEAD", at, "", tus(owner)...); got.header.Get("Upload-Offset") != "2" {
			t.Errorf("the upload is at %v", got.header)
		}
		done := f.do("PATCH", at, "c", tus(owner, "Upload-Offset", "2", "Content-Type", offsetType)...).has(t, 204)
		if got := f.get("/v1/files/"+done.header.Get("Kaban-File"), bearer(owner)...); got.body != "abc" {
			t.Errorf("the file is %s", got)
		}
	}
	for _, info := range uploads.All() {
		if !info.Settled {
			t.Errorf("left is %+v", info)
		}
	}
}

// A form that is none, or has too much in it, is refused, and leaves nothing.
func TestForms(t *testing.T) {
	dir := t.TempDir()
	blobs, err := disk.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	uploads := staging(t, dir)
	f := start(t, web.Config{Files: keep.New(keep.Config{Staging: uploads, Store: blobs})}, nil)
	owner := f.claim("open")
	part := func(name, more, content string) string {
		return "--x\r\nContent-Disposition: form-data; name=" + name + more + "\r\n\r\n" + content + "\r\n"
	}
	file := part("file", "; filename=a", "abc")
	for name, c := range map[string]struct {
		body   string
		status int
		code   any
	}{
		"alt first":            {part("alt", "", "a cat") + file + "--x--", 201, nil},
		"alt last":             {file + part("alt", "", "a cat") + "--x--", 201, nil},
		"no file":              {part("alt", "", "a cat") + "--x--", 400, "missing_field"},
		"two files":            {file + file + "--x--", 400, "bad_field"},
		"another field":        {part("path", "", "/etc") + file + "--x--", 400, "bad_field"},
		"cut short":            {file[:len(file)-2], 400, nil},
		"no form":              {"hello", 400, nil},
		"a short header":       {part("alt", "", "a cat") + part("file", "; filename="+strings.Repeat("a", 4000), "abc") + "--x--", 201, nil},
		"a long header":        {part("file", "; filename="+strings.Repeat("a", 64<<10), "abc") + "--x--", 400, nil},
		"nothing":              {"", 400, nil},
		"a long alt":           {part("alt", "", strings.Repeat("ä", 501)) + file + "--x--", 400, "bad_field"},
		"a long alt behind it": {file + part("alt", "", strings.Repeat("x", 5000)) + "--x--", 400, "bad_field"},
		"a bad alt":            {part("alt", "", "a\x1b[31m") + file + "--x--", 400, "bad_field"},
		"many parts":           {strings.Repeat(part("alt", "", "x"), 20) + file + "--x--", 400, nil},
	} {
		got := f.do("POST", "/v1/files", c.body, with(bearer(owner), []string{"Content-Type", "multipart/form-data; boundary=x"})...)
		if got.status != c.status || got.json["code"] != c.code {
			t.Errorf("%s: %s, want %d %v", name, got, c.status, c.code)
		}
		if c.status == 201 && got.json["alt"] != "a cat" {
			t.Errorf("%s: %s", name, got)
		}
		if all := uploads.All(); len(all) != 0 {
			t.Errorf("%s: left are %+v", name, all)
		}
	}
	f.do("POST", "/v1/files", "x", with(bearer(owner), []string{"Content-Type", "multipart/form-data"})...).has(t, 400)
	f.do("POST", "/v1/files", "x", tus(owner, "Upload-Length", "1", "Upload-Metadata", metadata("a", "\x00"))...).has(t, 400, "code", "bad_field")
}

// A server that keeps nothing says so.
func TestNoFiles(t *testing.T) {
	f := start(t, web.Config{Files: none}, nil)
	owner := f.claim("open")
	f.upload(owner, "a", "b", "").has(t, 503, "code", "unavailable")
	f.get("/v1/files/"+strings.Repeat("a", 26), bearer(owner)...).has(t, 503, "code", "unavailable")
	f.do("HEAD", "/v1/uploads/x", "", tus(owner)...).has(t, 503)
}

// none stands for a server without files; see start.
var none = new(keep.Keeper)

// A thousand uploads at once take little memory; those beyond the bounds are told to come back.
func TestAThousandUploads(t *testing.T) {
	f, owner := claimed(t, "open")
	people := []account.Session{owner}
	for i := range 40 {
		people = append(people, f.person(fmt.Sprint("p", i), kaban.RoleMember))
	}
	const n = 1000
	before := heap()
	var group sync.WaitGroup
	var kept, later atomic.Int64
	var most atomic.Uint64
	for i := range n {
		group.Go(func() {
			body, contentType := form(t, "x", fmt.Sprint("upload ", i), "")
			r, err := http.NewRequestWithContext(t.Context(), "POST", f.url+"/v1/files", strings.NewReader(body))
			if err != nil {
				t.Error(err)
				return
			}
			r.Header.Set("Content-Type", contentType)
			r.Header.Set("Authorization", "Bearer "+people[i%len(people)].Secret)
			got, err := f.client.Do(r)
			if err != nil {
				t.Error(err)
				return
			}
			io.Copy(io.Discard, got.Body)
			got.Body.Close()
			switch got.StatusCode {
			case 201:
				kept.Add(1)
			case 429, 503:
				if later.Add(1); got.Header.Get("Retry-After") == "" {
					t.Error("there is no Retry-After")
				}
			default:
				t.Errorf("%d", got.StatusCode)
			}
			if i%50 == 0 {
				most.Store(max(most.Load(), heap()))
			}
		})
	}
	group.Wait()
	if kept.Load() == 0 || kept.Load()+later.Load() != n {
		t.Errorf("%d are kept, %d come back", kept.Load(), later.Load())
	}
	if grown := int64(most.Load()) - int64(before); grown > 256<<20 {
		t.Errorf("the heap has grown by %d MiB", grown>>20)
	}
	t.Logf("%d are kept, %d come back", kept.Load(), later.Load())
}

// heap returns the bytes of the heap that are in use.
func heap() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse
}

// A large file goes in and out through a little memory.
func TestALargeFileIsStreamed(t *testing.T) {
	const size, most = 64 << 20, 16 << 20
	f, owner := claimed(t, "open")
	runtime.GC()
	before := heap()
	grown := int64(0)
	watch := func() {
		runtime.GC()
		grown = max(grown, int64(heap())-int64(before))
	}
	body, contentType := endless(size)
	r, err := http.NewRequestWithContext(t.Context(), "POST", f.url+"/v1/files", &watched{body, watch, 0})
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", contentType)
	r.Header.Set("Authorization", "Bearer "+owner.Secret)
	got, err := f.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	var sent struct {
		File string
		Size int64
	}
	err = json.NewDecoder(got.Body).Decode(&sent)
	if got.Body.Close(); err != nil || got.StatusCode != 201 || sent.Size != size {
		t.Fatalf("%d %+v %v", got.StatusCode, sent, err)
	}
	if r, err = http.NewRequestWithContext(t.Context(), "GET", f.url+"/v1/files/"+sent.File, nil); err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+owner.Secret)
	if got, err = f.client.Do(r); err != nil {
		t.Fatal(err)
	}
	defer got.Body.Close()
	if n, err := io.Copy(io.Discard, &watched{got.Body, watch, 0}); err != nil || n != size {
		t.Errorf("%d bytes come back, %v", n, err)
	}
	if grown > most {
		t.Errorf("the heap has grown by %d MiB", grown>>20)
	}
}

// watched calls a function each 8 MiB.
type watched struct {
	io.Reader
	watch func()
	n     int64
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.Reader.Read(p)
	if before := w.n; (before+int64(n))>>23 > before>>23 {
		w.watch()
	}
	w.n += int64(n)
	return n, err
}

// A body has to come at a pace that any link has, and one byte now and then is none.
func TestPace(t *testing.T) {
	for name, c := range map[string]struct {
		bytes int
		every time.Duration
		ends  bool
	}{"20 KB/s": {20_000, time.Second, false}, "2 KB/s": {2_000, time.Second, false}, "a byte now and then": {1, 10 * time.Second, true}} {
		if got := web.PaceEnds(c.bytes, c.every); got != c.ends {
			t.Errorf("%s ends: %t, want %t", name, got, c.ends)
		}
	}
}

// Transfers are bounded, for one and for all, and a place is free again when it is left.
func TestTransfers(t *testing.T) {
	enter := web.Transfers(3, 2)
	var leave []func()
	for _, c := range []struct {
		key  uint64
		code string
	}{{1, ""}, {1, ""}, {1, "rate_limited"}, {2, ""}, {2, "unavailable"}, {0, "unavailable"}} {
		left, err := enter(c.key)
		p, _ := errors.AsType[*web.Problem](err)
		if p != nil && (p.Code != c.code || p.RetryAfter == nil) || p == nil && c.code != "" {
			t.Errorf("%d: %v, want %s", c.key, err, c.code)
		}
		if err == nil {
			leave = append(leave, left)
		}
	}
	for _, left := range leave {
		left()
		left() // which counts once
	}
	for range 3 {
		if _, err := enter(0); err != nil {
			t.Error(err)
		}
	}
	if _, err := enter(0); err == nil {
		t.Error("there are more places than before")
	}
}

// The header of a part is kept in memory, so little of it is read.
func TestTheHeaderOfAPartIsBounded(t *testing.T) {
	head := "--x\r\nContent-Disposition: form-data; name=file; filename="
	read, err := web.HeadOfForm(io.MultiReader(strings.NewReader(head), strings.NewReader(strings.Repeat("a", 1<<20))))
	if err == nil || !strings.Contains(err.Error(), "header") || read > 20<<10 {
		t.Errorf("%d bytes were read, %v", read, err)
	}
}
