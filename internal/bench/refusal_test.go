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
		if got := refusal([]byte(line)); !strings.Contains(got, want) {
			t.Errorf("%s is %q, want %q", line, got, want)
		}
	}
}
