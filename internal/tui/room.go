package tui

import (
	"slices"
	"sort"
	"time"

	"kaban/client"
)

const (
	// maxItems is how many messages and notices of a room are held. What falls
	// out of the window is asked for again when somebody scrolls there.
	maxItems = 5000
	// maxItemBytes is how many bytes of them are held.
	maxItemBytes = 16 << 20
	// pageSize is how many messages are asked for at once.
	pageSize = 200
	// maxHistory is how many typed lines a room remembers.
	maxHistory = 200
	// maxMembers is how many members of a room are held and shown by name.
	maxMembers = 1000
)

// room is what is known of a room.
type room struct {
	name   string
	joined bool
	failed string // why it could not be joined or was lost

	// items is a window of the room's log without a gap, oldest first.
	items []*item
	// attached says that the window reaches to the head: what comes is added.
	attached bool
	// complete says that nothing is before the window.
	complete bool
	// pending are own messages that are not stored yet, as they were typed.
	pending []*item
	loading bool // a page is under way

	epoch string
	head  uint64 // the newest message that is known of
	known uint64 // the newest that the server is known to have
	read  uint64 // everything up to here was seen
	// mark is where the line of unread messages stands: behind this seq.
	mark    uint64
	marked  bool
	mention int    // unread messages that mention the person
	cleared uint64 // everything up to here was cleared from the screen

	// The view: the item and the line of it at the top, or, if following, the
	// newest at the bottom.
	following bool
	top       *item
	topLine   int

	members map[string]bool
	count   int // of members, those without a known name too

	draft    draft
	history  []string // what was typed, oldest first
	speakers []string // who spoke, latest first
}

func newRoom(name string) *room {
	return &room{name: name, attached: true, following: true, members: make(map[string]bool)}
}

// unread returns how many messages were not seen.
func (r *room) unread() uint64 {
	n := r.head - min(r.head, r.read)
	for k := len(r.items) - 1; k >= 0 && r.items[k].seq > r.read; k-- {
		if r.items[k].kind == itemUnknown {
			n--
		}
	}
	return n
}

// all returns how many items there are to show, those under way too.
func (r *room) all() int {
	if !r.attached {
		return len(r.items)
	}
	return len(r.items) + len(r.pending)
}

// at returns an item to show.
func (r *room) at(i int) *item {
	if i < len(r.items) {
		return r.items[i]
	}
	return r.pending[i-len(r.items)]
}

// indexOf returns the place of an item, or where something of its seq would
// stand if it is not there any more.
func (r *room) indexOf(i *item) int {
	at := r.search(i.seq)
	for k := at; k < r.all(); k++ {
		if r.at(k) == i {
			return k
		}
		if k < len(r.items) && r.items[k].seq > i.seq {
			break
		}
	}
	return min(at, max(r.all()-1, 0))
}

// search returns the place of the first item with at least a seq.
func (r *room) search(seq uint64) int {
	return sort.Search(len(r.items), func(k int) bool { return r.items[k].seq >= seq })
}

// first returns the seq of the oldest entry in the window, 0 for none.
func (r *room) first() uint64 {
	for _, i := range r.items {
		if i.isEntry() {
			return i.seq
		}
	}
	return 0
}

// last returns the seq of the newest entry in the window, 0 for none.
func (r *room) last() uint64 {
	for k := len(r.items) - 1; k >= 0; k-- {
		if r.items[k].isEntry() {
			return r.items[k].seq
		}
	}
	return 0
}

// add takes an entry from the live end of the log. It reports whether the entry
// is new.
func (r *room) add(i *item) bool {
	isNew := i.seq > r.head
	r.head = max(r.head, i.seq)
	r.known = max(r.known, r.head)
	r.spoke(i)
	if !r.attached {
		return isNew
	}
	if !r.following && len(r.items) >= maxItems { // keep what is being read
		r.attached = false
		return isNew
	}
	if i.seq <= r.cleared {
		return false
	}
	isNew = r.insert(i)
	r.trimOld()
	return isNew
}

// insert puts a message in its place, once. It reports whether it was not there.
func (r *room) insert(i *item) bool {
	at := len(r.items)
	for at > 0 && r.items[at-1].seq > i.seq {
		at--
	}
	for k := at; k > 0 && r.items[k-1].seq == i.seq; k-- {
		if r.items[k-1].isEntry() {
			return false
		}
		at = k - 1 // before notices that stand behind it
	}
	r.items = slices.Insert(r.items, at, i)
	return true
}

// trimOld lets go of the oldest items beyond the bound.
func (r *room) trimOld() {
	bytes, kept := 0, 0
	for kept < min(len(r.items), maxItems) {
		if bytes += r.items[len(r.items)-1-kept].size(); bytes > maxItemBytes {
			break
		}
		kept++
	}
	if excess := len(r.items) - kept; excess > 0 {
		r.items = slices.Delete(r.items, 0, excess)
		r.complete = false
	}
}

// trimNew lets go of the newest items beyond the bound.
func (r *room) trimNew() {
	bytes, kept := 0, 0
	for kept < min(len(r.items), maxItems) {
		if bytes += r.items[kept].size(); bytes > maxItemBytes {
			break
		}
		kept++
	}
	if len(r.items) > kept {
		clear(r.items[kept:])
		r.items = r.items[:kept]
		r.attached = false
	}
}

