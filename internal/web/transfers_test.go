package web_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"kaban"
	"kaban/internal/account"
	"kaban/internal/chat"
	"kaban/internal/files/disk"
	"kaban/internal/files/keep"
	"kaban/internal/limit"
	"kaban/internal/logs/logstest"
	"kaban/internal/nodetest"
	"kaban/internal/peer"
	"kaban/internal/people"
	"kaban/internal/store"
	"kaban/internal/store/teststore"
	"kaban/internal/web"
)

// slowUpload is an upload that has begun to come.
type slowUpload struct {
	t  *testing.T
	c  net.Conn
	at string // its address, with tus
}

// beginTus begins to send an upload of 10 MB that can be resumed.
func (f *fixture) beginTus(t *testing.T, by account.Session, bytes int) *slowUpload {
	t.Helper()
	at := f.do("POST", "/v1/files", "", tus(by, "Upload-Length", "10000000")...).has(t, 201).header.Get("Location")
	head := fmt.Sprintf("PATCH %s HTTP/1.1\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\nContent-Type: %s\r\n", at, offsetType)
	return &slowUpload{t, f.beginBody(t, by, head, bytes), at}
}

// beginForm begins to send a form.
func (f *fixture) beginForm(t *testing.T, by account.Session, bytes int) *slowUpload {
	t.Helper()
	c := f.beginBody(t, by, "POST /v1/files HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=x\r\n", 0)
	_, err := io.WriteString(c, "--x\r\nContent-Disposition: form-data; name=file; filename=a\r\n\r\n"+strings.Repeat("x", bytes))
	f.must(err)
	return &slowUpload{t, c, ""}
}

// beginBody sends the head of a request, and the beginning of its body.
func (f *fixture) beginBody(t *testing.T, by account.Session, head string, bytes int) net.Conn {
	t.Helper()
	before := f.web.Came()
	c, err := net.Dial("tcp", f.host)
	f.must(err)
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	_, err = fmt.Fprintf(c, "%sHost: %s\r\nAuthorization: Bearer %s\r\nContent-Length: 10000000\r\n\r\n%s", head, f.host, by.Secret, strings.Repeat("x", bytes))
	f.must(err)
	if bytes > 0 {
		f.until("the bytes have come", func() bool { return f.web.Came() >= before+int64(bytes) })
	}
	return c
}

// refused waits until the upload is refused, and returns why.
func (u *slowUpload) refused() (p web.Problem, header http.Header) {
	u.t.Helper()
	got, err := http.ReadResponse(bufio.NewReader(u.c), nil)
	if err != nil {
		u.t.Fatal(err)
	}
	defer got.Body.Close()
	if err := json.NewDecoder(got.Body).Decode(&p); err != nil {
		u.t.Errorf("the answer is %d: %v", got.StatusCode, err)
	}
	return p, got.Header
}

// goesOn reports whether the upload has had no answer.
func (u *slowUpload) goesOn() bool {
	u.c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	defer u.c.SetReadDeadline(time.Now().Add(patience))
	_, err := u.c.Read(make([]byte, 1))
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}

