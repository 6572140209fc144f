package tui

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	tea "charm.land/bubbletea/v2"

	"kaban"
	"kaban/client"
	"kaban/internal/display"
	"kaban/wire"
)

// takeAll takes a batch of events in their order.
func (m *Model) takeAll(events batch) tea.Cmd {
	m.rang = false
	var commands []tea.Cmd
	for _, e := range events {
		if cmd := m.take(e); cmd != nil {
			commands = append(commands, cmd)
		}
	}
	m.syncThread()
	m.look()
	return tea.Batch(append(commands, m.watchViewer(), m.goOnQuitting(false))...)
}

func (m *Model) take(e event) tea.Cmd {
	switch e := e.(type) {
	case stateEvent:
		return m.takeState(e)
	case joinedEvent:
		m.takeJoined(e)
	case failedEvent:
		m.takeFailed(e)
	case heldEvent:
		if e.code == wire.CodeStorageFull {
			m.say("the server's disk is full; what you send is kept and tried again until there is room")
		} else {
			m.say("the server cannot store messages at the moment; what you send is kept and tried again until it can")
		}
	case messageEvent:
		return m.takeMessage(e)
	case entryEvent:
		m.takeEntry(e)
	case resyncEvent:
		m.takeResync(e)
	case pageEvent:
		m.takePage(e)
	case scanEvent:
		m.takeScan(e)
	case mentionsEvent:
		m.takeMentions(e)
	case foundEvent:
		m.takeFound(e)
	case uploadEvent:
		m.takeUpload(e)
	case downloadEvent:
		m.takeDownload(e)
	case previewsEvent:
		m.takePreviews(e)
	case thumbnailEvent:
		m.takeThumbnail(e)
	case sentEvent:
		m.takeSent(e)
	case alteredEvent:
		m.takeAltered(e)
	case presenceEvent:
		m.takePresence(e)
	case typingEvent:
		m.takeTyping(e)
	case membersEvent:
		m.takeMembers(e)
	case roomsEvent:
		m.takeRooms(e)
	case renamedEvent:
		return m.takeRenamed(e)
	case meEvent:
		return m.takeMe(e)
	case roomStateEvent:
		return m.takeRoomState(wire.RoomState(e))
	case notificationsEvent:
		m.notifications = client.Notifications(e)
	case actedEvent:
		m.takeActed(e)
	case openedEvent:
		m.takeOpened(e)
	case noticeEvent:
		m.takeNotice(e)
	case whoisEvent:
		m.takeWhois(e)
	case pingEvent:
		if m.status.latency = e.took; e.err != nil {
			m.status.latency = 0
		}
	}
	return nil
}

func (m *Model) takeState(e stateEvent) tea.Cmd {
	s := &m.status
	resumed := s.link == silent
	if e.link != online {
		s.latency = 0
	}
	s.link, s.err, s.retryAt = e.link, e.err, e.retryAt
	if e.link == offline || e.link == ended {
		m.forgetTyping()
	}
	if e.username != "" {
		m.username, s.server = e.username, e.server
		if e.limit > 0 {
			m.limit = e.limit
		}
		s.ever = true
		m.account = e.account
		return m.arrive()
	}
	switch {
	case e.link == ended && !s.ever:
		m.greet(reasonOf(e.err))
		m.form.at = 1
	case e.link == offline && m.form.used: // the form stays open
		if m.mode != greeting { // else somebody may be filling it in
			m.form.at = 0
		}
		m.greet(m.explainOffline(e.err))
	case e.link == online && !resumed:
		m.refresh()
	}
	return nil
}

// refresh asks for the state that may have changed while there was no connection.
func (m *Model) refresh() {
	if m.account != nil {
		m.backend.me()
	}
	for _, r := range m.rooms {
		if r.joined {
			m.backend.members(r.name, false)
		}
	}
	m.backend.ping()
}

// arrive starts a session.
func (m *Model) arrive() tea.Cmd {
	var command tea.Cmd
	if m.mode == greeting {
		m.mode = chatting
	}
	if m.form.used {
		m.form.used = false
		command = m.save("server", "username")
	}
	m.backend.listRooms(false)
	m.refresh()
	return command
}

