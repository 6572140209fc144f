package chat

import (
	"testing"

	"kaban"
	"kaban/internal/push"
)

func TestCauses(t *testing.T) {
	for _, c := range []struct {
		level                      kaban.NotifyLevel
		direct, mentioned, keyword bool
		want                       push.Cause
	}{
		{kaban.NotifyAll, false, false, false, push.CauseRoom},
		{kaban.NotifyAll, true, false, false, push.CauseDirect},
		{kaban.NotifyAll, true, true, true, push.CauseMention},
		{kaban.NotifyAll, false, false, true, push.CauseKeyword},
		{kaban.NotifyMentions, false, false, false, ""},
		{kaban.NotifyMentions, true, false, false, ""}, // chosen for that room
		{kaban.NotifyMentions, false, true, false, push.CauseMention},
		{kaban.NotifyMentions, false, false, true, push.CauseKeyword},
		{kaban.NotifyNone, true, true, true, ""},
	} {
		if got := causeOf(c.level, c.direct, c.mentioned, c.keyword); got != c.want {
			t.Errorf("%+v: got %q", c, got)
		}
	}
}

func TestPlainText(t *testing.T) {
	for content, want := range map[string]string{
		"plain":                      "plain",
		"*bold* and `code`":          "bold and code",
		"> quoted\n\nanswer":         "quoted\n\nanswer",
		"```\nfunc main()\n```\nend": "func main()\n\nend",
		"@ann, look":                 "@ann, look",
	} {
		if got := plainText(content); got != want {
			t.Errorf("%q: got %q, want %q", content, got, want)
		}
	}
}
