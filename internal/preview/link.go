package preview

import (
	"net"
	"net/url"
	"strings"

	"kaban/internal/markup"

	"golang.org/x/net/idna"
)

// MaxLinks is how many links of a message get a preview: the first ones. A person reads a
// few; more are a list, and previews of it would push the conversation off the screen.
const MaxLinks = 3

// Links returns the links of a content that get a preview, up to MaxLinks, each page once.
// Links in code are examples and links in quotes had theirs, so neither has any. An author
// who wants none for a link writes it in angle brackets, <https://example.com>.
func Links(content string) []string {
	if !strings.Contains(content, "://") {
		return nil
	}
	var links []string
	seen := make(map[string]bool)
	for _, l := range markup.Parse(content) {
		if l.Quote > 0 || l.Kind == markup.Block {
			continue
		}
		for i, s := range l.Spans {
			if s.Style&markup.Address == 0 || isBracketed(l.Spans, i) {
				continue
			}
			a, err := parseLink(s.Text)
			if err != nil || seen[a.key] {
				continue
			}
			seen[a.key] = true
			if links = append(links, s.Text); len(links) == MaxLinks {
				return links
			}
		}
	}
	return links
}

// isBracketed reports whether a span stands in angle brackets.
func isBracketed(spans []markup.Span, i int) bool {
	return i > 0 && i+1 < len(spans) &&
		strings.HasSuffix(spans[i-1].Text, "<") && strings.HasPrefix(spans[i+1].Text, ">")
}

// address is that of a page.
type address struct {
	url  string // to be requested
	key  string // equal for addresses of the same page
	host string // as name servers know it
}

// parseLink reads the address of a page, or returns a *URLError. What package guard refuses
// in any case is refused here, so that it takes no turn.
func parseLink(link string) (address, error) {
	if len(link) > MaxURL {
		return address{}, &URLError{"the address is too long"}
	}
	u, err := url.Parse(link)
	switch {
	case err != nil:
		return address{}, &URLError{"the address is not valid"}
	case u.Scheme != "http" && u.Scheme != "https", u.Opaque != "":
		return address{}, &URLError{"the address must begin with https:// or http://"}
	case u.User != nil:
		return address{}, &URLError{"the address must not contain a user name or password"}
	case u.Hostname() == "":
		return address{}, &URLError{"the address has no host"}
	}
	host := asciiHost(u)
	u.Fragment, u.RawFragment = "", ""
	u.Host = canonicalHost(u.Scheme, host, u.Port())
	if u.Path == "" {
		u.Path = "/"
	}
	return address{url: u.String(), key: u.String(), host: strings.TrimSuffix(host, ".")}, nil
}

// asciiHost returns the host of a URL as name servers know it, or as it is if they cannot.
func asciiHost(u *url.URL) string {
	host := strings.ToLower(u.Hostname())
	if ascii, err := idna.Lookup.ToASCII(host); err == nil {
		return ascii
	}
	return host
}

// canonicalHost returns a host with its port, if that is not the one of the scheme.
func canonicalHost(scheme, host, port string) string {
	if port == "" || scheme == "http" && port == "80" || scheme == "https" && port == "443" {
		if strings.Contains(host, ":") {
			return "[" + host + "]"
		}
		return host
	}
	return net.JoinHostPort(host, port)
}
