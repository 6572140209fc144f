package index

import (
	"bytes"
	"io"
	"os"
	"strconv"
	"time"
)

// threadTime returns what the calling thread has used of a processor.
func threadTime() time.Duration {
	const thread = 1 // RUSAGE_THREAD
	return usageOf(thread)
}

// tick is the unit of /proc/stat, the same for all programs.
const tick = 10 * time.Millisecond

// idleTime returns for how long processors of the machine have done nothing, in sum, or
// ever less if that is not known.
func idleTime() time.Duration {
	f, err := os.Open("/proc/stat")
	if err != nil {
		return unknown()
	}
	defer f.Close()
	line := make([]byte, 256)
	n, err := io.ReadFull(f, line)
	if err != nil && n == 0 {
		return unknown()
	}
	return idleOf(line[:n])
}

// idleOf reads the first line of /proc/stat: "cpu" and the times of users, nice, system,
// idle, waiting for a disk, and others. Some sandboxes have a file that always says 0: that
// is no machine without an idle moment, but one that does not tell.
func idleOf(stat []byte) time.Duration {
	fields := bytes.Fields(stat)
	if len(fields) < 6 || string(fields[0]) != "cpu" {
		return unknown()
	}
	var sum time.Duration
	for _, field := range fields[4:6] {
		n, err := strconv.ParseInt(string(field), 10, 64)
		if err != nil {
			return unknown()
		}
		sum += time.Duration(n) * tick
	}
	if sum == 0 {
		return unknown()
	}
	return sum
}
