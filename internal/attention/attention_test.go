package attention

import (
	"testing"
	"time"
	_ "time/tzdata"
)

func TestCovers(t *testing.T) {
	t.Parallel()
	night := Quiet{From: "22:00", To: "07:30", Zone: "Europe/Berlin", Days: []string{"fri"}}
	day := Quiet{From: "12:00", To: "13:00", Zone: "UTC"}
	for _, c := range []struct {
		name  string
		quiet *Quiet
		at    string
		want  bool
	}{
		{"nothing", nil, "2026-11-27T23:00:00+01:00", false},
		{"no hours", &Quiet{}, "2026-11-27T23:00:00+01:00", false},
		{"one hour only", &Quiet{From: "22:00", Zone: "UTC"}, "2026-11-27T23:00:00Z", false},
		{"before", &day, "2026-11-27T11:59:59Z", false},
		{"at the beginning", &day, "2026-11-27T12:00:00Z", true},
		{"in it, in another zone", &day, "2026-11-27T14:59:59+02:00", true},
		{"at the end", &day, "2026-11-27T13:00:00Z", false},
		{"the evening of its day", &night, "2026-11-27T22:00:00+01:00", true},
		{"the morning after its day", &night, "2026-11-28T07:29:00+01:00", true},
		{"the end of that", &night, "2026-11-28T07:30:00+01:00", false},
		{"the morning of its day", &night, "2026-11-27T07:00:00+01:00", false},
		{"the evening after", &night, "2026-11-28T23:00:00+01:00", false},
		{"in summer", &night, "2026-07-03T20:00:00Z", true},
		{"the same in winter", &night, "2026-11-27T20:00:00Z", false},
		{"all day", &Quiet{From: "00:00", To: "00:00", Zone: "UTC"}, "2026-11-27T13:00:00Z", true},
		{"a zone that nobody knows", &Quiet{From: "00:00", To: "00:00", Zone: "Mars/Olympus"}, "2026-11-27T13:00:00Z", false},
		{"sunday night", &Quiet{From: "23:00", To: "01:00", Zone: "UTC", Days: []string{"sat"}}, "2026-11-29T00:30:00Z", true},
	} {
		at, err := time.Parse(time.RFC3339, c.at)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.quiet.Covers(at); got != c.want {
			t.Errorf("%s: %t at %s, want %t", c.name, got, c.at, c.want)
		}
	}
	until := &Quiet{Until: 1000}
	if !until.Covers(time.UnixMilli(999)) || until.Covers(time.UnixMilli(1000)) {
		t.Error("a moment is the end")
	}
}

func TestHasKeyword(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text, word string
		want       bool
	}{
		{"Deploy now", "deploy", true},
		{"we (deploy)!", "DEPLOY", true},
		{"deployed", "deploy", false},
		{"redeploy", "deploy", false},
		{"de-deploy", "deploy", true},
		{"deploy_it", "deploy", false},
		{"redeploy, then deploy", "deploy", true},
		{"on  call", "on call", false},
		{"on\ncall", "on call", true},
		{"a C++ program", "c++", true},
		{"C++11", "c++", true},
		{"請看東京塔", "東京", true},
		{"\ufb01re", "fire", true},
		{"STRASSE", "straße", false},
		{"ΣΑΣ", "σας", true},
		{"who is on\tcall?", "on call", true},
		{"ÄRGER", "ärger", true},
		{"x_deploy", "deploy", false},
		{"今天部署了", "部署", true},
		{"anything", "", false},
		{"", "x", false},
	} {
		if got := HasKeyword(c.text, []string{"nothing of it", c.word}); got != c.want {
			t.Errorf("%q in %q: %t, want %t", c.word, c.text, got, c.want)
		}
	}
	if HasKeyword("anything", nil) {
		t.Error("no keyword is found")
	}
}
