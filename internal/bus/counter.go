package bus

import "sync/atomic"

// Counter counts for a driver. Its methods may be called at any time.
type Counter struct {
	Published, Dropped, Received, Forged, Malformed, Slow, Connects atomic.Uint64
	Connected                                                       atomic.Bool
}

// Stats returns the present counts.
func (c *Counter) Stats() Stats {
	return Stats{
		Published: c.Published.Load(), Dropped: c.Dropped.Load(), Received: c.Received.Load(),
		Forged: c.Forged.Load(), Malformed: c.Malformed.Load(), Slow: c.Slow.Load(),
		Connects: c.Connects.Load(), Connected: c.Connected.Load(),
	}
}

// Deliver gives a receiver a hint or a message as it came from the network: it checks the seal,
// unless key is nil, and decodes it. What is not good is counted and goes no further.
func (c *Counter) Deliver(r Receiver, key *Key, encoded []byte) {
	if key != nil {
		opened, err := key.Open(encoded)
		if err != nil {
			c.Forged.Add(1)
			return
		}
		encoded = opened
	}
	if len(encoded) > 0 && encoded[0] >= firstMessage {
		c.deliverMessage(r, encoded)
		return
	}
	h, err := Decode(encoded)
	if err != nil {
		c.Malformed.Add(1)
		return
	}
	c.Received.Add(1)
	r.Hint(h)
}

func (c *Counter) deliverMessage(r Receiver, encoded []byte) {
	m, err := DecodeMessage(encoded)
	if err != nil {
		c.Malformed.Add(1)
		return
	}
	c.Received.Add(1)
	r.Said(m)
}
