//go:build !linux

package main

import (
	"os"
	"os/exec"
)

// ourselves returns the path of the running program.
func ourselves() (string, error) { return os.Executable() }

func lowerDisk() {}

func nameSelf(string) {}

func sacrificeSelf() {}

func detach(c *exec.Cmd) { separate(c) }
