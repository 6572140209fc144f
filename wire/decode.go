package wire

import (
	"fmt"
	"time"

	"kaban"
)

// Limits of opaque strings in bytes.
const (
	maxToken = 128                   // an epoch, a session
	maxName  = kaban.MaxRoomName * 4 // the name before a page
)

// decoder converts the fields of a scanned frame. It keeps the first error; its
// results after that do not matter.
type decoder struct {
	*scanner
	bad *ReaderError
}

func (d *decoder) refuse(bad *ReaderError) {
	if d.bad == nil {
		d.bad = bad
	}
}

func (d *decoder) badField(f field, detail string) {
	d.refuse(&ReaderError{Code: CodeBadField, Field: fieldNames[f], Position: -1, detail: detail})
}

// get returns a field and reports whether it is present. It records an error if
// the field has another kind, or is absent and required.
func (d *decoder) get(f field, k kind, required bool) (value, bool) {
	v := d.fields[f]
	switch {
	case v.kind == k:
		return v, true
	case v.kind != kindAbsent:
		d.badField(f, fmt.Sprintf("it must be %s, not %s", k, v.kind))
	case required:
		d.refuse(&ReaderError{Code: CodeMissingField, Field: fieldNames[f], Position: -1})
	}
	return value{}, false
}

func (d *decoder) text(f field, required bool) []byte {
	v, _ := d.get(f, kindString, required)
	return v.bytes
}

// token returns a string of 1 to limit bytes, or nil if it is absent.
func (d *decoder) token(f field, limit int) []byte {
	v, ok := d.get(f, kindString, false)
	if ok && (len(v.bytes) == 0 || len(v.bytes) > limit) {
		d.refuse(&ReaderError{
			Code: CodeBadField, Field: fieldNames[f], Position: -1, Max: limit, Actual: len(v.bytes),
			detail: fmt.Sprintf("it must have 1 to %d bytes", limit),
		})
	}
	return v.bytes
}

// natural returns a non-negative integer.
func (d *decoder) natural(f field, required bool) (n uint64, ok bool) {
	v, ok := d.get(f, kindNumber, required)
	if ok && v.number < 0 {
		d.badField(f, "it must not be negative")
	}
	return uint64(v.number), ok
}

func (d *decoder) boolean(f field) bool {
	v, _ := d.get(f, kindBool, false)
	return v.number == 1
}

// invalid records an error of package kaban.
func (d *decoder) invalid(f field, err error) {
	bad := &ReaderError{Code: CodeOf(err), Field: fieldNames[f], Position: -1, Err: err}
	if wrong, ok := err.(*kaban.MessageError); ok {
		bad.Position, bad.Max, bad.Actual = wrong.Position, wrong.Limit, wrong.Actual
	}
	d.refuse(bad)
}

// request decodes a request. It copies the ref into r.ref.
func (r *Reader) request(line []byte, q *Request) *ReaderError {
	s := newScanner(requestField)
	defer s.free()
	*q = Request{}
	fault := s.scan(line)
	d := decoder{scanner: s}
	ref, hasRef := s.fields[fRef], false
	if fault == nil || fault == s.fault {
		hasRef = ref.kind == kindString && len(ref.bytes) <= MaxRef
	}
	if fault == nil && !hasRef && ref.kind != kindAbsent {
		d.badField(fRef, fmt.Sprintf("it must be a string of at most %d bytes", MaxRef))
	}
	if hasRef {
		if r.ref == nil {
			r.ref = new([MaxRef]byte)
		}
		q.Ref = append(r.ref[:0], ref.bytes...)
	}
	if fault == nil {
		r.decodeRequest(&d, q)
		fault = d.bad
	}
	if fault != nil && hasRef {
		fault.Ref = append([]byte{}, ref.bytes...)
	}
	return fault
}

