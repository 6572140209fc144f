package wire

import (
	"time"

	"kaban"
)

// decodeEvent decodes an event.
func decodeEvent(line []byte, e *Event) *ReaderError {
	s := newScanner(eventField)
	defer s.free()
	*e = Event{}
	if fault := s.scan(line); fault != nil {
		return fault
	}
	d := decoder{scanner: s}
	name := d.text(fType, true)
	if d.bad == nil {
		e.Type = typeOf(name)
		d.checkCase(typedEvents[e.Type])
		switch {
		case e.Type.isChange():
			d.changeFrame(e)
		case e.Type.isEvent():
			d.event(e)
		case !d.unknownEntry(e):
			d.refuse(&ReaderError{Code: CodeUnknownType, Field: fieldNames[fType], Position: -1})
		}
	}
	return d.bad
}

// changeFrame decodes an entry that is not a message. It is an entry even if its
// fields make no sense to this version.
func (d *decoder) changeFrame(e *Event) {
	room := d.str(fRoom, true)
	change := d.change(e.Type)
	if d.bad == nil {
		e.Room, e.Seq, e.Change = room, change.Seq, change
		return
	}
	if d.unknownEntry(e) {
		d.bad = nil
	}
}

// change decodes the fields of an entry that is not a message.
func (d *decoder) change(t Type) *Change {
	c := &Change{
		Type: t, Seq: d.count(fSeq, true), ID: d.str(fID, true), Username: d.str(fUsername, true),
		Account: d.str(fAccount, false), Bot: d.boolean(fBot), Time: d.time(),
	}
	switch t {
	case TypeMember:
		c.Subject, c.Change, c.Reason = d.str(fSubject, true), d.str(fChange, true), d.str(fReason, false)
		c.Role, _ = kaban.ParseRoomRole(d.str(fRole, false))
		c.Until = int64(d.count(fUntil, false))
	case TypeTopic:
		c.Topic = d.str(fTopic, true)
	case TypeRoom:
		c.Change, c.History = d.str(fChange, true), d.str(fHistory, false)
		c.Kind, _ = kaban.ParseRoomKind(d.str(fKind, false))
		c.Flags, c.HasFlags = d.knownFlags()
		archived, ok := d.get(fArchived, kindBool, false)
		c.Archived, c.HasArchived = archived.number == 1, ok
	case TypeEdit:
		content, ok := d.get(fContent, kindString, false)
		c.Target, c.Content = d.positive(fTarget, true), string(content.bytes)
		c.NoText = ok && c.Content == ""
	case TypeDelete:
		c.Target, c.Reason = d.positive(fTarget, true), d.str(fReason, false)
	case TypeReact:
		c.Target, c.Emoji, c.On = d.positive(fTarget, true), d.str(fEmoji, true), d.required(fOn)
	case TypePin:
		c.Target, c.On = d.positive(fTarget, true), d.required(fOn)
	}
	return c
}

// unknownEntry decodes an entry of a kind that this version does not know: any
// frame with a room and a seq. Nothing else in it matters, not even its ref.
func (d *decoder) unknownEntry(e *Event) bool {
	room, seq := d.fields[fRoom], d.fields[fSeq]
	if room.kind != kindString || len(room.bytes) == 0 || seq.kind != kindNumber || seq.number < 1 {
		return false
	}
	e.Type, e.Room, e.Seq = TypeUnknown, string(room.bytes), uint64(seq.number)
	return true
}

func (d *decoder) event(e *Event) {
	if ref, ok := d.get(fRef, kindString, false); ok {
		e.Ref, e.HasRef = string(ref.bytes), true
	}
	switch e.Type {
	case TypeWelcome:
		d.welcome(e)
	case TypeJoined, TypeWatching:
		e.Room, e.Epoch, e.Head = d.str(fRoom, true), d.str(fEpoch, true), d.count(fHead, true)
		e.Members = int(d.count(fMembers, false))
	case TypeMessage:
		m := d.message()
		e.Room, e.Seq, e.ID, e.Username, e.Content, e.Time = d.str(fRoom, true), m.Seq, m.ID, m.Username, m.Content, m.Time
		e.AuthorID, e.Bot, e.ReplyTo, e.Edited, e.Deleted, e.Files = m.Account, m.Bot, m.ReplyTo, m.Edited, m.Deleted, m.Files
	case TypeAck:
		e.Room, e.ID, e.Seq, e.Time = d.str(fRoom, true), d.str(fID, true), d.count(fSeq, true), d.time()
		e.Duplicate = d.boolean(fDuplicate)
	case TypeHistory:
		e.Room, e.More = d.str(fRoom, true), d.boolean(fMore)
		e.First, e.Last, e.AsOf = d.count(fFirst, false), d.count(fLast, false), d.count(fAsOf, false)
		d.objects(fMessages, true, func(d *decoder) {
			entry := d.element()
			entry.AsOf = e.AsOf
			e.Entries = append(e.Entries, entry)
		})
	case TypeCreated:
		e.Room = d.str(fRoom, true)
	case TypeMe:
		e.Account, e.More = d.account(), d.boolean(fMore)
		d.notifications(e)
		d.objects(fRooms, true, func(d *decoder) { e.States = append(e.States, d.state()) })
	case TypeInbox:
		e.More, e.Next = d.boolean(fMore), d.count(fNext, false)
		d.objects(fMentions, true, func(d *decoder) { e.Mentions = append(e.Mentions, d.mention()) })
	case TypeFound:
		d.found(e)
	case TypeNotifications:
		d.notifications(e)
	case TypeState:
		state := d.state()
		e.Room, e.State = state.Room, &state
	case TypeParted:
		e.Room, e.Removal = d.str(fRoom, true), Removal(d.str(fReason, false))
	case TypeRooms:
		e.More = d.boolean(fMore)
		d.objects(fRooms, true, func(d *decoder) {
			e.Rooms = append(e.Rooms, RoomInfo{Room: d.str(fRoom, true), Head: d.count(fHead, true), Members: int(d.count(fMembers, false))})
		})
	case TypeMembers:
		e.Room, e.Usernames, e.More = d.str(fRoom, true), d.strs(fUsernames, true), d.boolean(fMore)
		d.objects(fMembers, false, func(d *decoder) { e.People = append(e.People, d.member()) })
	case TypePresence:
		e.Room, e.Members = d.str(fRoom, true), int(d.count(fMembers, true))
		e.Joined, e.Left = d.strs(fJoined, false), d.strs(fLeft, false)
	case TypeTyping:
		e.Room, e.Usernames = d.str(fRoom, true), d.strs(fUsernames, true)
	case TypeError:
		d.errorFrame(e)
	case TypeGoodbye:
		e.Reason = Reason(d.str(fReason, true))
		e.ReconnectAfter, e.HasReconnect = d.milliseconds(fReconnectAfter)
	}
}

