package bench

import "bytes"

// counter counts the messages of a connection without splitting its lines.
type counter struct {
	messages uint64 // by their marks
	acks     uint64
	presence uint64
	foreign  uint64 // messages without a mark, which this run did not send

	cut  int            // marks in the incomplete line
	head [headSize]byte // the beginning of that line
	kept int            // bytes in head
}

// take counts the messages in the data of one read. It calls other with each
// complete line that is not a message, without the line feed; for a line that
// began in an earlier read, with the known part. A typical read contains only
// messages and costs two counts of a byte.
func (c *counter) take(d dialect, data []byte, other func(k kind, line []byte)) {
	mark := []byte{d.mark()}
	marks := bytes.Count(data, mark)
	lines := bytes.Count(data, []byte{'\n'})
	c.messages += uint64(marks)
	if lines == 0 {
		c.cut += marks
		c.keep(data)
		return
	}
	tail := data[bytes.LastIndexByte(data, '\n')+1:]
	cut := bytes.Count(tail, mark)
	if others := lines - (marks + c.cut - cut); others != 0 {
		c.walk(d, data, others, other)
	}
	c.cut, c.kept = cut, 0
	c.keep(tail)
}

// keep stores the beginning of an incomplete line.
func (c *counter) keep(data []byte) {
	c.kept += copy(c.head[c.kept:], data)
}

// walk looks at each complete line in data.
func (c *counter) walk(d dialect, data []byte, others int, other func(k kind, line []byte)) {
	for {
		i := bytes.IndexByte(data, '\n')
		if i < 0 {
			break
		}
		line := data[:i]
		data = data[i+1:]
		head := line[:min(len(line), headSize)]
		if c.kept > 0 {
			c.keep(head)
			head = c.head[:c.kept]
			if i < headSize { // the whole line may be in the head
				line = head
			}
		}
		k := d.kind(head)
		c.kept = 0
		if k == kindMessage {
			continue
		}
		others--
		switch k {
		case kindAck:
			c.acks++
		case kindPresence:
			c.presence++
		}
		if other != nil {
			other(k, line)
		}
	}
	// The difference is messages without a mark. It is negative if there are marks in
	// other lines.
	if others != 0 {
		c.foreign += uint64(max(others, -others))
	}
}

// assembler joins lines, for connections that are parsed completely.
type assembler struct{ rest []byte }

// feed calls each for every complete line in data.
func (a *assembler) feed(data []byte, each func(line []byte)) {
	for {
		i := bytes.IndexByte(data, '\n')
		if i < 0 {
			a.rest = append(a.rest, data...)
			return
		}
		line := data[:i]
		data = data[i+1:]
		if len(a.rest) > 0 {
			a.rest = append(a.rest, line...)
			line = a.rest
		}
		each(line)
		a.rest = a.rest[:0]
	}
}

// order checks streams for gaps and repeats.
type order struct {
	last           map[uint64]uint64 // by stream
	lost, repeated uint64
}

func (o *order) see(stream, n uint64) {
	if o.last == nil {
		o.last = make(map[uint64]uint64)
	}
	switch last := o.last[stream]; {
	case n <= last:
		o.repeated++
		return
	case n > last+1:
		o.lost += n - last - 1
	}
	o.last[stream] = n
}

// balance compares the messages that a connection received with those it should
// have.
func balance(got, want uint64) (lost, repeated uint64) {
	if got < want {
		return want - got, 0
	}
	return 0, got - want
}