// Somebody without an upload gets the place of somebody with several: however slowly those come, and
// however many accounts have them, others are not kept out.
func TestNobodyKeepsAllUploads(t *testing.T) {
	nodetest.One(t, "it watches what a node has open")
	f, _ := claimed(t, "open")
	f.web.BoundUploads(4, 2)
	ann, bob, eve := f.person("ann", kaban.RoleMember), f.person("bob", kaban.RoleMember), f.person("eve", kaban.RoleMember)
	// The speeds are far apart: on a busy machine the first is several times as old as the last.
	slow := []*slowUpload{f.beginTus(t, ann, 300_000), f.beginTus(t, ann, 2000), f.beginTus(t, bob, 100), f.beginForm(t, bob, 400_000)}
	f.until("all have begun", func() bool { return f.web.Came() > 702_100 })
	f.file(eve, "a.txt", "hello")
	p, header := slow[2].refused()
	if p.Code != "unavailable" || p.Status != 503 || header.Get("Retry-After") == "" {
		t.Errorf("the slowest is refused with %+v, %v", p, header)
	}
	for i, u := range slow {
		if i != 2 && !u.goesOn() {
			t.Errorf("upload %d was ended, too", i)
		}
	}
	// It goes on where it was: bob has one place, and ann two.
	if got := f.do("HEAD", slow[2].at, "", tus(bob)...).has(t, 200).header.Get("Upload-Offset"); got != "100" {
		t.Errorf("it goes on at %s, want 100", got)
	}
	f.until("eve's is done", func() bool { return f.web.Uploads() == 3 })
	// A form that gives up its place is told so, too, and leaves nothing.
	third := f.beginTus(t, eve, 50)
	f.upload(f.person("dan", kaban.RoleMember), "b.txt", "b", "").has(t, 201) // of ann's, of two
	if p, _ := slow[1].refused(); p.Code != "unavailable" {
		t.Errorf("the next is refused with %+v", p)
	}
	f.until("dan's is done", func() bool { return f.web.Uploads() == 3 })
	fourth := f.beginTus(t, f.person("fay", kaban.RoleMember), 60)
	gus := f.person("gus", kaban.RoleMember)
	f.upload(gus, "c.txt", "c", "").has(t, 503, "code", "unavailable") // each has one
	// In the end the speed counts: what has been slow for a minute gives up its place.
	f.web.AgeUploads(2 * time.Minute)
	f.file(gus, "c.txt", "c")
	if p, _ := third.refused(); p.Code != "unavailable" {
		t.Errorf("the slowest of all is refused with %+v", p)
	}
	if !fourth.goesOn() || !slow[0].goesOn() || !slow[3].goesOn() {
		t.Error("others were ended, too")
	}
}

// What comes fast keeps its place, however long it takes; and what has come is not cut.
func TestFastUploadsKeepTheirPlaces(t *testing.T) {
	nodetest.One(t, "it watches what a node has open")
	f, owner := claimed(t, "open")
	f.web.BoundUploads(1, 1)
	fast := f.beginTus(t, owner, 3_000_000)
	f.web.AgeUploads(2 * time.Minute)
	eve := f.person("eve", kaban.RoleMember)
	f.upload(eve, "a.txt", "a", "").has(t, 503, "code", "unavailable")
	_, err := io.WriteString(fast.c, strings.Repeat("x", 7_000_000))
	f.must(err)
	got, err := http.ReadResponse(bufio.NewReader(fast.c), nil)
	if err != nil || got.StatusCode != 204 || got.Header.Get("Kaban-File") == "" {
		t.Errorf("the fast one gets %v, %v", got, err)
	}
	f.file(eve, "a.txt", "a")
}

// An upload that has begun ends with the right to it, also if nothing comes.
func TestAnUploadEndsWithTheRight(t *testing.T) {
	nodetest.One(t, "it watches what a node has open")
	ctx := t.Context()
	for name, c := range map[string]struct {
		end  func(f *fixture, eve account.Session)
		code string
	}{
		"suspended": {func(f *fixture, _ account.Session) {
			f.must(f.accounts.Suspend(ctx, account.Operator(), "eve", ""))
		}, "suspended"},
		"signed out": {func(f *fixture, eve account.Session) {
			f.must(f.accounts.RevokeDevice(ctx, eve.Principal.As(""), eve.Principal.SecretID))
		}, "auth_failed"},
		"removed": {func(f *fixture, _ account.Session) {
			f.must(f.accounts.Remove(ctx, account.Operator(), "eve"))
		}, "auth_failed"},
	} {
		t.Run(name, func(t *testing.T) {
			f, _ := claimed(t, "open")
			eve, bob := f.person("eve", kaban.RoleMember), f.person("bob", kaban.RoleMember)
			others, byTus, inForm := f.beginTus(t, bob, 100), f.beginTus(t, eve, 1000), f.beginForm(t, eve, 1000)
			f.until("all have begun", func() bool { return f.web.Uploads() == 3 && f.web.Came() > 2100 })
			c.end(f, eve)
			for what, u := range map[string]*slowUpload{"the upload": byTus, "the form": inForm} {
				if p, _ := u.refused(); p.Code != c.code {
					t.Errorf("%s ends with %+v, want %s", what, p, c.code)
				}
			}
			f.until("they are over", func() bool { return f.web.Uploads() == 1 })
			if !others.goesOn() {
				t.Error("that of somebody else ended, too")
			}
		})
	}
}

