//go:build unix

package main

import (
	"os/exec"
	"syscall"
)

// canLower is whether processes can have a low priority.
const canLower = true

// separate keeps the signals of a terminal from a process. It stays in the session:
// priorities do not count between sessions where the system groups processes by them.
func separate(c *exec.Cmd) { c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }
