package web

import (
	"context"
	"net/http"
	"sync"
	"time"

	"kaban/internal/people"
)

// recheckEvery is how often it is asked whether a download that goes on still may: an end is an end
// within two seconds, however slowly somebody reads.
const recheckEvery = time.Second

// recheck cuts an answer when whoever gets it may not have it any more.
type recheck struct {
	may func() error
	cut func()

	mu     sync.Mutex
	timer  *time.Timer // guarded by mu, as all below
	isOver bool
}

// recheckDownload begins to ask. End it before the answer is done with.
func (s *Server) recheckDownload(ctx context.Context, w http.ResponseWriter, by *who, f *people.File) *recheck {
	c := &recheck{
		may: func() error {
			if err := by.renew(ctx); err != nil {
				return err
			}
			_, err := by.user().File(ctx, f.ID)
			return err
		},
		cut: func() { http.NewResponseController(w).SetWriteDeadline(time.Unix(1, 0)) },
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.timer = time.AfterFunc(recheckEvery, c.ask)
	return c
}

// ask asks once. Whoever is refused comes back for the rest and is told why.
func (c *recheck) ask() {
	err := c.may()
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.isOver:
	case err != nil:
		c.cut()
	default:
		c.timer.Reset(recheckEvery)
	}
}

// end ends it. Nothing is cut afterwards.
func (c *recheck) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.isOver = true
	c.timer.Stop()
}
