package picture

import (
	"bytes"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// usualData is assumed to be what the process begins with where the system does not say it,
// in bytes.
const usualData = 256 << 20

// probed is how much memory has to be there before a picture is begun, and after a process ran
// out of it, if the picture is to be blamed, in bytes. It is a little less than maxMemory, since
// what a process begins with is not measured in the same moment.
const probed = maxMemory - 64<<20

// killAfter is how much more of a processor a process gets than its time, to say so.
const killAfter = 5 * time.Second

// confineProcess has the system end the process when it takes too much memory or too much
// time of a processor, and give it no more files, sockets or cores. It returns errNoMemory if the
// process would not get its memory: because the machine has none, or because the server was
// started with a limit below that of this package.
func confineProcess(processor time.Duration) (slow <-chan os.Signal, err error) {
	// The runtime opens descriptors of its own for its first timer, or else throws.
	time.NewTimer(time.Hour).Stop()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, unix.SIGXCPU)
	data, seconds := dataSize()+maxMemory, uint64(processor/time.Second)
	for _, r := range []struct {
		name      string
		resource  int
		soft, all uint64
	}{
		// Of the limits of memory this is the one that leaves out what the runtime has
		// reserved and does not use.
		{"data", unix.RLIMIT_DATA, data, data},
		{"time of a processor", unix.RLIMIT_CPU, seconds, seconds + uint64(killAfter/time.Second)},
		{"core", unix.RLIMIT_CORE, 0, 0},
		{"files", unix.RLIMIT_NOFILE, 0, 0},
	} {
		var old unix.Rlimit
		if err := unix.Getrlimit(r.resource, &old); err != nil {
			return nil, fmt.Errorf("read the limit of %s: %w", r.name, err)
		}
		if err := unix.Setrlimit(r.resource, &unix.Rlimit{Cur: min(r.soft, old.Max), Max: min(r.all, old.Max)}); err != nil {
			return nil, fmt.Errorf("set the limit of %s: %w", r.name, err)
		}
	}
	if !hasMemory() {
		return nil, errNoMemory
	}
	return signals, nil
}

// hasMemory reports whether the system would give this process the memory for a picture. It
// asks for it without using it, which takes microseconds and no memory. A system that
// promises more than it has (vm.overcommit_memory 0 or 1) kills a process later instead.
func hasMemory() bool {
	memory, err := unix.Mmap(-1, 0, probed, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	return err == nil && unix.Munmap(memory) == nil
}

// dataSize returns how much memory counts for RLIMIT_DATA now, in bytes.
func dataSize() uint64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return usualData
	}
	_, rest, _ := bytes.Cut(status, []byte("\nVmData:"))
	if fields := bytes.Fields(rest); len(fields) > 0 {
		if n, err := strconv.ParseUint(string(fields[0]), 10, 64); err == nil {
			return n << 10
		}
	}
	return usualData
}
