package sqlite

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"kaban/internal/store"
)

// reaction is a row of reactions: people that reacted to a message with an emoji. They are at least as
// late as first, and earlier than those of the next row.
type reaction struct {
	place  int64
	emoji  string
	first  uint64
	people []reactor // in the order of their seqs; nil if the row is damaged
}

// maxPeople bounds the column people, in bytes. A row then fits into a page of the tree, with three
// others: what is damaged elsewhere costs it nothing, and changing it costs no more than that page.
const maxPeople = 800

// reactor is one of the people of a reaction. Its Username is "" if it is the one in users.
type reactor struct {
	user int64
	store.Reactor
}

// maxSize returns how many bytes appendPeople writes at most.
func (p *reactor) maxSize() int { return 27 + len(p.Username) }

// fits reports whether another one may be added to the row.
func (r *reaction) fits(p *reactor) bool {
	size := p.maxSize()
	for i := range r.people {
		size += r.people[i].maxSize()
	}
	return size <= maxPeople
}

// errPeople says that the people of a reaction are not written as appendPeople does.
var errPeople = errors.New("it is no list of people")

// appendPeople appends the column people to dst. For each person it has these numbers, as varints:
// the id of the user, how far the seq of the entry is behind the one before (of the first: behind the
// message), the time of the entry less the one before (of the first: the time), and the length of
// the username in bytes, which follows.
func (r *reaction) appendPeople(dst []byte) []byte {
	seq, at := uint64(r.place&maxSeq), int64(0)
	for i := range r.people {
		p := &r.people[i]
		dst = binary.AppendUvarint(dst, uint64(p.user))
		dst = binary.AppendUvarint(dst, p.Seq-seq)
		dst = binary.AppendVarint(dst, p.Time-at)
		dst = binary.AppendUvarint(dst, uint64(len(p.Username)))
		dst = append(dst, p.Username...)
		seq, at = p.Seq, p.Time
	}
	return dst
}

// parsePeople is the opposite of appendPeople. It returns errPeople for what cannot be read.
func (r *reaction) parsePeople(from []byte) error {
	seq, at := uint64(r.place&maxSeq), int64(0)
	for len(from) > 0 {
		var p reactor
		user, n := binary.Uvarint(from)
		behind, m := binary.Uvarint(from[max(n, 0):])
		if n <= 0 || m <= 0 || user == 0 || user > 1<<63-1 || behind == 0 || behind > maxSeq-seq {
			return errPeople
		}
		from = from[n+m:]
		later, n := binary.Varint(from)
		length, m := binary.Uvarint(from[max(n, 0):])
		if n <= 0 || m <= 0 || length > uint64(len(from)-n-m) {
			return errPeople
		}
		from = from[n+m:]
		seq, at = seq+behind, at+later
		p.user, p.Seq, p.Time, p.Username = int64(user), seq, at, string(from[:length])
		from = from[length:]
		r.people = append(r.people, p)
	}
	if len(r.people) == 0 {
		return errPeople
	}
	return nil
}

// scanReaction reads a row of reactions. If it is damaged, the place and the emoji are nevertheless
// what the row says.
func scanReaction(row scanner, sum *summer) (r reaction, err error) {
	var people []byte
	var value int64
	err = row.Scan(&r.place, &r.emoji, &r.first, &people, &value)
	got := sum.reaction(&r, people)
	if err == nil && got == value {
		err = r.parsePeople(people)
	}
	if err = checked(err, got, value, "the reactions to message", uint64(r.place&maxSeq)); err != nil {
		r.people = nil
	}
	return r, err
}

// add adds a reaction to the state of its message, with what readers get of its people.
func (s *states) add(ctx context.Context, authors *authors, r *reaction) error {
	people := make([]store.Reactor, len(r.people))
	for i := range r.people {
		p := &r.people[i]
		by, err := authors.author(ctx, p.user)
		if err == nil && by.err != nil {
			err = damaged(fmt.Sprintf("the author of a reaction to message %d", r.place&maxSeq), by.err)
		}
		if err != nil {
			return err
		}
		people[i] = p.Reactor
		people[i].Author, people[i].Username = by.key, cmp.Or(p.Username, by.name)
	}
	state := s.of[r.place]
	if state == nil {
		state = new(store.State)
		s.of[r.place] = state
	}
	if n := len(state.Reactions); n > 0 && state.Reactions[n-1].Emoji == r.emoji {
		state.Reactions[n-1].People = append(state.Reactions[n-1].People, people...)
		return nil
	}
	state.Reactions = append(state.Reactions, store.Reaction{Emoji: r.emoji, People: people})
	return nil
}

// sort brings the reactions to a message into the order in which they came.
func (s *states) sort(place int64) {
	if state := s.of[place]; state != nil && len(state.Reactions) > 1 {
		slices.SortFunc(state.Reactions, func(a, b store.Reaction) int { return cmp.Compare(a.People[0].Seq, b.People[0].Seq) })
	}
}
