//go:build !unix

package main

import "os/exec"

// canLower is whether processes can have a low priority.
const canLower = false

func lowerSelf(int) {}

func separate(*exec.Cmd) {}
