package chat

import (
	"testing"
	"time"

	"kaban"
	"kaban/internal/people"
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

// The cases of TestQuietHours of the page.
func TestQuiet(t *testing.T) {
	night := people.Quiet{From: "22:00", To: "07:00", Zone: "Europe/Berlin"}
	lunch := people.Quiet{From: "12:00", To: "13:00", Zone: "UTC"}
	friday := people.Quiet{From: "22:00", To: "07:00", Zone: "UTC", Days: []string{"fri"}}
	until := people.Quiet{Until: time.Date(2026, 1, 5, 12, 0, 1, 0, time.UTC).UnixMilli()}
	for _, c := range []struct {
		quiet *people.Quiet
		at    string
		want  bool
	}{
		{nil, "2026-01-05T12:00:00Z", false},
		{&until, "2026-01-05T12:00:00Z", true},
		{&until, "2026-01-05T12:00:01Z", false},
		{&night, "2026-01-05T20:59:59Z", false},
		{&night, "2026-01-05T21:00:00Z", true},
		{&night, "2026-01-06T05:59:59Z", true},
		{&night, "2026-01-06T06:00:00Z", false},
		{&night, "2026-07-06T20:00:00Z", true}, // summer time
		{&night, "2026-07-06T05:00:00Z", false},
		{&lunch, "2026-01-05T12:00:00Z", true},
		{&lunch, "2026-01-05T13:00:00Z", false},
		{&friday, "2026-01-09T22:00:00Z", true},
		{&friday, "2026-01-10T06:59:00Z", true}, // the part after midnight is Friday's
		{&friday, "2026-01-10T22:00:00Z", false},
		{&friday, "2026-01-09T06:00:00Z", false},
		{&people.Quiet{From: "00:00", To: "23:59", Zone: "No/Where"}, "2026-01-05T12:00:00Z", false},
	} {
		at, err := time.Parse(time.RFC3339, c.at)
		if err != nil {
			t.Fatal(err)
		}
		if got := isQuiet(c.quiet, at); got != c.want {
			t.Errorf("%+v at %s: got %v", c.quiet, c.at, got)
		}
	}
}

// The cases of keywords of the page.
func TestKeywords(t *testing.T) {
	for _, c := range []struct {
		content, keyword string
		want             bool
	}{
		{"another DEPLOY, please", "Deploy", true},
		{"redeployed", "deploy", false},
		{"deploys", "deploy", false},
		{"re-deploy", "deploy", true},
		{"deploy", "deploy", true},
		{"who is on\tcall?", "on call", true},
		{"ÄRGER", "ärger", true},
		{"ﬁle", "file", true}, // NFKC
		{"今天部署了", "部署", true},
		{"C++ is fine", "c++", true},
		{"ΣΊΣΥΦΟΣ", "σίσυφος", true},
		{"x_deploy", "deploy", false},
		{"nothing", "", false},
	} {
		if got := hasKeyword(c.content, []string{c.keyword}); got != c.want {
			t.Errorf("%q in %q: got %v", c.keyword, c.content, got)
		}
	}
	if hasKeyword("anything", nil) {
		t.Error("without keywords something is found")
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