func (m *Model) takeJoined(e joinedEvent) {
	r := m.room(e.asked)
	if r == nil {
		return
	}
	if r.first() > 0 || r.epoch != e.cursor.Epoch { // it was open before, and what came meanwhile is missing
		m.endThread(r)
		if gone := r.restartAs(e.cursor.Epoch); gone != "" {
			m.sayIn(r, gone)
		}
		r.head, r.known = 0, 0
	}
	r.joined, r.failed, r.known = true, "", max(r.known, e.head)
	m.backend.members(r.name, false)
	if at, known := m.placeIn(r, e.cursor.Epoch); known && at < e.cursor.Seq { // the place of the last time
		r.read, r.mark, r.marked = at, at, true
		r.reported = at
	} else {
		r.read, r.reported = e.cursor.Seq, e.cursor.Seq
	}
	r.epoch, r.head = e.cursor.Epoch, max(r.head, e.cursor.Seq)
	if state, ok := m.states[r.name]; ok {
		m.countMentions(r, &state)
	}
	if r.flag = m.states[r.name].UnreadFrom; r == m.active && r.target == 0 && r.flag > 0 {
		m.comeBack(r)
	}
	switch {
	case r.target > 0:
		m.around(r, r.target)
	case !r.loading:
		r.loading = true
		m.backend.load(r.name, page{Before: e.cursor.Seq + 1, HasBefore: true})
	}
}

func (m *Model) takeFailed(e failedEvent) {
	r := m.room(e.room)
	if r == nil {
		return
	}
	if errors.Is(e.err, client.ErrJoined) { // the server knows it by another name
		m.complain(r.name + " is another name for a room that you are in")
		m.remove(r)
		return
	}
	r.joined, r.loading = false, false
	r.count, r.members = 0, make(map[string]bool)
	r.failed = whyOutside(r.name, e.err)
	m.sayIn(r, r.failed)
}

// whyOutside explains why one is not in a room, and what to do.
func whyOutside(room string, err error) string {
	removed, _ := errors.AsType[*client.RemovedError](err)
	switch {
	case codeOf(err) == wire.CodeRoomTaken:
		return "you cannot join " + room + "; somebody in it must invite you"
	case removed != nil && removed.Reason == wire.RemovalBanned:
		return err.Error() + "; only an op there can lift the ban"
	case removed != nil && removed.Reason == wire.RemovalKicked:
		return err.Error() + "; /join " + room + " takes you back if the room is public"
	}
	return "you are not in " + room + ": " + reasonOf(err) + "; /join " + room + " tries again"
}

func (m *Model) takeMessage(e messageEvent) tea.Cmd {
	r := m.room(e.room)
	if r == nil {
		return nil
	}
	r.known = max(r.known, e.head)
	entry := client.Entry{Seq: e.message.Seq, Message: &e.message, AsOf: e.asOf}
	m.passOver(r, entry)
	i := itemOf(entry, m.username)
	isNew := r.add(i)
	if r.message(i.seq) != nil {
		m.fold(r, entry)
	}
	m.followThread(r, entry)
	if !isNew || m.ignores(i) {
		return nil
	}
	if m.sees(r) {
		r.see()
	} else {
		r.arrived(i, !m.serverCounts(r))
	}
	if m.rings(r, i) {
		if r.ringer == i { // the server may count it as a mention later
			r.ringer = nil
		}
		return m.ringOnce(r, i)
	}
	return m.ringMention(r)
}

// ringOnce rings for a message, unless it is seen or something else has rung just now.
func (m *Model) ringOnce(r *room, i *item) tea.Cmd {
	t := m.threadOf(r)
	isSeen := m.sees(r) || t != nil && t.fitsThread(i.seq, i.replyTo) && t.following && m.focused
	if m.rang || isSeen {
		return nil
	}
	m.rang = true
	return m.ring(r, i)
}

// takeEntry adds an entry that is no message.
func (m *Model) takeEntry(e entryEvent) {
	r := m.room(e.room)
	if r == nil {
		return
	}
	r.known = max(r.known, e.head)
	m.passOver(r, e.entry)
	r.add(itemOf(e.entry, m.username))
	m.fold(r, e.entry)
	m.followThread(r, e.entry)
	r.passUnknown()
}

