package web

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// origins are the places that pages may come from beside the server itself.
type origins struct {
	names []string // scheme://host[:port]
	hosts []string // host[:port]
}

// parseOrigins takes origins apart. They are written as browsers write them:
// RFC 6454, section 6.2.
func parseOrigins(names []string) (origins, error) {
	var o origins
	for _, name := range names {
		u, err := url.Parse(name)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Scheme+"://"+u.Host != name || strings.ToLower(name) != name {
			return origins{}, fmt.Errorf("%q is no origin such as https://chat.example.org: scheme and host in lower case, a port where it is not the usual one, and nothing else", name)
		}
		o.names, o.hosts = append(o.names, name), append(o.hosts, u.Host)
	}
	return o, nil
}

// allows reports whether what a page does may be done: the page is of this
// server or of one of the others. Who is no browser sends no Origin.
func (o origins) allows(r *http.Request) bool {
	sent := r.Header.Values("Origin")
	switch {
	case len(sent) == 0:
		return true
	case len(sent) > 1:
		return false
	case slices.Contains(o.names, sent[0]):
		return true
	}
	u, err := url.Parse(sent[0])
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Scheme+"://"+u.Host == sent[0] && u.Host == r.Host
}

// knows reports whether a request is for this server. A name that leads to the
// machine itself can only be its own or one that the operator has named: a
// foreign page could give its own name this address and then pass for ours (DNS
// rebinding). In a network the server cannot know its names, unless the operator
// has named some: then it has those only.
func (o origins) knows(r *http.Request) bool {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	if !ok || !local.IP.IsLoopback() && len(o.hosts) == 0 || slices.Contains(o.hosts, r.Host) {
		return true
	}
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.Trim(host, "[]")
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.IsLoopback() || !local.IP.IsLoopback() // an address is no name
	}
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}
