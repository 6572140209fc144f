package main

import (
	"context"
	"time"

	"kaban/internal/display"
)

// auditCommand shows who administered what.
type auditCommand struct {
	adminFlags
	Since   string `placeholder:"TIME" help:"Only what happened since then: an age such as 12h or 7d, or a date such as 2026-11-25 or 2026-11-25T14:30. Default: all, which is a year."`
	Actor   string `placeholder:"NAME" help:"Only what this account did."`
	Subject string `placeholder:"NAME" help:"Only what was done to this account, invite, device, hook or setting."`
	Action  string `placeholder:"ACTION" help:"Only this action, such as account.suspend, or all that begin with it and a dot, such as account."`
}

// auditRow is a row of the audit, as the API has it.
type auditRow struct {
	Time     string `json:"time"`
	ID       string `json:"id"`
	Actor    string `json:"actor"`
	Username string `json:"username"`
	Action   string `json:"action"`
	Subject  string `json:"subject"`
	Room     string `json:"room"`
	Detail   string `json:"detail"`
	Address  string `json:"address"`
	Count    int    `json:"count"`
}

// Run prints the audit, the oldest row first.
func (c *auditCommand) Run(std streams) error {
	since, err := auditSince(c.Since, time.Now())
	if err != nil {
		return err
	}
	parameters := []string{"since", since, "actor", c.Actor, "subject", c.Subject, "action", c.Action, "limit", "500"}
	return c.withAdmin(std, nil, func(ctx context.Context, a *admin) error {
		return list(ctx, a, "/v1/admin/audit", "rows", parameters, []string{"TIME", "BY", "FROM", "ACTION", "SUBJECT", "DETAIL"},
			"there is nothing in the audit", func(r *auditRow) []string {
				by := r.Username
				switch {
				case by != "":
				case r.Count > 0:
					by = "-" // a failed sign-in
				default:
					by = "(operator)"
				}
				detail := r.Detail
				if r.Count > 0 {
					detail = display.Count(r.Count, "time") + " " + detail
				}
				if r.Room != "" {
					detail += " in " + r.Room
				}
				return []string{when(r.Time), by, orDash(r.Address), r.Action, orDash(r.Subject), detail}
			})
	})
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// auditSince returns the beginning of the audit to show for the API, given a --since as
// "kaban tail" has it.
func auditSince(text string, now time.Time) (string, error) {
	begin, err := parseSince(text, now)
	switch {
	case err != nil, begin.bySeq: // there are no message numbers
		return "", usagef("--since %s: write an age such as 12h or 7d, or a date such as 2026-11-25 or 2026-11-25T14:30", text)
	case begin.at.IsZero():
		return "", nil
	}
	return begin.at.UTC().Format(time.RFC3339), nil
}
