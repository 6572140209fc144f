package bench

import (
	"strings"
	"testing"
)

func TestRefusalIsForPeople(t *testing.T) {
	for line, want := range map[string]string{
		`{"type":"error","code":"auth_required","message":"sign in"}`:   "--token-file FILE (auth_required)",
		`{"type":"error","code":"rate_limited","message":"slow\u001b"}`: `the server answers: "slow\x1b" (rate_limited)`,
		`{"type":"error","code":"internal"}`:                            `the server answers {"type":"error","code":"internal"}`,
		`junk`:                                                          "the server answers junk",
	} {
		if got := refusal([]byte(line), false); !strings.Contains(got, want) {
			t.Errorf("%s is %q, want %q", line, got, want)
		}
	}
	const gone = `{"type":"error","code":"not_found","message":"none"}`
	for react, want := range map[bool]string{true: "a shorter --duration (not_found)", false: `the server answers: "none" (not_found)`} {
		if got := refusal([]byte(gone), react); !strings.Contains(got, want) {
			t.Errorf("%s is %q, want %q", gone, got, want)
		}
	}
}
