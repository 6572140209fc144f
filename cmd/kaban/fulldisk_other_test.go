//go:build !unix

package main

import "syscall"

const (
	errFullDisk     = diskFull
	errNoPermission = syscall.EACCES
)
