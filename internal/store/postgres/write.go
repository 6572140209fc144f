package postgres

import (
	"strings"

	"github.com/jackc/pgx/v5"

	"kaban"
	"kaban/internal/store"
)

// maxSeq is the largest number of an entry.
const maxSeq = 1<<63 - 1

// writeLog writes the entries of a transaction and what they change.
func (t *transaction) writeLog(b *pgx.Batch) {
	t.writeEntries(b)
	changed := make([]*message, 0, len(t.messages))
	for _, m := range t.messages {
		if m.changed || m.told {
			changed = append(changed, m)
		}
	}
	if len(changed) == 0 {
		return
	}
	writeContents(b, changed)
	writeStates(b, changed)
	writeReactions(b, changed)
	writeMentions(b, changed)
}

const insertEntries = `INSERT INTO entries (room, seq, time, target, kind, author, username, id, content, files, original, answer)
	SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::smallint[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::bytea[], $12::bigint[])`

func (t *transaction) writeEntries(b *pgx.Batch) {
	var c struct {
		rooms, seqs, times, targets                 []int64
		kinds                                       []int16
		authors, usernames, ids, contents, fileList []string
		originals                                   [][]byte
		answers                                     []*int64
	}
	add := func(r *lockedRoom, seq int64, e *store.Entry, original []byte, answer *int64) {
		c.rooms, c.seqs, c.times, c.targets = append(c.rooms, r.id), append(c.seqs, seq), append(c.times, e.Time), append(c.targets, int64(e.Target))
		c.kinds, c.authors, c.usernames = append(c.kinds, int16(e.Kind)), append(c.authors, e.Author), append(c.usernames, e.Username)
		c.ids, c.contents, c.fileList = append(c.ids, e.ID), append(c.contents, e.Content), append(c.fileList, e.Files)
		c.originals, c.answers = append(c.originals, original), append(c.answers, answer)
	}
	for _, m := range t.added {
		add(m.room, int64(m.Seq), &m.Entry, m.original, nil)
	}
	for _, n := range t.noops {
		seq := int64(n.answer.Seq)
		add(n.room, n.seq, &n.Entry, nil, &seq)
	}
	if len(c.rooms) > 0 {
		b.Queue(insertEntries, c.rooms, c.seqs, c.times, c.targets, c.kinds, c.authors, c.usernames, c.ids, c.contents, c.fileList, c.originals, c.answers)
	}
}

// writeContents writes the texts of messages that were there before.
func writeContents(b *pgx.Batch, changed []*message) {
	var rooms, seqs []int64
	var contents, files []string
	var originals [][]byte
	for _, m := range changed {
		if m.isNew || m.State == nil || m.State.Edited == (store.Change{}) && !m.IsDeleted() {
			continue
		}
		rooms, seqs, originals = append(rooms, m.room.id), append(seqs, int64(m.Seq)), append(originals, m.original)
		contents, files = append(contents, m.Content), append(files, m.Files)
	}
	if len(rooms) > 0 {
		b.Queue(`UPDATE entries e SET content = u.content, files = u.files, original = u.original
			FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::bytea[]) AS u (room, seq, content, files, original)
			WHERE e.room = u.room AND e.seq = u.seq AND (e.content, e.files) <> (u.content, u.files)`, rooms, seqs, contents, files, originals)
	}
}

func writeStates(b *pgx.Batch, changed []*message) {
	var columns [9][]int64
	for _, m := range changed {
		var s store.State
		if m.State != nil {
			s = *m.State
		}
		plain := s.Edited == (store.Change{}) && s.Deleted == (store.Change{}) && s.Pinned == (store.Change{}) && s.Replies == 0
		if plain && !m.stated {
			continue
		}
		for i, v := range [...]int64{
			m.room.id, int64(m.Seq), int64(s.Edited.Seq), s.Edited.Time, int64(s.Deleted.Seq), s.Deleted.Time, int64(s.Pinned.Seq), s.Pinned.Time, int64(s.Replies),
		} {
			columns[i] = append(columns[i], v)
		}
	}
	if len(columns[0]) == 0 {
		return
	}
	args := make([]any, len(columns))
	for i := range columns {
		args[i] = columns[i]
	}
	b.Queue(`INSERT INTO states (room, seq, edited, edited_time, deleted, deleted_time, pinned, pinned_time, replies)
		SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[])
		ON CONFLICT (room, seq) DO UPDATE SET edited = excluded.edited, edited_time = excluded.edited_time, deleted = excluded.deleted,
			deleted_time = excluded.deleted_time, pinned = excluded.pinned, pinned_time = excluded.pinned_time, replies = excluded.replies`, args...)
}