func (r *Reader) decodeRequest(d *decoder, q *Request) {
	name := d.text(fType, true)
	if d.bad != nil {
		return
	}
	q.Type = typeOf(name)
	if !q.Type.IsRequest() {
		d.refuse(&ReaderError{Code: CodeUnknownType, Field: fieldNames[fType], Position: -1})
		return
	}
	switch q.Type {
	case TypeHello:
		r.decodeHello(d, q)
	case TypeJoin:
		q.Room = r.room(d)
		q.Epoch = string(d.token(fEpoch, maxToken))
		q.After, q.HasAfter = d.natural(fAfter, false)
	case TypeSend:
		r.decodeSend(d, q)
	case TypeHistory:
		q.Room = r.room(d)
		q.After, q.HasAfter = d.natural(fAfter, false)
		q.Before, q.HasBefore = d.natural(fBefore, false)
		if q.HasAfter && q.HasBefore {
			d.badField(fBefore, "before and after exclude each other")
		}
		q.Limit = d.limit()
	case TypePart:
		q.Room = r.room(d)
	case TypeRooms:
		q.AfterName, q.Limit = string(d.token(fAfter, maxName)), d.limit()
	case TypeMembers:
		q.Room = r.room(d)
		q.AfterName, q.Limit = string(d.token(fAfter, maxName)), d.limit()
	}
}

func (r *Reader) decodeHello(d *decoder, q *Request) {
	version, ok := d.get(fVersion, kindNumber, true)
	if ok && version.number != Version {
		d.refuse(&ReaderError{Code: CodeUnsupportedVersion, Field: fieldNames[fVersion], Position: -1, Max: Version, Actual: int(version.number)})
		return
	}
	name := d.text(fUsername, true)
	if d.bad != nil {
		return
	}
	var err error
	if q.Username, err = kaban.ParseUsername(string(name)); err != nil {
		d.invalid(fUsername, err)
	}
	q.Resume = string(d.token(fResume, maxToken))
}

func (r *Reader) decodeSend(d *decoder, q *Request) {
	q.Room = r.room(d)
	id := d.text(fID, true)
	content := d.text(fContent, true)
	if d.bad != nil {
		return
	}
	var err error
	if q.ID, err = kaban.ParseMessageID(string(id)); err != nil {
		d.invalid(fID, err)
		return
	}
	if r.author.IsZero() {
		err = kaban.CheckContent(string(content), r.maxContent)
	} else {
		q.Message, err = kaban.NewMessage(r.author, string(content), r.maxContent)
	}
	if err != nil {
		d.invalid(fContent, err)
	}
}

// room returns the room of a request. Parsing a name is expensive and most
// requests name the same room as the one before, so it caches the last one.
func (r *Reader) room(d *decoder) kaban.RoomName {
	name := d.text(fRoom, true)
	if d.bad != nil || string(name) == r.lastRoom.String() && len(name) > 0 {
		return r.lastRoom
	}
	room, err := kaban.ParseRoomName(string(name))
	if err != nil {
		d.invalid(fRoom, err)
		return room
	}
	r.lastRoom = room
	return room
}

