package refusal

import (
	"sync/atomic"

	"kaban/wire"
)

// maxCodes is for how many codes a Counter has room.
const maxCodes = 64

// places are where a Counter counts a code.
var places = func() map[wire.Code]int {
	m := make(map[wire.Code]int)
	for i, code := range wire.Codes() {
		m[code] = i
	}
	return m
}()

// Counter counts errors by their code. The zero Counter has counted none. It is safe for
// concurrent use.
type Counter struct{ counts [maxCodes]atomic.Uint64 }

// Add counts an error. A code that wire does not know is not counted.
func (c *Counter) Add(code wire.Code) {
	if i, ok := places[code]; ok && i < maxCodes {
		c.counts[i].Add(1)
	}
}

// Counts returns how many errors there were of each code that wire knows.
func (c *Counter) Counts() map[wire.Code]uint64 {
	m := make(map[wire.Code]uint64, len(places))
	for code, i := range places {
		if i < maxCodes {
			m[code] = c.counts[i].Load()
		}
	}
	return m
}
