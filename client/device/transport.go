package device

import (
	"context"
	"net"
	"net/http"

	"kaban/client"
	"kaban/client/dial"
)

// newClient returns the way to a server.
func newClient(address dial.Address, options *Options) *http.Client {
	transport := options.Transport
	if transport == nil {
		transport = restrict(dial.Dialer{Address: address, Trust: options.Trust}.Transport(), !address.IsEncrypted() && !options.Insecure)
	}
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// restrict makes a transport, if local, only reach this machine.
func restrict(transport *http.Transport, local bool) *http.Transport {
	if connect := transport.DialContext; local {
		transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := connect(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return onlyLocal(conn)
		}
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
