package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
)

// singlesQuery has the rows of single_reactions, those of a message with one emoji one after the
// other. An author that is missing is damage of the row.
const singlesQuery = "SELECT r.place, r.emoji, r.user, r.username, coalesce(r.username, u.name, ''), r.seq, r.time, r.sum" +
	" FROM single_reactions r LEFT JOIN users u ON u.id = r.user ORDER BY r.place, r.emoji"

// gathering moves single_reactions to reactions.
type gathering struct {
	insert      *sql.Stmt
	place       int64
	emoji       string
	people      []reactor // with the emoji
	damaged     bool      // one of them
	done, total int
	report      func(done, total int)
	sum         summer
}

// gatherReactions moves the reactions of version 16 to their table, in the transaction in
// progress. If report is not nil, it is called with the progress in rows.
func gatherReactions(ctx context.Context, c *conn, report func(done, total int)) error {
	g := gathering{report: report}
	var err error
	if g.total, err = c.number(ctx, "SELECT count(*) FROM single_reactions"); err != nil {
		return err
	}
	if g.total > 0 {
		if err := g.move(ctx, c); err != nil {
			return err
		}
	}
	return c.exec(ctx, "DROP TABLE single_reactions")
}

// move reads all rows and writes what they make.
func (g *gathering) move(ctx context.Context, c *conn) (err error) {
	if g.insert, err = c.PrepareContext(ctx, setReactionQuery+setReactionRow); err != nil {
		return err
	}
	defer g.insert.Close()
	rows, err := c.QueryContext(ctx, singlesQuery)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := g.take(ctx, rows); err != nil {
			return err
		}
		if g.done++; g.report != nil {
			g.report(g.done, g.total)
		}
	}
	if err := closeRows(rows); err != nil {
		return err
	}
	return g.save(ctx)
}

// take adds a row to those of its message and emoji, and writes the ones before if it is of another.
// Flipped bits may have made other types of its columns.
func (g *gathering) take(ctx context.Context, rows *sql.Rows) error {
	var columns [8]any
	if err := rows.Scan(&columns[0], &columns[1], &columns[2], &columns[3], &columns[4], &columns[5], &columns[6], &columns[7]); err != nil {
		return err
	}
	place, _ := columns[0].(int64)
	emoji, isText := columns[1].(string)
	if place != g.place || emoji != g.emoji {
		if err := g.save(ctx); err != nil {
			return err
		}
		g.place, g.emoji = place, emoji
	}
	var p reactor
	user, isUser := columns[2].(int64)
	own, isOwn := columns[3].(string)
	name, isName := columns[4].(string)
	seq, isSeq := columns[5].(int64)
	at, isTime := columns[6].(int64)
	sum, isSum := columns[7].(int64)
	p.user, p.Seq, p.Time = user, uint64(seq), at
	sound := isText && isUser && (isOwn || columns[3] == nil) && isName && isSeq && isTime && isSum && g.sum.singleReaction(place, emoji, &p, name) == sum
	if sound && seq <= place&maxSeq { // before its message: an import may have had anything
		return nil
	}
	p.Username = own
	g.people, g.damaged = append(g.people, p), g.damaged || !sound
	return nil
}

// save writes the rows of a message and an emoji. If one of the people was damaged, all are, so that
// the damage is still found.
func (g *gathering) save(ctx context.Context) error {
	slices.SortFunc(g.people, func(a, b reactor) int { return cmp.Compare(a.Seq, b.Seq) })
	for len(g.people) > 0 {
		row := reaction{place: g.place, emoji: g.emoji, first: g.people[0].Seq}
		for len(g.people) > 0 && (row.people == nil || row.fits(&g.people[0])) {
			row.people, g.people = append(row.people, g.people[0]), g.people[1:]
		}
		people := row.appendPeople(nil)
		sum := g.sum.reaction(&row, people)
		if g.damaged {
			sum++
		}
		if _, err := g.insert.ExecContext(ctx, row.place, row.emoji, int64(row.first), people, sum); err != nil {
			return err
		}
	}
	g.people, g.damaged = nil, false
	return ctx.Err()
}
