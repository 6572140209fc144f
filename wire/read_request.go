package wire

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"kaban"
)

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
	d.checkCase(typedRequests[q.Type])
	switch q.Type {
	case TypeHello:
		r.decodeHello(d, q)
	case TypeJoin, TypeWatch:
		q.Room = r.room(d)
		q.Epoch = string(d.token(fEpoch, maxToken))
		q.After, q.HasAfter = d.natural(fAfter, false)
	case TypeSend:
		if d.fields[fFiles].kind != kindAbsent {
			q.Files = d.files()
		}
		r.decodeContent(d, q)
		q.ReplyTo = d.positive(fReplyTo, false)
	case TypeEdit:
		r.decodeContent(d, q)
		q.Target, q.Base = d.positive(fTarget, true), d.positive(fBase, false)
	case TypeDelete:
		q.Room, q.ID, q.Target = r.room(d), d.id(), d.positive(fTarget, true)
		q.Reason = d.line(fReason, false, MaxReason)
	case TypeReact, TypePin:
		q.Room, q.ID, q.Target = r.room(d), d.id(), d.positive(fTarget, true)
		d.turn(q)
	case TypeHistory:
		q.Room = r.room(d)
		q.After, q.HasAfter = d.natural(fAfter, false)
		q.Before, q.HasBefore = d.natural(fBefore, false)
		if q.HasAfter && q.HasBefore {
			d.badField(fBefore, "before and after exclude each other")
		}
		q.RepliesTo = d.positive(fRepliesTo, false)
		q.Limit = d.limit(MaxLimit)
	case TypeAway:
		q.Away, q.Status = d.required(fAway), d.line(fText, false, MaxStatus)
		d.until(q)
	case TypeInbox:
		q.Before, q.HasBefore = d.natural(fBefore, false)
		q.Limit = d.limit(MaxLimit)
	case TypeSearch:
		r.decodeSearch(d, q)
	case TypePart, TypeUnwatch, TypeTyping:
		q.Room = r.room(d)
	case TypeRooms, TypeMe:
		q.AfterName, q.Limit = string(d.token(fAfter, maxName)), d.limit(MaxLimit)
	case TypeMembers:
		q.Room = r.room(d)
		q.AfterName, q.Limit = string(d.token(fAfter, maxName)), d.limit(MaxLimit)
	case TypeCreate:
		d.create(q)
	case TypeDirect:
		q.Usernames = d.usernames()
	case TypeInvite, TypeKick, TypeBan, TypeUnban, TypeMute, TypeUnmute, TypeRole:
		q.Room, q.ID = r.room(d), d.id()
		d.moderation(q)
	case TypeTopic:
		q.Room, q.ID, q.Topic = r.room(d), d.id(), d.line(fTopic, true, MaxTopic)
	case TypeSet:
		q.Room, q.ID = r.room(d), d.id()
		d.settings(q)
	case TypeRead, TypeUnread:
		q.Room = r.room(d)
		q.Seq, _ = d.natural(fSeq, true)
	case TypeNotify:
		q.Room = r.room(d)
		q.Level, _ = kaban.ParseNotifyLevel(d.word(fLevel, true, levelWords))
	}
}

func (r *Reader) decodeHello(d *decoder, q *Request) {
	version, ok := d.get(fVersion, kindNumber, true)
	if ok && version.number != Version {
		d.refuse(&ReaderError{Code: CodeUnsupportedVersion, Field: fieldNames[fVersion], Position: -1, Max: Version, Actual: int(version.number)})
		return
	}
	q.Token, q.Password = Secret(d.token(fToken, MaxToken)), Secret(d.token(fPassword, MaxPassword))
	if q.Token != "" && q.Password != "" {
		d.badField(fPassword, "token and password exclude each other")
	}
	if q.Place = Secret(d.token(fPlace, MaxPlace)); q.Place != "" && len(q.Place) < MinPlace {
		d.badField(fPlace, fmt.Sprintf("a secret of fewer than %d bytes could be guessed", MinPlace))
	}
	identified := q.Token != "" || r.bareHello && q.Password == ""
	name, ok := d.get(fUsername, kindString, !identified)
	if d.bad != nil {
		return
	}
	if ok {
		q.Username = d.username(fUsername, name.bytes)
	}
	q.Resume = string(d.token(fResume, maxToken))
}

