package transfer

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"kaban"
	"kaban/client"
	"kaban/wire"
)

const fileID = "abcdefghijklmnopqrstuvwxyz"

// server keeps one upload, and fails as the test wants.
type server struct {
	t  *testing.T
	mu sync.Mutex
	// faults are taken one by one by requests that are not the first: "cut" reads some bytes and
	// hangs up, "lose" forgets the upload, a number is a status, "short" takes half of the body.
	faults  []string
	size    int64
	got     []byte
	meta    string
	there   bool
	asked   []string // methods
	foreign bool
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, r.Method)
	if r.Header.Get("Authorization") != "Bearer T0KEN" {
		s.t.Errorf("%s %s has the credentials %q", r.Method, r.URL, r.Header.Get("Authorization"))
	}
	fault := ""
	if len(s.faults) > 0 && r.Method == http.MethodPatch {
		fault, s.faults = s.faults[0], s.faults[1:]
	}
	status, _ := strconv.Atoi(fault)
	if status != 0 || fault == "lose" {
		// An answer before the end of the body may get lost: the connection ends with bytes that nobody has read.
		io.Copy(io.Discard, r.Body)
	}
	switch {
	case status != 0:
		w.WriteHeader(status)
	case fault == "lose":
		s.there = false
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"code":"not_found","detail":"there is no such upload"}`)
	case r.Method == http.MethodPost && strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/"):
		s.form(w, r)
	case r.Method == http.MethodPost:
		s.there, s.got, s.meta = true, nil, r.Header.Get("Upload-Metadata")
		s.size, _ = strconv.ParseInt(r.Header.Get("Upload-Length"), 10, 64)
		w.Header().Set("Location", "uploads/1")
		if s.foreign {
			w.Header().Set("Location", "http://elsewhere.example/v1/uploads/1")
		}
		s.done(w)
		w.WriteHeader(http.StatusCreated)
	case !s.there || r.URL.Path != "/chat/v1/uploads/1":
		w.WriteHeader(http.StatusNotFound)
	case r.Method == http.MethodHead:
		s.done(w)
	default:
		s.patch(w, r, fault)
	}
}

func (s *server) patch(w http.ResponseWriter, r *http.Request, fault string) {
	if r.Header.Get("Upload-Offset") != strconv.Itoa(len(s.got)) {
		w.WriteHeader(http.StatusConflict)
		return
	}
	n := r.ContentLength
	if fault != "" {
		n /= 2
	}
	part, err := io.ReadAll(io.LimitReader(r.Body, n))
	if s.got = append(s.got, part...); fault == "cut" || err != nil {
		panic(http.ErrAbortHandler)
	}
	io.Copy(io.Discard, r.Body)
	s.done(w)
	w.WriteHeader(http.StatusNoContent)
}

// done adds what the upload has become to the headers of an answer.
func (s *server) done(w http.ResponseWriter) {
	h := w.Header()
	if h.Set("Upload-Offset", strconv.Itoa(len(s.got))); int64(len(s.got)) == s.size {
		h.Set("Kaban-File", fileID)
		h.Set("Kaban-Name", "caf%C3%A9.png")
		h.Set("Kaban-Size", "5")
		h.Set("Kaban-Type", "image/png")
		h.Set("Kaban-Width", "3")
		h.Set("Kaban-Height", "4")
	}
}

func (s *server) form(w http.ResponseWriter, r *http.Request) {
	part, header, err := r.FormFile("file")
	if err != nil { // the stream broke
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	s.got, _ = io.ReadAll(part)
	s.meta = header.Filename + " " + r.FormValue("alt")
	w.WriteHeader(http.StatusCreated)
	json.NewEncoder(w).Encode(kaban.File{ID: fileID, Name: "x", Size: int64(len(s.got)), Type: "text/plain"})
}

func (s *server) start() (address string, options Options) {
	http := httptest.NewServer(s)
	s.t.Cleanup(http.Close)
	return http.URL + "/chat", Options{Token: "T0KEN", Pause: time.Millisecond}
}

func hasStatus(status int) func(error) bool {
	return func(err error) bool {
		got, ok := errors.AsType[*StatusError](err)
		return ok && got.Status == status
	}
}

func TestAnUploadGoesOnWhereItStopped(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789abcdef"), 20_000)
	for name, test := range map[string]struct {
		faults []string
		want   string // methods
	}{
		"at once":           {nil, "POST PATCH"},
		"a part is taken":   {[]string{"short"}, "POST PATCH PATCH"},
		"it breaks":         {[]string{"cut", "cut"}, "POST PATCH HEAD PATCH HEAD PATCH"},
		"the server ends":   {[]string{"503"}, "POST PATCH HEAD PATCH"},
		"somebody is at it": {[]string{"423"}, "POST PATCH HEAD PATCH"},
		"it is lost":        {[]string{"short", "lose"}, "POST PATCH PATCH POST PATCH"},
	} {
		t.Run(name, func(t *testing.T) {
			s := &server{t: t, faults: test.faults}
			address, options := s.start()
			var told []int64
			options.Progress = func(sent int64) { told = append(told, sent) }
			f, err := Upload(t.Context(), address, bytes.NewReader(content), Draft{Name: "café.png", Size: int64(len(content)), Alt: "a café"}, options)
			if want := (kaban.File{ID: fileID, Name: "café.png", Size: 5, Type: "image/png", Width: 3, Height: 4, Alt: "a café"}); err != nil || f != want {
				t.Fatalf("got %+v, %v; want %+v", f, err, want)
			}
			if !bytes.Equal(s.got, content) {
				t.Errorf("the server has %d bytes, want %d", len(s.got), len(content))
			}
			if got := strings.Join(s.asked, " "); got != test.want {
				t.Errorf("asked %s, want %s", got, test.want)
			}
			if len(told) == 0 || told[len(told)-1] != int64(len(content)) {
				t.Errorf("the progress is %v", told)
			}
			name := base64.StdEncoding.EncodeToString([]byte("café.png"))
			alt := base64.StdEncoding.EncodeToString([]byte("a café"))
			if s.meta != "filename "+name+",alt "+alt {
				t.Errorf("the upload began with %q", s.meta)
			}
		})
	}
}

func TestUploadsThatFail(t *testing.T) {
	address, options := "", Options{}
	for name, test := range map[string]struct {
		server *server
		size   int64
		is     func(error) bool
	}{
		"it never gets on":    {&server{faults: strings.Fields(strings.Repeat("503 ", maxVain))}, 5, hasStatus(503)},
		"it becomes shorter":  {&server{}, 9, func(err error) bool { return errors.Is(err, errChanged) }},
		"a status is final":   {&server{faults: []string{"413"}}, 5, hasStatus(413)},
		"it goes to somebody": {&server{foreign: true}, 5, func(err error) bool { return errors.Is(err, errForeign) }},
	} {
		s := test.server
		s.t = t
		address, options = s.start()
		if _, err := Upload(t.Context(), address, strings.NewReader("hello"), Draft{Name: "x", Size: test.size}, options); !test.is(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	ended, cancel := context.WithCancelCause(t.Context())
	reason := errors.New("enough")
	cancel(reason)
	if _, err := Upload(ended, address, strings.NewReader("hello"), Draft{Name: "x", Size: 5}, options); !errors.Is(err, reason) {
		t.Errorf("a context that has ended: %v", err)
	}
	for address, want := range map[string]error{"tls://chat.example": ErrNoWeb, "127.0.0.1:6440": ErrNoWeb, "http://chat.example": client.ErrInsecure} {
		if _, err := Upload(t.Context(), address, strings.NewReader("x"), Draft{Name: "x", Size: 1}, options); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", address, err, want)
		}
	}
}

// Files of no bytes and those from a stream.
func TestOtherUploads(t *testing.T) {
	s := &server{t: t}
	address, options := s.start()
	if f, err := Upload(t.Context(), address, strings.NewReader(""), Draft{Name: "x"}, options); err != nil || f.ID != fileID {
		t.Errorf("an empty file: %+v, %v", f, err)
	}
	if f, err := Upload(t.Context(), address, io.MultiReader(strings.NewReader("hel"), strings.NewReader("lo")), Draft{Name: "x.txt", Size: -1, Alt: "a word"}, options); err != nil || f.Size != 5 || string(s.got) != "hello" || s.meta != "x.txt a word" {
		t.Errorf("a stream: %+v, %v; %q %q", f, err, s.got, s.meta)
	}
	broken := errors.New("the pipe broke")
	if _, err := Upload(t.Context(), address, io.MultiReader(strings.NewReader("hel"), failing{broken}), Draft{Name: "x", Size: -1}, options); err == nil {
		t.Error("a stream that breaks succeeds")
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestDownloads(t *testing.T) {
	http := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/v1/files/" + fileID:
			w.Header().Set("Content-Type", "image/png")
			w.Header().Set("Content-Disposition", `attachment; filename*=UTF-8''..%2F..%2Fcaf%C3%A9.png`)
			fmt.Fprint(w, "hello")
		case "/v1/files/" + fileID + "/thumbnail":
			fmt.Fprint(w, "small")
		case "/v1/files/" + strings.Repeat("a", 26):
			http.Redirect(w, r, "/v1/files/"+fileID, http.StatusFound)
		default:
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"code":"not_found","detail":"there is no such file"}`)
		}
	}))
	defer http.Close()
	options := Options{Token: "T0KEN"}
	d, err := Open(t.Context(), http.URL, fileID, options)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if got, err := io.ReadAll(d); err != nil || string(got) != "hello" || d.Name != "../../café.png" || d.Size != 5 || d.Type != "image/png" {
		t.Errorf("got %q, %v of %+v", got, err, d)
	}
	small, err := OpenThumbnail(t.Context(), http.URL, fileID, options)
	if err != nil {
		t.Fatal(err)
	}
	defer small.Close()
	if got, err := io.ReadAll(small); err != nil || string(got) != "small" {
		t.Errorf("the thumbnail is %q, %v", got, err)
	}
	for _, open := range []func(context.Context, string, string, Options) (*Download, error){Open, OpenThumbnail} {
		_, err = open(t.Context(), http.URL, strings.Repeat("b", 26), options)
		if refused, ok := errors.AsType[*client.Error](err); !ok || refused.Code != wire.CodeNotFound {
			t.Errorf("no such file: %v", err)
		}
	}
	if _, err = Open(t.Context(), http.URL, strings.Repeat("a", 26), options); err == nil {
		t.Error("a redirect is followed")
	}
	if _, err = Open(t.Context(), http.URL, "../../x", options); !errors.Is(err, kaban.ErrFiles) {
		t.Errorf("no id: %v", err)
	}
}
