package client

import (
	"strings"

	"kaban"
)

// idHead is the part of an id from kaban.NewMessageID that no other id of the process
// has. The rest is random.
const idHead = len("01a2192c-d399-7091")

// ids makes the ids of a client. They have the random part in common, so that the client
// knows its own entries without remembering them: a node id as of RFC 9562, section 6.4.
type ids struct{ tail string }

func newIDs() ids { return ids{kaban.NewMessageID().String()[idHead:]} }

// next returns a new id, which sorts after those before it.
func (i ids) next() (kaban.MessageID, error) {
	return kaban.ParseMessageID(kaban.NewMessageID().String()[:idHead] + i.tail)
}

// made reports whether this client has made an id.
func (i ids) made(id string) bool {
	return len(id) == idHead+len(i.tail) && strings.HasSuffix(id, i.tail)
}
