//go:build !linux

package main

import (
	"os"
	"os/exec"
)

// ourselves returns the path of the running program.
func ourselves() (string, error) { return os.Executable() }

// lowerPriority does nothing: elsewhere a priority is that of the whole process.
func lowerPriority() {}

// lowerProcessor does nothing: settle does it.
func lowerProcessor() {}

func detach(*exec.Cmd) {}
