package picture

import (
	"errors"
	"os"
	"runtime"
	"runtime/debug"
	"time"
)

const (
	// memoryGoal is what the collector aims at, in bytes: a decoded picture at its limit, and
	// what the encoders and a thumbnail need.
	memoryGoal = 512 << 20
	// maxMemory is what a child process gets for its data beyond what it begins with, in
	// bytes. It ends where it would need more.
	maxMemory = 768 << 20
	// maxProcessor is how much time of a processor a child process gets. The slowest picture
	// within the limits takes half of it.
	maxProcessor = 60 * time.Second
)

// errNoMemory means that the system does not give a process as much memory as a picture may
// take. It wraps ENOMEM where the system said it.
var errNoMemory = errors.New("the system does not give the memory for a picture")

// confine bounds what this process can use. The channel, if there is one, gets a value
// when it has used its time of a processor; it is killed soon after.
func confine() (slow <-chan os.Signal, err error) { return confineTo(maxProcessor) }

func confineTo(processor time.Duration) (slow <-chan os.Signal, err error) {
	runtime.GOMAXPROCS(1) // one picture keeps one processor busy
	debug.SetMemoryLimit(memoryGoal)
	return confineProcess(processor)
}
