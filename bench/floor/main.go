// Command floor is a chat server that does nothing but copy lines: the minimum
// cost of one. "make bench" measures it together with Kaban in the same run, so
// that each figure is also a ratio that holds on any machine.
//
// The first line of a connection is "room NAME" and is echoed. Every further line
// is copied to everyone in the room, including the sender. There are no names, no
// numbers, no limits and no log, and a slow reader may use all the memory there
// is: it is not a server for people.
//
// There are two variants. "loop" is one epoll loop (Linux only) that reads all
// ready input and then writes once to each receiver: the cheapest way to do it
// with sockets. "goroutines" is the design of most chat servers in Go: a reading
// and a writing goroutine per connection, with a queue between them.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
)

func main() {
	mode := flag.String("mode", "loop", "loop or goroutines")
	listen := flag.String("listen", "127.0.0.1:0", "where to listen; port 0 picks a free one")
	flag.Parse()
	if err := serve(*mode, *listen); err != nil {
		fmt.Fprintln(os.Stderr, "floor:", err)
		os.Exit(1)
	}
}

func serve(mode, address string) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	defer l.Close()
	listener, ok := l.(*net.TCPListener)
	if !ok {
		return errors.New("not a TCP listener")
	}
	// The same message as Kaban's, for programs that start both.
	fmt.Fprintf(os.Stderr, "msg=listening url=tcp://%s\nmsg=ready\n", listener.Addr())
	switch mode {
	case "loop":
		return serveLoop(listener)
	case "goroutines":
		return serveGoroutines(listener)
	}
	return fmt.Errorf("-mode must be loop or goroutines, not %q", mode)
}

// roomName returns the room in the first line.
func roomName(line []byte) (string, error) {
	name, ok := bytes.CutPrefix(line, []byte("room "))
	if !ok {
		return "", fmt.Errorf("the first line must be \"room NAME\", not %.40q", line)
	}
	return string(bytes.TrimSpace(name)), nil
}
