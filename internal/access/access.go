// Package access decides who may do what: one pure function over facts. Package
// chat gathers the facts and asks it before everything that reads, writes or lists,
// whatever the front end.
package access

// Action is something to be done in a room.
type Action uint8

// The actions.
const (
	// Know is to learn of a room: its name, head and number of members.
	Know Action = iota + 1
	// Read is to read its log and its members, now or as they change.
	Read
	// Create is to make it.
	Create
	// Join is to become a member.
	Join
	// Send is to add an entry as a member.
	Send
	// Post is to add an entry without being a member.
	Post
)

// Actions returns all actions.
func Actions() []Action { return []Action{Know, Read, Create, Join, Send, Post} }

// Facts are all that a decision depends on.
type Facts struct {
	// Named is set if the identity has a name: everybody but an anonymous reader.
	Named bool
	// Hook is set for an incoming webhook, which has a room of its own.
	Hook bool
	// Exists is set if there is such a room.
	Exists bool
	// Member is set if the identity is in the room.
	Member bool
}

// Verdict is a decision.
type Verdict uint8

// The verdicts.
const (
	// Allowed: it may be done.
	Allowed Verdict = iota
	// NotFound: as far as the identity may know there is no such room.
	NotFound
	// NotJoined: only members may do it.
	NotJoined
	// Forbidden: the identity may not do it.
	Forbidden
)

// Can decides whether an action is allowed. Everybody with a name is a visitor
// and may do everything that a room allows its members.
func Can(action Action, f Facts) Verdict {
	switch action {
	case Know, Read:
		if !f.Exists {
			return NotFound
		}
		return Allowed
	case Create, Join:
		if !f.Named {
			return Forbidden
		}
		return Allowed
	case Send:
		if !f.Member {
			return NotJoined
		}
		return Allowed
	case Post:
		switch {
		case !f.Named:
			return Forbidden
		case !f.Exists && !f.Hook:
			return NotFound
		}
		return Allowed
	}
	return Forbidden
}
