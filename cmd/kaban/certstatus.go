package main

import (
	"fmt"
	"strings"
	"time"

	"kaban/internal/certs"
)

// maxCertLines is how many certificates with problems a status has lines for; there may be
// a hundred.
const maxCertLines = 5

// certReport is the state of one certificate.
type certReport struct {
	Host     string     `json:"host,omitempty"`         // that it is asked for by ACME
	NotAfter *time.Time `json:"not_after,omitempty"`    // left out if there is none yet
	Asking   bool       `json:"asking,omitempty"`       // an attempt by ACME is under way
	Next     *time.Time `json:"next_attempt,omitempty"` // by ACME; a renewal if the last one did not fail
	Failures int        `json:"failures,omitempty"`     // of ACME, in a row
	Error    string     `json:"error,omitempty"`        // of the last attempt, or of the files
}

// certReports returns what a status has of certificates.
func certReports(states []certs.State) (reports []certReport) {
	for _, s := range states {
		r := certReport{Host: s.Host, NotAfter: timeOrNil(s.NotAfter), Asking: s.Asking, Next: timeOrNil(s.Next), Failures: s.Failures}
		if s.Err != nil {
			r.Error = strings.ReplaceAll(s.Err.Error(), "\n", "; ")
		}
		reports = append(reports, r)
	}
	return reports
}

// timeOrNil returns a time in UTC to the second; nil for the zero Time.
func timeOrNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC().Truncate(time.Second)
	return &t
}

// certLines returns what people read of certificates: when the first one ends, and each
// that something is wrong with.
func certLines(r *statusReport, now time.Time) (lines []string) {
	next, hosts := nextAttempt(r.Certs)
	text := "none yet, so nobody can connect over TLS"
	switch end := r.Certificate; {
	case end != nil && end.After(now):
		text = fmt.Sprintf("ends %s, %s", end.Local().Format(statusTime), fromNow(*end, now))
	case end != nil:
		text = fmt.Sprintf("ENDED %s, %s: clients refuse it", end.Local().Format(statusTime), fromNow(*end, now))
	case len(r.Certs) == 0:
		return nil
	}
	if hosts > 1 && r.Certificate != nil {
		text += fmt.Sprintf(", the first of %d by ACME", hosts)
	}
	wrong := 0
	for _, c := range r.Certs {
		if c.Error == "" && c.NotAfter != nil {
			continue
		}
		if wrong++; wrong <= maxCertLines {
			lines = append(lines, statusLine("", "%s", certLine(c, now)))
		}
	}
	if more := wrong - maxCertLines; more > 0 {
		lines = append(lines, statusLine("", "and %s with a problem (--json has them all)", counted(more, "more host", "more hosts")))
	}
	if wrong == 0 && next != nil {
		text += "; renewal " + fromNow(*next, now)
	}
	return append([]string{statusLine("Certificate", "%s", text)}, lines...)
}

// nextAttempt returns when the first attempt by ACME is made, nil if there is none to wait
// for, and how many hosts there are.
func nextAttempt(all []certReport) (next *time.Time, hosts int) {
	for _, c := range all {
		if c.Host != "" {
			hosts++
		}
		if c.Next != nil && (next == nil || c.Next.Before(*next)) {
			next = c.Next
		}
	}
	return next, hosts
}

// certLine says what is wrong with a certificate, and what becomes of it.
func certLine(c certReport, now time.Time) string {
	if c.Host == "" {
		return "NOT REPLACED, the old one is in use: " + c.Error
	}
	var text strings.Builder
	text.WriteString(c.Host + ": ")
	if c.NotAfter == nil {
		text.WriteString("no certificate yet; ")
	}
	switch {
	case c.Failures > 0:
		fmt.Fprintf(&text, "FAILED %s: %s; ", counted(c.Failures, "time"), c.Error)
	case c.Error != "":
		text.WriteString(c.Error + "; ")
	}
	switch {
	case c.Asking:
		text.WriteString("it is being asked for")
	case c.Next != nil:
		text.WriteString("next attempt " + fromNow(*c.Next, now))
	default:
		text.WriteString("it is not asked for yet")
	}
	return text.String()
}