// reactor is somebody that has reacted to a message with an emoji.
type reactor struct{ emoji, author string }

// writeReactions writes the differences to the reactions that are in the database.
func writeReactions(b *pgx.Batch, changed []*message) {
	var gone, come struct {
		rooms, seqs, since, times []int64
		emoji, authors, usernames []string
	}
	for _, m := range changed {
		left := m.before
		m.before = make(map[reactor]int64)
		for _, reaction := range reactionsOf(m) {
			for _, p := range reaction.People {
				k := reactor{reaction.Emoji, p.Author}
				m.before[k] = int64(p.Seq)
				if left[k] == int64(p.Seq) {
					delete(left, k)
					continue
				}
				come.rooms, come.seqs, come.since, come.times = append(come.rooms, m.room.id), append(come.seqs, int64(m.Seq)), append(come.since, int64(p.Seq)), append(come.times, p.Time)
				come.emoji, come.authors, come.usernames = append(come.emoji, k.emoji), append(come.authors, k.author), append(come.usernames, p.Username)
			}
		}
		for k := range left {
			gone.rooms, gone.seqs = append(gone.rooms, m.room.id), append(gone.seqs, int64(m.Seq))
			gone.emoji, gone.authors = append(gone.emoji, k.emoji), append(gone.authors, k.author)
		}
	}
	if len(gone.rooms) > 0 {
		b.Queue(`DELETE FROM reactions r USING unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[]) AS u (room, seq, emoji, author)
			WHERE r.room = u.room AND r.seq = u.seq AND r.emoji = u.emoji AND r.author = u.author`, gone.rooms, gone.seqs, gone.emoji, gone.authors)
	}
	if len(come.rooms) > 0 {
		b.Queue(`INSERT INTO reactions (room, seq, emoji, author, username, since, time)
			SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[])`,
			come.rooms, come.seqs, come.emoji, come.authors, come.usernames, come.since, come.times)
	}
}

func reactionsOf(m *message) []store.Reaction {
	if m.State == nil {
		return nil
	}
	return m.State.Reactions
}

// writeMentions replaces whom messages mention.
func writeMentions(b *pgx.Batch, changed []*message) {
	var rooms, seqs []int64 // of those that are replaced
	var c struct {
		rooms, seqs, times    []int64
		accounts, by, onlines []string
		causes                []int16
	}
	for _, m := range changed {
		if !m.told {
			continue
		}
		if !m.isNew {
			rooms, seqs = append(rooms, m.room.id), append(seqs, int64(m.Seq))
		}
		by, _ := kaban.AuthorOf(m.Author)
		for _, o := range m.mentions {
			c.rooms, c.seqs, c.times = append(c.rooms, m.room.id), append(c.seqs, int64(m.Seq)), append(c.times, o.Time)
			c.accounts, c.by, c.onlines = append(c.accounts, o.Account), append(c.by, by), append(c.onlines, strings.Join(o.Online, " "))
			c.causes = append(c.causes, int16(o.Cause))
		}
	}
	if len(rooms) > 0 {
		b.Queue("DELETE FROM mentions m USING unnest($1::bigint[], $2::bigint[]) AS u (room, seq) WHERE m.room = u.room AND m.seq = u.seq", rooms, seqs)
	}
	if len(c.rooms) > 0 {
		b.Queue(`INSERT INTO mentions (account, room, seq, cause, by, time, online)
			SELECT u.account, u.room, u.seq, u.cause, u.by, u.time, string_to_array(u.online, ' ')
			FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::smallint[], $5::text[], $6::bigint[], $7::text[]) AS u (account, room, seq, cause, by, time, online)`,
			c.accounts, c.rooms, c.seqs, c.causes, c.by, c.times, c.onlines)
	}
}
