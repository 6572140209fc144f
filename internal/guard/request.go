package guard

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/idna"
)

// RoundTrip makes one request, as http.RoundTripper has it, without following redirects and
// without Options.Timeout. Client has both.
func (g *Guard) RoundTrip(req *http.Request) (*http.Response, error) {
	begin := time.Now()
	if err := g.checkURL(req.URL); err != nil {
		closeBody(req)
		return nil, err // it is known from the URL alone
	}
	resp, err := g.roundTrip(req)
	if err != nil {
		g.delay(req.Context(), begin)
		return nil, err
	}
	return resp, nil
}

func (g *Guard) roundTrip(req *http.Request) (*http.Response, error) {
	if g.isClosed() {
		closeBody(req)
		return nil, errClosed
	}
	if err := g.checkLiteral(req.URL.Hostname()); err != nil {
		closeBody(req)
		return nil, err
	}
	sent := req.Clone(req.Context())
	sent.Header.Del("Referer") // a client adds it to redirects
	if sent.Header.Get("User-Agent") == "" {
		sent.Header.Set("User-Agent", g.options.UserAgent)
	}
	if sent.Header.Get("Accept-Encoding") == "" && sent.Header.Get("Range") == "" && sent.Method != http.MethodHead {
		sent.Header.Set("Accept-Encoding", "gzip")
	}
	resp, err := g.transport.RoundTrip(sent)
	if err != nil {
		return nil, err
	}
	resp.Request = req
	boundBody(resp, g.options.MaxBody)
	return resp, nil
}

func (g *Guard) isClosed() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.closed
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close()
	}
}

// delay waits until a request may fail.
func (g *Guard) delay(ctx context.Context, begin time.Time) {
	rest := g.options.FailAfter - time.Since(begin)
	if rest <= 0 {
		return
	}
	timer := time.NewTimer(rest)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// CheckURL returns an error if no request to a URL can succeed, as far as the URL itself tells: a *URLError
// for its scheme, its port or what it has beside them, a *BlockedError for a numeric host that the guard does not
// connect to. It resolves no names: where those lead is checked when they are dialled. It is for
// refusing a URL where somebody enters it.
func (g *Guard) CheckURL(u *url.URL) error {
	if err := g.checkURL(u); err != nil {
		return err
	}
	return g.checkNumeric(u.Hostname())
}

const (
	// maxResolving is how many names CheckHost resolves at a time.
	maxResolving = 16
	// checkTimeout is how long it waits for a resolver: somebody waits for it.
	checkTimeout = 2 * time.Second
)

// CheckHost is CheckURL, and also returns a *BlockedError if all addresses that the name of the host has now are blocked. It
// waits for the resolver for 2 s at most. A name that cannot be resolved is no error, and neither is one
// behind a proxy: a name may lead elsewhere later, so it is checked again whenever it is dialled. It is for refusing a URL
// where somebody enters it. At most maxResolving names are resolved at a time; others are not.
func (g *Guard) CheckHost(ctx context.Context, u *url.URL) error {
	if err := g.CheckURL(u); err != nil || g.options.Proxy != nil {
		return err
	}
	select {
	case g.resolving <- struct{}{}:
		defer func() { <-g.resolving }()
	default:
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, min(checkTimeout, g.options.DialTimeout))
	defer cancel()
	host := u.Hostname()
	if ascii, err := idna.Lookup.ToASCII(host); err == nil {
		host = ascii
	}
	resolver := g.options.Resolver
	if resolver == nil {
		resolver = net.DefaultResolver
	}
	found, err := resolver.LookupNetIP(ctx, "ip", host)
	if err != nil || len(found) == 0 {
		return nil
	}
	for _, a := range found {
		if err = g.Check(a.Unmap()); err == nil {
			return nil
		}
	}
	return named(err, u.Hostname())
}

// checkURL returns a *URLError for what is refused whatever the host is.
func (g *Guard) checkURL(u *url.URL) error {
	defaultPort := 80
	switch {
	case u.Scheme == "https":
		defaultPort = 443
	case u.Scheme == "http" && g.options.HTTPSOnly:
		return &URLError{"the address must begin with https://"}
	case u.Scheme != "http":
		return &URLError{fmt.Sprintf("the address must begin with https:// or http://, not with %.20q", u.Scheme)}
	}
	if u.User != nil {
		return &URLError{"the address must not contain a user name or password"}
	}
	if u.Hostname() == "" {
		return &URLError{"the address has no host"}
	}
	port := defaultPort
	if p := u.Port(); p != "" {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil {
			return &URLError{"the port of the address is not a number up to 65535"}
		}
		port = int(n)
	}
	if !slices.Contains(g.options.Ports, uint16(port)) {
		return &URLError{fmt.Sprintf("the server does not connect to port %d; it does to %s", port, ports(g.options.Ports))}
	}
	return nil
}

// ports writes numbers of ports.
func ports(all []uint16) string {
	var texts []string
	for _, p := range all {
		texts = append(texts, strconv.Itoa(int(p)))
	}
	return strings.Join(texts, ", ")
}

// checkLiteral checks a numeric host if a proxy will make the connection. Without a proxy
// the address that is dialled decides, and the text of the host does not.
func (g *Guard) checkLiteral(host string) error {
	if g.options.Proxy == nil {
		return nil
	}
	return g.checkNumeric(host)
}

// checkNumeric checks a numeric host.
func (g *Guard) checkNumeric(host string) error {
	ascii, err := idna.Lookup.ToASCII(host)
	if err != nil {
		ascii = host
	}
	ascii = strings.TrimSuffix(ascii, ".")
	if a, err := netip.ParseAddr(ascii); err == nil {
		return named(g.Check(a), host)
	}
	if endsInNumber(ascii) || strings.ContainsAny(ascii, ":%") {
		return &URLError{"the host of the address is a number, but not an IP address as it is usually written"}
	}
	return nil
}

// endsInNumber reports whether resolvers may take a host for an IPv4 address, such as
// 127.1 or 0x7f000001 (WHATWG URL, ends-in-a-number checker).
func endsInNumber(host string) bool {
	last := host[strings.LastIndexByte(host, '.')+1:]
	if _, err := strconv.ParseUint(last, 0, 64); err == nil {
		return true
	}
	return last != "" && strings.Trim(last, "0123456789") == ""
}

// checkRedirect decides whether a client follows a redirect. RoundTrip checks where to.
func (g *Guard) checkRedirect(_ *http.Request, via []*http.Request) error {
	switch limit := g.options.Redirects; {
	case limit < 0:
		return http.ErrUseLastResponse
	case len(via) > limit:
		return &RedirectError{Max: limit}
	}
	return nil
}
