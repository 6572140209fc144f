package web_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"kaban/internal/nodetest"
	"kaban/internal/web"
)

// A file is longer than what the bodies of one client may hold, with each version of HTTP, and
// holds nothing. It comes back whole.
func TestFilesOverTLS(t *testing.T) {
	nodetest.One(t, "it watches what a node has open")
	const size = 3 * web.MaxBodies
	for _, version := range []int{1, 2} {
		t.Run(fmt.Sprint("HTTP/", version), func(t *testing.T) {
			f := encrypted(t, web.Config{}, version)
			owner := f.claim("open")
			most := 0
			body, contentType := endless(size)
			r, err := http.NewRequestWithContext(t.Context(), "POST", f.url+"/v1/files", &watchedOften{body, func() { most = max(most, f.web.Held()) }})
			f.must(err)
			r.Header.Set("Content-Type", contentType)
			r.Header.Set("Authorization", "Bearer "+owner.Secret)
			got, err := f.client.Do(r)
			f.must(err)
			text, err := io.ReadAll(got.Body)
			got.Body.Close()
			f.must(err)
			if got.StatusCode != 201 || got.ProtoMajor != version {
				t.Fatalf("%s %d %s", got.Proto, got.StatusCode, text)
			}
			if most != 0 {
				t.Errorf("%d bytes were held", most)
			}
			_, id, _ := strings.Cut(string(text), `"file":"`)
			file := f.get("/v1/files/"+id[:26], bearer(owner)...).has(t, 200)
			if len(file.body) != size {
				t.Errorf("%d bytes come back", len(file.body))
			}
			// An upload that is resumed over the same kind of connection.
			at := f.do("POST", "/v1/files", "", tus(owner, "Upload-Length", fmt.Sprint(2*web.MaxBodies))...).has(t, 201).header.Get("Location")
			half := strings.Repeat("x", web.MaxBodies)
			f.do("PATCH", at, half, tus(owner, "Upload-Offset", "0", "Content-Type", offsetType)...).has(t, 204)
			f.do("PATCH", at, half, tus(owner, "Upload-Offset", fmt.Sprint(web.MaxBodies), "Content-Type", offsetType)...).has(t, 204)
		})
	}
}

// watchedOften calls a function each time it is read.
type watchedOften struct {
	io.Reader
	watch func()
}

func (w *watchedOften) Read(p []byte) (int, error) {
	w.watch()
	return w.Reader.Read(p)
}

// Whoever comes back over a new connection takes an upload over from the old one, which is dead and
// does not say so.
func TestAnUploadIsTakenOver(t *testing.T) {
	nodetest.One(t, "an upload belongs to the node where it began")
	f, owner := claimed(t, "open")
	dead := f.beginTus(t, owner, 5) // has come before somebody asks: a question takes the upload over too
	if kept := f.do("HEAD", dead.at, "", tus(owner)...).has(t, 200).header.Get("Upload-Offset"); kept != "5" {
		t.Fatalf("%s bytes are kept", kept)
	}
	rest := strings.Repeat("y", 10_000_000-5)
	f.do("PATCH", dead.at, rest, tus(owner, "Upload-Offset", "5", "Content-Type", offsetType)...).has(t, 204)
}

// A body that is streamed takes longer than a request may, does not keep a client waiting that has
// brought something, and ends when it is cut, whoever is first.
func TestAStreamedBody(t *testing.T) {
	got := web.StreamBody(strings.NewReader(strings.Repeat("x", 300_000)), time.Now().Add(-time.Hour))
	if got.Err != nil || got.Bytes != 300_000 || got.Awaits != got.Resumes || got.Awaits < 2 {
		t.Errorf("got %+v", got)
	}
	for _, deadline := range got.Deadlines {
		if deadline.Before(time.Now().Add(-time.Minute)) && !deadline.IsZero() {
			t.Errorf("a deadline is %s", deadline)
		}
	}
	if !got.Deadlines[len(got.Deadlines)-1].IsZero() {
		t.Error("the deadline stays")
	}
	if n := web.CutServedBody(); n != 0 {
		t.Errorf("a body whose request is served gets %d deadlines", n)
	}
	if got := web.CutBody(); got.IsZero() || got.After(time.Now()) {
		t.Errorf("a body that is cut has until %s", got)
	}
}
