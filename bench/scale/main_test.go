package main

import (
	"math"
	"strings"
	"testing"
)

// Everybody is in as many different rooms as asked for, and every message reaches those in its room.
func TestWeigh(t *testing.T) {
	w := &world{connections: 1000, rooms: 50, nodes: 4, joined: 3, skew: 0, chat: 0, messages: 100, seed: 1}
	members := settle(w)
	l := weigh(w, members)
	if l.memberships != 3000 || l.inUse != 50 || l.interested != 4 {
		t.Errorf("%d memberships, %v rooms in use, %v nodes", l.memberships, l.inUse, l.interested)
	}
	if math.Abs(l.audience-60) > 1e-9 || math.Abs(l.delivered-1500) > 1e-9 { // as much is said in each room
		t.Errorf("audience %v, %v deliveries a second", l.audience, l.delivered)
	}
	if l.names != 750 {
		t.Errorf("%v names on a node", l.names)
	}
	var printed strings.Builder
	if err := l.print(&printed, w); err != nil || strings.Count(printed.String(), "\n") != 16 {
		t.Errorf("%v: %s", err, &printed)
	}
}

// A room of one's own has readers on one node, and a room that all are in on each; of more than
// maxNames people on a node there are no names.
func TestPlaces(t *testing.T) {
	w := &world{nodes: 2, messages: 1, chat: 1}
	l := weigh(w, crowd{{1, 0}, {maxNames, maxNames + 1}})
	if l.inUse != 1.5 || l.largest != 2*maxNames+1 || l.names != float64(1+maxNames)/2 {
		t.Errorf("%+v", l)
	}
}