// fold takes what an entry makes of the messages of the window. Messages themselves are
// folded only while they are in the window; changes always, because their messages may
// still come with a page.
func (m *Model) fold(r *room, e client.Entry) {
	r.fold.Username = m.username
	r.renew(r.fold.Add(e))
}

// passOver takes note of changes that the reader of a room left out: those before an entry
// that was read as history, because the memory of the SDK was full.
func (m *Model) passOver(r *room, e client.Entry) {
	if e.AsOf == 0 {
		return
	}
	if first := r.first(); first > 0 && first < e.Seq {
		r.stale = max(r.stale, e.AsOf)
		m.reloadThread(r)
	}
	if e.Seq > r.head+1 && r.head > 0 {
		r.add(&item{kind: itemUnknown, from: r.head + 1, seq: e.Seq - 1})
	}
}

const (
	// firstRetry is how long a window that misses changes waits after its first failure to
	// load again. The time doubles with each failure, up to lastRetry.
	firstRetry, lastRetry = 2 * time.Second, 2 * time.Minute
)

// putOff postpones the next attempt to load the window again. It reports whether this was
// the first failure.
func (r *room) putOff(now time.Time) bool {
	r.notUntil = now.Add(min(firstRetry<<min(r.failures, 10), lastRetry))
	r.failures++
	return r.failures == 1
}

// reloadStale loads the windows again that miss changes.
func (m *Model) reloadStale() {
	for _, r := range m.rooms {
		switch {
		case r.stale == 0 || r.loading || !r.joined || m.status.link != online || m.now().Before(r.notUntil):
		case r.following || r.top == nil:
			r.loading = true
			m.backend.load(r.name, page{Around: true})
		default:
			m.around(r, r.top.begin())
		}
	}
}

// restartAs empties the window. If the room has another epoch now, seqs are those of other
// messages: then it ends what is being written about one, and returns what to say, or "".
func (r *room) restartAs(epoch string) (gone string) {
	r.items, r.attached, r.complete = nil, true, false
	r.fold, r.stale, r.passed = client.Fold{}, 0, nil
	r.failures, r.notUntil = 0, time.Time{}
	if r.epoch != epoch {
		r.ringer, r.rings = nil, 0
		gone = r.endWriting()
	}
	return gone
}

// takeResync restarts a room whose log cannot be continued.
func (m *Model) takeResync(e resyncEvent) {
	r := m.room(e.room)
	if r == nil {
		return
	}
	m.endThread(r)
	gone := r.restartAs(e.cursor.Epoch)
	r.head, r.known, r.read, r.epoch, r.cleared = e.cursor.Seq, e.cursor.Seq, e.cursor.Seq, e.cursor.Epoch, 0
	r.marked = false
	r.follow()
	if r == m.active {
		m.closeSearch()
	}
	m.sayIn(r, reasonOf(e.err))
	if gone != "" {
		m.sayIn(r, gone)
	}
	if r.joined && r.head > 0 {
		r.loading = true
		m.backend.load(r.name, page{Before: r.head + 1, HasBefore: true})
	}
}

func (m *Model) takePage(e pageEvent) {
	r := m.room(e.room)
	if r == nil {
		return
	}
	if e.page.Thread > 0 {
		m.takeThreadPage(r, &e)
		return
	}
	if e.err != nil {
		r.loading = false
		if r == m.active {
			m.showFound(e)
		}
		isNews := r.stale == 0 || !e.page.Around || r.putOff(m.now())
		if isNews && (!errors.Is(e.err, client.ErrOffline) || e.page.Around) {
			m.sayIn(r, "the history could not be loaded: "+reasonOf(e.err))
		}
		return
	}
	r.addPage(e.page, e.got, m.username)
	r.passUnknown()
	m.arriveAtTarget(r, e.page)
	if len(e.got.Messages()) == 0 && e.got.Last > 0 && r.last()-r.first() < maxItems/2 { // nothing to show: look further
		switch {
		case e.page.HasBefore:
			m.loadOlder(r)
		case e.page.HasAfter:
			m.loadNewer(r)
		}
	}
	if r == m.active {
		m.showFound(e)
	}
}

