package web

import (
	"context"
	"net/http"
	"sync"
	"time"

	"kaban/internal/people"
	"kaban/internal/refusal"
)

const (
	// recheckEvery is how often it is asked whether a transfer that goes on still may: an end is an end
	// within two seconds, however slow it is.
	recheckEvery = time.Second
	// maxUnsure is how often in a row nobody may know, before what goes on ends. A store that fails for a
	// moment ends nothing, and one that is away for good keeps nothing open.
	maxUnsure = 10
)

// recheck cuts a transfer when whoever makes it may not any more.
type recheck struct {
	may func() error
	cut func(why error)

	mu     sync.Mutex
	timer  *time.Timer // guarded by mu, as all below
	unsure int         // how often in a row nobody knew
	isOver bool
}

// begin begins to ask. End it before the transfer is done with.
func (c *recheck) begin() *recheck {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.timer = time.AfterFunc(recheckEvery, c.ask)
	return c
}

// recheckDownload begins to ask about a download. Whoever is refused comes back for the rest and is
// told why.
func (s *Server) recheckDownload(ctx context.Context, w http.ResponseWriter, by *who, f *people.File) *recheck {
	c := &recheck{
		may: func() error { return mayDownload(ctx, by, f) },
		cut: func(error) { http.NewResponseController(w).SetWriteDeadline(past) },
	}
	return c.begin()
}

// mayDownload returns why somebody may not have a file any more.
func mayDownload(ctx context.Context, by *who, f *people.File) error {
	return by.still(ctx, func() error {
		_, err := by.user().File(ctx, f.ID)
		return err
	})
}

// recheckUpload begins to ask about an upload.
func (s *Server) recheckUpload(ctx context.Context, by *who, b *body) *recheck {
	c := &recheck{
		may: func() error {
			return by.still(ctx, func() error { return s.mayUpload(ctx, by, -1) })
		},
		cut: b.cut,
	}
	return c.begin()
}

// ask asks once.
func (c *recheck) ask() {
	err := c.may()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.unsure++; err == nil {
		c.unsure = 0
	}
	switch {
	case c.isOver:
	case err != nil && (isKnown(err) || c.unsure >= maxUnsure):
		c.cut(err)
	default:
		c.timer.Reset(recheckEvery)
	}
}

// isKnown reports whether an error is an answer: somebody may not. Others mean that nobody knows.
func isKnown(err error) bool { return refusal.Of(err).Code.Status() < http.StatusInternalServerError }

// end ends it. Nothing is cut afterwards.
func (c *recheck) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.isOver = true
	c.timer.Stop()
}
