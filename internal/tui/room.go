package tui

import (
	"slices"
	"sort"
	"time"

	"kaban/client"
	"kaban/wire"
)

const (
	// maxItems bounds the items of a room. Entries that fall out of the window are
	// loaded again on scrolling.
	maxItems = 5000
	// maxItemBytes bounds their size.
	maxItemBytes = 16 << 20
	// pageSize is the number of entries on a history page.
	pageSize = 200
	// maxHistory bounds the history of typed lines of a room.
	maxHistory = 200
	// maxMembers bounds the members of a room that are known by name.
	maxMembers = 1000
)

// room is the state of an open room.
type room struct {
	name   string
	joined bool
	failed string // why it could not be joined or was lost

	// items is a window of the room's log without a gap, oldest first.
	items []*item
	// attached means that the window reaches the head: live entries are added.
	attached bool
	// complete means that nothing precedes the window.
	complete bool
	// origin is the seq with which the log begins, as far as is known when complete is set:
	// more than 1 if what was before is no longer kept, or not for this account.
	origin uint64
	// pending are own messages that are not stored yet, in order.
	pending []*item
	// altering are own changes of messages that are not stored yet, in order.
	altering []alteration
	loading  bool // a page is under way

	epoch string
	head  uint64 // the highest seq that arrived
	known uint64 // the highest seq that the server is known to have
	// fold has what becomes of the messages in items. See Model.fold.
	fold client.Fold
	// stale means that changes up to this seq were passed over: the window has to be
	// loaded again. 0: none were.
	stale uint64
	// failures are the attempts to load the window again that have failed, and notUntil is
	// when the next one is due.
	failures int
	notUntil time.Time
	// passed are entries that do not count as unread and that arrived while the window
	// was not attached, oldest first.
	passed []item
	target uint64 // the message to which the room is to be opened, or 0
	flag   uint64 // the seq from which on it is marked as unread, or 0
	read   uint64 // the place: every entry up to here was seen
	// reported is the place that the server knows, of an account.
	reported uint64
	// mark is the seq after which the line "new" stands.
	mark    uint64
	marked  bool
	mention int    // unread messages that mention the person
	ringer  *item  // the newest message that arrived unseen and seems to mention the person
	rings   uint64 // the head when the server last counted more mentions
	cleared uint64 // every entry up to here was cleared from the screen

	// The view: the item, and its line, at the top, or, if following, the newest at
	// the bottom.
	following bool
	top       *item
	topLine   int

	members map[string]bool
	count   int // of members, including those without a known name

	typists []string // those that are typing

	// Of a thread: the room that it is of, the seq of its first message, that message until
	// it is in items, and the seq from which on the replies are loaded.
	of        *room
	root      uint64
	beginning *item
	oldest    uint64

	draft    draft
	replying uint64   // the seq of the message that the draft answers, or 0
	editing  uint64   // the seq of the message that the draft is an edit of, or 0
	base     uint64   // of that edit, as in client.Room.Edit
	kept     draft    // the draft before that edit
	history  []string // typed lines, oldest first
	speakers []string // authors, latest first
}

func newRoom(name string) *room {
	return &room{name: name, attached: true, following: true, members: make(map[string]bool)}
}

// unread returns the number of unread messages.
func (r *room) unread() uint64 {
	read := r.read
	if r.flag > 0 {
		read = min(read, r.flag-1)
	}
	n := r.head - min(r.head, read)
	for k := len(r.items) - 1; k >= 0 && r.items[k].seq > read; k-- {
		if i := r.items[k]; i.isEntry() && !i.isCounted() {
			n -= min(n, i.beyond(read))
		}
	}
	last := r.last()
	for k := range r.passed {
		n -= min(n, r.passed[k].beyond(max(read, last)))
	}
	return n
}

// pass notes an entry that is not in the window.
func (r *room) pass(i *item) {
	n := len(r.passed)
	switch {
	case !i.isEntry() || i.isCounted():
	case n > 0 && r.passed[n-1].seq+1 == i.begin():
		r.passed[n-1] = item{kind: itemUnknown, from: r.passed[n-1].begin(), seq: i.seq}
	case n < maxItems:
		r.passed = append(r.passed, item{kind: itemUnknown, from: i.begin(), seq: i.seq})
	}
}

// all returns the number of items to show, including pending ones.
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

// indexOf returns the index of an item, or of its seq if it is gone.
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

// search returns the index of the first item with at least a seq.
func (r *room) search(seq uint64) int {
	return sort.Search(len(r.items), func(k int) bool { return r.items[k].seq >= seq })
}

