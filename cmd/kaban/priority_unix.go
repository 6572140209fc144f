//go:build unix && !linux

package main

import (
	"os/exec"
	"syscall"
)

const lowestPriority = 19

// settle has this process use only what the processor has left.
func settle() { _ = syscall.Setpriority(syscall.PRIO_PROCESS, 0, lowestPriority) }

// separate keeps the signals of a terminal from a process.
func separate(c *exec.Cmd) { c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// canLower is whether processes can have a low priority.
const canLower = true
