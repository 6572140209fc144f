package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"

	"kaban/client/device"
	"kaban/client/dial"
	"kaban/internal/credentials"
	"kaban/internal/display"
)

// serverFlags name a server and how to talk to it.
type serverFlags struct {
	Server   string `placeholder:"ADDRESS" env:"KABAN_SERVER" help:"The server: tls://HOST[:PORT] or tcp://HOST[:PORT] (port 6440), https://HOST[:PORT][/PATH] or wss://... (port 443), http://HOST[:PORT][/PATH] or ws://... (port 80). HOST[:PORT] alone is tcp:// for this machine and tls:// for any other. HTTPS_PROXY and NO_PROXY hold for https:// and wss://. Default: 127.0.0.1:6440."`
	CA       string `name:"ca" placeholder:"FILE" env:"KABAN_CA" help:"PEM file with the authorities that may vouch for the server, instead of those of the system. \"kaban login\" remembers it for the server."`
	Pin      string `placeholder:"SHA256" env:"KABAN_PIN" help:"SHA-256 of the server's public key, in base64 or hexadecimal digits. It counts instead of authorities, names and dates, or beside --ca. \"kaban login\" remembers it for the server."`
	Insecure bool   `env:"KABAN_INSECURE" help:"Send passwords and tokens to other machines without encryption."`
}

// address returns the server in the usual form of its address.
func (f *serverFlags) address() (string, error) {
	address, err := dial.Parse(cmp.Or(f.Server, defaultServer))
	if err != nil {
		return "", usagef("--server: %w", err)
	}
	return address.String(), nil
}

// trust returns which certificates of a server count: those of the flags, else those
// that were remembered when the person signed in.
func (f *serverFlags) trust(server string) (dial.Trust, error) {
	if f.CA != "" || f.Pin != "" {
		return f.given(server)
	}
	saved, _, err := savedCredentials().Of(server)
	if err != nil {
		return dial.Trust{}, err
	}
	return trustOf(server, saved)
}

// given returns the trust of the flags.
func (f *serverFlags) given(server string) (trust dial.Trust, err error) {
	if f.CA != "" {
		if trust.CA, err = readCA(f.CA); err != nil {
			return dial.Trust{}, usagef("--ca %s: %w", f.CA, err)
		}
	}
	if f.Pin != "" {
		if trust.Pin, err = dial.ParsePin(f.Pin); err != nil {
			return dial.Trust{}, usagef("--pin: %w", err)
		}
	}
	if address, err := dial.Parse(server); err == nil && !address.IsEncrypted() {
		return dial.Trust{}, usagef("--ca and --pin (KABAN_CA, KABAN_PIN): %s has no certificate; name the server as tls:// or https://, or leave them out", server)
	}
	return trust, nil
}

func readCA(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case info.Size() > dial.MaxCA:
		return nil, fmt.Errorf("it has %d bytes; the limit is %d", info.Size(), dial.MaxCA)
	}
	text, err := os.ReadFile(path)
	if err == nil {
		_, err = dial.ParseCA(text)
	}
	return text, err
}

// trustOf returns the trust that a credential has.
func trustOf(server string, saved credentials.Credential) (trust dial.Trust, err error) {
	if saved.Pin != "" {
		if trust.Pin, err = dial.ParsePin(saved.Pin); err != nil {
			return dial.Trust{}, fmt.Errorf("the pin of %s in %s: %w; sign in again", server, savedCredentials().Path(), err)
		}
	}
	if saved.CA != "" {
		trust.CA = []byte(saved.CA)
	}
	return trust, nil
}

// rememberTrust notes the trust that is saved with the credential.
func (c *loginCommand) rememberTrust(server string) (err error) {
	c.known, err = c.trust(server)
	return err
}

// toWeb returns how to talk to a page of a server. The server's trust holds where the
// page has the same host.
func (f *serverFlags) toWeb(server, web string) (device.Options, error) {
	saved, _, err := savedCredentials().Of(server)
	if err != nil {
		return device.Options{}, err
	}
	return f.toWebWith(server, web, saved)
}

func (f *serverFlags) toWebWith(server, web string, saved credentials.Credential) (options device.Options, err error) {
	options.Insecure = f.Insecure
	at, err := dial.Parse(server)
	if err != nil {
		return options, err
	}
	page, err := dial.Parse(web)
	if err != nil {
		return options, usagef("--web: %w", err)
	}
	if !page.IsEncrypted() || page.Host() != at.Host() {
		return options, nil
	}
	if f.CA != "" || f.Pin != "" {
		options.Trust, err = f.given(web)
	} else {
		options.Trust, err = trustOf(server, saved)
	}
	return options, err
}

// webOf returns the address of the page of a server that is reached through it, or "".
func webOf(server string) string {
	address, err := dial.Parse(server)
	if err != nil {
		return ""
	}
	return address.Web()
}

// usualWebOf returns where the page of a server usually is: on this machine where "kaban
// serve" has it, on others at https and the usual port.
func usualWebOf(server string) string {
	address, err := dial.Parse(server)
	switch {
	case err != nil:
		return ""
	case address.IsLoopback():
		return "http://" + net.JoinHostPort(address.Host(), "6480")
	}
	page, err := dial.Parse("https://" + net.JoinHostPort(address.Host(), "443"))
	if err != nil {
		return ""
	}
	return page.Web()
}