// first returns the seq of the oldest entry in the window, 0 for none.
func (r *room) first() uint64 {
	for _, i := range r.items {
		if i.isEntry() {
			return i.begin()
		}
	}
	return 0
}

// message returns a message of the window, or nil.
func (r *room) message(seq uint64) *item {
	for k := r.search(seq); k < len(r.items) && r.items[k].seq == seq; k++ {
		if r.items[k].kind == itemMessage {
			return r.items[k]
		}
	}
	return nil
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
	if r.attached && !r.following && len(r.items) >= maxItems { // keep the part that is being read
		r.attached, r.passed = false, nil
	}
	if !r.attached {
		if isNew {
			r.pass(i)
		}
		return isNew
	}
	if i.seq <= r.cleared {
		return false
	}
	isNew = r.insert(i)
	r.trimOld()
	return isNew
}

// insert puts an entry in its position, once. It reports whether it is new.
func (r *room) insert(i *item) bool {
	at := len(r.items)
	for at > 0 && r.items[at-1].seq > i.seq {
		at--
	}
	for k := at; k > 0 && r.items[k-1].seq == i.seq; k-- {
		if r.items[k-1].isEntry() {
			return false
		}
		at = k - 1 // before notices that come after it
	}
	if at < len(r.items) && r.items[at].begin() <= i.seq { // in a run
		return false
	}
	if i.kind == itemUnknown && at > 0 {
		if last := r.items[at-1]; last.kind == itemUnknown && last.seq+1 == i.begin() {
			last.from, last.seq = last.begin(), i.seq
			return true
		}
	}
	r.items = slices.Insert(r.items, at, i)
	return true
}

// trimOld drops the oldest items beyond the bound.
func (r *room) trimOld() {
	bytes, kept := 0, 0
	for kept < min(len(r.items), maxItems) {
		if bytes += r.items[len(r.items)-1-kept].size(); bytes > maxItemBytes {
			break
		}
		kept++
	}
	if excess := len(r.items) - kept; excess > 0 {
		r.forget(r.items[:excess])
		r.items = slices.Delete(r.items, 0, excess)
		r.complete = false
	}
}

// trimNew drops the newest items beyond the bound.
func (r *room) trimNew() {
	bytes, kept := 0, 0
	for kept < min(len(r.items), maxItems) {
		if bytes += r.items[kept].size(); bytes > maxItemBytes {
			break
		}
		kept++
	}
	if len(r.items) > kept {
		if r.attached {
			r.passed = nil
		}
		r.forget(r.items[kept:])
		for _, i := range r.items[kept:] {
			r.pass(i)
		}
		clear(r.items[kept:])
		r.items = r.items[:kept]
		r.attached = false
	}
}

// forget forgets what has become of items.
func (r *room) forget(items []*item) {
	for _, i := range items {
		if i.kind == itemMessage {
			r.fold.Forget(i.seq)
		}
	}
}

// renew shows what has become of messages.
func (r *room) renew(seqs []uint64) {
	for _, seq := range seqs {
		if i := r.message(seq); i != nil {
			if now, ok := r.fold.Message(seq); ok {
				i.rewriting, i.altering = false, false
				for k := range r.altering {
					if c := &r.altering[k].change; c.Target == seq {
						overlay(&now, c)
						rewrites := c.Type == wire.TypeEdit || c.Type == wire.TypeDelete
						i.rewriting, i.altering = i.rewriting || rewrites, i.altering || !rewrites
					}
				}
				i.become(&now, r.fold.Username)
			}
		}
	}
}

// spoke notes the latest author, for completion.
func (r *room) spoke(i *item) {
	if len(r.speakers) > 0 && r.speakers[0] == i.username || i.own || i.kind != itemMessage {
		return
	}
	if at := slices.Index(r.speakers, i.username); at >= 0 {
		r.speakers = slices.Delete(r.speakers, at, at+1)
	}
	r.speakers = slices.Insert(r.speakers, 0, i.username)
	r.speakers = r.speakers[:min(len(r.speakers), 50)]
}

// page is a request for a history page.
type page struct {
	Before, After       uint64
	HasBefore, HasAfter bool
	// Around means that the window restarts with this page and shows Target.
	Around bool
	Target uint64
	Thread uint64 // not 0: only the replies to this message
}

