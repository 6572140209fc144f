// Package dial is the way to a Kaban server: it reads the address of a server, and
// connects over TCP, TLS or WebSocket, through an HTTP proxy if the environment names
// one. It checks certificates; there is no way to skip that.
package dial

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path"
	"strconv"
	"strings"
)

const (
	// Port is where kaban/1 is if an address has no port.
	Port = 6440
	// maxAddress bounds the bytes of the text of an address.
	maxAddress = 2048
	// maxHost bounds the bytes of a host name (RFC 1035, section 2.3.4).
	maxHost = 253
	// socketPath is where the WebSocket of a server is, below its base path.
	socketPath = "/v1/socket"
)

// Scheme is how to talk to a server.
type Scheme string

// The schemes.
const (
	TCP = Scheme("tcp") // kaban/1 over TCP
	TLS = Scheme("tls") // kaban/1 over TLS
	WS  = Scheme("ws")  // kaban/1 over WebSocket
	WSS = Scheme("wss") // kaban/1 over WebSocket over TLS
)

// schemes are those of addresses, with their default ports.
var schemes = map[string]struct {
	scheme Scheme
	port   uint16
}{
	"tcp": {TCP, Port}, "tls": {TLS, Port}, "ws": {WS, 80}, "http": {WS, 80}, "wss": {WSS, 443}, "https": {WSS, 443},
}

// Address is the address of a server. Addresses are equal (==) if they lead to the same
// place in the same way. The zero Address is none.
type Address struct {
	scheme Scheme
	host   string // in lower case, without brackets
	port   uint16
	base   string // the escaped path above the API: "" or "/chat"
}

// AddressError means that a text is no address of a server.
type AddressError struct{ text, problem string }

// Error explains what is wrong. It has no user information of the text.
func (e *AddressError) Error() string {
	if e.text == "" {
		return "the address of the server " + e.problem
	}
	return fmt.Sprintf("%q %s", e.text, e.problem)
}

// form describes addresses, at the end of errors.
const form = "like 127.0.0.1:6440, tls://chat.example or https://chat.example"

// Parse reads the address of a server:
//
//   - tcp://HOST[:PORT] and tls://HOST[:PORT]; the default port is 6440
//   - ws://HOST[:PORT][/BASE] and http://…, the same; the default port is 80
//   - wss://HOST[:PORT][/BASE] and https://…, the same; the default port is 443
//   - HOST[:PORT]: tcp:// if the host is this machine (localhost, 127.0.0.0/8, ::1), else
//     tls://; the other one is never tried. :PORT is localhost:PORT.
//
// The WebSocket is at /v1/socket below the base path; an address that ends with it is
// the same. An IPv6 address may lack its brackets if there is no port. The error is an
// *AddressError.
func Parse(text string) (Address, error) {
	text = strings.TrimSpace(text)
	switch {
	case text == "":
		return Address{}, &AddressError{problem: "is empty; it must be " + form}
	case len(text) > maxAddress:
		return Address{}, &AddressError{problem: fmt.Sprintf("has %d bytes; the limit is %d", len(text), maxAddress)}
	case strings.Contains(text, "@"): // may be a password
		return Address{}, &AddressError{problem: "has a name or a password in it; leave out the part up to the @"}
	}
	var a Address
	var err error
	if name, _, ok := strings.Cut(text, "://"); ok {
		a, err = parseURL(text, strings.ToLower(name))
	} else {
		a, err = parseBare(text)
	}
	if bad, ok := errors.AsType[*AddressError](err); ok && bad.text == "" {
		bad.text = text
	}
	return a, err
}

func parseURL(text, name string) (a Address, err error) {
	known, ok := schemes[name]
	if !ok {
		return a, &AddressError{problem: "does not start with tcp://, tls://, ws://, http://, wss:// or https://; write it " + form}
	}
	u, err := url.Parse(text)
	if err != nil {
		return a, &AddressError{problem: "is no valid address; write it " + form}
	}
	if u.RawQuery != "" || u.ForceQuery || strings.Contains(text, "#") {
		return a, &AddressError{problem: "has more than a host, a port and a path; leave out the rest"}
	}
	a.scheme, a.port = known.scheme, known.port
	if a.host, err = parseHost(u.Hostname()); err != nil {
		return Address{}, err
	}
	if strings.HasSuffix(u.Host, ":") || u.Port() != "" {
		if a.port, err = parsePort(u.Port()); err != nil {
			return Address{}, err
		}
	}
	if a.base, err = a.parseBase(u.EscapedPath()); err != nil {
		return Address{}, err
	}
	return a, nil
}

// parseBase returns the base path of a path.
func (a *Address) parseBase(given string) (string, error) {
	base := strings.TrimSuffix(given, "/")
	if !a.isWeb() {
		if base != "" {
			return "", &AddressError{problem: "has a path; only https://, wss:// and ws:// addresses have one"}
		}
		return "", nil
	}
	for strings.HasSuffix(base, socketPath) {
		base = strings.TrimSuffix(strings.TrimSuffix(base, socketPath), "/")
	}
	if base != "" && (base[0] != '/' || path.Clean(base) != base || strings.ContainsAny(base, "\\\"<>^`{|}")) {
		return "", &AddressError{problem: "has a path with //, . or .. or special characters in it; write the path as it is on the server"}
	}
	return base, nil
}

