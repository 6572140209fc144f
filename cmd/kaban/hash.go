package main

import (
	"log/slog"
	"os"
	"os/exec"
	"runtime"

	"kaban/internal/account"
	"kaban/internal/hashing"
)

// maxHashing is how many processes that hash passwords a server has at most. They hold
// 26 MiB each until they end.
const maxHashing = 8

// hashNiceness, beyond the server's, gives a process about a tenth of a processor that the
// server keeps busy: Linux weighs it 110, and the server 1024.
const hashNiceness = 10

// hashApart has passwords hashed in processes of their own, where those can have a low
// priority. end ends them.
func hashApart(options *account.Options, log *slog.Logger) (end func()) {
	if !canLower {
		return func() {}
	}
	count := min(runtime.GOMAXPROCS(0), maxHashing)
	processes := hashing.New(startHashing, count, log)
	options.Argon2id, options.Hashes = processes.Key, count
	return processes.Close
}

// hashCommand is a process that hashes passwords for a server. It ends with the server,
// which has the only other end of its standard input.
type hashCommand struct{}

// Run hashes passwords until its standard input ends.
func (hashCommand) Run(std streams) error {
	lowerSelf(hashNiceness)
	sacrificeSelf()
	nameSelf("kaban-hash")
	return hashing.Serve(std.in, std.out)
}

// startHashing starts a process that hashes passwords. It inherits nothing of the server's, and lowers its
// priority itself: a thread of the server with a low one would hold up the server while it
// starts a process.
func startHashing() (*hashing.Process, error) {
	program, err := ourselves()
	if err != nil {
		return nil, err
	}
	c := exec.Command(program, "hash-passwords")
	c.Args[0] = os.Args[0]
	c.Env = []string{"GOMAXPROCS=1", "GOGC=off"} // see hashing.Serve
	separate(c)
	return hashing.Launch(c)
}
