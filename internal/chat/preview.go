package chat

import (
	"context"
	"errors"
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

// Linking is a message whose links may be read.
type Linking struct {
	Room    kaban.RoomName
	Seq     uint64
	Author  limit.Key // of whoever wrote it
	Content string
}

// Previewer reads the pages that texts link to, and remembers them for a while. Its methods may be called
// at once.
type Previewer interface {
	// Previews returns the previews of the links of a message, in their order. Links without one are left out,
	// and so are those whose page is not read when ctx ends.
	Previews(ctx context.Context, m Linking) []Preview
	// Forget has it forget what it has read for messages of a room, from the first to the last seq, and for no
	// others. It does not block.
	Forget(room kaban.RoomName, first, last uint64)
}

// maxPreviews is how long Previews waits for pages. What comes later is there for the next call.
const maxPreviews = 10 * time.Second

// Previews returns previews of the pages that a message links to, if the setting has the server read
// them, and the user may read the message; nothing otherwise. Nothing is read before somebody asks, so
// nobody waits for a page but whoever wants to see what it is about. It blocks while pages are read, 10
// seconds at most. It returns ErrNotFound, ErrDamaged, and ErrNoMessage if there is no such message that the
// user may see.
func (u User) Previews(ctx context.Context, room kaban.RoomName, seq uint64) ([]Preview, error) {
	m, err := u.linking(ctx, room, seq)
	if err != nil || m.Content == "" {
		return nil, err
	}
	waiting, cancel := context.WithTimeout(ctx, maxPreviews)
	defer cancel()
	found := u.chat.previewer.Previews(waiting, m)
	// Meanwhile the message may have been edited or deleted, the user removed, and the setting changed. A
	// deletion that came before the pages were asked for has found nothing to forget, so this is looked at
	// also for a user that waits no longer. If only this user may not read the message any more, nothing is forgotten.
	now, err := u.linking(context.WithoutCancel(ctx), room, seq)
	if errors.Is(err, ErrNoMessage) || err == nil && now != m {
		u.chat.previewer.Forget(room, seq, seq)
		return nil, err
	}
	if err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return found, nil
}

// linking returns a message whose links may be read; without a content if none may be.
func (u User) linking(ctx context.Context, room kaban.RoomName, seq uint64) (m Linking, err error) {
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
		m = Linking{room, seq, limit.NameKey(page.Entries[0].Author), page.Entries[0].Content}
		return nil
	})
	if err != nil {
		return Linking{}, err
	}
	on, err := u.chat.PreviewsOn(ctx)
	if err != nil || !on {
		return Linking{}, err
	}
	return m, nil
}

// forgetPreviews has what was read for messages forgotten that entries of a room have changed or deleted. The
// committer calls it.
func (c *Chat) forgetPreviews(room kaban.RoomName, entries []store.Entry) {
	if c.previewer == nil {
		return
	}
	for i := range entries {
		if e := &entries[i]; e.Kind == kaban.KindDelete || e.Kind == kaban.KindEdit {
			c.previewer.Forget(room, e.Target, e.Target)
		}
	}
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
