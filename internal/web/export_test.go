package web

import (
	"context"
	"net"
	"net/http"
)

// Knows tells whether a server with names of its own serves a host at a local
// address.
func Knows(names []string, local, host string) (bool, error) {
	o, err := parseOrigins(names)
	if err != nil {
		return false, err
	}
	ctx := context.WithValue(context.Background(), http.LocalAddrContextKey, &net.TCPAddr{IP: net.ParseIP(local)})
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "/", nil)
	if err != nil {
		return false, err
	}
	r.Host = host
	return o.knows(r), nil
}
