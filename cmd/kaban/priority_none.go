//go:build !unix

package main

import "os/exec"

func settle() {}

func separate(*exec.Cmd) {}

// canLower is whether processes can have a low priority.
const canLower = false