// Whoever is suspended while it is asked whether an upload may go on reads that, and not what follows from it.
func TestTheEndOfACredentialIsTheReason(t *testing.T) {
	f, _ := claimed(t, "open")
	eve := f.person("eve", kaban.RoleMember)
	for refused, want := range map[error]error{nil: nil, chat.ErrForbidden: chat.ErrForbidden} {
		if err := f.web.Still(t.Context(), eve.Principal, func() error { return refused }); err != want {
			t.Errorf("%v: it ends with %v", refused, err)
		}
	}
	for _, meanwhile := range []bool{true, false} {
		err := f.web.Still(t.Context(), eve.Principal, func() error {
			if !meanwhile {
				t.Error("it is asked for somebody whose credential has ended")
			}
			f.must(f.accounts.Suspend(t.Context(), account.Operator(), "eve", ""))
			return chat.ErrForbidden
		})
		if !errors.Is(err, account.ErrSuspended) {
			t.Errorf("suspended meanwhile (%v): %v, want %v", meanwhile, err, account.ErrSuspended)
		}
	}
}

// The same with TLS, over either version of HTTP: a body that stands still is cut, and its client is told why.
func TestAnUploadEndsOverTLS(t *testing.T) {
	nodetest.One(t, "it watches what a node has open")
	for _, version := range []int{1, 2} {
		t.Run(fmt.Sprint("HTTP/", version), func(t *testing.T) {
			f := encrypted(t, web.Config{}, version)
			f.claim("open")
			eve := f.person("eve", kaban.RoleMember)
			body, more := io.Pipe()
			defer more.Close()
			r, err := http.NewRequestWithContext(t.Context(), "POST", f.url+"/v1/files", body)
			f.must(err)
			r.Header.Set("Content-Type", "multipart/form-data; boundary=x")
			r.Header.Set("Authorization", "Bearer "+eve.Secret)
			answered := make(chan *http.Response, 1)
			go func() {
				got, err := f.client.Do(r)
				if err != nil {
					t.Error(err)
				}
				answered <- got
			}()
			_, err = io.WriteString(more, "--x\r\nContent-Disposition: form-data; name=file; filename=a\r\n\r\n"+strings.Repeat("x", 10_000))
			f.must(err)
			f.until("it has begun", func() bool { return f.web.Came() > 10_000 })
			f.must(f.accounts.Suspend(t.Context(), account.Operator(), "eve", ""))
			got := <-answered
			if got == nil {
				return
			}
			defer got.Body.Close()
			var p web.Problem
			if err := json.NewDecoder(got.Body).Decode(&p); err != nil || p.Code != "suspended" || got.ProtoMajor != version {
				t.Errorf("%s: the upload ends with %+v, %v", got.Proto, p, err)
			}
			f.until("it is over", func() bool { return f.web.Uploads() == 0 })
		})
	}
}

// A refusal ends a transfer at once. A store that fails does not: it does if it goes on for a while.
func TestRecheck(t *testing.T) {
	away := errors.New("the disk does not answer")
	for name, c := range map[string]struct {
		answers []error
		after   int
		why     error
	}{
		"allowed":                 {make([]error, 20), 0, nil},
		"refused":                 {[]error{nil, chat.ErrNoFile}, 2, chat.ErrNoFile},
		"suspended":               {[]error{account.ErrSuspended}, 1, account.ErrSuspended},
		"a failure":               {[]error{nil, away, nil, nil}, 0, nil},
		"failures now and then":   {slices.Repeat([]error{away, context.DeadlineExceeded, nil}, 10), 0, nil},
		"refused after a failure": {[]error{away, chat.ErrForbidden}, 2, chat.ErrForbidden},
		"away for good":           {append([]error{nil, nil}, slices.Repeat([]error{away}, 20)...), 12, away},
		"going down for good":     {slices.Repeat([]error{store.ErrClosed}, 20), 10, store.ErrClosed},
	} {
		if after, why := web.Recheck(c.answers...); after != c.after || !errors.Is(why, c.why) {
			t.Errorf("%s: it is cut after %d, %v; want %d, %v", name, after, why, c.after, c.why)
		}
	}
}

