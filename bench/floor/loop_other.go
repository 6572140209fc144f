//go:build !linux

package main

import (
	"errors"
	"net"
)

func serveLoop(*net.TCPListener) error { return errors.New("-mode loop needs Linux (epoll)") }
