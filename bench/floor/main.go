// Command floor is what a chat server costs that does nothing: it copies lines.
// "make bench" measures it beside Kaban in the same run, so that each figure is
// also a ratio, which holds on any machine.
//
// The first line of a connection is "room NAME" and comes back as it is. Every
// further line is copied to everybody in the room, the sender too. There are no
// names, no numbers, no limits and no log, and a reader who is slow is given all
// the memory there is: it is no server for people.
//
// It comes in two shapes. "loop" is one epoll loop (Linux only) that takes all
// input that is ready and then writes to each receiver once: the cheapest way
// there is to do it with sockets. "goroutines" is the shape most chat servers in
// Go have: a reading and a writing goroutine for each connection, with a queue
// between them.
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
		return errors.New("no TCP")
	}
	// The same words as Kaban's, for the program that starts both.
	fmt.Fprintf(os.Stderr, "msg=listening url=tcp://%s\nmsg=ready\n", listener.Addr())
	switch mode {
	case "loop":
		return serveLoop(listener)
	case "goroutines":
		return serveGoroutines(listener)
	}
	return fmt.Errorf("-mode must be loop or goroutines, not %q", mode)
}

// roomName returns what the first line asks for.
func roomName(line []byte) (string, error) {
	name, ok := bytes.CutPrefix(line, []byte("room "))
	if !ok {
		return "", fmt.Errorf("the first line must be \"room NAME\", not %.40q", line)
	}
	return string(bytes.TrimSpace(name)), nil
}
