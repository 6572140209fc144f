package device

import (
	"context"
	"net"
	"net/http"
	"net/url"

	"kaban/client"
)

// newClient returns the way to a server.
func newClient(address *url.URL, options *Options) *http.Client {
	transport := options.Transport
	if transport == nil {
		transport = newTransport(address.Scheme == "http" && !options.Insecure)
	}
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// newTransport returns a transport that keeps no connections, and that, if local, only
// reaches this machine.
func newTransport(local bool) *http.Transport {
	dialer := net.Dialer{Timeout: patience}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext, DisableKeepAlives: true, ForceAttemptHTTP2: true}
	if !local {
		return transport
	}
	transport.Proxy = nil
	transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dialer.DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return onlyLocal(conn)
	}
	return transport
}

// onlyLocal closes a connection to another machine.
func onlyLocal(conn net.Conn) (net.Conn, error) {
	if remote, ok := conn.RemoteAddr().(*net.TCPAddr); ok && remote.IP.IsLoopback() {
		return conn, nil
	}
	conn.Close()
	return nil, client.ErrInsecure
}
