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
	fWeb
	fTarget
	fBase
	fEmoji
	fOn
	fReplyTo
	fRepliesTo
	fEdited
	fDeleted
	fReactions
	fCount
	fMe
	fReplies
	fPinned
	fPinnedAt
	fAsOf
	fUnreadFrom
	fNext
	fCause
	fQuery
	fZone
	fHits
	fSnippet
	fMarks
	fPartial
	fAway
	fText
	fStatus
	fKeywords
	fQuiet
	fFrom
	fTo
	fDays
	fPlace
	fFiles
	fFile
	fSize
	fWidth
	fHeight
	fAlt
	fieldCount
)

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
	fWeb: "web", fTarget: "target", fBase: "base", fEmoji: "emoji", fOn: "on", fReplyTo: "reply_to",
	fRepliesTo: "replies_to", fEdited: "edited", fDeleted: "deleted", fReactions: "reactions", fCount: "count",
	fMe: "me", fReplies: "replies", fPinned: "pinned", fPinnedAt: "pinned_at", fAsOf: "as_of", fNext: "next", fCause: "cause",
	fUnreadFrom: "unread_from",
	fQuery:      "query", fZone: "zone", fHits: "hits", fSnippet: "snippet", fMarks: "marks", fPartial: "partial",
	fAway: "away", fText: "text", fStatus: "status", fKeywords: "keywords", fQuiet: "quiet", fFrom: "from", fTo: "to",
	fDays: "days", fPlace: "place",
	fFiles: "files", fFile: "file", fSize: "size", fWidth: "width", fHeight: "height", fAlt: "alt",
}

// firstTyped is the first field that came after the first version. A client of then may
// use names that look like it, so its case counts only where it has a meaning.
const firstTyped = fToken

// typedRequests and typedEvents are the later fields that requests and events of a type
// have. An entry that is no message is one whatever its fields are.
var (
	typedRequests = [len(typeNames)][]field{
		TypeHello: {fToken, fPassword, fPlace}, TypeCreate: {fKind, fTopic, fFlags}, TypeBan: {fUntil}, TypeRole: {fRole},
		TypeTopic: {fTopic}, TypeSet: {fKind, fFlags, fHistory, fArchived}, TypeNotify: {fLevel},
		TypeSend: {fReplyTo, fFiles}, TypeHistory: {fRepliesTo}, TypeEdit: {fTarget, fBase}, TypeDelete: {fTarget},
		TypeReact: {fTarget, fEmoji, fOn}, TypePin: {fTarget, fOn}, TypeAway: {fAway, fText, fUntil},
		TypeSearch: {fQuery, fZone},
	}
	typedEvents = [len(typeNames)][]field{
		TypeWelcome: {fAccount, fToken, fWeb}, TypeMe: {fAccount, fKeywords, fQuiet, fLevel}, TypeNotifications: {fKeywords, fQuiet, fLevel}, TypeMessage: {fAccount, fReplyTo, fEdited, fDeleted, fFiles},
		TypeHistory: {fFirst, fLast, fAsOf}, TypeFound: {fHits, fNext, fPartial},
		TypeInbox: {fMentions, fNext},
		TypeState: {fKind, fTitle, fTopic, fRole, fFlags, fRead, fUnread, fUnreadFrom, fMentions, fNotify, fGone},
	}
)

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
	case "place":
		return fPlace, true
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
	case "target":
		return fTarget, true
	case "base":
		return fBase, true
	case "emoji":
		return fEmoji, true
	case "on":
		return fOn, true
	case "reply_to":
		return fReplyTo, true
	case "replies_to":
		return fRepliesTo, true
	case "query":
		return fQuery, true
	case "zone":
		return fZone, true
	case "away":
		return fAway, true
	case "text":
		return fText, true
	case "files":
		return fFiles, true
	}
	return 0, false
}

