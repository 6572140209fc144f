package dial

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"kaban/client/dial/dialtest"
	"kaban/internal/tlstest"
)

// loopback is for certificates of servers on this machine.
var loopback = []string{"127.0.0.1"}

// echo serves lines that it sends back, until the test ends.
func echo(t *testing.T) string { return raw(t, func(conn net.Conn) { io.Copy(conn, conn) }) }

// raw serves connections one after another, until the test ends.
func raw(t *testing.T, take func(net.Conn)) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan bool)
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			take(conn)
			conn.Close()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	return l.Addr().String()
}

// echoSocket is a WebSocket by another implementation, below a base path.
func echoSocket(t *testing.T, base string) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc(base+"/v1/socket", func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer c.CloseNow()
		c.SetReadLimit(1 << 20)
		for {
			kind, text, err := c.Read(r.Context())
			switch {
			case err != nil || kind != websocket.MessageText:
				return
			case string(text) == "ping":
				go c.Ping(r.Context()) // the read above takes the pong
			case string(text) == "close":
				c.Close(websocket.StatusPolicyViolation, "enough")
				return
			}
			if err := c.Write(r.Context(), kind, text); err != nil {
				return
			}
		}
	})
	s := &http.Server{Handler: mux}
	done := make(chan bool)
	go func() {
		defer close(done)
		s.Serve(l)
	}()
	t.Cleanup(func() {
		s.Close()
		<-done
	})
	return l.Addr().String()
}

func dialer(t *testing.T, address string, trust Trust) *Dialer {
	t.Helper()
	a, err := Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return &Dialer{Address: a, Trust: trust, Proxy: func(*url.URL) (*url.URL, error) { return nil, nil }}
}

// patience is how long a test waits for what must come.
const patience = 2 * time.Minute