// decodeContent decodes the message of a send, or that of an edit, whose content may be empty: whether
// the message has files is for the log to say.
func (r *Reader) decodeContent(d *decoder, q *Request) {
	q.Room = r.room(d)
	id := d.text(fID, true)
	content := d.text(fContent, len(q.Files) == 0)
	if d.bad != nil {
		return
	}
	var err error
	if q.ID, err = kaban.ParseMessageID(string(id)); err != nil {
		d.invalid(fID, err)
		return
	}
	if len(content) == 0 && (len(q.Files) > 0 || q.Type == TypeEdit) {
		return
	}
	if r.author == nil {
		err = kaban.CheckContent(string(content), int(r.maxContent))
	} else {
		q.Message, err = kaban.NewMessage(r.author.Name(), string(content), int(r.maxContent))
	}
	if err != nil {
		d.invalid(fContent, err)
	}
}

func (r *Reader) decodeSearch(d *decoder, q *Request) {
	query := d.text(fQuery, true)
	if len(query) > MaxQuery {
		d.refuse(&ReaderError{
			Code: CodeBadQuery, Field: fieldNames[fQuery], Position: -1, Max: MaxQuery, Actual: len(query),
			detail: fmt.Sprintf("it has %d bytes, the limit is %d: shorten it", len(query), MaxQuery),
		})
		return
	}
	q.Query, q.Zone = string(query), string(d.token(fZone, maxZone))
	if d.fields[fRoom].kind != kindAbsent {
		q.Room = r.room(d)
	}
	q.Before, q.HasBefore = d.natural(fBefore, false)
	q.Limit = d.limit(MaxHits)
}

// turn decodes what a react or a pin turns on or off.
func (d *decoder) turn(q *Request) {
	if q.Type == TypeReact {
		emoji, ok := d.get(fEmoji, kindString, true)
		if ok && (len(emoji.bytes) == 0 || len(emoji.bytes) > MaxEmoji) {
			d.refuse(&ReaderError{
				Code: CodeBadEmoji, Field: fieldNames[fEmoji], Position: -1, Max: MaxEmoji, Actual: len(emoji.bytes),
				detail: fmt.Sprintf("it must have 1 to %d bytes", MaxEmoji),
			})
		}
		q.Emoji = string(emoji.bytes)
	}
	q.On = d.required(fOn)
}

// room returns the room of a request. Parsing a name is expensive and most
// requests name the same room as the one before, so it caches the last one.
func (r *Reader) room(d *decoder) kaban.RoomName {
	name := d.text(fRoom, true)
	if r.lastRoom != nil && string(name) == r.lastRoom.String() {
		return *r.lastRoom
	}
	if d.bad != nil {
		return kaban.RoomName{}
	}
	room, err := kaban.ParseAnyRoom(string(name))
	if err != nil {
		d.invalid(fRoom, err)
		return room
	}
	r.lastRoom = &room
	return room
}

func (d *decoder) id() (id kaban.MessageID) {
	text := d.text(fID, true)
	if d.bad != nil {
		return id
	}
	id, err := kaban.ParseMessageID(string(text))
	if err != nil {
		d.invalid(fID, err)
	}
	return id
}

func (d *decoder) username(f field, text []byte) kaban.Username {
	name, err := kaban.ParseUsername(string(text))
	if err != nil {
		d.invalid(f, err)
	}
	return name
}

// create decodes the request for a new room. Nobody can choose the name of a direct
// room.
func (d *decoder) create(q *Request) {
	name := d.text(fRoom, true)
	q.Kind, _ = kaban.ParseRoomKind(d.word(fKind, true, kindWords))
	q.Topic = d.line(fTopic, false, MaxTopic)
	q.Flags, _ = d.flags()
	if d.bad != nil {
		return
	}
	var err error
	if q.Room, err = kaban.ParseRoomName(string(name)); err != nil {
		d.invalid(fRoom, err)
	}
}

func (d *decoder) moderation(q *Request) {
	name := d.text(fUsername, true)
	q.Reason = d.line(fReason, false, MaxReason)
	if q.Type == TypeRole {
		q.Role, _ = kaban.ParseRoomRole(d.word(fRole, true, roleWords))
	}
	if q.Type == TypeBan {
		d.until(q)
	}
	if d.bad == nil {
		q.Username = d.username(fUsername, name)
	}
}

// until decodes when something ends.
func (d *decoder) until(q *Request) {
	until, ok := d.natural(fUntil, false)
	if ok && until == 0 {
		d.badField(fUntil, "it must be a time in milliseconds since 1970; leave it out if there is no end")
	}
	q.Until = int64(until)
}

