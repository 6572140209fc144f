package sqlite

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"

	"kaban"
	"kaban/internal/store"
)

const (
	setReactionQuery   = "INSERT OR REPLACE INTO reactions (place, emoji, people, sum) VALUES "
	setReactionRow     = "(?, ?, ?, ?)"
	setReactionColumns = 4
)

// reacted is what entries that are being merged make of reactions: those to messages, by their
// place. Each row is written once, in the order of the table, because most of the cost is that of
// the statements and pages.
type reacted map[int64][]emojiChange

// emojiChange is what became of a reaction to a message with one emoji.
type emojiChange struct {
	emoji   string
	entries []*unmergedEntry // in the order of the log
}

// react notes a reaction to the message at a place.
func (r *reacted) react(e *unmergedEntry, at int64) {
	if *r == nil {
		*r = make(reacted)
	}
	_, emoji := kaban.ParseSwitch(e.Content)
	changes := (*r)[at]
	i := slices.IndexFunc(changes, func(c emojiChange) bool { return c.emoji == emoji })
	if i < 0 {
		i, changes = len(changes), append(changes, emojiChange{emoji: emoji})
		(*r)[at] = changes
	}
	changes[i].entries = append(changes[i].entries, e)
}

// forget notes that a message was deleted, and its reactions in the table with it. Nothing
// reacts to it any more.
func (r reacted) forget(place int64) { delete(r, place) }

// reactionKey is the key of a row in reactions.
type reactionKey struct {
	place int64
	emoji string
}

// save writes the changes to the table. A row that is damaged stays as it is, and whoever reads it
// learns that.
func (r reacted) save(b *batch) error {
	if len(r) == 0 {
		return nil
	}
	places := slices.Sorted(maps.Keys(r))
	rows, err := b.readReactions(places)
	if err != nil {
		return err
	}
	args := make([]any, 0, insertRows*setReactionColumns)
	for _, place := range places {
		changes := r[place]
		slices.SortFunc(changes, func(a, b emojiChange) int { return strings.Compare(a.emoji, b.emoji) })
		for _, c := range changes {
			row, stored := rows[reactionKey{place, c.emoji}]
			if stored && row.people == nil {
				continue
			}
			row.place, row.emoji = place, c.emoji
			row.apply(c.entries)
			if args, err = b.saveReaction(args, &row, stored); err != nil {
				return err
			}
		}
	}
	for one := range slices.Chunk(args, setReactionColumns) {
		if _, err := b.stmts.setReaction.ExecContext(b.ctx, one...); err != nil {
			return err
		}
	}
	return nil
}

// readReactions returns the rows of some messages. Those that are damaged have no people.
func (b *batch) readReactions(places []int64) (map[reactionKey]reaction, error) {
	list, err := json.Marshal(places)
	if err != nil {
		return nil, err
	}
	rows, err := b.stmts.reactionsOf.QueryContext(b.ctx, string(list))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := make(map[reactionKey]reaction)
	for rows.Next() {
		row, err := scanReaction(rows, &b.sum)
		if errors.Is(err, store.ErrDamaged) {
			row.people, err = nil, nil
		}
		if err != nil {
			return nil, err
		}
		found[reactionKey{row.place, row.emoji}] = row
	}
	return found, closeRows(rows)
}

// apply folds the people with reactions to the message, in the order of the log.
func (r *reaction) apply(entries []*unmergedEntry) {
	for _, e := range entries {
		at := r.by(e.user)
		switch on, _ := kaban.ParseSwitch(e.Content); {
		case on == (at >= 0): // the first counts
		case on:
			p := reactor{user: e.user, Reactor: store.Reactor{Change: store.Change{Seq: e.Seq, Time: e.Time}}}
			if e.ownName {
				p.Username = e.Username
			}
			r.people = append(r.people, p)
		default:
			r.people = slices.Delete(r.people, at, at+1)
		}
	}
}

// by returns the index of a user in the people, or -1.
func (r *reaction) by(user int64) int {
	for i := range r.people {
		if r.people[i].user == user {
			return i
		}
	}
	return -1
}

// saveReaction writes a row of reactions that may be stored already, or adds it to the arguments of
// the next statement that writes several.
func (b *batch) saveReaction(args []any, r *reaction, stored bool) ([]any, error) {
	if len(r.people) == 0 {
		if !stored {
			return args, nil
		}
		_, err := b.stmts.dropReaction.ExecContext(b.ctx, r.place, r.emoji)
		return args, err
	}
	people := r.appendPeople(nil)
	if args = append(args, r.place, r.emoji, people, b.sum.reaction(r, people)); len(args) < cap(args) {
		return args, nil
	}
	_, err := b.stmts.setReactions.ExecContext(b.ctx, args...)
	return args[:0], err
}
