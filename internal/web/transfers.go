package web

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"kaban"
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

// slowUpload is how fast an upload has to come, in bytes a second, to keep its place for sure while
// somebody without an upload waits for one.
const slowUpload = 16 << 10

// errCrowded means that the place of an upload was needed for that of another account.
var errCrowded = errors.New("the place of the upload was needed")

// transfers bounds the files that come in, or go out, at a time.
type transfers struct {
	what       string
	max, ofOne int

	mu     sync.Mutex // guards all below
	all    int
	of     map[limit.Key]int
	giving map[*place]struct{} // places that can be given to others
}

// place is that of a transfer.
type place struct {
	in    *transfers
	key   limit.Key // 0 counts for nobody
	since time.Time
	body  *body // of a place that can be given to others

	left bool // guarded by transfers.mu
}

// enter takes a place until it is left. The error is a *Problem. Where there is none, somebody gives
// theirs up whose file is coming: one of those with more places than whoever enters would have, or
// else one that has been slow for a minute. So nobody keeps all of them.
func (t *transfers) enter(key limit.Key) (*place, error) {
	p, given, err := t.take(key)
	if given != nil {
		given.body.cut(errCrowded)
	}
	return p, err
}

// take is enter, but for the end of what has given up its place.
func (t *transfers) take(key limit.Key) (p, given *place, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if key != 0 && t.of[key] >= t.ofOne {
		return nil, nil, laterOn(wire.CodeRateLimited, fmt.Sprintf("no more than %d %s at a time; wait for one of them", t.ofOne, t.what))
	}
	if t.all >= t.max {
		if given = t.leastLocked(key); given == nil {
			return nil, nil, laterOn(wire.CodeUnavailable, fmt.Sprintf("the server has %d %s at the moment, which is all it takes; try again later", t.max, t.what))
		}
		given.leaveLocked()
	}
	if t.all++; key != 0 {
		if t.of == nil {
			t.of = make(map[limit.Key]int)
		}
		t.of[key]++
	}
	return &place{in: t, key: key, since: time.Now()}, given, nil
}

// leastLocked returns the place that is given to somebody, nil if none is.
func (t *transfers) leastLocked(key limit.Key) (least *place) {
	own, now := t.of[key]+1, time.Now()
	for p := range t.giving {
		if t.of[p.key] <= own && !p.isSlow(now) {
			continue
		}
		if least == nil || p.goesBeforeLocked(least, now) {
			least = p
		}
	}
	return least
}

// goesBeforeLocked reports whether a place is given away before another one: of those who have the
// most, the slowest.
func (p *place) goesBeforeLocked(o *place, now time.Time) bool {
	if mine, others := p.in.of[p.key], p.in.of[o.key]; mine != others {
		return mine > others
	}
	return p.speed(now) < o.speed(now)
}

// speed returns how many bytes a second have come.
func (p *place) speed(now time.Time) float64 {
	return float64(p.body.came.Load()) / max(now.Sub(p.since).Seconds(), 1)
}

func (p *place) isSlow(now time.Time) bool {
	return now.Sub(p.since) >= paceTime && p.speed(now) < slowUpload
}

// give lets others have the place for as long as a body is coming. The end is noted with keep.
func (p *place) give(b *body) {
	p.in.mu.Lock()
	defer p.in.mu.Unlock()
	if p.in.giving == nil {
		p.in.giving = make(map[*place]struct{})
	}
	p.body = b
	p.in.giving[p] = struct{}{}
}

// keep ends give. What has come is kept, whoever waits.
func (p *place) keep() {
	p.in.mu.Lock()
	defer p.in.mu.Unlock()
	delete(p.in.giving, p)
}

// leave leaves the place. Another time it does nothing.
func (p *place) leave() {
	p.in.mu.Lock()
	defer p.in.mu.Unlock()
	p.leaveLocked()
}

func (p *place) leaveLocked() {
	if p.left {
		return
	}
	t := p.in
	p.left = true
	delete(t.giving, p)
	t.all--
	if p.key == 0 {
		return
	}
	if t.of[p.key]--; t.of[p.key] == 0 {
		delete(t.of, p.key)
	}
}

// laterOn is the problem of what may go well later.
func laterOn(code wire.Code, text string) *Problem {
	p := problem(code, text)
	p.RetryAfter = new(comeBack.Milliseconds())
	return p
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
// them at once, and transfers bounds them. An id without a file counts as any other request
// (serveFile).
func isDownload(r *http.Request) bool {
	rest, ok := strings.CutPrefix(r.URL.Path, filesPath+"/")
	id := strings.TrimSuffix(rest, "/thumbnail")
	return ok && (r.Method == http.MethodGet || r.Method == http.MethodHead) && kaban.IsFileID(id)
}
