package peer

import (
	"net/netip"
	"strings"
)

// Names of the headers, in canonical form.
const (
	headerForwarded = "Forwarded"
	headerFor       = "X-Forwarded-For"
	headerProto     = "X-Forwarded-Proto"
)

// forwardingHeaders are those that only proxies have a reason to send. The first
// three are understood.
var forwardingHeaders = []string{headerForwarded, headerFor, headerProto, "X-Forwarded-Host", "X-Real-Ip"}

const (
	// maxHops is how many proxies may be between the client and the server.
	maxHops = 32
	// maxForwarded is how long a line of Forwarded may be in bytes. It can only be
	// read from the start.
	maxForwarded = 16 << 10
)

// Forwarded returns who made a request of HTTP, given who its connection comes from
// and its headers, whose names are in canonical form. The error is ErrUntrusted if a
// peer outside --proxy forwards requests; it is ErrMalformed if a proxy's headers
// are malformed or contradict each other.
//
// Proxies add themselves at the end, so the end is read first, and what is before
// the first address outside --proxy is not: the client may have made it up. A proxy
// that does not know the client, or does not reveal it, stands for it.
func (r Rules) Forwarded(p Peer, headers map[string][]string) (Peer, error) {
	if !p.Proxy {
		for _, name := range forwardingHeaders {
			if len(headers[name]) > 0 {
				return Peer{}, refuse(ErrUntrusted, "the request has the header %s, but comes from %s, which is no proxy of this server; if it should be, start the server with --proxy %s", name, p.Addr, p.Addr)
			}
		}
		return p, nil
	}
	byFor, err := r.walk(p.Addr, headers[headerFor], lastFor)
	if err != nil {
		return Peer{}, err
	}
	byForwarded, err := r.walk(p.Addr, headers[headerForwarded], lastForwarded)
	if err != nil {
		return Peer{}, err
	}
	client := byFor
	switch {
	case len(headers[headerFor]) == 0:
		client = byForwarded
	case len(headers[headerForwarded]) > 0 && byForwarded != byFor:
		// A proxy that sets one of them passes on the other as the client wrote it.
		return Peer{}, refuse(ErrMalformed, "the headers X-Forwarded-For and Forwarded name different clients; have the proxy %s remove the one that it does not set", p.Addr)
	}
	isEncrypted := p.Encrypted
	if protocols := headers[headerProto]; len(protocols) > 0 {
		isEncrypted = areAllHTTPS(protocols)
	}
	return Peer{Addr: client, Encrypted: isEncrypted, Proxy: r.policy.Proxies.Contains(client)}, nil
}

// areAllHTTPS reports whether a header with one protocol for each hop has no other
// than https: a client can add to it, but take nothing away.
func areAllHTTPS(lines []string) bool {
	for _, line := range lines {
		for protocol := range strings.SplitSeq(line, ",") {
			if strings.ToLower(strings.Trim(protocol, " \t")) != "https" { // EqualFold takes letters for an s that are none
				return false
			}
		}
	}
	return true
}

// lastOf takes the last hop off a line. The hop is the zero Addr if it is unknown or
// concealed.
type lastOf func(line string) (hop netip.Addr, rest string, err error)

// walk follows the hops from the last, for as long as they are proxies. It returns
// the address of the last hop that is known.
func (r Rules) walk(from netip.Addr, lines []string, last lastOf) (netip.Addr, error) {
	client, hops := from, 0
	for i := len(lines) - 1; i >= 0; i-- {
		for line := lines[i]; strings.Trim(line, ", \t") != ""; {
			if hops++; hops > maxHops {
				return netip.Addr{}, refuse(ErrMalformed, "the request came through more than %d proxies", maxHops)
			}
			hop, rest, err := last(line)
			if err != nil {
				return netip.Addr{}, err
			}
			if !hop.IsValid() {
				return client, nil
			}
			if client = plain(hop); !r.policy.Proxies.Contains(client) {
				return client, nil
			}
			line = rest
		}
	}
	return client, nil
}

// lastFor takes the last address off a line of X-Forwarded-For.
func lastFor(line string) (hop netip.Addr, rest string, err error) {
	line = strings.TrimRight(line, ", \t") // a list may have empty elements
	i := strings.LastIndexByte(line, ',')
	hop, err = parseNode(headerFor, strings.Trim(line[i+1:], " \t"))
	return hop, line[:max(i, 0)], err
}

// parseNode parses an address with or without a port, or "unknown" or a concealed
// name, both of which have the zero Addr (RFC 7239, section 6). IPv6 may be without
// brackets if there is no port, as X-Forwarded-For has it.
func parseNode(header, text string) (netip.Addr, error) {
	bad := func() (netip.Addr, error) {
		return netip.Addr{}, refuse(ErrMalformed, "the header %s has %.64q, which is no address", header, text)
	}
	name, port, hasPort := text, "", false
	switch {
	case strings.HasPrefix(text, "["):
		end := strings.IndexByte(text, ']')
		if end < 0 {
			return bad()
		}
		rest := text[end+1:]
		name = text[1:end]
		if port, hasPort = strings.CutPrefix(rest, ":"); !hasPort && rest != "" || !strings.Contains(name, ":") {
			return bad()
		}
	case strings.Count(text, ":") == 1:
		name, port, hasPort = strings.Cut(text, ":")
	}
	if hasPort && !isPort(port) && !isConcealed(port) {
		return bad()
	}
	if strings.ToLower(name) == "unknown" || isConcealed(name) {
		return netip.Addr{}, nil
	}
	addr, err := netip.ParseAddr(name)
	if err != nil {
		return bad()
	}
	return addr, nil
}

// isConcealed reports whether text is an obfuscated identifier: "_" and then
// letters, digits, ".", "_" or "-".
func isConcealed(text string) bool {
	if len(text) < 2 || text[0] != '_' {
		return false
	}
	for i := range len(text) {
		if c := text[i]; !isAlphanumeric(c) && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

func isAlphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// lastForwarded takes the last element off a line of Forwarded. An element without
// "for" is as one that is unknown.
func lastForwarded(line string) (hop netip.Addr, rest string, err error) {
	if len(line) > maxForwarded {
		return netip.Addr{}, "", refuse(ErrMalformed, "the header Forwarded has %d bytes; the limit is %d", len(line), maxForwarded)
	}
	node, start, err := lastElement(line)
	if err != nil || node == "" {
		return netip.Addr{}, "", err
	}
	hop, err = parseNode(headerForwarded, node)
	return hop, line[:start], err
}

var errForwarded = refuse(ErrMalformed, "the header Forwarded is malformed")

// elements reads a line of Forwarded (RFC 7239, section 4):
//
//	line    = [ element ] *( "," [ element ] )
//	element = pair *( ";" [ pair ] )
//	pair    = token "=" ( token / quoted-string )
//
// Where the client has written the start of the line, it must not change how the
// end is read, so there is no leniency: space is allowed around elements only.
type elements struct{ line string }

// lastElement returns the value of "for" in the last element that is not empty, and
// where the element starts. The whole line must be well-formed.
func lastElement(line string) (node string, start int, err error) {
	e := elements{line}
	for i := 0; ; i++ { // i is after a "," or at the start
		i = e.skipSpace(i)
		if i < len(line) && line[i] != ',' {
			start = i
			var ok bool
			if node, i, ok = e.element(i); !ok {
				return "", 0, errForwarded
			}
			i = e.skipSpace(i)
		}
		if i == len(line) {
			return node, start, nil
		}
		if line[i] != ',' {
			return "", 0, errForwarded
		}
	}
}

func (e elements) skipSpace(i int) int {
	for i < len(e.line) && (e.line[i] == ' ' || e.line[i] == '\t') {
		i++
	}
	return i
}

// element reads an element that starts at i, and returns its "for" and its end.
func (e elements) element(i int) (node string, end int, ok bool) {
	for {
		name, next := e.token(i)
		if name == "" || next == len(e.line) || e.line[next] != '=' {
			return "", 0, false
		}
		isFor := strings.EqualFold(name, "for")
		value, next, ok := e.value(next + 1)
		if !ok || isFor && node != "" { // no parameter may be there twice
			return "", 0, false
		}
		if isFor {
			node = value
		}
		for i = next; i < len(e.line) && e.line[i] == ';'; {
			i++
		}
		if i == next || i == len(e.line) || e.line[i] == ',' || e.line[i] == ' ' || e.line[i] == '\t' {
			return node, i, true
		}
	}
}

// token reads a token (RFC 9110, section 5.6.2).
func (e elements) token(i int) (token string, end int) {
	end = i
	for end < len(e.line) && (isAlphanumeric(e.line[end]) || strings.IndexByte("!#$%&'*+-.^_`|~", e.line[end]) >= 0) {
		end++
	}
	return e.line[i:end], end
}

// value reads a token or a quoted string, neither of which may be empty.
func (e elements) value(i int) (value string, end int, ok bool) {
	if i == len(e.line) || e.line[i] != '"' {
		value, end = e.token(i)
		return value, end, value != ""
	}
	var text strings.Builder
	for i++; i < len(e.line); i++ {
		c := e.line[i]
		switch {
		case c == '"':
			return text.String(), i + 1, text.Len() > 0
		case c == '\\' && i+1 < len(e.line):
			i++
			c = e.line[i]
		}
		if c < ' ' && c != '\t' || c == 0x7f {
			return "", 0, false
		}
		text.WriteByte(c)
	}
	return "", 0, false
}
