package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"kaban/internal/store"
)

// Codes of errors, https://www.postgresql.org/docs/current/errcodes-appendix.html.
const (
	codeReadOnly           = "25006"
	codeUniqueViolation    = "23505"
	codeSerialization      = "40001"
	codeDeadlock           = "40P01"
	codeDiskFull           = "53100"
	codeOutOfMemory        = "53200"
	codeTooManyConnections = "53300"
	codeLockTimeout        = "55P03"
	codeQueryCanceled      = "57014"
	codeAdminShutdown      = "57P01"
	codeCrashShutdown      = "57P02"
	codeCannotConnectNow   = "57P03"
	codeIdleInTransaction  = "25P03"
	codeTransactionTimeout = "25P04"
	codeDataCorrupted      = "XX001"
	codeIndexCorrupted     = "XX002"
)

// codeOf returns the code of an error of the server, "" of any other error.
func codeOf(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return ""
}

// isLost reports whether an error of a statement leaves open what the server did, because the
// connection was lost. A server that says why it ends a connection may have completed the statement
// before.
//
// pgconn.SafeToRetry is of no use: a COMMIT whose answer is lost ends with "conn closed", which pgx
// calls safe (v5.12.0).
func isLost(err error) bool {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Severity == "FATAL" || e.Severity == "PANIC" || e.SeverityUnlocalized == "FATAL" || e.SeverityUnlocalized == "PANIC"
	}
	_, isUnsent := errors.AsType[unsent](err)
	_, isLocal := errors.AsType[local](err)
	return err != nil && !isUnsent && !isLocal && !errors.Is(err, store.ErrDamaged) && !isOurs(err)
}

// unsent is the error of a statement that was not sent: there was no connection, or no time.
type unsent struct{ error }

func (e unsent) Unwrap() error { return e.error }

// local is an error that leaves its connection as it was, so it is not from the network: an argument
// or a row that does not fit.
type local struct{ error }

func (l local) Unwrap() error { return l.error }

// kept marks an error that has not cost its connection.
func kept(c *pgx.Conn, err error) error {
	switch {
	case err == nil || codeOf(err) != "" || errors.Is(err, errDoubtful) || c.IsClosed():
		return err
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return unsent{err}
	}
	return local{err}
}

// isOurs reports whether an error is about what a server is, and not from it.
func isOurs(err error) bool {
	for _, ours := range []error{ErrUnsafe, ErrOldServer, ErrStandby, ErrFenced, ErrOtherServer, ErrEpoch, ErrNewer, ErrNoStandby} {
		if errors.Is(err, ours) {
			return true
		}
	}
	return false
}

// isPassing reports whether another attempt may succeed, on another connection.
func isPassing(err error) bool {
	switch code := codeOf(err); code {
	case "":
		_, isUnsent := errors.AsType[unsent](err)
		return isOurs(err) || isLost(err) || isUnsent
	case codeSerialization, codeDeadlock, codeReadOnly, codeOutOfMemory, codeTooManyConnections, codeLockTimeout, codeQueryCanceled, codeAdminShutdown, codeCrashShutdown,
		codeCannotConnectNow, codeIdleInTransaction, codeTransactionTimeout:
		return true
	default:
		return isLost(err) || code[:2] == "08"
	}
}

// failed returns the error of the contract for one of the database. What the database has refused
// was rolled back, so none is store.ErrBroken.
func (s *Store) failed(operation string, err error) error {
	if broken := s.broken.Load(); broken != nil {
		return *broken
	}
	var kind error
	switch code := codeOf(err); {
	case errors.Is(err, store.ErrUnknown), errors.Is(err, store.ErrUnavailable):
	case code == codeDiskFull:
		kind = store.ErrFull
	case code == codeDataCorrupted, code == codeIndexCorrupted:
		kind = store.ErrDamaged
	case isPassing(err):
		kind = store.ErrUnavailable
	}
	if kind == nil {
		return fmt.Errorf("%s: %w", operation, err)
	}
	return fmt.Errorf("%s: %w: %w", operation, kind, err)
}

// Pauses between attempts.
const (
	shortestPause = 5 * time.Millisecond
	longestPause  = 250 * time.Millisecond
)

// patience is the time that a call has, for everything that it does: to get connections, to wait for
// locks and answers, and to try again.
type patience struct {
	ctx   context.Context // ends with it
	pause time.Duration
	store *Store
	err   error // of the attempt before the last
}

// patient returns the patience of a call. The caller calls end.
func (s *Store) patient(ctx context.Context) (p *patience, end context.CancelFunc) {
	ctx, end = context.WithTimeout(ctx, s.patience)
	return &patience{ctx: ctx, pause: shortestPause, store: s}, end
}

// again waits before another attempt after an error, and reports whether there is time for one.
func (p *patience) again(err error) bool {
	if p.ctx.Err() == nil {
		p.err = err
	}
	if p.store.broken.Load() != nil {
		return false
	}
	timer := time.NewTimer(p.pause)
	defer timer.Stop()
	p.pause = min(2*p.pause, longestPause)
	select {
	case <-timer.C:
		return true
	case <-p.ctx.Done():
		return false
	}
}

// late says of the error of the last attempt that there was no time for it. The one before says why.
func (p *patience) late(err error) error {
	switch {
	case p.ctx.Err() == nil:
		return err
	case p.err != nil:
		err = p.err
	}
	return fmt.Errorf("no answer within %v: %w", p.store.patience, err)
}

// try calls a function that changes nothing, or does no harm when it is called twice, until it is
// served.
func (s *Store) try(ctx context.Context, operation string, run func(context.Context) error) error {
	p, end := s.patient(ctx)
	defer end()
	for {
		err := run(p.ctx)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case !isPassing(err) || !p.again(err):
			return s.failed(operation, p.late(err))
		}
	}
}

// mayPass reports whether an error on a connection outside the pools is temporary: the connection was
// lost, or the server says that the same may work later.
func mayPass(c *pgx.Conn, err error) bool {
	return err != nil && (c.IsClosed() || codeOf(err) != "" && isPassing(err))
}

// soon calls a function, which uses a connection outside the pools, once and within a patience. An error
// that may pass is a store.ErrUnavailable.
func (s *Store) soon(ctx context.Context, c *pgx.Conn, run func(context.Context) error) error {
	p, end := s.patient(ctx)
	defer end()
	err := run(p.ctx)
	if ctx.Err() != nil || !mayPass(c, err) {
		return err
	}
	return fmt.Errorf("%w: %w", store.ErrUnavailable, p.late(err))
}

// reading calls a function that only reads on a connection, again if the connection is lost.
func (s *Store) reading(ctx context.Context, operation string, run func(ctx context.Context, c querier) error) error {
	if err := s.begun(ctx); err != nil {
		return err
	}
	defer s.leave()
	return s.try(ctx, operation, func(ctx context.Context) error { return run(ctx, s.readers) })
}
