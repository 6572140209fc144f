package wire

// field is the name of a field of the protocol.
type field uint8

// The fields of requests and events.
const (
	fType field = iota
	fRef
	fVersion
	fUsername
	fResume
	fRoom
	fEpoch
	fAfter
	fBefore
	fLimit
	fID
	fContent
	fSession
	fServer
	fLimits
	fFrame
	fHeartbeat
	fHead
	fMembers
	fSeq
	fTime
	fDuplicate
	fMessages
	fMore
	fRooms
	fUsernames
	fJoined
	fLeft
	fCode
	fMessage
	fField
	fMax
	fActual
	fPosition
	fRetryAfter
	fOldest
	fReason
	fReconnectAfter
	fToken
	fPassword
	fKind
	fTopic
	fFlags
	fUntil
	fRole
	fLevel
	fHistory
	fArchived
	fAccount
	fName
	fBot
	fTitle
	fRead
	fUnread
	fMentions
	fNotify
	fGone
	fSubject
	fChange
	fFirst
	fLast
	fOnline
	fieldCount
)

// A scanner keeps a set of fields in the bits of a number.
const _ = uint64(1) << (fieldCount - 1)

var fieldNames = [fieldCount]string{
	fType: "type", fRef: "ref", fVersion: "version", fUsername: "username", fResume: "resume", fRoom: "room",
	fEpoch: "epoch", fAfter: "after", fBefore: "before", fLimit: "limit", fID: "id", fContent: "content",
	fSession: "session", fServer: "server", fLimits: "limits", fFrame: "frame", fHeartbeat: "heartbeat",
	fHead: "head", fMembers: "members", fSeq: "seq", fTime: "time", fDuplicate: "duplicate", fMessages: "messages",
	fMore: "more", fRooms: "rooms", fUsernames: "usernames", fJoined: "joined", fLeft: "left", fCode: "code",
	fMessage: "message", fField: "field", fMax: "max", fActual: "actual", fPosition: "position",
	fRetryAfter: "retry_after_ms", fOldest: "oldest", fReason: "reason", fReconnectAfter: "reconnect_after_ms",
	fToken: "token", fPassword: "password", fKind: "kind", fTopic: "topic", fFlags: "flags", fUntil: "until_ms",
	fRole: "role", fLevel: "level", fHistory: "history", fArchived: "archived", fAccount: "account", fName: "name",
	fBot: "bot", fTitle: "title", fRead: "read", fUnread: "unread", fMentions: "mentions", fNotify: "notify",
	fGone: "gone", fSubject: "subject", fChange: "change", fFirst: "first", fLast: "last", fOnline: "online",
}

// requestField looks up a field of requests. The compiler turns the switch into a
// binary search that does not allocate.
func requestField(name []byte) (field, bool) {
	switch string(name) {
	case "type":
		return fType, true
	case "room":
		return fRoom, true
	case "id":
		return fID, true
	case "content":
		return fContent, true
	case "ref":
		return fRef, true
	case "after":
		return fAfter, true
	case "before":
		return fBefore, true
	case "limit":
		return fLimit, true
	case "epoch":
		return fEpoch, true
	case "username":
		return fUsername, true
	case "version":
		return fVersion, true
	case "resume":
		return fResume, true
	case "token":
		return fToken, true
	case "password":
		return fPassword, true
	case "kind":
		return fKind, true
	case "topic":
		return fTopic, true
	case "flags":
		return fFlags, true
	case "usernames":
		return fUsernames, true
	case "reason":
		return fReason, true
	case "until_ms":
		return fUntil, true
	case "role":
		return fRole, true
	case "seq":
		return fSeq, true
	case "level":
		return fLevel, true
	case "history":
		return fHistory, true
	case "archived":
		return fArchived, true
	}
	return 0, false
}

var byName = func() map[string]field {
	fields := make(map[string]field)
	for f, name := range fieldNames {
		fields[name] = field(f)
	}
	return fields
}()

// eventField looks up a field of events.
func eventField(name []byte) (field, bool) {
	f, ok := byName[string(name)]
	return f, ok
}