func patient(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// speaks sends lines of all sizes and gets them back.
func speaks(t *testing.T, conn net.Conn) {
	t.Helper()
	conn.SetDeadline(time.Now().Add(patience))
	lines := []string{"one", "", "ping", strings.Repeat("é", 62), strings.Repeat("x", 125), strings.Repeat("y", 126), strings.Repeat("z", 65535), strings.Repeat("w", 65536), "last"}
	all := strings.Join(lines, "\n") + "\n"
	for _, part := range []string{all[:2], all[2:700], all[700:]} { // a line may come in parts
		if n, err := io.WriteString(conn, part); n != len(part) || err != nil {
			t.Fatalf("write: %d, %v", n, err)
		}
	}
	got := make([]byte, len(all))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != all {
		t.Fatalf("got %.80q, %v", got, err)
	}
}

// Each scheme carries lines, and a connection is known to be encrypted exactly if it is.
func TestEachScheme(t *testing.T) {
	authority := tlstest.NewAuthority(t)
	certificate, _ := authority.Pair(tlstest.Certificate{Hosts: loopback})
	config := &tls.Config{Certificates: []tls.Certificate{certificate}}
	trust := Trust{CA: authority.PEM}
	lines, socket := echo(t), echoSocket(t, "/chat")
	for _, c := range []struct {
		address   string
		trust     Trust
		encrypted bool
	}{
		{"tcp://" + lines, Trust{}, false},
		{lines, Trust{}, false},
		{"tls://" + dialtest.NewFront(t, config, lines).Addr(), trust, true},
		{"ws://" + socket + "/chat/v1/socket", Trust{}, false},
		{"wss://" + dialtest.NewFront(t, config, socket).Addr() + "/chat/v1/socket", trust, true},
		{"https://" + dialtest.NewFront(t, config, socket).Addr() + "/chat", trust, true},
	} {
		conn, err := dialer(t, c.address, c.trust).Dial(patient(t))
		if err != nil {
			t.Errorf("%s: %v", c.address, err)
			continue
		}
		speaks(t, conn)
		if _, ok := conn.(interface{ ConnectionState() tls.ConnectionState }); ok != c.encrypted {
			t.Errorf("%s: encrypted is %v", c.address, ok)
		}
		if conn.RemoteAddr() == nil {
			t.Errorf("%s: no address", c.address)
		}
		conn.Close()
	}
}

// A certificate counts or not, and the error says which fault it has.
func TestCertificates(t *testing.T) {
	authority, other := tlstest.NewAuthority(t), tlstest.NewAuthority(t)
	good := tlstest.Certificate{Hosts: loopback}
	self := tlstest.Certificate{Hosts: loopback, SelfSigned: true}
	now := time.Now()
	old := tlstest.Certificate{Hosts: loopback, NotBefore: now.Add(-2 * time.Hour), NotAfter: now.Add(-time.Hour)}
	early := tlstest.Certificate{Hosts: loopback, NotBefore: now.Add(time.Hour), NotAfter: now.Add(2 * time.Hour)}
	wrong := tlstest.Certificate{Hosts: []string{"a.example", "b.example"}}
	const own, right, none = "own", "right", "" // of the pin and the authorities
	for _, c := range []struct {
		name        string
		certificate tlstest.Certificate
		ca, pin     string
		fault       Fault
		ok          bool
		text        string
	}{
		{name: "good", certificate: good, ca: right, ok: true},
		{name: "good, its authority unknown", certificate: good, fault: UnknownAuthority, text: "not trusted here"},
		{name: "good, another authority", certificate: good, ca: "other", fault: UnknownAuthority, text: "not signed by the authority that was given"},
		{name: "self-signed", certificate: self, fault: SelfSigned, text: "self-signed"},
		{name: "self-signed, another authority", certificate: self, ca: right, fault: SelfSigned, text: "self-signed"},
		{name: "self-signed, itself trusted", certificate: self, ca: own, ok: true},
		{name: "expired", certificate: old, ca: right, fault: Expired, text: "expired on " + old.NotAfter.UTC().Format(time.DateTime)},
		{name: "not yet valid", certificate: early, ca: right, fault: NotYetValid, text: "not valid before " + early.NotBefore.UTC().Format(time.DateTime)},
		{name: "wrong name", certificate: wrong, ca: right, fault: WrongName, text: "for a.example, b.example, not for 127.0.0.1"},
		{name: "pin", certificate: good, pin: right, ok: true},
		{name: "pin of a self-signed", certificate: self, pin: right, ok: true},
		{name: "pin of an expired", certificate: old, pin: right, ok: true},
		{name: "pin of another name", certificate: wrong, pin: right, ok: true},
		{name: "another pin", certificate: good, pin: "other", fault: PinDiffers, text: "not the pinned one"},
		{name: "another pin, authority", certificate: good, ca: right, pin: "other", fault: PinDiffers, text: "not the pinned one"},
		{name: "pin and authority", certificate: good, ca: right, pin: right, ok: true},
		{name: "pin, another authority", certificate: good, ca: "other", pin: right, fault: UnknownAuthority, text: "not signed by the authority that was given"},
		{name: "pin and authority, expired", certificate: old, ca: right, pin: right, fault: Expired, text: "expired"},
		{name: "nothing", certificate: old, ca: none, fault: Expired, text: "expired"},
	} {
		certificate, text := authority.Pair(c.certificate)
		var trust Trust
		switch c.ca {
		case right:
			trust.CA = authority.PEM
		case own:
			trust.CA = text
		case "other":
			trust.CA = other.PEM
		}
		switch c.pin {
		case right:
			trust.Pin = PinOf(certificate.Leaf)
		case "other":
			trust.Pin = Pin{1}
		}
		front := dialtest.NewFront(t, &tls.Config{Certificates: []tls.Certificate{certificate}}, echo(t))
		conn, err := dialer(t, "tls://"+front.Addr(), trust).Dial(patient(t))
		if c.ok {
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
				continue
			}
			speaks(t, conn)
			conn.Close()
			continue
		}
		bad, ok := errors.AsType[*CertificateError](err)
		if !ok || bad.Fault != c.fault || bad.Host != "127.0.0.1" || bad.Pin != PinOf(certificate.Leaf) || !strings.Contains(bad.Error(), c.text) {
			t.Errorf("%s: got %#v, %v", c.name, bad, err)
		}
		if shown := strings.Contains(fmt.Sprint(err), bad.Pin.String()); shown != (c.fault >= SelfSigned) {
			t.Errorf("%s: the pin is shown: %v: %v", c.name, shown, err)
		}
	}
}

