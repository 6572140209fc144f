package postgrestest

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of processor time in /proc.
const tick = 10 * time.Millisecond

// cpuOf returns the processor time of a process and its children, those that have ended included.
func cpuOf(pid int) (time.Duration, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	var ticks int64
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		own, ended, err := parseStat(string(text), pid)
		if err != nil {
			return 0, err
		}
		ticks += own + ended
	}
	return time.Duration(ticks) * tick, nil
}

// parseStat returns the processor time of a process in ticks, if it is the server or a child of it, and
// that of the children of the server that have ended.
func parseStat(text string, server int) (own, ended int64, err error) {
	name := strings.LastIndexByte(text, ')')
	pid, _, _ := strings.Cut(text, " ")
	fields := strings.Fields(text[name+1:]) // from the state on, which is the third
	if len(fields) < 15 {
		return 0, 0, fmt.Errorf("%q is not how Linux shows a process", text)
	}
	isServer := pid == strconv.Itoa(server)
	if !isServer && fields[1] != strconv.Itoa(server) {
		return 0, 0, nil
	}
	var times [4]int64 // user and system, of itself and of its children
	for i := range times {
		if times[i], err = strconv.ParseInt(fields[11+i], 10, 64); err != nil {
			return 0, 0, err
		}
	}
	if isServer {
		ended = times[2] + times[3]
	}
	return times[0] + times[1], ended, nil
}
