package dial

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"kaban/client/dial/dialtest"
	"kaban/internal/tlstest"
)

// A proxy leads to servers with a WebSocket over TLS, and what it says is explained.
func TestProxies(t *testing.T) {
	authority := tlstest.NewAuthority(t)
	certificate, _ := authority.Pair(tlstest.Certificate{Hosts: []string{"chat.example"}})
	front := dialtest.NewFront(t, &tls.Config{Certificates: []tls.Certificate{certificate}}, echoSocket(t, ""))
	places := map[string]string{"chat.example:443": front.Addr(), "away.example:443": closedPort(t)}
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("ann:hidden secret"))
	open, closed := dialtest.NewProxy(t, nil, "", places), dialtest.NewProxy(t, nil, basic, places)
	user := url.UserPassword("ann", "hidden secret")
	garbage := raw(t, func(conn net.Conn) { io.WriteString(conn, "what?\r\n\r\n") })
	early := raw(t, func(conn net.Conn) {
		conn.Read(make([]byte, 1024))
		io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\nearly")
	})
	for _, c := range []struct {
		name, address string
		proxy         *url.URL
		err           error // instead of a proxy
		status        int
		want          string // "" if it works
	}{
		{"open", "https://chat.example", &url.URL{Scheme: "http", Host: open.Addr()}, nil, 0, ""},
		{"with a password", "wss://chat.example/v1/socket", &url.URL{Scheme: "http", Host: closed.Addr(), User: user}, nil, 0, ""},
		{"without a password", "https://chat.example", &url.URL{Scheme: "http", Host: closed.Addr()}, nil, 407, "wants a name and a password"},
		{"with a wrong one", "https://chat.example", &url.URL{Scheme: "http", Host: closed.Addr(), User: url.UserPassword("ann", "hidden")}, nil, 407, "wants a name and a password"},
		{"refusing", "https://other.example", &url.URL{Scheme: "http", Host: open.Addr(), User: user}, nil, 403, "refuses"},
		{"not there", "https://chat.example", &url.URL{Scheme: "http", Host: closedPort(t), User: user}, nil, 0, "refused"},
		{"no proxy", "https://chat.example", &url.URL{Scheme: "http", Host: garbage, User: user}, nil, 0, "does not answer like"},
		{"early", "https://chat.example", &url.URL{Scheme: "http", Host: early, User: user}, nil, 0, "before the server"},
		{"of another kind", "https://chat.example", &url.URL{Scheme: "socks5", Host: open.Addr(), User: user}, nil, 0, "only http"},
		{"not trusted", "https://chat.example", &url.URL{Scheme: "https", Host: dialtest.NewProxy(t, &tls.Config{Certificates: []tls.Certificate{certificate}}, "", places).Addr(), User: user}, nil, 0, "certificate is for chat.example"},
		{"bad address", "https://chat.example", nil, errors.New(`invalid proxy address "http://ann:hidden@"`), 0, "no address of a proxy"},
	} {
		d := dialer(t, c.address, Trust{CA: authority.PEM})
		d.Proxy = func(u *url.URL) (*url.URL, error) {
			if u.Scheme != "https" || u.Host != d.Address.Host() {
				t.Errorf("%s: asked for %s", c.name, u)
			}
			return c.proxy, c.err
		}
		conn, err := d.Dial(patient(t))
		if c.want == "" {
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
				continue
			}
			speaks(t, conn)
			conn.Close()
			continue
		}
		bad, ok := errors.AsType[*ProxyError](err)
		if !ok || bad.Status != c.status || !strings.Contains(err.Error(), c.want) || strings.Contains(fmt.Sprintf("%v %+v", err, bad), "hidden") {
			t.Errorf("%s: got %v", c.name, err)
		}
		if ok && c.proxy != nil && bad.Proxy != c.proxy.Host {
			t.Errorf("%s: the proxy is %q", c.name, bad.Proxy)
		}
	}
	if asked := open.Asked(); len(asked) != 2 || asked[0] != "chat.example:443" || asked[1] != "other.example:443" {
		t.Errorf("asked for %q", asked)
	}
	for _, address := range []string{"tcp://127.0.0.1:1", "tls://127.0.0.1:1", "ws://127.0.0.1:1"} {
		d := dialer(t, address, Trust{})
		d.Proxy = func(*url.URL) (*url.URL, error) {
			t.Errorf("%s uses a proxy", address)
			return nil, nil
		}
		d.Dial(patient(t))
	}
}

// HTTP goes the same way, to the server only.
func TestTransport(t *testing.T) {
	authority := tlstest.NewAuthority(t)
	certificate, _ := authority.Pair(tlstest.Certificate{Hosts: []string{"chat.example"}})
	page := raw(t, func(conn net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
		}
	})
	front := dialtest.NewFront(t, &tls.Config{Certificates: []tls.Certificate{certificate}}, page)
	proxy := dialtest.NewProxy(t, nil, "", map[string]string{"chat.example:443": front.Addr()})
	get := func(d *Dialer, address string) (string, error) {
		r, err := http.NewRequestWithContext(patient(t), http.MethodGet, address, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := d.Transport().RoundTrip(r)
		if err != nil {
			return "", err
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		return string(text), err
	}
	d := dialer(t, "https://chat.example", Trust{CA: authority.PEM})
	d.Proxy = func(*url.URL) (*url.URL, error) { return &url.URL{Scheme: "http", Host: proxy.Addr()}, nil }
	if text, err := get(d, "https://chat.example/x"); text != "hello" || err != nil {
		t.Errorf("got %q, %v", text, err)
	}
	if _, err := get(d, "https://other.example/x"); err == nil || !strings.Contains(err.Error(), "not the server") {
		t.Errorf("another server: %v", err)
	}
	d.Trust = Trust{Pin: Pin{1}}
	if _, err := get(d, "https://chat.example/x"); err == nil {
		t.Error("another pin is accepted")
	} else if bad, ok := errors.AsType[*CertificateError](err); !ok || bad.Fault != PinDiffers {
		t.Errorf("another pin: %v", err)
	}
	plain := dialer(t, "http://"+page, Trust{})
	if text, err := get(plain, "http://"+page); text != "hello" || err != nil {
		t.Errorf("without TLS: got %q, %v", text, err)
	}
}
