package bench

import "bytes"

// counter counts the messages of one connection without looking for lines.
type counter struct {
	messages uint64 // by their markers
	acks     uint64
	presence uint64
	foreign  uint64 // messages without a marker: nobody of this run sent them

	cut  int            // markers in the line that has not ended yet
	head [headSize]byte // the beginning of that line
	kept int            // bytes in head
}

// take counts what one read returned. Each line that ends in it and is no
// message is given to other, without the line feed; of one that began in an
// earlier read other gets as much as is known. The usual read holds nothing but
// messages, and costs two counts of a byte.
func (c *counter) take(d dialect, data []byte, other func(k kind, line []byte)) {
	marks := bytes.Count(data, []byte{marker})
	lines := bytes.Count(data, []byte{'\n'})
	c.messages += uint64(marks)
	if lines == 0 {
		c.cut += marks
		c.keep(data)
		return
	}
	tail := data[bytes.LastIndexByte(data, '\n')+1:]
	cut := bytes.Count(tail, []byte{marker})
	if others := lines - (marks + c.cut - cut); others != 0 {
		c.walk(d, data, others, other)
	}
	c.cut, c.kept = cut, 0
	c.keep(tail)
}

// keep notes the beginning of a line that has not ended.
func (c *counter) keep(data []byte) {
	c.kept += copy(c.head[c.kept:], data)
}

// walk looks at each line that ends in data.
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
			if i < headSize { // all of it may be in the head
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
	// What is left over had the form of a message and no marker. It is negative
	// where a marker stood in something else.
	if others != 0 {
		c.foreign += uint64(max(others, -others))
	}
}

// assembler puts lines together, for connections that are read in full.
type assembler struct{ rest []byte }

// feed gives each line that ends in data to each.
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

// order checks that streams have no gaps and no repeats.
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

// balance compares what a connection got with what it should have got.
func balance(got, want uint64) (lost, repeated uint64) {
	if got < want {
		return want - got, 0
	}
	return 0, got - want
}
