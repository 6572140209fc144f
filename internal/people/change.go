package people

import (
	"encoding/json"
	"fmt"

	"kaban"
	"kaban/internal/store"
)

// The changes that an entry of kind member reports.
const (
	ChangeJoined   = "joined"
	ChangeInvited  = "invited"
	ChangeLeft     = "left"
	ChangeKicked   = "kicked"
	ChangeBanned   = "banned"
	ChangeUnbanned = "unbanned"
	ChangeMuted    = "muted"
	ChangeUnmuted  = "unmuted"
	ChangeRole     = "role"
)

// The changes that an entry of kind room reports.
const (
	ChangeCreated  = "created"
	ChangeSettings = "set"
)

// MemberChange is the body of an entry of kind member.
type MemberChange struct {
	Subject string         `json:"subject"` // a username
	Change  string         `json:"change"`
	Role    kaban.RoomRole `json:"role,omitempty"`
	Reason  string         `json:"reason,omitempty"`
	Until   int64          `json:"until_ms,omitempty"` // of a ban
}

// TopicChange is the body of an entry of kind topic.
type TopicChange struct {
	Topic string `json:"topic"`
}

// RoomChange is the body of an entry of kind room.
type RoomChange struct {
	Change   string         `json:"change"`
	Kind     kaban.RoomKind `json:"kind,omitempty"`
	Flags    *[]string      `json:"flags,omitempty"` // nil if they did not change
	History  History        `json:"history,omitempty"`
	Archived *bool          `json:"archived,omitempty"`
}

// EncodeChange returns the body of an entry.
func EncodeChange[T MemberChange | TopicChange | RoomChange](change T) (string, error) {
	body, err := json.Marshal(change)
	if err != nil {
		return "", fmt.Errorf("encode a change: %w", err)
	}
	return string(body), nil
}

// DecodeChange returns the change that is the body of an entry. It accepts exactly
// what EncodeChange returns: a body that says more, less or something else by another
// version is an error.
func DecodeChange[T MemberChange | TopicChange | RoomChange](body string) (change T, err error) {
	if err := json.Unmarshal([]byte(body), &change); err != nil {
		return change, fmt.Errorf("%w: the body of an entry: %w", store.ErrDamaged, err)
	}
	again, err := EncodeChange(change)
	if err != nil || again != body || isIncomplete(change) {
		return change, fmt.Errorf("%w: the body of an entry is not a change", store.ErrDamaged)
	}
	return change, nil
}

// isIncomplete reports whether a change lacks what every change has.
func isIncomplete(change any) bool {
	switch c := change.(type) {
	case MemberChange:
		return c.Subject == "" || c.Change == ""
	case RoomChange:
		return c.Change == ""
	}
	return false
}
