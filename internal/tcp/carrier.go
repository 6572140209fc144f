package tcp

import "net"

// Carrier is a connection below another one, such as a *tls.Conn, which lets its bytes
// go another way later: the one above does not notice. Whoever sets Conn must see to it
// that nobody uses the connection at that moment.
type Carrier struct{ net.Conn }

// NetConn returns what carries the bytes.
func (c *Carrier) NetConn() net.Conn { return c.Conn }

// Carried is a listener whose connections are Carriers, to put TLS on.
type Carried struct{ net.Listener }

// Accept implements net.Listener.
func (l Carried) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &Carrier{conn}, nil
}

// maxLayers is how many connections may be below each other.
const maxLayers = 8

// Below returns the TCP connection that carries a connection, itself included; nil if
// none does.
func Below(conn net.Conn) *net.TCPConn {
	for range maxLayers {
		if at, ok := conn.(*net.TCPConn); ok {
			return at
		}
		layer, ok := conn.(interface{ NetConn() net.Conn })
		if !ok {
			return nil
		}
		conn = layer.NetConn()
	}
	return nil
}