func (d *decoder) str(f field, required bool) string { return string(d.text(f, required)) }

func (d *decoder) count(f field, required bool) uint64 {
	n, _ := d.natural(f, required)
	return n
}

func (d *decoder) milliseconds(f field) (time.Duration, bool) {
	n, ok := d.natural(f, false)
	return time.Duration(min(n, uint64(24*time.Hour/time.Millisecond))) * time.Millisecond, ok
}

func (d *decoder) time() time.Time {
	text := d.str(fTime, true)
	if d.bad != nil {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		d.badField(fTime, "it must be an RFC 3339 time")
	}
	return t.UTC()
}

// element decodes an element of a page of history. One without a type is a message,
// and so were all before there were other kinds.
func (d *decoder) element() Entry {
	t := TypeMessage
	if v, ok := d.get(fType, kindString, false); ok {
		t = typeOf(v.bytes)
	}
	seq := d.count(fSeq, true)
	switch {
	case t == TypeMessage:
		m := d.message()
		return Entry{Seq: seq, Message: &m}
	case t.isChange() && d.bad == nil:
		if c := d.change(t); d.bad == nil {
			return Entry{Seq: seq, Change: c}
		}
		d.bad = nil // it makes no sense to this version
	}
	return Entry{Seq: seq}
}

// notifications reads what an account wants to be notified of.
func (d *decoder) notifications(e *Event) {
	e.Keywords, e.Quiet = d.strs(fKeywords, false), d.quiet()
	e.Level, _ = kaban.ParseNotifyLevel(d.str(fLevel, false))
}

func (d *decoder) message() Message {
	deleted := d.boolean(fDeleted)
	m := Message{
		Seq: d.count(fSeq, true), ID: d.str(fID, true), Username: d.str(fUsername, true), Account: d.str(fAccount, false),
		Bot: d.boolean(fBot), ReplyTo: d.count(fReplyTo, false), Deleted: deleted, Time: d.time(),
		Replies: d.count(fReplies, false), Pinned: d.boolean(fPinned), PinnedAt: d.count(fPinnedAt, false),
	}
	if !deleted {
		m.Content, m.Files = d.str(fContent, true), d.filesOfMessage()
	}
	if edited, ok := d.get(fEdited, kindObject, false); ok {
		d.nested(edited.bytes, func(d *decoder) { m.Edited = Edited{Seq: d.positive(fSeq, true), Time: d.time()} })
	}
	d.objects(fReactions, false, func(d *decoder) {
		m.Reactions = append(m.Reactions, Reaction{
			Emoji: d.str(fEmoji, true), Count: int(d.positive(fCount, true)), Me: d.boolean(fMe), Usernames: d.strs(fUsernames, false),
		})
	})
	return m
}

func (d *decoder) welcome(e *Event) {
	e.Account = d.account()
	e.Session, e.Token = d.str(fSession, e.Account == nil), Secret(d.str(fToken, false))
	e.Username, e.Server, e.Web = d.str(fUsername, true), d.str(fServer, false), d.str(fWeb, false)
	e.Heartbeat = time.Duration(min(d.count(fHeartbeat, false), 24*60*60)) * time.Second
	limits, ok := d.get(fLimits, kindObject, false)
	if !ok {
		return
	}
	d.nested(limits.bytes, func(d *decoder) {
		e.Limits = Limits{
			Username: int(d.count(fUsername, false)), Content: int(d.count(fContent, false)), Frame: int(d.count(fFrame, false)),
			Topic: int(d.count(fTopic, false)), Reason: int(d.count(fReason, false)),
		}
	})
}

func (d *decoder) errorFrame(e *Event) {
	e.Code, e.Text = Code(d.str(fCode, true)), d.str(fMessage, true)
	e.Room, e.ID, e.Field = d.str(fRoom, false), d.str(fID, false), d.str(fField, false)
	e.Max = int(d.count(fMax, false))
	actual, _ := d.get(fActual, kindNumber, false) // it repeats input, so it may be negative
	e.Actual = int(actual.number)
	position, ok := d.natural(fPosition, false)
	e.Position, e.HasPosition = int(position), ok
	e.RetryAfter, _ = d.milliseconds(fRetryAfter)
	e.Epoch, e.Head, e.Oldest = d.str(fEpoch, false), d.count(fHead, false), d.count(fOldest, false)
}
