package sqlite

import "context"

// Shrink gives up the pages that the connections keep in memory, for a store that has been quiet:
// up to 4 MiB of the writer and 2 MiB of each other. The system caches the file, so that the
// next reads find them there. It is safe for concurrent use, and does nothing to a store that is
// closed.
//
// Connections that are in use are left out. As SQLite is built today, that changes little: one
// connection gives up the pages of all.
func (d *database) Shrink() {
	var idle []*reader
	for range cap(d.readers) {
		select {
		case r := <-d.readers:
			idle = append(idle, r)
		default:
		}
	}
	for _, r := range idle {
		r.shrink()
		d.readers <- r
	}
	if !d.writing.TryLock() {
		return
	}
	defer d.writing.Unlock() // until then nobody closes the two
	if d.closed {
		return
	}
	d.writer.shrink()
	if d.appending.TryLock() {
		d.finder.shrink()
		d.appending.Unlock()
	}
}

// shrink gives up the pages that the connection keeps. If SQLite fails to, it keeps them.
func (c *conn) shrink() {
	_, _ = c.ExecContext(context.Background(), "PRAGMA shrink_memory")
}
