package account

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"kaban/internal/access"
	"kaban/internal/people"
)

// Limits of the notifications of an account.
const (
	MaxKeywords = 20
	MaxKeyword  = 64 // code points
	maxZone     = 64 // bytes
)

// Days are the days of the week, as people.Quiet has them.
var Days = []string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}

// maxUntil is the last moment that an account may want until: the end of the year 9999, in
// milliseconds since 1970 UTC.
const maxUntil = 253_402_300_799_999

// Notifications returns what the actor wants to be notified of, as of now.
func (s *Service) Notifications(ctx context.Context, by Actor) (people.Notifications, error) {
	a, err := s.Find(ctx, by.Principal.Account.Username)
	return a.Notifications, err
}

// SetNotifications sets what notifies the account of the actor. The server only keeps it, for all
// devices; what is shown is up to them. It returns a *ValueError.
func (s *Service) SetNotifications(ctx context.Context, by Actor, n people.Notifications) error {
	if err := checkNotifications(&n); err != nil {
		return err
	}
	return s.changeOwn(ctx, by, access.ChangeProfile, people.AuditAccountNotifications, "", func(c *change, a *people.Account) {
		a.Notifications = n
		if hook, id := s.options.OnNotifications, a.ID; hook != nil {
			c.after = append(c.after, func() { hook(id) })
		}
	})
}

// checkNotifications checks and normalises what somebody has set.
func checkNotifications(n *people.Notifications) error {
	if len(n.Keywords) > MaxKeywords {
		return &ValueError{"keywords", fmt.Sprintf("there are more than %d", MaxKeywords)}
	}
	var keywords []string
	seen := make(map[string]bool)
	for _, word := range n.Keywords {
		word, err := checkKeyword(word)
		if err != nil {
			return err
		}
		if folded := cases.Fold().String(norm.NFKC.String(word)); !seen[folded] {
			seen[folded] = true
			keywords = append(keywords, word)
		}
	}
	n.Keywords = keywords
	if n.Quiet == nil {
		return nil
	}
	q := *n.Quiet
	n.Quiet = &q
	return checkQuiet(&q)
}

func checkKeyword(word string) (string, error) {
	word = strings.TrimSpace(word)
	switch {
	case word == "":
		return "", &ValueError{"keywords", "one is empty"}
	case len(word) > 16*MaxKeyword || !utf8.ValidString(word):
		return "", &ValueError{"keywords", "one is too long, or no text"}
	case strings.ContainsFunc(word, func(c rune) bool { return !unicode.IsPrint(c) && c != '\u200d' }):
		return "", &ValueError{"keywords", "one has an invisible character"}
	}
	if word = norm.NFC.String(word); utf8.RuneCountInString(word) > MaxKeyword {
		return "", &ValueError{"keywords", fmt.Sprintf("one has more than %d characters", MaxKeyword)}
	}
	return word, nil
}

func checkQuiet(q *people.Quiet) error {
	bad := func(format string, args ...any) error { return &ValueError{"quiet", fmt.Sprintf(format, args...)} }
	if (q.From == "") != (q.To == "") {
		return bad("from and to go together")
	}
	for _, at := range []string{q.From, q.To} {
		if _, err := time.Parse("15:04", at); at != "" && (err != nil || len(at) != len("15:04")) {
			return bad("%q is no time of day such as 22:00", at)
		}
	}
	switch hours := q.From != ""; {
	case hours && q.From == q.To:
		return bad("from and to are the same time")
	case hours && q.Zone == "":
		return bad("its hours need a zone, such as Europe/Berlin")
	case !hours && (q.Zone != "" || len(q.Days) > 0):
		return bad("a zone and days need hours, from and to")
	case !hours && q.Until == 0:
		return bad("it has neither hours nor until_ms; leave it out to be disturbed")
	case q.Until < 0 || q.Until > maxUntil:
		return bad("until_ms must be a time in milliseconds since 1970, up to the year 9999")
	case len(q.Zone) > maxZone || q.Zone == "Local":
		return bad("there is no zone %.64q", q.Zone)
	}
	if q.Zone != "" {
		if _, err := time.LoadLocation(q.Zone); err != nil {
			return bad("there is no zone %q; name one of the IANA database, such as Europe/Berlin", q.Zone)
		}
	}
	for i, day := range q.Days {
		if !slices.Contains(Days, day) || slices.Contains(q.Days[:i], day) {
			return bad("days are among %s, each once", strings.Join(Days, ", "))
		}
	}
	return nil
}
