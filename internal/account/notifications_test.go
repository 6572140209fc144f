package account

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"kaban/internal/people"
)

func TestNotificationsAreChecked(t *testing.T) {
	quiet := func(q people.Quiet) people.Notifications { return people.Notifications{Quiet: &q} }
	words := func(words ...string) people.Notifications { return people.Notifications{Keywords: words} }
	var many []string
	for i := range MaxKeywords {
		many = append(many, fmt.Sprint("word ", i))
	}
	for name, c := range map[string]struct {
		set  people.Notifications
		want people.Notifications
		bad  string
	}{
		"nothing":      {},
		"keywords":     {set: words(" deploy ", "Ž", "DEPLOY", "on call"), want: words("deploy", "Ž", "on call")},
		"20 keywords":  {set: words(many...), want: words(many...)},
		"21 keywords":  {set: words(append(many, "x")...), bad: "keywords"},
		"longest":      {set: words(strings.Repeat("ž", MaxKeyword)), want: words(strings.Repeat("ž", MaxKeyword))},
		"too long":     {set: words(strings.Repeat("ž", MaxKeyword+1)), bad: "keywords"},
		"empty":        {set: words("a", " "), bad: "keywords"},
		"control":      {set: words("a\nb"), bad: "keywords"},
		"no text":      {set: words("a\xff"), bad: "keywords"},
		"hours":        {set: quiet(people.Quiet{From: "22:00", To: "07:30", Zone: "Europe/Berlin", Days: []string{"sun", "mon"}}), want: quiet(people.Quiet{From: "22:00", To: "07:30", Zone: "Europe/Berlin", Days: []string{"sun", "mon"}})},
		"until":        {set: quiet(people.Quiet{Until: 5}), want: quiet(people.Quiet{Until: 5})},
		"both":         {set: quiet(people.Quiet{From: "00:00", To: "23:59", Zone: "UTC", Until: 5}), want: quiet(people.Quiet{From: "00:00", To: "23:59", Zone: "UTC", Until: 5})},
		"empty quiet":  {set: quiet(people.Quiet{}), bad: "quiet"},
		"no end":       {set: quiet(people.Quiet{From: "22:00", Zone: "UTC"}), bad: "quiet"},
		"no zone":      {set: quiet(people.Quiet{From: "22:00", To: "07:00"}), bad: "quiet"},
		"local zone":   {set: quiet(people.Quiet{From: "22:00", To: "07:00", Zone: "Local"}), bad: "quiet"},
		"unknown zone": {set: quiet(people.Quiet{From: "22:00", To: "07:00", Zone: "Europe/Nowhere"}), bad: "quiet"},
		"a path":       {set: quiet(people.Quiet{From: "22:00", To: "07:00", Zone: "../etc/passwd"}), bad: "quiet"},
		"no time":      {set: quiet(people.Quiet{From: "24:00", To: "07:00", Zone: "UTC"}), bad: "quiet"},
		"a short time": {set: quiet(people.Quiet{From: "7:00", To: "08:00", Zone: "UTC"}), bad: "quiet"},
		"never":        {set: quiet(people.Quiet{From: "07:00", To: "07:00", Zone: "UTC"}), bad: "quiet"},
		"days alone":   {set: quiet(people.Quiet{Days: []string{"mon"}, Until: 5}), bad: "quiet"},
		"unknown day":  {set: quiet(people.Quiet{From: "22:00", To: "07:00", Zone: "UTC", Days: []string{"Monday"}}), bad: "quiet"},
		"a day twice":  {set: quiet(people.Quiet{From: "22:00", To: "07:00", Zone: "UTC", Days: []string{"mon", "mon"}}), bad: "quiet"},
		"far until":    {set: quiet(people.Quiet{Until: maxUntil + 1}), bad: "quiet"},
		"before 1970":  {set: quiet(people.Quiet{Until: -1}), bad: "quiet"},
	} {
		t.Run(name, func(t *testing.T) {
			got := c.set
			err := checkNotifications(&got)
			if c.bad != "" {
				if bad, ok := errors.AsType[*ValueError](err); !ok || bad.What != c.bad {
					t.Errorf("%v, want a ValueError about %s", err, c.bad)
				}
				return
			}
			if err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("%+v, %v; want %+v", got, err, c.want)
			}
		})
	}
}
