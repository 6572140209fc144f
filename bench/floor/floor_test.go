package main

import (
	"context"
	"net"
	"runtime"
	"testing"
	"time"

	"kaban/internal/bench"
)

// TestFloorsCopyEveryLine counts the copied lines with the load generator.
func TestFloorsCopyEveryLine(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the load generator needs Linux")
	}
	for mode, serve := range map[string]func(*net.TCPListener) error{"loop": serveLoop, "goroutines": serveGoroutines} {
		t.Run(mode, func(t *testing.T) {
			listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
			if err != nil {
				t.Fatal(err)
			}
			go serve(listener) // a floor does not stop; it ends with the test
			for _, o := range []bench.Options{
				{Rooms: 1, Members: 20, Senders: 3, InFlight: 40},
				{Rooms: 5, Members: 4, Senders: 4, InFlight: 8},
			} {
				o.Server, o.Raw, o.Payload, o.Duration = listener.Addr().String(), true, 100, 150*time.Millisecond
				r, err := bench.Run(context.Background(), bench.Flood, o)
				if err != nil {
					t.Fatal(err)
				}
				if r.Failed() || r.Deliveries == 0 || r.Sampled == 0 {
					t.Errorf("%d deliveries, %d lost, %d repeated, %d sampled", r.Deliveries, r.Lost, r.Repeated, r.Sampled)
				}
			}
		})
	}
}

func TestRoomName(t *testing.T) {
	if name, err := roomName([]byte("room a\n")); err != nil || name != "a" {
		t.Errorf("got %q, %v", name, err)
	}
	if _, err := roomName([]byte("GET / HTTP/1.1\n")); err == nil {
		t.Error("another protocol is accepted")
	}
}