func (m *Model) takeSent(e sentEvent) {
	r := m.room(e.room)
	if r == nil {
		return
	}
	if e.err == nil {
		if i := r.sent(e.number, e.receipt.Seq, e.receipt.Time); i != nil {
			m.followThread(r, client.Entry{Seq: i.seq, Message: i.asMessage()})
		}
		return
	}
	i := r.refuse(e.number)
	if i == nil {
		return
	}
	if t := m.threadOf(r); t != nil && i.replyTo == t.root {
		r = t
	}
	reason := reasonOf(e.err)
	_, answered := errors.AsType[*client.Error](e.err)
	_, invalid := errors.AsType[*kaban.MessageError](e.err)
	if !answered && !invalid && !errors.Is(e.err, client.ErrParted) && !errors.Is(e.err, errTooMuch) {
		reason = "it may or may not have been stored: " + reason
	}
	if r.draft.text == "" && r.editing == 0 {
		if r.draft.set(i.content); codeOf(e.err) != wire.CodeGone && r.of == nil {
			r.replying = i.replyTo
		}
		if strings.HasPrefix(i.content, "/") {
			r.draft.set("/" + i.content)
		}
		if i.typed != "" {
			r.draft.set(i.typed)
		}
		if r == m.here() {
			m.complain("not sent: " + reason)
			return
		}
	}
	i.kind, i.sending, i.reason, i.seq = itemRefused, stored, reason, 0
	r.notice(i)
}

func (m *Model) takePresence(e presenceEvent) {
	r := m.room(e.Room)
	if r == nil {
		return
	}
	r.count = e.Members
	for _, name := range e.Joined {
		if len(r.members) < maxMembers && isName(name) {
			r.members[name] = true
		}
	}
	for _, name := range e.Left {
		delete(r.members, name)
	}
}

// isName reports whether a name is not too long.
func isName(name string) bool { return len(name) <= kaban.MaxUsername*utf8.UTFMax }

func (m *Model) takeMembers(e membersEvent) {
	r := m.room(e.room)
	if e.err == nil && r != nil {
		r.members = make(map[string]bool, len(e.members))
		for _, member := range e.members[:min(len(e.members), maxMembers)] {
			if isName(member.Username) {
				r.members[member.Username] = true
			}
		}
		if r.count = len(e.members); e.more {
			r.count++ // at least
		}
	}
	switch {
	case !e.asked:
	case e.err != nil:
		m.say("the members of " + m.labelOf(e.room) + " cannot be listed: " + reasonOf(e.err))
	default:
		more := ""
		if e.more {
			more = ", and more"
		}
		names := make([]string, len(e.members))
		for i := range e.members {
			names[i] = e.members[i].Username
		}
		m.say(fmt.Sprintf("%d in %s: %s%s", len(names), m.labelOf(e.room), strings.Join(names, ", "), more))
	}
}

func (m *Model) takeRooms(e roomsEvent) {
	if e.err != nil {
		if e.asked {
			m.say("the rooms cannot be listed: " + reasonOf(e.err))
		}
		return
	}
	m.elsewhere = m.elsewhere[:0]
	lines := []string{fmt.Sprintf("%s; /join ROOM, or %s:", display.Count(len(e.rooms), "room"), label("ctrl+k"))}
	for _, r := range e.rooms {
		m.elsewhere = append(m.elsewhere, r.Room)
		lines = append(lines, fmt.Sprintf("  %s (%s, %s)", m.labelOf(r.Room), display.Count(r.Members, "member"), display.Count(r.Head, "message")))
	}
	if e.more {
		lines = append(lines, "  and more")
	}
	if e.asked {
		m.say(strings.Join(lines, "\n"))
	}
}

func (m *Model) takeRenamed(e renamedEvent) tea.Cmd {
	if e.err != nil {
		m.say("your name stays " + m.username + ": " + reasonOf(e.err))
		return nil
	}
	m.username, m.config.Username = e.name, e.name
	m.say("you are " + e.name + " now")
	return m.save("username")
}

// sorted returns the names of the members that are known.
func (r *room) sorted() []string { return slices.Sorted(maps.Keys(r.members)) }
