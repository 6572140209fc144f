package tui

import (
	"slices"

	tea "charm.land/bubbletea/v2"

	"kaban"
	"kaban/client"
	"kaban/wire"
)

// maxOpen bounds the rooms that are opened because the account is in them.
const maxOpen = 100

// right is what a command needs.
type right uint8

const (
	anyone     right = iota
	accounts         // an account
	members          // an account that is no guest
	inviters         // whoever may invite to the open room
	topicRight       // whoever may change the topic of the open room
	pinRight         // the same for its pins
	ops              // an op of the open room
)

// whose explains a right.
func (r right) whose() string {
	switch r {
	case accounts:
		return "only accounts can do that; \"kaban login\" signs in to one"
	case members:
		return "guests and visitors cannot do that"
	case inviters:
		return "you may not invite people to this room"
	case topicRight:
		return "you may not change the topic of this room"
	case pinRight:
		return "you may not pin messages in this room"
	}
	return "only ops of a room can do that"
}

// may reports whether the person has a right, as far as the client knows. The server
// decides.
func (m *Model) may(r right) bool {
	switch {
	case r == anyone:
		return true
	case m.account == nil:
		return false
	case r == accounts:
		return true
	case r == members:
		return m.account.Role >= kaban.RoleMember
	}
	state, ok := m.activeState()
	isOp := ok && (state.Role == kaban.RoomRoleOp || state.Kind == kaban.RoomPublic && m.account.Role >= kaban.RoleAdmin)
	switch {
	case !ok:
		return false
	case state.Kind == kaban.RoomDirect:
		return r == topicRight || r == pinRight
	case r == inviters:
		return isOp || state.Kind == kaban.RoomPublic && m.account.Role >= kaban.RoleMember
	case r == topicRight || r == pinRight:
		return isOp || m.account.Role >= kaban.RoleMember && state.Flags&(kaban.FlagLocked|kaban.FlagAnnounce) == 0
	}
	return isOp
}

// activeState returns the state of the open room, if the account is in it.
func (m *Model) activeState() (wire.RoomState, bool) {
	if m.active == nil {
		return wire.RoomState{}, false
	}
	state, ok := m.states[m.active.name]
	return state, ok
}

// titleOf returns what to display for the name of a room in a sentence.
func (m *Model) titleOf(name string) string {
	if state, ok := m.states[name]; ok && state.Title != "" {
		return state.Title
	}
	return name
}

// labelOf returns the title of a room in a list, with the mark of its kind: ~ is a private
// room and @ a direct one. No name of a room has them, and every terminal shows them in one
// column.
func (m *Model) labelOf(name string) string {
	state := m.states[name]
	switch {
	case state.Kind == kaban.RoomPrivate:
		return "~" + m.titleOf(name)
	case state.Kind == kaban.RoomDirect && state.Title != "":
		return "@" + state.Title
	}
	return m.titleOf(name)
}

// takeMe takes the account and the rooms that it is in.
func (m *Model) takeMe(e meEvent) (ring tea.Cmd) {
	if e.err != nil {
		m.say("your rooms cannot be listed: " + reasonOf(e.err))
		return nil
	}
	if m.account != nil {
		m.account = &e.me.Account
	}
	m.notifications = e.me.Notifications
	m.states = make(map[string]wire.RoomState, len(e.me.Rooms))
	for _, state := range e.me.Rooms {
		m.states[state.Room] = state
		if r := m.room(state.Room); r != nil {
			r.flag = state.UnreadFrom
			ring = tea.Batch(ring, m.countMentions(r, &state))
		}
	}
	for _, p := range m.remembered { // in the order of the last time
		if _, ok := m.states[p.room]; ok {
			m.bring(p.room)
		}
	}
	for _, state := range e.me.Rooms {
		m.bring(state.Room)
	}
	if first := m.firstRoom(); m.active == nil && first != nil {
		m.enter(first)
	}
	m.remembered = nil
	return ring
}

// firstRoom returns the room that is opened at the start: the one that was open at last, or
// another one of the last time, or the lobby, or any, direct ones last. It is nil if the account
// is in none.
func (m *Model) firstRoom() *room {
	for _, is := range []func(*room) bool{
		func(r *room) bool {
			return slices.ContainsFunc(m.remembered, func(p place) bool { return p.last && p.room == r.name })
		},
		func(r *room) bool {
			return slices.ContainsFunc(m.remembered, func(p place) bool { return p.room == r.name })
		},
		func(r *room) bool { return r.name == kaban.Lobby },
		func(r *room) bool { return m.states[r.name].Kind != kaban.RoomDirect },
		func(*room) bool { return true },
	} {
		if at := slices.IndexFunc(m.rooms, is); at >= 0 {
			return m.rooms[at]
		}
	}
	return nil
}

