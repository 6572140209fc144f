//go:build unix

package main

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
)

// A signal ends the start of a node in the middle of an attempt, and not only between two.
func TestASignalEndsAStart(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ends, _, restore := takeSignals()
	defer restore()
	silent := make(chan error, 1)
	var listening sync.WaitGroup
	listening.Go(func() {
		conn, err := l.Accept() // it says nothing, so the attempt takes 3 s
		if err == nil {
			defer conn.Close()
			err = syscall.Kill(os.Getpid(), syscall.SIGTERM)
		}
		silent <- err
		if err == nil {
			_, _ = io.Copy(io.Discard, conn) // until the attempt ends
		}
	})
	defer listening.Wait()
	c := &serveCommand{Data: "postgres://kaban@" + l.Addr().String() + "/chat?sslmode=disable"}
	if _, err := c.open(ends, slog.New(slog.DiscardHandler)); !errors.Is(err, errStartEnded) {
		t.Errorf("%v, want %v", err, errStartEnded)
	}
	if err := <-silent; err != nil {
		t.Error(err)
	}
}