// eventField looks up a field of events, in the same way.
func eventField(name []byte) (field, bool) {
	switch string(name) {
	case "type":
		return fType, true
	case "ref":
		return fRef, true
	case "version":
		return fVersion, true
	case "username":
		return fUsername, true
	case "resume":
		return fResume, true
	case "room":
		return fRoom, true
	case "epoch":
		return fEpoch, true
	case "after":
		return fAfter, true
	case "before":
		return fBefore, true
	case "limit":
		return fLimit, true
	case "id":
		return fID, true
	case "content":
		return fContent, true
	case "session":
		return fSession, true
	case "server":
		return fServer, true
	case "limits":
		return fLimits, true
	case "frame":
		return fFrame, true
	case "heartbeat":
		return fHeartbeat, true
	case "head":
		return fHead, true
	case "members":
		return fMembers, true
	case "seq":
		return fSeq, true
	case "time":
		return fTime, true
	case "duplicate":
		return fDuplicate, true
	case "messages":
		return fMessages, true
	case "more":
		return fMore, true
	case "rooms":
		return fRooms, true
	case "usernames":
		return fUsernames, true
	case "joined":
		return fJoined, true
	case "left":
		return fLeft, true
	case "code":
		return fCode, true
	case "message":
		return fMessage, true
	case "field":
		return fField, true
	case "max":
		return fMax, true
	case "actual":
		return fActual, true
	case "position":
		return fPosition, true
	case "retry_after_ms":
		return fRetryAfter, true
	case "oldest":
		return fOldest, true
	case "reason":
		return fReason, true
	case "reconnect_after_ms":
		return fReconnectAfter, true
	case "token":
		return fToken, true
	case "password":
		return fPassword, true
	case "place":
		return fPlace, true
	case "kind":
		return fKind, true
	case "topic":
		return fTopic, true
	case "flags":
		return fFlags, true
	case "until_ms":
		return fUntil, true
	case "role":
		return fRole, true
	case "level":
		return fLevel, true
	case "history":
		return fHistory, true
	case "archived":
		return fArchived, true
	case "account":
		return fAccount, true
	case "name":
		return fName, true
	case "bot":
		return fBot, true
	case "title":
		return fTitle, true
	case "read":
		return fRead, true
	case "unread":
		return fUnread, true
	case "unread_from":
		return fUnreadFrom, true
	case "mentions":
		return fMentions, true
	case "notify":
		return fNotify, true
	case "gone":
		return fGone, true
	case "subject":
		return fSubject, true
	case "change":
		return fChange, true
	case "first":
		return fFirst, true
	case "last":
		return fLast, true
	case "online":
		return fOnline, true
	case "web":
		return fWeb, true
	case "target":
		return fTarget, true
	case "base":
		return fBase, true
	case "emoji":
		return fEmoji, true
	case "on":
		return fOn, true
	case "reply_to":
		return fReplyTo, true
	case "replies_to":
		return fRepliesTo, true
	case "edited":
		return fEdited, true
	case "deleted":
		return fDeleted, true
	case "reactions":
		return fReactions, true
	case "count":
		return fCount, true
	case "me":
		return fMe, true
	case "replies":
		return fReplies, true
	case "pinned":
		return fPinned, true
	case "pinned_at":
		return fPinnedAt, true
	case "as_of":
		return fAsOf, true
	case "next":
		return fNext, true
	case "cause":
		return fCause, true
	case "query":
		return fQuery, true
	case "zone":
		return fZone, true
	case "hits":
		return fHits, true
	case "snippet":
		return fSnippet, true
	case "marks":
		return fMarks, true
	case "partial":
		return fPartial, true
	case "away":
		return fAway, true
	case "text":
		return fText, true
	case "status":
		return fStatus, true
	case "keywords":
		return fKeywords, true
	case "quiet":
		return fQuiet, true
	case "from":
		return fFrom, true
	case "to":
		return fTo, true
	case "days":
		return fDays, true
	case "files":
		return fFiles, true
	case "file":
		return fFile, true
	case "size":
		return fSize, true
	case "width":
		return fWidth, true
	case "height":
		return fHeight, true
	case "alt":
		return fAlt, true
	}
	return 0, false
}