func (d *decoder) limit() int {
	v, ok := d.get(fLimit, kindNumber, false)
	if ok && (v.number < 1 || v.number > MaxLimit) {
		d.refuse(&ReaderError{Code: CodeBadLimit, Field: fieldNames[fLimit], Position: -1, Max: MaxLimit, Actual: int(v.number)})
	}
	return int(v.number)
}

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
		switch e.Type = typeOf(name); {
		case e.Type.isEvent():
			d.event(e)
		case !d.unknownEntry(e):
			d.refuse(&ReaderError{Code: CodeUnknownType, Field: fieldNames[fType], Position: -1})
		}
	}
	return d.bad
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
	case TypeJoined:
		e.Room, e.Epoch, e.Head = d.str(fRoom, true), d.str(fEpoch, true), d.count(fHead, true)
		e.Members = int(d.count(fMembers, false))
	case TypeMessage:
		m := d.entry()
		e.Room, e.Seq, e.ID, e.Username, e.Content, e.Time = d.str(fRoom, true), m.Seq, m.ID, m.Username, m.Content, m.Time
	case TypeAck:
		e.Room, e.ID, e.Seq, e.Time = d.str(fRoom, true), d.str(fID, true), d.count(fSeq, true), d.time()
		e.Duplicate = d.boolean(fDuplicate)
	case TypeHistory:
		e.Room, e.More = d.str(fRoom, true), d.boolean(fMore)
		d.objects(fMessages, func(d *decoder) { d.element(e) })
	case TypeParted:
		e.Room, e.Removal = d.str(fRoom, true), Removal(d.str(fReason, false))
	case TypeRooms:
		e.More = d.boolean(fMore)
		d.objects(fRooms, func(d *decoder) {
			e.Rooms = append(e.Rooms, RoomInfo{Room: d.str(fRoom, true), Head: d.count(fHead, true), Members: int(d.count(fMembers, false))})
		})
	case TypeMembers:
		e.Room, e.Usernames, e.More = d.str(fRoom, true), d.strs(fUsernames, true), d.boolean(fMore)
	case TypePresence:
		e.Room, e.Members = d.str(fRoom, true), int(d.count(fMembers, true))
		e.Joined, e.Left = d.strs(fJoined, false), d.strs(fLeft, false)
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

// element decodes an element of a page of history. One without a type is a
// message.
func (d *decoder) element(e *Event) {
	if v, ok := d.get(fType, kindString, false); ok && typeOf(v.bytes) != TypeMessage {
		e.Unknown = append(e.Unknown, d.count(fSeq, true))
		return
	}
	e.Messages = append(e.Messages, d.entry())
}

func (d *decoder) entry() Message {
	return Message{
		Seq: d.count(fSeq, true), ID: d.str(fID, true), Username: d.str(fUsername, true),
		Content: d.str(fContent, true), Time: d.time(),
	}
}

func (d *decoder) welcome(e *Event) {
	e.Session, e.Username, e.Server = d.str(fSession, true), d.str(fUsername, true), d.str(fServer, false)
	e.Heartbeat = time.Duration(min(d.count(fHeartbeat, false), 24*60*60)) * time.Second
	limits, ok := d.get(fLimits, kindObject, false)
	if !ok {
		return
	}
	d.nested(limits.bytes, func(d *decoder) {
		e.Limits = Limits{Username: int(d.count(fUsername, false)), Content: int(d.count(fContent, false)), Frame: int(d.count(fFrame, false))}
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

// nested decodes an object within the frame, which is already scanned.
func (d *decoder) nested(object []byte, decode func(*decoder)) {
	s := newScanner(eventField)
	defer s.free()
	inner := decoder{scanner: s}
	if inner.bad = s.scan(object); inner.bad == nil {
		decode(&inner)
	}
	if inner.bad != nil {
		d.refuse(inner.bad)
	}
}

// elements calls each for every value of an array.
func (d *decoder) elements(f field, required bool, each func(value)) {
	list, ok := d.get(f, kindArray, required)
	if !ok {
		return
	}
	s := newScanner(eventField)
	defer s.free()
	s.line, s.pos, s.scratch, s.seen, s.fault = list.bytes, 1, s.scratch[:0], s.seen[:0], nil
	for s.space(); !s.at(']'); s.space() {
		v, err := s.value(1)
		if err != nil {
			d.refuse(err)
			return
		}
		each(v)
		if s.space(); s.at(',') {
			s.pos++
		}
	}
}

func (d *decoder) objects(f field, each func(*decoder)) {
	d.elements(f, true, func(v value) {
		if v.kind != kindObject {
			d.badField(f, "its elements must be objects")
			return
		}
		d.nested(v.bytes, each)
	})
}

func (d *decoder) strs(f field, required bool) (list []string) {
	d.elements(f, required, func(v value) {
		if v.kind != kindString {
			d.badField(f, "its elements must be strings")
			return
		}
		list = append(list, string(v.bytes))
	})
	return list
}