// takeRoomState takes what has changed of a room, perhaps on another device.
func (m *Model) takeRoomState(state wire.RoomState) (ring tea.Cmd) {
	if state.Gone {
		delete(m.states, state.Room)
		return nil
	}
	if m.states == nil {
		m.states = make(map[string]wire.RoomState)
	}
	_, was := m.states[state.Room]
	m.states[state.Room] = state
	m.bring(state.Room)
	r := m.room(state.Room)
	if !was && r != nil && r.failed != "" { // invited again
		r.failed = ""
		m.backend.join(r.name)
	}
	if r == nil || !r.joined {
		return nil
	}
	r.flag = state.UnreadFrom
	r.reported = max(r.reported, state.Read)
	ring = m.countMentions(r, &state)
	if read := min(state.Read, r.head); read > r.read {
		r.read = read
		r.passUnknown()
	}
	return ring
}

// countMentions takes the server's count of the unread mentions in a room, unless more was
// read than the server knows: then it counts again. The server knows who may mention everyone,
// and whether one was there. If there are more than before, the message rings.
func (m *Model) countMentions(r *room, state *wire.RoomState) (ring tea.Cmd) {
	if !r.joined || state.Read < r.read || m.sees(r) {
		return nil
	}
	before := r.mention
	if r.mention = min(state.Mentions, maxHits); r.mention > before {
		r.rings = max(r.rings, state.Head)
	}
	return m.ringMention(r)
}

// serverCounts reports whether the server counts the mentions in a room: it does for the
// accounts that are in it.
func (m *Model) serverCounts(r *room) bool {
	_, is := m.states[r.name]
	return is
}

// ringMention rings for a message that has arrived and that the server has counted as a
// mention. Either may come first.
func (m *Model) ringMention(r *room) tea.Cmd {
	i := r.ringer
	if i == nil || i.seq > r.rings {
		return nil
	}
	if r.ringer = nil; m.level(r) != kaban.NotifyMentions {
		return nil
	}
	return m.ringOnce(r, i)
}

// hasToken reports whether the person signs in to the server.
func (m *Model) hasToken() bool {
	if m.options.Token == nil {
		return false
	}
	token, err := m.options.Token(m.config.Server)
	return err == nil && token != ""
}

// takeNotice shows the outcome of a request.
func (m *Model) takeNotice(e noticeEvent) {
	text := e.text
	if e.err != nil {
		text = "not done: " + reasonOf(e.err)
	}
	if r := m.room(e.room); r != nil {
		m.sayIn(r, text)
	} else {
		m.say(text)
	}
}

// bring opens a room that the account is in, without going there.
func (m *Model) bring(name string) {
	if m.room(name) == nil && len(m.rooms) < maxOpen {
		m.addRoom(name)
	}
}

// report tells the server what was read since the last time.
func (m *Model) report() {
	for _, r := range m.rooms {
		if _, ok := m.states[r.name]; ok && r.joined && r.flag == 0 && r.read > r.reported {
			r.reported = r.read
			m.backend.markRead(r.name, r.read)
		}
	}
}

// placeIn returns up to where a room was read, as far as it is known.
func (m *Model) placeIn(r *room, epoch string) (uint64, bool) {
	if state, ok := m.states[r.name]; ok {
		return state.Read, true
	}
	return r.read, r.epoch == epoch
}

// attempts are the changes of a member that can be asked for, as verbs.
var attempts = map[string]string{
	"invited": "invite", "kicked": "remove", "banned": "ban", "unbanned": "lift the ban of", "muted": "mute",
	"unmuted": "unmute", "role": "change the role of",
}

// takeActed shows an own change of a room, which comes as no entry.
func (m *Model) takeActed(e actedEvent) {
	r := m.room(e.room)
	if e.err != nil {
		if r == nil {
			m.complain(reasonOf(e.err))
			return
		}
		text := "not done: "
		if verb, ok := attempts[e.change.Change]; ok {
			text = "cannot " + verb + " " + e.change.Subject + ": "
		}
		m.sayIn(r, text+reasonOf(e.err))
		return
	}
	if r != nil && r.joined {
		r.add(itemOf(client.Entry{Seq: e.change.Seq, Time: e.change.Time, Change: &e.change}, m.username))
		r.passUnknown()
	}
}

// takeOpened goes to a room that was created, and says there what was to be said.
func (m *Model) takeOpened(e openedEvent) {
	if e.err != nil {
		m.say("cannot " + e.what + ": " + reasonOf(e.err))
		return
	}
	m.open(e.room)
	if e.text != "" {
		m.post(e.text)
	}
}
