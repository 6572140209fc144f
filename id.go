package kaban

import "github.com/google/uuid"

// NewMessageID returns an id for a new message: a UUID of version 7 (RFC 9562, section
// 5.7), which begins with the time. A server finds out fastest that such an id is new,
// but any other id is as correct. The ids that a process makes ascend, also while its
// clock stands still or goes backwards, and already the first 18 characters of an id are
// those of no other. Of the rest, 62 bits are random. It is safe for concurrent use.
func NewMessageID() MessageID {
	// Must does not panic: reading crypto/rand does not fail.
	return MessageID{uuid.Must(uuid.NewV7()).String()}
}
