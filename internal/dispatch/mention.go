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
		if (w.Kind == kaban.KindMessage || w.Kind == kaban.KindEdit) && w.Refusal == nil && strings.IndexByte(w.Body, '@') >= 0 {
			b.mentioning = append(b.mentioning, w)
		}
	}
	if len(b.mentioning) > 0 {
		c.dispatcher.mentions.Find(b.mentioning)
	}
}

// tellMentions reports the mentions of a published batch.
func (c *committer) tellMentions(b *batch) {
	if len(b.mentioning) == 0 {
		return
	}
	for i := range b.writes {
		if w, r := &b.writes[i], &b.results[i]; w.Mentions != nil && r.Err == nil && !r.Duplicate {
			c.dispatcher.mentions.Arrived(w.Room, w.Mentions)
		}
	}
}