// addPage adds a history page to the window.
func (r *room) addPage(p page, got client.HistoryPage, own string) {
	r.loading = false
	r.fold.Username = own
	items := itemsOf(&got, own)
	more, newest := got.More, uint64(0)
	if len(items) > 0 {
		newest = items[len(items)-1].seq
	}
	defer func() {
		if r.attached {
			r.passed = nil
		}
	}()
	switch {
	case p.Around:
		r.forget(r.items)
		r.restart(p, items, more, newest)
		r.origin = got.First
		r.renew(r.fold.AddPage(&got))
		if got.AsOf >= r.stale {
			r.stale, r.failures, r.notUntil = 0, 0, time.Time{}
		}
	case p.HasAfter:
		if r.attached || len(r.items) > 0 && p.After != r.last() {
			return // the window has moved meanwhile
		}
		r.items = append(r.items, items...)
		r.renew(r.fold.AddPage(&got))
		r.attached = !more && max(newest, r.last()) >= r.head
		r.trimOld()
	case len(r.items) == 0 || p.Before == r.first() || r.first() == 0:
		r.items = append(items, r.items...)
		r.renew(r.fold.AddPage(&got))
		r.complete = !more
		if r.origin = got.First; r.origin == 0 { // nothing precedes
			r.origin = p.Before
		}
		if r.following && r.attached {
			r.trimOld()
		} else {
			r.trimNew()
		}
	}
}

// restart replaces the window by a page.
func (r *room) restart(p page, items []*item, more bool, newest uint64) {
	notices := slices.DeleteFunc(slices.Clone(r.items), func(i *item) bool { return i.isEntry() || len(items) == 0 || i.seq < items[0].seq })
	r.items = items
	r.attached = newest >= r.head && (!p.HasAfter || !more)
	r.complete = len(items) == 0 || items[0].begin() <= 1 || !p.HasAfter && !more
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

// notice adds a notice at the end.
func (r *room) notice(i *item) {
	i.seq = max(i.seq, r.last())
	r.items = append(r.items, i)
	r.trimOld()
}

// post shows an own message that is under way.
func (r *room) post(i *item) {
	i.sending, i.own, i.seq = pending, true, ^uint64(0)
	r.pending = append(r.pending, i)
}

// sent moves an own message from pending to the log. It returns the message, or nil.
func (r *room) sent(number, seq uint64, at time.Time) *item {
	k := slices.IndexFunc(r.pending, func(i *item) bool { return i.number == number })
	if k < 0 {
		return nil
	}
	i := r.pending[k]
	r.pending = slices.Delete(r.pending, k, k+1)
	i.sending, i.seq, i.time = stored, seq, at
	if r.read+1 == seq {
		r.read = seq
	}
	r.add(i)
	if r.message(seq) == i {
		r.renew(r.fold.Add(client.Entry{Seq: seq, Message: i.asMessage()}))
	}
	return i
}

// asMessage returns an own message as it was sent.
func (i *item) asMessage() *wire.Message {
	return &wire.Message{Seq: i.seq, Username: i.username, ReplyTo: i.replyTo, Content: i.content, Files: i.files, Time: i.time}
}

// refuse removes an own message from pending and returns it, or nil.
func (r *room) refuse(number uint64) *item {
	k := slices.IndexFunc(r.pending, func(i *item) bool { return i.number == number })
	if k < 0 {
		return nil
	}
	i := r.pending[k]
	r.pending = slices.Delete(r.pending, k, k+1)
	return i
}

// see marks every entry as read.
func (r *room) see() {
	r.read, r.mention, r.ringer = max(r.read, r.head), 0, nil
}

// passUnknown moves the place and the line of unread messages past entries that do
// not count as unread and directly follow them.
func (r *room) passUnknown() {
	r.read = r.past(r.read)
	if r.marked {
		r.mark = r.past(r.mark)
		r.marked = r.mark < r.head
	}
}

// past returns the seq of the last entry of the run that does not count after a seq,
// or that seq.
func (r *room) past(seq uint64) uint64 {
	for k := r.search(seq + 1); k < len(r.items) && r.items[k].begin() <= seq+1; k++ {
		if r.items[k].isEntry() && !r.items[k].isCounted() {
			seq = r.items[k].seq
		}
	}
	return seq
}

// arrived counts an unread message. Its mention counts, too, if the server does not count them.
func (r *room) arrived(i *item, mentions bool) {
	if i.own {
		return
	}
	if r.read+1 >= i.seq { // the first of them
		r.mark, r.marked = r.read, true
	}
	if !i.mention {
		return
	}
	if r.ringer = i; mentions {
		r.mention++
	}
}

// remember adds a line to the history.
func (r *room) remember(text string) {
	if n := len(r.history); n > 0 && r.history[n-1] == text {
		return
	}
	if r.history = append(r.history, text); len(r.history) > maxHistory {
		r.history = slices.Delete(r.history, 0, len(r.history)-maxHistory)
	}
}
