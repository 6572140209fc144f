package childtest

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

// process is what /proc says of one.
type process struct {
	pid, parent int
	own, ended  time.Duration // of processors: what it has used, and its children that have ended
}

// family returns a process, and those that it has started itself.
func family(pid int) (found []process, err error) {
	paths, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		p, err := parseStat(string(text))
		if err != nil {
			return nil, err
		}
		if p.pid == pid || p.parent == pid {
			found = append(found, p)
		}
	}
	return found, nil
}

// parseStat reads the stat of a process (proc(5)). Its name, in brackets, may have anything.
func parseStat(text string) (p process, err error) {
	pid, _, _ := strings.Cut(text, " ")
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:]) // from the state on, which is the third
	if len(fields) < 15 {
		return p, fmt.Errorf("%q is not how Linux shows a process", text)
	}
	var numbers [6]int
	for i, field := range append([]string{pid, fields[1]}, fields[11:15]...) { // user and system, of itself and of its children
		if numbers[i], err = strconv.Atoi(field); err != nil {
			return p, fmt.Errorf("%q is not how Linux shows a process: %w", text, err)
		}
	}
	return process{numbers[0], numbers[1], time.Duration(numbers[2]+numbers[3]) * tick, time.Duration(numbers[4]+numbers[5]) * tick}, nil
}

func cpu(pid int) (used time.Duration, err error) {
	processes, err := family(pid)
	for _, p := range processes {
		if used += p.own; p.pid == pid {
			used += p.ended
		}
	}
	return used, err
}
