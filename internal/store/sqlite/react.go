package sqlite

import (
	"cmp"
	"maps"
	"slices"

	"kaban"
	"kaban/internal/store"
)

const (
	addReactionQuery   = "INSERT OR IGNORE INTO reactions (place, emoji, user, username, seq, time, sum) VALUES "
	addReactionRow     = "(?, ?, ?, ?, ?, ?, ?)"
	addReactionColumns = 7
	dropReactionQuery  = "DELETE FROM reactions WHERE "
	dropReactionRow    = "place = ? AND emoji = ? AND user = ?"
	dropReactionKey    = 3
)

// reacted is what entries that are being merged make of reactions. It is written once, in the
// order of the table: most of its cost is that of the statements and pages.
type reacted struct {
	changed   map[reactionKey]reactionChange
	forgotten map[int64]struct{} // places of messages that were deleted
}

// reactionKey is the key of a row in reactions.
type reactionKey struct {
	place int64
	emoji string
	user  int64
}

func (k reactionKey) compare(other reactionKey) int {
	return cmp.Or(cmp.Compare(k.place, other.place), cmp.Compare(k.emoji, other.emoji), cmp.Compare(k.user, other.user))
}

// reactionChange is what happened to a row since the last merge.
type reactionChange struct {
	taken bool           // the row that may be in the table goes
	on    *unmergedEntry // the one that comes then, or nil
}

// react notes a reaction to the message at a place. Without any doubt, whatever was appended made
// a difference: a reaction that is taken back was there.
func (r *reacted) react(e *unmergedEntry, at int64, doubt bool) {
	if r.changed == nil {
		r.changed = make(map[reactionKey]reactionChange)
	}
	on, emoji := kaban.ParseSwitch(e.Content)
	key := reactionKey{at, emoji, e.user}
	change, known := r.changed[key]
	switch {
	case on && change.on != nil: // the first counts
		return
	case on:
		change.on = e
	case known && !change.taken && !doubt: // it came since the last merge
		delete(r.changed, key)
		return
	default:
		change = reactionChange{taken: true}
	}
	r.changed[key] = change
}

// forget notes that a message was deleted, and its reactions in the table with it. Nothing
// reacts to it any more.
func (r *reacted) forget(place int64) {
	if r.forgotten == nil {
		r.forgotten = make(map[int64]struct{})
	}
	r.forgotten[place] = struct{}{}
}

// save writes the changes to the table.
func (r *reacted) save(b *batch) error {
	keys := slices.SortedFunc(maps.Keys(r.changed), reactionKey.compare)
	if len(r.forgotten) > 0 {
		keys = slices.DeleteFunc(keys, func(key reactionKey) bool { _, forgotten := r.forgotten[key.place]; return forgotten })
	}
	if err := r.drop(b, keys); err != nil {
		return err
	}
	args := make([]any, 0, insertRows*addReactionColumns)
	for _, key := range keys {
		change := r.changed[key]
		if change.on == nil {
			continue
		}
		if args = append(args, change.on.reactionRow(b, key)...); len(args) == cap(args) {
			if _, err := b.stmts.addReactions.ExecContext(b.ctx, args...); err != nil {
				return err
			}
			args = args[:0]
		}
	}
	for one := range slices.Chunk(args, addReactionColumns) {
		if _, err := b.stmts.addReaction.ExecContext(b.ctx, one...); err != nil {
			return err
		}
	}
	return nil
}

// drop takes those rows of some keys away that go.
func (r *reacted) drop(b *batch, keys []reactionKey) error {
	args := make([]any, 0, insertRows*dropReactionKey)
	for _, key := range keys {
		if !r.changed[key].taken {
			continue
		}
		if args = append(args, key.place, key.emoji, key.user); len(args) == cap(args) {
			if _, err := b.stmts.takeReactions.ExecContext(b.ctx, args...); err != nil {
				return err
			}
			args = args[:0]
		}
	}
	for one := range slices.Chunk(args, dropReactionKey) {
		if _, err := b.stmts.dropReaction.ExecContext(b.ctx, one...); err != nil {
			return err
		}
	}
	return nil
}

// reactionRow returns the row of a reaction.
func (e *unmergedEntry) reactionRow(b *batch, key reactionKey) []any {
	row := reaction{place: key.place, emoji: key.emoji, user: key.user, Reactor: store.Reactor{Change: store.Change{Seq: e.Seq, Time: e.Time}, Username: e.Username}}
	var username any
	if e.ownName {
		username = e.Username
	}
	return []any{key.place, key.emoji, key.user, username, e.Seq, e.Time, b.sum.reaction(&row)}
}
