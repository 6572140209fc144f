package account

import (
	"errors"
	"fmt"
	"time"

	"kaban"
	"kaban/internal/access"
)

// Errors that callers distinguish with errors.Is. None of them contains a secret.
var (
	// ErrAuthFailed means that a sign-in failed. It is the same for every cause, so
	// that nobody learns which names have accounts.
	ErrAuthFailed = errors.New("the name or the secret is wrong")
	// ErrSuspended means that the secret is right, but the account may not be used:
	// it is suspended, or it is a bot without an active owner.
	ErrSuspended = errors.New("the account is suspended")
	// ErrExpired means that a secret, a link or a code was right, but is too old or
	// used up.
	ErrExpired = errors.New("the link, code or secret has expired")
	// ErrSignedOut means that a device was signed in and no longer is.
	ErrSignedOut = errors.New("the session has ended")
	// ErrInsecure means that a secret came from a peer from which none is taken.
	ErrInsecure = errors.New("the connection is not encrypted")
	// ErrNotFresh means that the person must sign in again before this action.
	ErrNotFresh = errors.New("the action needs a fresh sign-in")
	// ErrProgram means that a token is not enough for an action that its account may do. A
	// *RefusedError is one then.
	ErrProgram = errors.New("a token does not administer the server")
	// ErrBusy means that too many passwords wait for their check, or for too long.
	ErrBusy = errors.New("too many sign-ins at once")
	// ErrWeakPassword means that a password is not accepted. A *WeakPasswordError is
	// one.
	ErrWeakPassword = errors.New("the password is not accepted")
	// ErrUnclaimed means that the server has no owner yet, so nobody can have an
	// account.
	ErrUnclaimed = errors.New("the server has no owner yet")
	// ErrClaimed means that the server has an owner already.
	ErrClaimed = errors.New("the server has an owner already")
	// ErrNameTaken means that an account has the name, or one that looks like it.
	ErrNameTaken = errors.New("the name is taken")
	// ErrNameReserved means that nobody may have the name.
	ErrNameReserved = errors.New("the name is reserved")
	// ErrNotFound means that there is no such account, device, token or invite, as
	// far as the caller may know. A *NotFoundError is one.
	ErrNotFound = errors.New("there is no such account, device, token or invite")
	// ErrNotOpen means that signing up needs an invite, or an admin.
	ErrNotOpen = errors.New("the server takes no sign-ups")
	// ErrLastWay means that the account could not be signed in to afterwards.
	ErrLastWay = errors.New("the account would have no way to sign in")
	// ErrTooMany means that a limit of this package is reached.
	ErrTooMany = errors.New("there are too many of them")

	// The errors of a device that polls for its approval, as RFC 8628, section 3.5,
	// names them. The fourth is ErrExpired.
	ErrPending  = errors.New("the sign-in waits for its approval")
	ErrSlowDown = errors.New("the device asks too often")
	ErrDenied   = errors.New("the sign-in was denied")
)

// WeakPasswordError says why a password is not accepted.
type WeakPasswordError struct{ Reason string } // such as "it is one of the commonest"

func (e *WeakPasswordError) Error() string { return ErrWeakPassword.Error() + ": " + e.Reason }

// Unwrap makes every WeakPasswordError an ErrWeakPassword.
func (e *WeakPasswordError) Unwrap() error { return ErrWeakPassword }

// RefusedError says that somebody may not do something.
type RefusedError struct {
	Action  access.Action
	Verdict access.Verdict // not Allowed; its text is the protocol's code
}

func (e *RefusedError) Error() string { return fmt.Sprintf("%s: %s", e.Action, e.Verdict) }

// Unwrap makes a RefusedError an ErrProgram if it is one of a program only, and an
// ErrNotFresh if a fresh sign-in is all that it takes.
func (e *RefusedError) Unwrap() error {
	switch e.Verdict {
	case access.InPersonOnly:
		return ErrProgram
	case access.Stale:
		return ErrNotFresh
	}
	return nil
}

// WaitError says when something that is limited may be tried again.
type WaitError struct{ After time.Duration }

func (e *WaitError) Error() string {
	return fmt.Sprintf("too many attempts; the next one is possible in %s", e.After.Round(time.Second))
}

// NotFoundError names what there is not, as far as the caller may know, and the command
// that lists what there is.
type NotFoundError struct{ What, Name, List string }

func (e *NotFoundError) Error() string {
	return fmt.Sprintf("there is no %s %s; \"%s\" shows all", e.What, e.Name, e.List)
}

// Unwrap makes every NotFoundError an ErrNotFound.
func (e *NotFoundError) Unwrap() error { return ErrNotFound }

// maxEchoed is how much of an unknown name an error repeats, in code points.
const maxEchoed = 64

// NoAccount returns the error for a username that has no account.
func NoAccount(username string) error { return notFound("account", username, "kaban user list") }

// NoToken returns the error for an id that is none of a token of an account.
func NoToken(id, username string) error {
	return notFound("token", id, "kaban token list "+username)
}

func notFound(what, name, list string) error {
	if _, err := kaban.ParseUsername(name); err != nil { // nothing that a terminal would obey
		name = fmt.Sprintf("%.*q", maxEchoed, name)
	}
	return &NotFoundError{what, name, list}
}

// StateError says why something cannot be done with an account as it is now, and what
// to do.
type StateError struct{ Username, Reason string }

func (e *StateError) Error() string { return e.Username + " " + e.Reason }

// ValueError says why a value is not accepted.
type ValueError struct{ What, Reason string }

func (e *ValueError) Error() string { return e.What + ": " + e.Reason }
