package web

import (
	"bufio"
	"bytes"
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
	names []string // scheme://host[:port], as browsers write them
	hosts []string // host[:port], with and without a usual port
}

// parseOrigins takes origins apart. Operators write them as they write addresses;
// they are compared as browsers write them: RFC 6454, section 6.2.
func parseOrigins(names []string) (origins, error) {
	var o origins
	for _, name := range names {
		u, err := parseOrigin(name)
		if err != nil {
			return origins{}, fmt.Errorf("%q is no origin such as https://chat.example.org: %w", name, err)
		}
		o.names, o.hosts = append(o.names, u.Scheme+"://"+u.Host), append(o.hosts, u.Host)
		if u.Port() == "" {
			o.hosts = append(o.hosts, u.Host+":"+usualPorts[u.Scheme])
		}
	}
	return o, nil
}

// CheckOrigins returns what is wrong with Config.Origins.
func CheckOrigins(names []string) error {
	_, err := parseOrigins(names)
	return err
}

// usualPorts are the ports that stand for themselves where none is written.
var usualPorts = map[string]string{"http": "80", "https": "443"}

// parseOrigin returns an origin as a browser writes it: scheme and host in lower
// case, an international name in ASCII, a port where it is not the usual one.
func parseOrigin(name string) (*url.URL, error) {
	if strings.ContainsAny(name, "?#@\\") {
		return nil, fmt.Errorf("it must be scheme and host, a port if need be, and nothing else")
	}
	u, err := url.Parse(strings.TrimSuffix(name, "/"))
	switch {
	case err != nil:
		return nil, fmt.Errorf("it is no address at all")
	case usualPorts[u.Scheme] == "":
		return nil, fmt.Errorf("it must begin with https:// or http://")
	case u.Hostname() == "" || u.Opaque != "":
		return nil, fmt.Errorf("there is no host in it")
	case u.Path != "":
		return nil, fmt.Errorf("an origin has no path; leave out %s, --base-path says it", u.Path)
	}
	if u.Host, err = inASCII(strings.ToLower(u.Host)); err != nil {
		return nil, fmt.Errorf("%s is no host name", u.Hostname())
	}
	u.Host = withoutUsualPort(u.Scheme, u.Host)
	return u, nil
}

// inASCII returns a host in the form that it has in requests, which for an
// international name is Punycode. The function that does it is not exported, but
// a request that is written has gone through it.
func inASCII(host string) (string, error) {
	var sent bytes.Buffer
	request := http.Request{Method: http.MethodGet, URL: &url.URL{Scheme: "http", Host: host, Path: "/"}}
	if err := request.Write(&sent); err != nil {
		return "", err
	}
	got, err := http.ReadRequest(bufio.NewReader(&sent))
	if err != nil {
		return "", err
	}
	return got.Host, nil
}

func withoutUsualPort(scheme, host string) string {
	return strings.TrimSuffix(host, ":"+usualPorts[scheme])
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
	_, ok := ownOrigin(r)
	return ok
}

// isExact reports whether a request has exactly one Origin, which is that of this
// server, with the scheme of the connection, or one of the others.
func (o origins) isExact(r *http.Request, encrypted bool) bool {
	sent := r.Header.Values("Origin")
	if len(sent) != 1 {
		return false
	}
	_, ok := ownOrigin(r)
	return ok && sent[0] == addressedOrigin(r, encrypted) || slices.Contains(o.names, sent[0])
}

// addressedOrigin returns the origin of this server that a request is for, as browsers
// write it.
func addressedOrigin(r *http.Request, encrypted bool) string {
	scheme := "http"
	if encrypted {
		scheme = "https"
	}
	return scheme + "://" + withoutUsualPort(scheme, strings.ToLower(r.Host))
}

// ownOrigin returns the host of a page that is of the host that it asks, as the
// page has it. In the request it may have capitals, or a port that goes without
// saying. A page that came in the clear may be anybody's, so where TLS ends here, it is
// not of the host that has TLS.
func ownOrigin(r *http.Request) (host string, ok bool) {
	sent := r.Header.Get("Origin")
	u, err := url.Parse(sent)
	if err != nil || usualPorts[u.Scheme] == "" || u.Scheme+"://"+u.Host != sent || r.TLS != nil && u.Scheme != "https" {
		return "", false
	}
	return u.Host, u.Host == withoutUsualPort(u.Scheme, strings.ToLower(r.Host))
}

// knows reports whether a request is for this server. A name that leads to the
// machine itself can only be its own or one that the operator has named: a
// foreign page could give its own name this address and then pass for ours (DNS
// rebinding). In a network the server cannot know its names, and over TLS the
// certificate is for its names only, so any will do, unless the operator has named
// some: then it has those only.
func (o origins) knows(r *http.Request) bool {
	asked := strings.ToLower(r.Host)
	local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	isUnlimited := len(o.hosts) == 0 && (r.TLS != nil || ok && !local.IP.IsLoopback())
	if !ok || isUnlimited || slices.Contains(o.hosts, asked) {
		return true
	}
	host := hostname(asked)
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.IsLoopback() || !local.IP.IsLoopback() // an address is no name
	}
	return isLocalName(host)
}
