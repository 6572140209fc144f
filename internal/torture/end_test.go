package torture

import (
	"context"
	"regexp"
	"syscall"
	"testing"

	"kaban/client"
)

// A store that cannot be closed properly after a graceful shutdown ends the server with exit code 1 and
// a message that says what to do, and the next start has every acknowledged message.
func TestTheStoreFailsToClose(t *testing.T) {
	onlyDirectory(t, "a store that leaves a PostgreSQL writes nothing")
	for name, c := range map[string]struct{ faults, says string }{
		"a failed sync": {"later,failsync=1,of=kaban.db", `the store failed while the server ended; check the disk and the data directory before you start the server again \(.*disk I/O error`},
		"a full disk":   {"later,full=1", `the store could not be closed properly; the next start reads what it has left: make room on the disk, .*run .*kaban check.* \(.*full`},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			h.start("KABAN_FAULT_DISK=" + c.faults)
			say(t, h.address, "acknowledged")
			h.change()
			h.signal(syscall.SIGTERM)
			if !h.ended(patience) {
				t.Fatalf("the server keeps running:\n%s", h.log)
			}
			if code := h.process.ProcessState.ExitCode(); code != 1 {
				t.Errorf("the exit code is %d; want 1:\n%s", code, h.log)
			}
			if !regexp.MustCompile(`(?m)^kaban: .*` + c.says).MatchString(h.log.String()) {
				t.Errorf("the server does not say %q:\n%s", c.says, h.log)
			}
			h.start()
			h.stop()
			if stored, err := h.stored(); err != nil || len(stored) != 1 || stored[0].Content != "acknowledged" {
				t.Errorf("after the next start there is %v, %v", stored, err)
			}
		})
	}
}

// say sends a message and returns when it is acknowledged.
func say(t *testing.T, address, content string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	session, err := client.Dial(ctx, address, client.Options{Username: "anna"})
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	joined, err := session.Join(ctx, room, client.From{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := joined.Send(ctx, content); err != nil {
		t.Fatal(err)
	}
}