// A server that speaks something else is recognized.
func TestStrangeServers(t *testing.T) {
	authority := tlstest.NewAuthority(t)
	certificate, _ := authority.Pair(tlstest.Certificate{Hosts: loopback})
	trust := Trust{CA: authority.PEM}
	config := &tls.Config{Certificates: []tls.Certificate{certificate}}
	says := func(text string) string {
		return raw(t, func(conn net.Conn) {
			conn.Read(make([]byte, 16<<10))
			io.WriteString(conn, text)
			conn.(*net.TCPConn).CloseWrite()
			io.Copy(io.Discard, conn)
		})
	}
	alert := "\x15\x03\x01\x00\x02\x02\x46"
	kaban := `{"type":"error","code":"bad_json","message":"no"}` + "\n"
	web := "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"
	goTLS := "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"
	nginx := "HTTP/1.1 400 Bad Request\r\nContent-Length: 51\r\n\r\nThe plain HTTP request was sent to HTTPS port......"
	for _, c := range []struct {
		name, address string
		trust         Trust
		want          error
	}{
		{"kaban behind tls", "tls://" + says(kaban), trust, ErrNoTLS},
		{"kaban behind https", "https://" + says(kaban), trust, ErrNoTLS},
		{"HTTP behind tls", "tls://" + says(web), trust, ErrNoTLS},
		{"HTTP behind https", "https://" + says(web), trust, ErrNoTLS},
		{"TLS behind tcp", "tcp://" + says(alert), Trust{}, ErrTLSOnly},
		{"TLS behind ws", "ws://" + says(alert), Trust{}, ErrTLSOnly},
		{"HTTPS of Go behind ws", "ws://" + says(goTLS), Trust{}, ErrTLSOnly},
		{"HTTPS of nginx behind ws", "ws://" + says(nginx), Trust{}, ErrTLSOnly},
		{"kaban behind ws", "ws://" + says(kaban), Trust{}, ErrNoWebServer},
		{"HTTP behind tcp", "tcp://" + says(web), Trust{}, ErrWebServer},
		{"nothing", "tcp://" + closedPort(t), Trust{}, syscall.ECONNREFUSED},
		{"nothing, tls", "tls://" + closedPort(t), trust, syscall.ECONNREFUSED},
		{"an end instead of TLS", "tls://" + raw(t, func(conn net.Conn) { conn.Read(make([]byte, 16<<10)) }), trust, io.EOF},
	} {
		conn, err := dialer(t, c.address, c.trust).Dial(patient(t))
		if err == nil {
			io.WriteString(conn, "{}\n")
			_, err = conn.Read(make([]byte, 1024))
			conn.Close()
		}
		if !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
	for status, location := range map[int]string{404: "", 301: "https://chat.example/elsewhere", 502: "", 200: ""} {
		answer := fmt.Sprintf("HTTP/1.1 %d X\r\nContent-Length: 0\r\n", status)
		if location != "" {
			answer += "Location: " + location + "?secret=1\r\n"
		}
		_, err := dialer(t, "https://"+dialtest.NewFront(t, config, says(answer+"\r\n")).Addr(), trust).Dial(patient(t))
		if no, ok := errors.AsType[*UpgradeError](err); !ok || no.Status != status || no.Location != location || !strings.Contains(no.Error(), fmt.Sprint(status)) {
			t.Errorf("%d: got %v", status, err)
		}
	}
	for body, want := range map[string]string{
		`{"title":"Unauthorized","status":401,"detail":"no owner yet","code":"auth_required"}`: "no owner yet (HTTP status 401)",
		`{"detail":"of another program"}`: "there is no Kaban WebSocket: HTTP status 401",
		`{`:                               "there is no Kaban WebSocket: HTTP status 401",
	} {
		answer := fmt.Sprintf("HTTP/1.1 401 X\r\nContent-Type: application/problem+json; charset=utf-8\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		_, err := dialer(t, "https://"+dialtest.NewFront(t, config, says(answer)).Addr(), trust).Dial(patient(t))
		if no, ok := errors.AsType[*UpgradeError](err); !ok || no.Error() != want {
			t.Errorf("%s: got %v, want %s", body, err, want)
		}
	}
	for name, answer := range map[string]string{
		"no key":        "HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
		"wrong key":     "HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: AAAA\r\n\r\n",
		"no HTTP":       kaban,
		"endless":       "HTTP/1.1 101 X\r\nX: " + strings.Repeat("y", 2*maxAnswer) + "\r\n\r\n",
		"another thing": "HTTP/1.1 101 X\r\nUpgrade: h2c\r\n\r\n",
	} {
		if conn, err := dialer(t, "ws://"+says(answer), Trust{}).Dial(patient(t)); err == nil {
			conn.Close()
			t.Errorf("%s is a WebSocket", name)
		}
	}
}

// closedPort returns an address where nothing listens.
func closedPort(t *testing.T) string {
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// A server that says nothing is given up when the context ends, in every step.
func TestSilentServers(t *testing.T) {
	quiet := raw(t, func(conn net.Conn) { io.Copy(io.Discard, conn) })
	for _, address := range []string{"tls://" + quiet, "https://" + quiet, "ws://" + quiet} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		if _, err := dialer(t, address, Trust{}).Dial(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", address, err)
		}
		cancel()
	}
	d := dialer(t, "https://chat.example", Trust{})
	d.Proxy = func(*url.URL) (*url.URL, error) { return &url.URL{Scheme: "http", Host: quiet}, nil }
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := d.Dial(ctx)
	if _, ok := errors.AsType[*ProxyError](err); !ok || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a proxy: %v", err)
	}
}

// A read that times out loses nothing, whatever part of a frame has arrived.
func TestReadsGoOnAfterADeadline(t *testing.T) {
	pieces := make(chan string)
	address := raw(t, func(conn net.Conn) {
		r, err := http.ReadRequest(bufio.NewReader(conn))
		if err != nil {
			return
		}
		io.WriteString(conn, "HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "+acceptKey(r.Header.Get("Sec-WebSocket-Key"))+"\r\n\r\n")
		for piece := range pieces {
			io.WriteString(conn, piece)
		}
	})
	conn, err := dialer(t, "ws://"+address, Trust{}).Dial(patient(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	defer close(pieces)
	all := "\x01\x02on\x80\x01e\x89\x04ping\x81\x7e\x00\x7e" + strings.Repeat("x", 126) + "\x81\x00"
	want := "one\n" + strings.Repeat("x", 126) + "\n\n"
	got, deadlines := "", 0
	for sent, buffer := 0, make([]byte, 64); len(got) < len(want); {
		conn.SetReadDeadline(time.Now().Add(time.Millisecond))
		n, err := conn.Read(buffer)
		got += string(buffer[:n])
		switch {
		case err == nil:
		case !errors.Is(err, os.ErrDeadlineExceeded):
			t.Fatalf("after %q: %v", got, err)
		case sent < len(all):
			deadlines++
			pieces <- all[sent : sent+1]
			sent++
		}
	}
	if got != want || deadlines < len(all)/2 {
		t.Errorf("got %q after %d deadlines", got, deadlines)
	}
}

// What a WebSocket must not be is refused, and a close is an end.
func TestBadFrames(t *testing.T) {
	for name, c := range map[string]struct {
		frames string
		eof    bool
	}{
		"binary":                     {"\x82\x01x", false},
		"compressed":                 {"\xc1\x01x", false},
		"masked":                     {"\x81\x81\x00\x00\x00\x00x", false},
		"a continuation of nothing":  {"\x80\x01x", false},
		"a message within another":   {"\x01\x01x\x81\x01y", false},
		"a long ping":                {"\x89\x7e\x00\x7e" + strings.Repeat("x", 126), false},
		"a ping in parts":            {"\x09\x01x", false},
		"an unknown control frame":   {"\x8b\x00", false},
		"a frame beyond all limits":  {"\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xff", false},
		"a frame beyond our limit":   {"\x81\x7f\x00\x00\x00\x00\x01\x00\x00\x01", false},
		"a close":                    {"\x88\x02\x03\xe8", true},
		"a close without a code":     {"\x88\x00", true},
		"a close with another code":  {"\x88\x05\x03\xf0end", true},
		"an end without a close":     {"", true},
		"an end within a frame":      {"\x81\x05ab", true},
		"an end within a header":     {"\x81", true},
		"an end within a long frame": {"\x81\x7e\x01", true},
	} {
		address := raw(t, func(conn net.Conn) {
			if r, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
				io.WriteString(conn, "HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "+acceptKey(r.Header.Get("Sec-WebSocket-Key"))+"\r\n\r\n"+c.frames)
			}
		})
		conn, err := dialer(t, "ws://"+address, Trust{}).Dial(patient(t))
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(patience))
		_, err = io.Copy(io.Discard, conn)
		if c.eof && err != nil && !errors.Is(err, io.EOF) || !c.eof && (err == nil || errors.Is(err, io.EOF) || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, syscall.ECONNRESET)) {
			t.Errorf("%s: %v", name, err)
		}
		conn.Close()
	}
}

