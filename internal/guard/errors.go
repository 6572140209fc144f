package guard

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
)

// BlockedError means that the server does not connect to an address. It is for the operator:
// it names addresses inside the operator's network. Conceal makes of it what may be shown.
type BlockedError struct {
	// Host is the name or address that was to be connected to, "" if it is not known.
	Host   string
	Addr   netip.Addr
	Class  Class
	Source string // of the class, such as an RFC; "" for Denied
}

func (e *BlockedError) Error() string {
	subject := e.Addr.String() + " is"
	if _, err := netip.ParseAddr(e.Host); err != nil && e.Host != "" {
		subject = fmt.Sprintf("%.253q has the address %s,", e.Host, e.Addr)
	}
	if e.Class == Denied {
		return subject + " " + e.Class.String() + ": it is in a network that the server must not connect to"
	}
	return fmt.Sprintf("%s %s (%s), which the server does not connect to; if it should, allow the network %s",
		subject, e.Class, e.Source, netip.PrefixFrom(plain(e.Addr), plain(e.Addr).BitLen()))
}

// URLError means that the server does not request a URL, whatever its host is. The text has
// no part of the URL but its scheme and port, since URLs may be secret.
type URLError struct{ Reason string }

func (e *URLError) Error() string { return e.Reason }

// RedirectError means that a request was redirected too often.
type RedirectError struct{ Max int }

func (e *RedirectError) Error() string {
	return fmt.Sprintf("there are more than %d redirects", e.Max)
}

// BodyError means that the body of a response is too long, before or after decompression.
type BodyError struct {
	Max int64 // bytes
}

func (e *BodyError) Error() string {
	return fmt.Sprintf("the response has more than %d bytes", e.Max)
}

// BusyError means that all connections of the guard were in use for the time that a
// connection may take.
type BusyError struct{ Max int }

func (e *BusyError) Error() string {
	return fmt.Sprintf("all %d connections are in use", e.Max)
}

// ErrUnreachable is all that a person learns about a request that failed.
var ErrUnreachable = errors.New("the server got no response from this address")

// Conceal returns what a person may learn about the error of a request that the person
// caused. A *URLError, *RedirectError or *BodyError says nothing but what is in the person's
// URL, or what a host that the server may connect to has sent. Everything else becomes
// ErrUnreachable: whether a name is known, its address blocked, a port closed or a host
// silent would describe the operator's network. Options.FailAfter makes the times alike, too.
func Conceal(err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*URLError](err); ok {
		return e
	}
	if e, ok := errors.AsType[*RedirectError](err); ok {
		return e
	}
	if e, ok := errors.AsType[*BodyError](err); ok {
		return e
	}
	return ErrUnreachable
}

// Reason returns an error of a client without the URL, which may be secret. It is for logs
// that only the operator reads: names and addresses stay.
func Reason(err error) error {
	for {
		e, ok := errors.AsType[*url.Error](err)
		if !ok {
			return err
		}
		err = e.Err
	}
}