// spoke notes who spoke last, for completion.
func (r *room) spoke(i *item) {
	if len(r.speakers) > 0 && r.speakers[0] == i.username || i.own || i.kind == itemUnknown {
		return
	}
	if at := slices.Index(r.speakers, i.username); at >= 0 {
		r.speakers = slices.Delete(r.speakers, at, at+1)
	}
	r.speakers = slices.Insert(r.speakers, 0, i.username)
	r.speakers = r.speakers[:min(len(r.speakers), 50)]
}

// page is a page of history that was asked for.
type page struct {
	Before, After       uint64
	HasBefore, HasAfter bool
	// Around says that the window is to begin anew with this page; Target is
	// the seq that is to be seen then.
	Around bool
	Target uint64
}

// addPage takes a page that was asked for.
func (r *room) addPage(p page, got client.HistoryPage, own string) {
	r.loading = false
	var items []*item
	for e := range got.Entries() {
		items = append(items, itemOf(e, own))
	}
	more, newest := got.More, uint64(0)
	if len(items) > 0 {
		newest = items[len(items)-1].seq
	}
	switch {
	case p.Around:
		r.restart(p, items, more, newest)
	case p.HasAfter:
		if r.attached || len(r.items) > 0 && p.After != r.last() {
			return // the window has moved meanwhile
		}
		r.items = append(r.items, items...)
		r.attached = !more && max(newest, r.last()) >= r.head
		r.trimOld()
	case len(r.items) == 0 || p.Before == r.first() || r.first() == 0:
		r.items = append(items, r.items...)
		r.complete = !more
		if r.following && r.attached {
			r.trimOld()
		} else {
			r.trimNew()
		}
	}
}

// restart begins the window anew.
func (r *room) restart(p page, items []*item, more bool, newest uint64) {
	notices := slices.DeleteFunc(slices.Clone(r.items), func(i *item) bool { return i.isEntry() || len(items) == 0 || i.seq < items[0].seq })
	r.items = items
	r.attached = newest >= r.head && (!p.HasAfter || !more)
	r.complete = len(items) == 0 || items[0].seq <= 1 || !p.HasAfter && !more
	for _, n := range notices {
		if r.attached {
			r.notice(n)
		}
	}
	r.following = p.Target == 0
	r.top, r.topLine = nil, 0
	if p.Target > 0 && len(items) > 0 {
		r.top = r.items[min(r.search(p.Target), len(r.items)-1)]
	}
}

// notice adds what is no message at the end.
func (r *room) notice(i *item) {
	i.seq = max(i.seq, r.last())
	r.items = append(r.items, i)
	r.trimOld()
}

// post shows an own message that is on its way.
func (r *room) post(i *item) {
	i.sending, i.own, i.seq = pending, true, ^uint64(0)
	r.pending = append(r.pending, i)
}

// sent takes the news that an own message is stored.
func (r *room) sent(number, seq uint64, at time.Time) {
	k := slices.IndexFunc(r.pending, func(i *item) bool { return i.number == number })
	if k < 0 {
		return
	}
	i := r.pending[k]
	r.pending = slices.Delete(r.pending, k, k+1)
	i.sending, i.seq, i.time = stored, seq, at
	if r.read+1 == seq {
		r.read = seq
	}
	r.add(i)
}

// refuse takes an own message back and returns it, nil if it is not known.
func (r *room) refuse(number uint64) *item {
	k := slices.IndexFunc(r.pending, func(i *item) bool { return i.number == number })
	if k < 0 {
		return nil
	}
	i := r.pending[k]
	r.pending = slices.Delete(r.pending, k, k+1)
	return i
}

// see notes that everything there is was seen.
func (r *room) see() {
	r.read, r.mention = max(r.read, r.head), 0
}

// passUnknown moves the place and the line of unread messages past entries of
// unknown kinds that directly follow them.
func (r *room) passUnknown() {
	r.read = r.past(r.read)
	if r.marked {
		r.mark = r.past(r.mark)
		r.marked = r.mark < r.head
	}
}

// past returns the seq of the last entry of the run of unknown kinds after a seq,
// or that seq.
func (r *room) past(seq uint64) uint64 {
	for k := r.search(seq + 1); k < len(r.items) && r.items[k].seq <= seq+1; k++ {
		if r.items[k].kind == itemUnknown {
			seq = r.items[k].seq
		}
	}
	return seq
}

// arrived notes a message that was not seen yet.
func (r *room) arrived(i *item) {
	if i.own {
		return
	}
	if r.read+1 >= i.seq { // the first of them
		r.mark, r.marked = r.read, true
	}
	if i.mention {
		r.mention++
	}
}

// remember keeps what was typed.
func (r *room) remember(text string) {
	if n := len(r.history); n > 0 && r.history[n-1] == text {
		return
	}
	if r.history = append(r.history, text); len(r.history) > maxHistory {
		r.history = slices.Delete(r.history, 0, len(r.history)-maxHistory)
	}
}