// A write that makes progress goes on beyond its deadline; one that makes none ends with
// it, and so does one whose deadline is taken back.
func TestWritesGoOnWithProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		s := &steady{Conn: ours}
		var reading sync.WaitGroup
		reading.Go(func() {
			for range 10 {
				time.Sleep(8 * time.Second)
				io.ReadFull(theirs, make([]byte, 1000))
			}
		})
		s.SetWriteDeadline(time.Now().Add(10 * time.Second))
		begin := time.Now()
		if n, err := s.Write(make([]byte, 10_000)); n != 10_000 || err != nil || time.Since(begin) != 80*time.Second {
			t.Errorf("wrote %d in %v, %v", n, time.Since(begin), err)
		}
		reading.Wait()
		s.SetWriteDeadline(time.Now().Add(10 * time.Second))
		begin = time.Now()
		if n, err := s.Write(make([]byte, 10)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(begin) != 10*time.Second {
			t.Errorf("without progress: wrote %d in %v, %v", n, time.Since(begin), err)
		}
		s.SetWriteDeadline(time.Now().Add(10 * time.Second))
		reading.Go(func() {
			io.ReadFull(theirs, make([]byte, 5)) // progress
			time.Sleep(3 * time.Second)
			s.SetDeadline(time.Unix(1, 0))
		})
		begin = time.Now()
		if n, err := s.Write(make([]byte, 10)); n != 5 || !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(begin) != 3*time.Second {
			t.Errorf("taken back: wrote %d in %v, %v", n, time.Since(begin), err)
		}
		reading.Wait()
		ours.Close()
		theirs.Close()
	})
}