// Guessing ids counts as any other request, and reading files does not.
func TestGuessesOfFilesCount(t *testing.T) {
	f, url := gated(t, limit.Config{AccountRequestsPerSecond: 1, AccountRequestsBurst: 20}, peer.Listener{Loopback: true}, peer.Policy{Insecure: true}, "127.0.0.1")
	from := []string{"X-Forwarded-For", "192.0.2.1"}
	owner := f.claim("open")
	id := f.file(owner, "a.txt", "a")
	for range 50 {
		if got := f.askAt("GET", url+"/v1/files/"+id, "", with(bearer(owner), from)...); got.status != 200 {
			t.Fatalf("a file: %s", got)
		}
	}
	for _, path := range []string{"/v1/files/" + strings.Repeat("a", 26), "/v1/files/x", "/v1/files/" + id + "/other", "/v1/files/" + id + "/thumbnail"} {
		statuses, guesser := make(map[int]int), f.person(fmt.Sprint("g", len(path)), kaban.RoleMember)
		for range 25 {
			statuses[f.askAt("GET", url+path, "", with(bearer(guesser), from)...).status]++
		}
		if statuses[404] != 20 || statuses[429] != 5 {
			t.Errorf("%s is answered with %v", path, statuses)
		}
	}
}

// Whatever goes wrong with a file is told as everywhere else.
func TestErrorsOfFilesAreProblems(t *testing.T) {
	f, owner := claimed(t, "open")
	at := "/v1/files/" + f.file(owner, "x.txt", "0123456789")
	for _, c := range []struct {
		header []string
		status int
	}{
		{[]string{"Range", "bytes=99-"}, 416},
		{[]string{"Range", "bytes=-0"}, 416},
		{[]string{"Range", "bytes=-000"}, 416},
		{[]string{"Range", "bytes=5-2"}, 416},
		{[]string{"Range", "lines=1-2"}, 416},
		{[]string{"If-Match", `"other"`}, 412},
	} {
		got := f.get(at, with(bearer(owner), c.header)...)
		got.has(t, c.status)
		if got.header.Get("Content-Type") != "application/problem+json" || got.json["detail"] == "" || got.json["status"] != json.Number(fmt.Sprint(c.status)) {
			t.Errorf("%v is answered with %s, %v", c.header, got, got.header)
		}
		if got.header.Get("X-Content-Type-Options") != "nosniff" || got.header.Get("Content-Disposition") != "" {
			t.Errorf("%v is answered with %v", c.header, got.header)
		}
		if c.status == 416 && c.header[1] != "lines=1-2" && c.header[1] != "bytes=5-2" && got.header.Get("Content-Range") != "bytes */10" {
			t.Errorf("%v: Content-Range is %q", c.header, got.header.Get("Content-Range"))
		}
	}
}

// The erasing of an account ends its uploads that go on, and says nothing of them.
func TestErasingEndsUploads(t *testing.T) {
	nodetest.One(t, "it watches what a node has open")
	docs, dir := teststore.New(t), t.TempDir()
	blobs, err := disk.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	uploads, log := staging(t, dir), new(logstest.Buffer)
	kept := keep.New(keep.Config{Staging: uploads, Store: blobs})
	f := start(t, web.Config{Files: kept}, docs, chat.Options{Blobs: kept, Log: slog.New(slog.NewTextHandler(log, nil))})
	f.claim("open")
	eve := f.person("eve", kaban.RoleMember)
	slow := f.beginTus(t, eve, 1000)
	f.must(f.accounts.Erase(t.Context(), account.Operator(), "eve"))
	if p, _ := slow.refused(); p.Code != "auth_failed" {
		t.Errorf("the upload ends with %+v", p)
	}
	f.until("the account is erased", func() bool {
		var e people.Erasure
		f.must(docs.View(t.Context(), func(tx store.Tx) (err error) {
			e, err = people.Erasures.Get(tx, eve.Principal.Account.ID)
			return err
		}))
		return e.Done != 0
	})
	if all := uploads.All(); len(all) != 0 {
		t.Errorf("left are %+v", all)
	}
	if said := f.log.String() + log.String(); strings.Contains(said, "level=ERROR") || strings.Contains(said, "level=WARN") {
		t.Errorf("the log has %s", said)
	}
}
