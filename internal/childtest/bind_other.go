//go:build !linux

package childtest

import (
	"os/exec"
	"syscall"
)

func bind(*exec.Cmd, syscall.Signal) {}
