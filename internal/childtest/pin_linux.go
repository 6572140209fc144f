package childtest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

func pin(pid, processor int) error {
	var only unix.CPUSet
	only.Set(processor)
	return keepOn(pid, &only)
}

func pinSelf(processor int) (undo func() error, err error) {
	var before unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return nil, err
	}
	return func() error { return keepOn(os.Getpid(), &before) }, pin(os.Getpid(), processor)
}

// keepOn keeps a process and its children on some processors.
func keepOn(pid int, processors *unix.CPUSet) error {
	kept := map[int]bool{}
	for before := -1; before < len(kept); { // one that was not kept yet may have started another
		before = len(kept)
		processes, err := withChildren(pid)
		if err != nil {
			return err
		}
		for _, process := range processes {
			if err := keepThreads(process, processors, kept); err != nil {
				return err
			}
		}
	}
	if len(kept) == 0 {
		return fmt.Errorf("there is no process %d", pid)
	}
	return nil
}

// withChildren returns a process and those that it has started itself.
func withChildren(pid int) (processes []int, err error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		process, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			return nil, err
		}
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:])) // its state, its parent
		if process == pid || len(fields) > 1 && fields[1] == strconv.Itoa(pid) {
			processes = append(processes, process)
		}
	}
	return processes, nil
}

func keepThreads(process int, processors *unix.CPUSet, kept map[int]bool) error {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/[0-9]*", process))
	if err != nil {
		return err
	}
	for _, path := range threads {
		thread, err := strconv.Atoi(filepath.Base(path))
		if err != nil {
			return err
		}
		switch err := unix.SchedSetaffinity(thread, processors); {
		case err == nil:
			kept[thread] = true
		case !errors.Is(err, unix.ESRCH): // else it has ended
			return fmt.Errorf("thread %d: %w", thread, err)
		}
	}
	return nil
}
