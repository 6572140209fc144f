package account

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"time"

	"kaban/internal/access"
	"kaban/internal/people"
	"kaban/internal/store"
)

// actionSignInFailed is the action of the counts of failed sign-ins.
var actionSignInFailed = people.AuditSignInFailed.String()

// maxFailures bounds the counts of failed sign-ins between two calls of
// FlushFailures. Beyond it an address is not told apart from others.
const maxFailures = 10_000

// failures counts failed sign-ins in memory, because a stranger must not be able to
// make the server write. A crash loses the counts since the last flush.
type failures struct {
	mu     sync.Mutex
	counts map[failure]int
}

// failure is what the failed sign-ins of an hour are counted by.
type failure struct {
	hour             int64  // its start, in Unix milliseconds
	account, address string // the id of the account, empty for a name that none has
}

// failed counts a failed sign-in.
func (s *Service) failed(account, address string) {
	key := failure{s.now() / time.Hour.Milliseconds() * time.Hour.Milliseconds(), account, address}
	f := &s.failures
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.counts == nil {
		f.counts = make(map[failure]int)
	}
	if _, known := f.counts[key]; !known && len(f.counts) >= maxFailures {
		key.account, key.address = "", ""
	}
	f.counts[key]++
}

// failedName counts a failed sign-in as somebody with a name.
func (s *Service) failedName(ctx context.Context, username, address string) {
	a, err := s.Find(ctx, username)
	if err != nil {
		a.ID = ""
	}
	s.failed(a.ID, address)
}

// FlushFailures adds the counts of failed sign-ins to the audit. Call it every few
// minutes and before the store is closed.
func (s *Service) FlushFailures(ctx context.Context) error {
	f := &s.failures
	f.mu.Lock()
	counts := f.counts
	f.counts = nil
	f.mu.Unlock()
	if len(counts) == 0 {
		return nil
	}
	err := s.documents.Update(ctx, func(tx store.Tx) error {
		for key, n := range counts {
			if err := addFailures(tx, key, n); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.counts == nil {
		f.counts = make(map[failure]int)
	}
	for key, n := range counts {
		f.counts[key] += n
	}
	return err
}

func addFailures(tx store.Tx, key failure, n int) error {
	row := people.Audit{
		Time: key.hour, ID: "failed:" + key.account + ":" + key.address,
		Action: actionSignInFailed, Address: key.address,
	}
	if key.account != "" {
		a, err := people.Accounts.Get(tx, key.account)
		if ignoreNotFound(err) != nil {
			return err
		}
		row.Subject = a.Username
	}
	before, err := people.Audits.At(tx, row.Time, row.ID)
	if ignoreNotFound(err) != nil {
		return err
	}
	row.Count = before.Count + n
	return people.Audits.Put(tx, &row)
}

// AuditQuery selects rows of the audit. Empty fields select everything.
type AuditQuery struct {
	From, To int64  // Unix milliseconds, From <= time < To; a To of 0 is no bound
	Actor    string // a username
	Operator bool   // only what commands in the data directory did
	Action   string // exactly, or all that begin with it and a dot: "device"
	Subject  string
	Newest   bool   // the newest first, not the oldest
	After    string // the Cursor of the page before
	Limit    int    // 1 to 500; 0 is 100
}

// AuditPage is a page of the audit, in the order that the query asks for.
type AuditPage struct {
	Rows   []people.Audit
	Cursor string // for the next page; empty if this is the last one
}

// Limits of a page of the audit.
const (
	defaultAuditPage = 100
	maxAuditPage     = 500
	maxAuditScan     = 5000 // rows looked at for one page; the page may then be short
)

// Audit returns a page of the audit. Failed sign-ins until now are part of it.
func (s *Service) Audit(ctx context.Context, by Actor, q AuditQuery) (page AuditPage, err error) {
	if q.Limit <= 0 {
		q.Limit = defaultAuditPage
	}
	q.Limit = min(q.Limit, maxAuditPage)
	after, err := parseAuditCursor(q.After)
	if err != nil {
		return page, err
	}
	if err := s.view(ctx, by, func(c *change) error { return c.may(access.ReadAudit) }); err != nil {
		return page, err
	}
	if err := s.FlushFailures(ctx); err != nil {
		return page, err
	}
	err = s.view(ctx, by, func(c *change) error {
		page = AuditPage{}
		if err := c.may(access.ReadAudit); err != nil {
			return err
		}
		return page.fill(c.Tx, q, after)
	})
	return page, err
}

func (p *AuditPage) fill(tx store.Tx, q AuditQuery, after *people.Audit) error {
	for scanned := 0; ; {
		rows, more, err := q.read(tx, after)
		if err != nil {
			return err
		}
		for i := range rows {
			row := &rows[i]
			if !q.Newest && q.To != 0 && row.Time >= q.To {
				return nil
			}
			if q.matches(row) {
				p.Rows = append(p.Rows, *row)
			}
			if scanned++; len(p.Rows) == q.Limit || scanned == maxAuditScan {
				if more || i+1 < len(rows) {
					p.Cursor = auditCursor(row)
				}
				return nil
			}
		}
		if !more {
			return nil
		}
		after = &rows[len(rows)-1]
	}
}

// read returns the next rows behind a row, or the first ones.
func (q *AuditQuery) read(tx store.Tx, after *people.Audit) (rows []people.Audit, more bool, err error) {
	if q.Newest {
		return people.Audits.Before(tx, q.From, q.To, after, maxAuditPage)
	}
	return people.Audits.Since(tx, q.From, after, maxAuditPage)
}

func (q *AuditQuery) matches(row *people.Audit) bool {
	switch {
	case q.Operator && (row.Actor != "" || row.Action == actionSignInFailed):
		return false
	case q.Actor != "" && !strings.EqualFold(q.Actor, row.Name):
		return false
	case q.Action != "" && row.Action != q.Action && !strings.HasPrefix(row.Action, q.Action+"."):
		return false
	}
	return q.Subject == "" || strings.EqualFold(q.Subject, row.Subject)
}

func auditCursor(row *people.Audit) string { return strconv.FormatInt(row.Time, 10) + "-" + row.ID }

var errCursor = &ValueError{"after", "it does not come from a page before"}

func parseAuditCursor(s string) (*people.Audit, error) {
	if s == "" {
		return nil, nil
	}
	at, id, ok := strings.Cut(s, "-")
	ms, err := strconv.ParseInt(at, 10, 64)
	if !ok || err != nil || ms < 0 {
		return nil, errCursor
	}
	return &people.Audit{Time: ms, ID: id}, nil
}
