package main

import (
	"errors"
	"strings"
	"testing"

	"kaban/client"
	"kaban/wire"
)

// While a client tries to come back, errors of the network are told once, and what a server says once each.
func TestNoticesOfAState(t *testing.T) {
	var out strings.Builder
	n := &notices{out: &out}
	tell := n.onState()
	lost := func(err error) { tell(client.State{Status: client.Offline, Err: err, Unacknowledged: 2}) }
	refused := &client.Error{Code: wire.CodeForbidden, Text: "connections come through the proxy only"}
	lost(errors.New("connection reset"))
	lost(errors.New("connection refused"))
	lost(refused)
	lost(refused)
	lost(errors.New("connection refused"))
	tell(client.State{Status: client.Online})
	tell(client.State{Status: client.Online})
	lost(refused)
	want := strings.Join([]string{
		"connection reset; trying to come back; 2 not acknowledged yet",
		refused.Error() + "; trying to come back; 2 not acknowledged yet",
		"connected again",
		refused.Error() + "; trying to come back; 2 not acknowledged yet",
	}, "\n")
	if got := strings.ReplaceAll(strings.TrimSpace(out.String()), "kaban: ", ""); got != want {
		t.Errorf("told:\n%s\nwant:\n%s", got, want)
	}
}
