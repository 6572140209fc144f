//go:build unix

package main

import "syscall"

const (
	errFullDisk     = syscall.ENOSPC
	errNoPermission = syscall.EACCES
)
