package web

import (
	"fmt"
	"net/http"
	"strings"
	"sync"

	"kaban/internal/limit"
	"kaban/wire"
)

// How many files may come in or go out at a time. One takes about 64 KiB of memory.
const (
	maxUploads        = 500
	maxUploadsOfOne   = 16 // of an account
	maxDownloads      = 1000
	maxDownloadsOfOne = 64 // of an account, or of visitors at an address; loopback is exempt
)

// transfers bounds the files that come in, or go out, at a time.
type transfers struct {
	what       string
	max, ofOne int

	mu  sync.Mutex
	all int               // guarded by mu
	of  map[limit.Key]int // guarded by mu
}

// enter takes a place until it is left. The key 0 counts for nobody. The error is a *Problem.
func (t *transfers) enter(key limit.Key) (leave func(), err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case key != 0 && t.of[key] >= t.ofOne:
		p := problem(wire.CodeRateLimited, fmt.Sprintf("no more than %d %s at a time; wait for one of them", t.ofOne, t.what))
		p.RetryAfter = new(comeBack.Milliseconds())
		return nil, p
	case t.all >= t.max:
		p := problem(wire.CodeUnavailable, fmt.Sprintf("the server has %d %s at the moment, which is all it takes; try again later", t.max, t.what))
		p.RetryAfter = new(comeBack.Milliseconds())
		return nil, p
	}
	if t.all++; key != 0 {
		if t.of == nil {
			t.of = make(map[limit.Key]int)
		}
		t.of[key]++
	}
	return sync.OnceFunc(func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.all--
		if key == 0 {
			return
		}
		if t.of[key]--; t.of[key] == 0 {
			delete(t.of, key)
		}
	}), nil
}

// transferKey returns what a transfer counts by: an account wherever it is, or the address of
// somebody without one.
func (w *who) transferKey() limit.Key {
	if w.isAccount() {
		return limit.NameKey(w.principal.Account.ID)
	}
	return addressKey(w.peer)
}

// limitUpload counts a file that an account begins to upload.
func (s *Server) limitUpload(by *who) error {
	if s.config.Limits == nil {
		return nil
	}
	return s.config.Limits.Uploads.Check(by.accountKey(), 1)
}

// isDownload reports whether a request only reads a file. A page with a hundred pictures asks for
// them at once, and transfers bounds them.
func isDownload(r *http.Request) bool {
	return (r.Method == http.MethodGet || r.Method == http.MethodHead) && strings.HasPrefix(r.URL.Path, filesPath+"/")
}
