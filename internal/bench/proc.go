package bench

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// ticksPerSecond is the unit of /proc/PID/stat (USER_HZ): 100 on every
// architecture that Go supports.
const ticksPerSecond = 100

// usage is the resource usage of a process so far.
type usage struct {
	at        time.Time
	cpu       float64 // seconds, user and system
	anon, hwm int64   // KiB
}

// usageOf returns the resource usage of a process.
func usageOf(pid int) (usage, error) {
	u := usage{at: time.Now()}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return u, fmt.Errorf("--pid: there is no process %d that can be read: %w", pid, err)
	}
	if u.cpu, err = parseStat(text); err != nil {
		return u, fmt.Errorf("/proc/%d/stat: %w", pid, err)
	}
	if text, err = os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)); err != nil {
		return u, fmt.Errorf("--pid: %w", err)
	}
	u.anon, u.hwm = parseStatus(text)
	return u, nil
}

// parseStat returns the seconds of CPU. The name of the process, in parentheses,
// may contain anything.
func parseStat(text []byte) (float64, error) {
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if len(fields) < 13 {
		return 0, fmt.Errorf("it has only %d fields", len(fields))
	}
	var ticks float64
	for _, f := range fields[11:13] { // utime, stime: 14 and 15 of proc(5)
		n, err := strconv.ParseUint(string(f), 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += float64(n)
	}
	return ticks / ticksPerSecond, nil
}

func parseStatus(text []byte) (anon, hwm int64) {
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		n, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		switch name {
		case "RssAnon":
			anon = n
		case "VmHWM":
			hwm = n
		}
	}
	return anon, hwm
}