// settings decodes the changes of a set. Archived is a field of its own and, as in
// the lists that clients get, a flag too. A list without that flag leaves it as it is.
func (d *decoder) settings(q *Request) {
	q.Kind, _ = kaban.ParseRoomKind(d.word(fKind, false, kindWords))
	q.History = d.word(fHistory, false, historyWords)
	q.Flags, q.HasFlags = d.flags()
	archived, ok := d.get(fArchived, kindBool, false)
	q.Archived, q.HasArchived = archived.number == 1, ok
	if q.Flags.Has(kaban.FlagArchived) {
		if ok && !q.Archived {
			d.badField(fArchived, "flags has the opposite")
		}
		q.Flags &^= kaban.FlagArchived
		q.Archived, q.HasArchived = true, true
	}
	if q.Kind == 0 && q.History == "" && !q.HasFlags && !q.HasArchived {
		d.refuse(&ReaderError{
			Code: CodeMissingField, Field: fieldNames[fFlags], Position: -1,
			detail: "the request changes nothing: it has none of kind, flags, history and archived",
		})
	}
}

// The words that requests may have as values. The kind of a room does not become
// direct, and no such room is made by a name.
var (
	kindWords    = []string{"public", "private"}
	flagWords    = []string{"announce", "locked", "archived"}
	roleWords    = []string{"member", "speaker", "op"}
	levelWords   = []string{"all", "mentions", "none"}
	historyWords = []string{HistoryAll, HistoryJoined}
)

// word returns a string that is one of some words, or "" if it is absent.
func (d *decoder) word(f field, required bool, words []string) string {
	v, ok := d.get(f, kindString, required)
	if !ok {
		return ""
	}
	i := slices.Index(words, string(v.bytes))
	if i < 0 {
		d.badField(f, "it must be one of "+strings.Join(words, ", "))
		return ""
	}
	return words[i]
}

// flags returns a set of flags and whether it is present. A list has each of them at
// most once.
func (d *decoder) flags() (flags kaban.RoomFlags, ok bool) {
	d.elements(fFlags, false, func(v value) {
		i := slices.Index(flagWords, string(v.bytes)) // only of a string
		if i < 0 {
			d.badField(fFlags, "its elements must be among "+strings.Join(flagWords, ", "))
			return
		}
		flag, _ := kaban.ParseRoomFlags(flagWords[i : i+1])
		if flags.Has(flag) {
			d.badField(fFlags, "it lists "+flagWords[i]+" twice")
		}
		flags |= flag
	})
	return flags, d.fields[fFlags].kind == kindArray
}

// usernames returns the people of a direct room.
func (d *decoder) usernames() (names []kaban.Username) {
	n := 0
	d.elements(fUsernames, true, func(v value) {
		if n++; n > kaban.MaxDirect || d.bad != nil {
			return
		}
		if v.kind != kindString {
			d.badField(fUsernames, "its elements must be strings")
			return
		}
		name := d.username(fUsernames, v.bytes)
		if slices.ContainsFunc(names, func(other kaban.Username) bool { return other.Key() == name.Key() }) {
			d.badField(fUsernames, "it lists somebody twice")
		}
		names = append(names, name)
	})
	if n == 0 && d.bad == nil {
		d.badField(fUsernames, "it must not be empty")
	}
	d.atMost(fUsernames, n, kaban.MaxDirect, "elements")
	return names
}

// line returns a text of one line, or "" if it is absent. It may be empty and has at
// most limit code points, and no control characters or line separators.
func (d *decoder) line(f field, required bool, limit int) string {
	text := string(d.text(f, required))
	d.checkLine(f, text, limit)
	return text
}

// checkLine refuses a text that is not one line of at most so many code points.
func (d *decoder) checkLine(f field, text string, limit int) {
	d.atMost(f, utf8.RuneCountInString(text), limit, "characters")
	position := 0
	for _, c := range text {
		if unicode.In(c, unicode.Cc, unicode.Zl, unicode.Zp) {
			d.refuse(&ReaderError{
				Code: CodeBadField, Field: fieldNames[f], Position: position,
				detail: fmt.Sprintf("it is one line without control characters, but has U+%04X at position %d", c, position),
			})
			break
		}
		position++
	}
}

// atMost refuses a field with more parts than a limit.
func (d *decoder) atMost(f field, n, limit int, parts string) {
	if n > limit {
		d.refuse(&ReaderError{
			Code: CodeBadField, Field: fieldNames[f], Position: -1, Max: limit, Actual: n,
			detail: fmt.Sprintf("it must have at most %d %s, not %d", limit, parts, n),
		})
	}
}
