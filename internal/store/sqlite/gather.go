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
	row         reaction
	damaged     bool // one of the row's people
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
		var place, seq, value int64
		var emoji, username string
		var own sql.NullString
		var p reactor
		if err := rows.Scan(&place, &emoji, &p.user, &own, &username, &seq, &p.Time, &value); err != nil {
			return err
		}
		if place != g.row.place || emoji != g.row.emoji {
			if err := g.save(ctx); err != nil {
				return err
			}
			g.row.place, g.row.emoji = place, emoji
		}
		p.Seq, p.Username = uint64(seq), own.String
		damaged := g.sum.singleReaction(place, emoji, &p, username) != value
		if !damaged && seq <= place&maxSeq { // an import may have had anything
			continue
		}
		g.damaged = g.damaged || damaged
		g.row.people = append(g.row.people, p)
	}
	if err := closeRows(rows); err != nil {
		return err
	}
	return g.save(ctx)
}

// save writes a row. If one of its people was damaged, the row is, so that the damage is still found.
func (g *gathering) save(ctx context.Context) error {
	if len(g.row.people) == 0 {
		return nil
	}
	slices.SortFunc(g.row.people, func(a, b reactor) int { return cmp.Compare(a.Seq, b.Seq) })
	people := g.row.appendPeople(nil)
	sum := g.sum.reaction(&g.row, people)
	if g.damaged {
		sum++
	}
	if _, err := g.insert.ExecContext(ctx, g.row.place, g.row.emoji, people, sum); err != nil {
		return err
	}
	if g.done += len(g.row.people); g.report != nil {
		g.report(g.done, g.total)
	}
	g.row.people, g.damaged = g.row.people[:0], false
	return ctx.Err()
}
