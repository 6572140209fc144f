package main

import "testing"

// Each reason that stops a bot has a text of its own.
func TestStateOfABot(t *testing.T) {
	for stopped, want := range map[string]string{
		"":          "active",
		"suspended": "stopped (its owner is suspended)",
		"unclaimed": "stopped (its owner has no way to sign in yet)",
		"removed":   "stopped (its owner is gone)",
	} {
		if got := (&user{Status: "active", Stopped: stopped}).state(); got != want {
			t.Errorf("%q is shown as %q, want %q", stopped, got, want)
		}
	}
}
