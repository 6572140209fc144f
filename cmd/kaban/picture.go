package main

import (
	"os"
	"os/exec"

	"kaban/internal/picture"
)

// pictureNiceness is how much less a process that makes a picture counts than the server, as one that
// hashes a password: see hashNiceness.
const pictureNiceness = 10

// pictureCommand is a process that makes one picture for a server. It ends with the server,
// which has the only other end of its standard input.
type pictureCommand struct{}

// Run makes the picture that standard input asks for.
func (pictureCommand) Run(std streams) error {
	// First, since Serve confines the process: after it nothing can be opened.
	lowerSelf(pictureNiceness)
	sacrificeSelf()
	nameSelf("kaban-picture")
	return picture.Serve(std.in, std.out)
}

// pictureProcess returns a command for picture.NewWorker. Its process inherits nothing of the server's but
// the files of its picture, and lowers its priority itself, see startHashing.
func pictureProcess() (*exec.Cmd, error) {
	program, err := ourselves()
	if err != nil {
		return nil, err
	}
	c := exec.Command(program, "picture")
	c.Args[0] = os.Args[0]
	c.Env = []string{}
	separate(c)
	return c, nil
}
