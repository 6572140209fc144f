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
	setReactionQuery   = "INSERT OR REPLACE INTO reactions (place, emoji, first, people, sum) VALUES "
	setReactionRow     = "(?, ?, ?, ?, ?)"
	setReactionColumns = 5
	// reactedAtOnce is how many messages a merge has the reactions of in memory: 10,000 of each at most.
	reactedAtOnce = 16
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

// save writes the changes to the table. If one row of a message and an emoji is damaged, all of them stay
// as they are, and whoever reads them learns that.
func (r reacted) save(b *batch) error {
	args := make([]any, 0, insertRows*setReactionColumns)
	for places := range slices.Chunk(slices.Sorted(maps.Keys(r)), reactedAtOnce) {
		stored, err := b.readReactions(places)
		if err != nil {
			return err
		}
		for _, place := range places {
			changes := r[place]
			slices.SortFunc(changes, func(a, b emojiChange) int { return strings.Compare(a.emoji, b.emoji) })
			for _, c := range changes {
				rows := reactionRows{place: place, emoji: c.emoji, rows: stored[reactionKey{place, c.emoji}]}
				if rows.isDamaged() {
					continue
				}
				rows.apply(c.entries)
				if args, err = rows.save(b, args); err != nil {
					return err
				}
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

// reactionKey is a message and an emoji.
type reactionKey struct {
	place int64
	emoji string
}

// readReactions returns the rows of some messages. Those that are damaged have no people.
func (b *batch) readReactions(places []int64) (map[reactionKey][]changedRow, error) {
	list, err := json.Marshal(places)
	if err != nil {
		return nil, err
	}
	rows, err := b.stmts.reactionsOf.QueryContext(b.ctx, string(list))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := make(map[reactionKey][]changedRow)
	for rows.Next() {
		row, err := scanReaction(rows, &b.sum)
		if err != nil && !errors.Is(err, store.ErrDamaged) {
			return nil, err
		}
		key := reactionKey{row.place, row.emoji}
		found[key] = append(found[key], changedRow{reaction: row, stored: true})
	}
	return found, closeRows(rows)
}

// reactionRows are the rows of a message and an emoji.
type reactionRows struct {
	place int64
	emoji string
	rows  []changedRow
	known map[int64]int // the row of each user
}

// changedRow is a row that a merge changes.
type changedRow struct {
	reaction
	stored, changed bool
}

// isDamaged reports whether one of the rows is.
func (r *reactionRows) isDamaged() bool {
	return slices.ContainsFunc(r.rows, func(row changedRow) bool { return row.people == nil })
}

// apply folds the people with reactions to the message, in the order of the log.
func (r *reactionRows) apply(entries []*unmergedEntry) {
	r.known = make(map[int64]int)
	for i := range r.rows {
		for k := range r.rows[i].people {
			r.known[r.rows[i].people[k].user] = i
		}
	}
	for _, e := range entries {
		at, known := r.known[e.user]
		switch on, _ := kaban.ParseSwitch(e.Content); {
		case on == known: // the first counts
		case on:
			r.add(e)
		default:
			row := &r.rows[at]
			row.people, row.changed = slices.DeleteFunc(row.people, func(p reactor) bool { return p.user == e.user }), true
			delete(r.known, e.user)
		}
	}
}

// add adds the author of an entry, to the last row if there is room.
func (r *reactionRows) add(e *unmergedEntry) {
	p := reactor{user: e.user, Reactor: store.Reactor{Change: store.Change{Seq: e.Seq, Time: e.Time}}}
	if e.ownName {
		p.Username = e.Username
	}
	if n := len(r.rows); n == 0 || !r.rows[n-1].fits(&p) {
		r.rows = append(r.rows, changedRow{reaction: reaction{place: r.place, emoji: r.emoji, first: e.Seq}})
	}
	last := len(r.rows) - 1
	r.rows[last].people, r.rows[last].changed = append(r.rows[last].people, p), true
	r.known[e.user] = last
}

// save writes the rows that have changed, or adds them to the arguments of the next statement that
// writes several.
func (r *reactionRows) save(b *batch, args []any) (_ []any, err error) {
	for i := range r.rows {
		row := &r.rows[i]
		switch {
		case !row.changed:
			continue
		case len(row.people) > 0:
			people := row.appendPeople(nil)
			if args = append(args, row.place, row.emoji, row.first, people, b.sum.reaction(&row.reaction, people)); len(args) == cap(args) {
				_, err = b.stmts.setReactions.ExecContext(b.ctx, args...)
				args = args[:0]
			}
		case row.stored:
			_, err = b.stmts.dropReaction.ExecContext(b.ctx, row.place, row.emoji, row.first)
		}
		if err != nil {
			return nil, err
		}
	}
	return args, nil
}
