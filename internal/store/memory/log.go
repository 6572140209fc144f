package memory

import "hash/maphash"

// log is a first-in first-out list of entries. An entry has a place, counted
// from 0, that stays its own until it is popped; the entries lie in blocks, so
// that neither growing nor forgetting moves any of them.
type log struct {
	blocks      []*[blockSize]kept
	first, next uint64 // the places of the oldest entry and of the next one
}

const blockSize = 128

func (l *log) len() int { return int(l.next - l.first) }

func (l *log) at(place uint64) *kept {
	return &l.blocks[place/blockSize-l.first/blockSize][place%blockSize]
}

func (l *log) push(e kept) (place uint64) {
	place = l.next
	if place%blockSize == 0 {
		l.blocks = append(l.blocks, new([blockSize]kept))
	}
	l.next++
	*l.at(place) = e
	return place
}

func (l *log) pop() kept {
	oldest := l.at(l.first)
	e := *oldest
	*oldest = kept{} // let go of what it points to
	l.first++
	if l.first%blockSize == 0 {
		l.blocks[0] = nil
		l.blocks = l.blocks[1:]
	}
	return e
}

// queue is a first-in first-out list of places in one slice. The space of
// popped elements is reused when they are half of it.
type queue struct {
	places []uint64
	popped int
}

func (q *queue) len() int          { return len(q.places) - q.popped }
func (q *queue) at(i int) uint64   { return q.places[q.popped+i] }
func (q *queue) push(place uint64) { q.places = append(q.places, place) }

func (q *queue) pop() {
	q.popped++
	if q.popped*2 >= len(q.places) {
		q.places = q.places[:copy(q.places, q.places[q.popped:])]
		q.popped = 0
	}
}

// index finds places by author and id. It keeps hashes, because a table of the
// strings themselves costs another cache miss for each lookup and a third of
// what a short message takes; the strings are compared once, with those of the
// entry that has the hash.
type index struct {
	seed   maphash.Seed
	places map[uint64]uint64 // by hash
	// others holds the places of entries whose hash an entry before them had
	// already. With hashes of 64 bits there is all but never one.
	others map[uint64][]uint64
}

func newIndex() index {
	return index{maphash.MakeSeed(), make(map[uint64]uint64), make(map[uint64][]uint64)}
}

func (x *index) hash(author, id string) uint64 {
	// The factor tells author and id apart.
	return maphash.String(x.seed, author)*31 + maphash.String(x.seed, id)
}

// find returns the place with the hash that is the one looked for, which same
// decides.
func (x *index) find(hash uint64, same func(place uint64) bool) (place uint64, ok bool) {
	place, ok = x.places[hash]
	if !ok || same(place) {
		return place, ok
	}
	for _, place := range x.others[hash] {
		if same(place) {
			return place, true
		}
	}
	return 0, false
}

// add adds a place that find did not find.
func (x *index) add(hash, place uint64) {
	if _, taken := x.places[hash]; taken {
		x.others[hash] = append(x.others[hash], place)
		return
	}
	x.places[hash] = place
}

// remove removes the oldest place with the hash.
func (x *index) remove(hash uint64) {
	others := x.others[hash]
	switch len(others) {
	case 0:
		delete(x.places, hash)
		return
	case 1:
		delete(x.others, hash)
	default:
		x.others[hash] = others[1:]
	}
	x.places[hash] = others[0]
}