func parseBare(text string) (a Address, err error) {
	host, port := text, ""
	inside, bracketed := strings.CutPrefix(text, "[")
	inside, closed := strings.CutSuffix(inside, "]")
	if _, err := netip.ParseAddr(inside); err == nil && bracketed == closed {
		host = inside
	} else if strings.Contains(text, ":") {
		if host, port, err = net.SplitHostPort(text); err != nil {
			return a, &AddressError{problem: "is not HOST or HOST:PORT; write it " + form}
		}
		if a.port, err = parsePort(port); err != nil {
			return Address{}, err
		}
	}
	if host == "" && port != "" { // as in the addresses of listeners
		host = "localhost"
	}
	if strings.Contains(host, "/") {
		return Address{}, &AddressError{problem: "has a path but no scheme; put https:// before it"}
	}
	if a.host, err = parseHost(host); err != nil {
		return Address{}, err
	}
	if port == "" {
		a.port = Port
	}
	if a.scheme = TLS; a.IsLoopback() {
		a.scheme = TCP
	}
	return a, nil
}

func parsePort(text string) (uint16, error) {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 {
		return 0, &AddressError{problem: "has a bad port: the port must be a number from 1 to 65535"}
	}
	return uint16(n), nil
}

// hostBytes are those of a label of a host, and of a zone of an IPv6 address.
const hostBytes = "abcdefghijklmnopqrstuvwxyz0123456789-_"

// parseHost returns a host name or an IP address in its usual form.
func parseHost(text string) (string, error) {
	if ip, err := netip.ParseAddr(text); err == nil {
		if strings.Trim(strings.ToLower(ip.Zone()), hostBytes) != "" {
			return "", &AddressError{problem: "has no valid zone of an IPv6 address"}
		}
		return ip.String(), nil
	}
	host := strings.ToLower(text)
	switch {
	case host == "":
		return "", &AddressError{problem: "has no host; write it " + form}
	case len(host) > maxHost:
		return "", &AddressError{problem: fmt.Sprintf("has a host with more than %d bytes", maxHost)}
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(host, "."), ".") {
		if label == "" || strings.Trim(label, hostBytes) != "" {
			return "", &AddressError{problem: "has a host with other characters than letters, digits, hyphens and dots; write names in other scripts in their xn-- form"}
		}
	}
	return host, nil
}

func (a *Address) isWeb() bool { return a.scheme == WS || a.scheme == WSS }

// Scheme returns how to talk to the server.
func (a Address) Scheme() Scheme { return a.scheme }

// Host returns the name or the IP address of the server, without brackets.
func (a Address) Host() string { return a.host }

// HostPort returns the host and the port for a dialer.
func (a Address) HostPort() string { return net.JoinHostPort(a.host, strconv.Itoa(int(a.port))) }

// IsEncrypted reports whether the connection uses TLS.
func (a Address) IsEncrypted() bool { return a.scheme == TLS || a.scheme == WSS }

// IsLoopback reports whether the host is this machine by its name: localhost (RFC 6761,
// section 6.3), 127.0.0.0/8 or ::1.
func (a Address) IsLoopback() bool {
	if ip, err := netip.ParseAddr(a.host); err == nil {
		return ip.Unmap().IsLoopback()
	}
	name := strings.TrimSuffix(a.host, ".")
	return name == "localhost" || strings.HasSuffix(name, ".localhost")
}

// Web returns the http or https address above the server's API, without a slash at its
// end, or "" for a server that is reached by kaban/1 alone.
func (a Address) Web() string {
	if !a.isWeb() {
		return ""
	}
	scheme := "http"
	if a.scheme == WSS {
		scheme = "https"
	}
	return scheme + "://" + a.urlHost() + a.base
}

// urlHost returns the host, and the port unless it is that of the scheme, for a URL.
func (a *Address) urlHost() string {
	if a.port == schemes[string(a.scheme)].port && a.isWeb() {
		if strings.Contains(a.host, ":") {
			return "[" + strings.ReplaceAll(a.host, "%", "%25") + "]"
		}
		return a.host
	}
	return strings.ReplaceAll(a.HostPort(), "%", "%25")
}

// String returns the usual form of the address, for which Parse returns the same
// Address: HOST:PORT for TCP on this machine, tcp://HOST:PORT, tls://HOST:PORT,
// http://HOST/BASE or https://HOST/BASE.
func (a Address) String() string {
	switch {
	case a.scheme == "":
		return ""
	case a.isWeb():
		return a.Web()
	case a.scheme == TCP && a.IsLoopback():
		return a.HostPort()
	}
	return string(a.scheme) + "://" + a.urlHost()
}
