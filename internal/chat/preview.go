package chat

import (
	"context"
	"time"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/dispatch"
	"kaban/internal/limit"
	"kaban/internal/people"
	"kaban/internal/store"
)

// Preview is what a web page says of itself. Pages lie: whoever shows it shows the host of URL, too.
type Preview struct {
	URL         string // of the page, after redirects: http or https
	Title       string // never empty; one line, as the following
	Description string
	Site        string
}

// Previewer reads the pages that texts link to.
type Previewer interface {
	// Previews returns the previews of the links of a content, in their order. Links without one are left out,
	// and so are those whose page is not read when ctx ends. The author is whoever wrote the content.
	Previews(ctx context.Context, author limit.Key, content string) []Preview
}

// maxPreviews is how long Previews waits for pages. What comes later is there for the next call.
const maxPreviews = 10 * time.Second

// Previews returns previews of the pages that a message links to, if the setting has the server read
// them, and the user may read the message; nothing otherwise. Nothing is read before somebody asks, so
// nobody waits for a page but whoever wants to see what it is about. It blocks while pages are read, 10
// seconds at most. It returns ErrNotFound, ErrDamaged, and ErrNoMessage if there is no such message that the
// user may see.
func (u User) Previews(ctx context.Context, room kaban.RoomName, seq uint64) ([]Preview, error) {
	content, author, err := u.linking(ctx, room, seq)
	if err != nil || content == "" {
		return nil, err
	}
	waiting, cancel := context.WithTimeout(ctx, maxPreviews)
	defer cancel()
	found := u.chat.previewer.Previews(waiting, author, content)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	// Meanwhile the message may have been edited or deleted, the user removed, and the setting changed.
	now, _, err := u.linking(ctx, room, seq)
	if err != nil || now != content {
		return nil, err
	}
	return found, nil
}

// linking returns the text of a message whose links may be read, and whose it is; "" if none may be.
func (u User) linking(ctx context.Context, room kaban.RoomName, seq uint64) (content string, author limit.Key, err error) {
	err = u.whileAllowed(ctx, access.Read, room, func(_ *dispatch.Room, found ruling) error {
		if seq == 0 || seq < found.from {
			return ErrNoMessage
		}
		page, err := u.chat.dispatcher.History(ctx, room, store.Page{After: seq - 1, Before: seq + 1, Limit: 1})
		if err != nil {
			return err
		}
		if len(page.Entries) == 0 || page.Entries[0].Seq != seq || page.Entries[0].Kind != kaban.KindMessage {
			return ErrNoMessage
		}
		content, author = page.Entries[0].Content, limit.NameKey(page.Entries[0].Author)
		return nil
	})
	if err != nil {
		return "", 0, err
	}
	on := false
	err = u.chat.dispatcher.View(ctx, func(tx store.Tx) (err error) {
		on, err = people.ReadPreviews(tx)
		return err
	})
	if err != nil || !on || u.chat.previewer == nil {
		return "", 0, err
	}
	return content, author, nil
}

// PreviewsOn reports whether previews may be asked for. It blocks while the store is asked.
func (c *Chat) PreviewsOn(ctx context.Context) (on bool, err error) {
	if c.previewer == nil {
		return false, nil
	}
	err = c.dispatcher.View(ctx, func(tx store.Tx) (err error) {
		on, err = people.ReadPreviews(tx)
		return err
	})
	return on, err
}
