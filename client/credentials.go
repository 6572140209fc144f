package client

import (
	"crypto/tls"
	"net"

	"kaban/client/dial"
	"kaban/wire"
)

// credentials are what a hello says beside the name.
type credentials struct {
	resume                 string // of a visitor
	token, password, place wire.Secret
}

// isSecret reports whether they are those of an account.
func (c *credentials) isSecret() bool { return c.token != "" || c.password != "" }

// isPrivate reports whether a connection stays on this machine or is encrypted.
func isPrivate(conn net.Conn) bool {
	if _, ok := conn.(interface{ ConnectionState() tls.ConnectionState }); ok {
		return true
	}
	switch remote := conn.RemoteAddr().(type) {
	case nil:
		return false
	case *net.TCPAddr:
		return remote.IP.IsLoopback()
	default:
		return remote.Network() == "unix" || remote.Network() == "pipe"
	}
}

// SetToken makes the client sign in with a token from the next connection on. A
// client of New calls it before Connect, or with another token after it was Stopped.
func (c *Client) SetToken(token wire.Secret) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.options.Token, c.options.Password = token, ""
}

// SetPlace sets Options.Place from the next Connect of a client of New on.
func (c *Client) SetPlace(place wire.Secret) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.options.Place = place
}

// SetTrust says which certificates of the server count from the next Connect of a client
// of New on.
func (c *Client) SetTrust(trust dial.Trust) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.options.Trust = trust
}
