package childtest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

func pin(pid, processor int) error {
	var only unix.CPUSet
	only.Set(processor)
	return keepOn(&only, func() ([]process, error) { return family(pid) })
}

func pinSelf(processor int) (undo func() error, err error) {
	var before, only unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return nil, err
	}
	only.Set(processor)
	itself := func() ([]process, error) { return []process{{pid: os.Getpid()}}, nil }
	return func() error { return keepOn(&before, itself) }, keepOn(&only, itself)
}

// keepOn keeps processes on some processors.
func keepOn(processors *unix.CPUSet, processes func() ([]process, error)) error {
	kept := map[int]bool{}
	for before := -1; before < len(kept); { // one that was not kept yet may have started another
		before = len(kept)
		all, err := processes()
		if err != nil {
			return err
		}
		for _, p := range all {
			if err := keepThreads(p.pid, processors, kept); err != nil {
				return err
			}
		}
	}
	if len(kept) == 0 {
		return errors.New("there is no such process")
	}
	return nil
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