// webSaidBy returns the address of the page that a server has said, or "" if it is none
// for this machine: a page on "this machine" is the server's machine.
func webSaidBy(server, web string) string {
	at, err := dial.Parse(server)
	page, err2 := dial.Parse(web)
	if err != nil || err2 != nil || page.Web() == "" || page.IsLoopback() && !at.IsLoopback() {
		return ""
	}
	return page.Web()
}

// explainServer explains what is wrong with a server that was found, or with the proxy,
// and what to do; "" for anything else.
func explainServer(addr string, err error) string {
	if bad, ok := errors.AsType[*dial.CertificateError](err); ok {
		return explainCertificate(addr, bad)
	}
	if bad, ok := errors.AsType[*dial.ProxyError](err); ok {
		return explainProxy(addr, bad)
	}
	if bad, ok := errors.AsType[*dial.UpgradeError](err); ok {
		if bad.Status == http.StatusMisdirectedRequest {
			return fmt.Sprintf("the server at %s does not know that it has this name (HTTP status %d); check --server, or ask its operator to give this address with --origin", addr, bad.Status)
		}
		if bad.Detail != "" {
			return fmt.Sprintf("the server at %s refuses: %s", addr, display.Line(bad.Error()))
		}
		return fmt.Sprintf("%s: %s; check the host and the path of --server", addr, display.Line(bad.Error()))
	}
	switch {
	case errors.Is(err, dial.ErrNoTLS):
		return fmt.Sprintf("the server at %s does not speak TLS there; check the port, or use its tcp:// or ws:// address if it is not encrypted, which sends messages in the clear", addr)
	case errors.Is(err, dial.ErrTLSOnly):
		return fmt.Sprintf("the server at %s speaks TLS there; use the same address with tls:// or https://", addr)
	case errors.Is(err, dial.ErrWebServer):
		return fmt.Sprintf("a web server answers at %s; use its https:// address, or the port of the server's tcp:// or tls:// listener", addr)
	case errors.Is(err, dial.ErrNoWebServer):
		return fmt.Sprintf("no web server answers at %s; use the port of the server's http:// or https:// listener, or name this one tcp://HOST:PORT or tls://HOST:PORT", addr)
	case errors.Is(err, dial.ErrNoUse):
		return fmt.Sprintf("%s has no certificate to check; use its tls:// or https:// address", addr)
	}
	return ""
}

// explainWay explains why there is no way to a server, and what to do; "" for anything
// else.
func explainWay(addr string, err error) string {
	if text := explainServer(addr, err); text != "" {
		return text
	}
	name, isName := errors.AsType[*net.DNSError](err)
	slow, isSlow := errors.AsType[net.Error](err)
	switch {
	case isName && name.IsNotFound:
		return fmt.Sprintf("there is no host named %q; check --server", name.Name)
	case isName:
		return fmt.Sprintf("the name %q cannot be looked up now (%v); check the network of this machine and its DNS servers", name.Name, display.Line(name.Err))
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Sprintf("nothing listens at %s; start a server with \"kaban serve\", or name another with --server", addr)
	case errors.Is(err, context.DeadlineExceeded), isSlow && slow.Timeout():
		return fmt.Sprintf("the server at %s does not answer in time; check --server, and whether a firewall is in between", addr)
	}
	return ""
}

// explainCertificate explains what is wrong with a certificate, and what to do.
func explainCertificate(addr string, e *dial.CertificateError) string {
	todo := "ask the server's operator"
	switch e.Fault {
	case dial.WrongName:
		todo = "use one of these names with --server, or ask the server's operator whether this is the server, and then give --pin " + e.Pin.String()
	case dial.Expired:
		todo = "the server's operator must renew it; check the clock of this machine, too: it shows " + time.Now().UTC().Format(time.DateTime+" MST")
	case dial.NotYetValid:
		todo = "check the clock of this machine: it shows " + time.Now().UTC().Format(time.DateTime+" MST")
	case dial.SelfSigned:
		todo = "if the server's operator confirms this pin, give --pin " + e.Pin.String() + ", or the certificate with --ca FILE"
	case dial.UnknownAuthority:
		if e.OwnCA {
			todo = "give the certificate of its own authority with --ca FILE; or, if the server's operator confirms this pin, --pin " + e.Pin.String() + " without --ca"
			break
		}
		todo = "give the certificate of the authority with --ca FILE; or, if the server's operator confirms this pin, --pin " + e.Pin.String()
	case dial.PinDiffers:
		todo = "it may be another server, or somebody on the way; only if the server's operator confirms the new pin, give it with --pin, and sign in again to remember it"
	}
	return fmt.Sprintf("the server at %s was not trusted, and nothing was sent: %s; %s", addr, display.Line(e.Error()), todo)
}

// explainProxy explains why the proxy is of no use, and what to do.
func explainProxy(addr string, e *dial.ProxyError) string {
	todo := "check HTTPS_PROXY, or name the server in NO_PROXY to go without a proxy"
	if e.Status == http.StatusProxyAuthRequired {
		todo = "give them in HTTPS_PROXY, as in http://NAME:PASSWORD@HOST:PORT"
	}
	return fmt.Sprintf("no way to %s: %s; %s", addr, display.Line(e.Error()), todo)
}
