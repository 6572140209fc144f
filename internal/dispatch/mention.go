package dispatch

import (
	"strings"

	"kaban"
	"kaban/internal/store"
)

// Mentions finds whom messages mention.
type Mentions interface {
	// Find sets the Mentions of writes whose bodies have an "@". The committer calls it with its
	// lock held, before it appends them. It may ask the store.
	Find(writes []*store.Write)
	// Arrived is called when an entry with mentions was published. It must not block.
	Arrived(room kaban.RoomName, m *store.Mentions)
	// Replaced is called when an edit or a deletion of a message was published that had an
	// "@" in its content before, with the id of its author. It must not block.
	Replaced(room kaban.RoomName, author, content string)
}

// replaced is what a message was before a write of a batch changed it.
type replaced struct {
	write           int // its index
	author, content string
}

// SetMentions sets what finds mentions; without it nobody is mentioned. It must be called
// before the first send.
func (d *Dispatcher) SetMentions(m Mentions) { d.mentions = m }

// findMentions finds whom the entries of a batch mention.
func (c *committer) findMentions(b *batch) {
	if c.dispatcher.mentions == nil {
		return
	}
	for i := range b.writes {
		w := &b.writes[i]
		if w.Kind == kaban.KindEdit || w.Kind == kaban.KindDelete {
			b.noteReplaced(i)
		}
		if (w.Kind == kaban.KindMessage || w.Kind == kaban.KindEdit) && w.Refusal == nil && strings.IndexByte(w.Body, '@') >= 0 {
			b.mentioning = append(b.mentioning, w)
		}
	}
	if len(b.mentioning) > 0 {
		c.dispatcher.mentions.Find(b.mentioning)
	}
}

// noteReplaced has a write that changes a message note what the message was. The store knows
// it, and shows it where it asks whether the write is allowed.
func (b *batch) noteReplaced(i int) {
	w := &b.writes[i]
	allow := w.Allow
	w.Allow = func(target *store.Entry) error {
		if allow != nil {
			if err := allow(target); err != nil {
				return err
			}
		}
		if strings.IndexByte(target.Content, '@') >= 0 {
			b.replaced = append(b.replaced, replaced{i, target.Author, target.Content})
		}
		return nil
	}
}

// tellMentions reports the mentions of a published batch, and those that it has replaced.
func (c *committer) tellMentions(b *batch) {
	for _, was := range b.replaced {
		if r := &b.results[was.write]; r.Err == nil && !r.Duplicate {
			c.dispatcher.mentions.Replaced(b.writes[was.write].Room, was.author, was.content)
		}
	}
	if len(b.mentioning) == 0 {
		return
	}
	for i := range b.writes {
		if w, r := &b.writes[i], &b.results[i]; w.Mentions != nil && r.Err == nil && !r.Duplicate {
			c.dispatcher.mentions.Arrived(w.Room, w.Mentions)
		}
	}
}
