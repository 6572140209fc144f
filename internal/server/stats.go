package server

import "kaban/wire"

// frontEnd is a way in which kaban/1 comes.
type frontEnd uint8

const (
	overTCP frontEnd = iota
	overTLS
	overWebSocket // over TLS or not
	frontEnds
)

// frontEndNames are the labels of metrics.
var frontEndNames = [frontEnds]string{overTCP: "tcp", overTLS: "tls", overWebSocket: "websocket"}

// Stats are what a server has counted since its start, and how much there is now.
type Stats struct {
	Connections map[string]int       // by front end
	Errors      map[wire.Code]uint64 // that were sent
}

// Stats returns the present numbers.
func (s *Server) Stats() Stats {
	open := make(map[string]int, frontEnds)
	for i, name := range frontEndNames {
		open[name] = int(s.open[i].Load())
	}
	return Stats{open, s.errors.Counts()}
}

// appendFrame appends an event as it is sent, and counts it if it is an error.
func (s *Server) appendFrame(dst []byte, f framing, event *wire.Event) []byte {
	if event.Type == wire.TypeError {
		s.errors.Add(event.Code)
	}
	return appendFrame(dst, f, event)
}
