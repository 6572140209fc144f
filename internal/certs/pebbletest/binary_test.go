package pebbletest

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"kaban/internal/childtest"
)

var connections = flag.Int("connections", 1000, "how many connections stay while the certificate of a real server is renewed")

// program is kaban serve as a process.
type program struct {
	t     *testing.T
	wrote sync.Cond // more of the log
	text  strings.Builder
	ended bool
}

// start starts kaban serve. The log is read all the time.
func start(t *testing.T, environment []string, arguments ...string) *program {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "kaban")
	build := childtest.Go("build", "-o", binary, "./cmd/kaban")
	build.Dir = filepath.Join("..", "..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	p := &program{t: t, wrote: sync.Cond{L: new(sync.Mutex)}}
	command := exec.Command(binary, append([]string{"serve"}, arguments...)...)
	command.Env = append(os.Environ(), environment...)
	errors, err := command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for lines := bufio.NewScanner(errors); lines.Scan(); {
			p.add(lines.Text()+"\n", false)
		}
		p.add("", true)
	}()
	t.Cleanup(func() {
		if err := command.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		<-done
		if err := command.Wait(); err != nil {
			t.Errorf("kaban serve ends with %v\n%s", err, p.log())
		}
	})
	return p
}

func (p *program) add(text string, ended bool) {
	p.wrote.L.Lock()
	defer p.wrote.L.Unlock()
	p.text.WriteString(text)
	p.ended = ended
	p.wrote.Broadcast()
}

func (p *program) log() string {
	p.wrote.L.Lock()
	defer p.wrote.L.Unlock()
	return p.text.String()
}

// find waits for the nth match in the log and returns its groups.
func (p *program) find(pattern string, n int) []string {
	p.t.Helper()
	expression := regexp.MustCompile(pattern)
	giveUp := time.AfterFunc(patience, func() { p.add("gave up\n", true) })
	defer giveUp.Stop()
	p.wrote.L.Lock()
	defer p.wrote.L.Unlock()
	for {
		if found := expression.FindAllStringSubmatch(p.text.String(), n); len(found) == n {
			return found[n-1]
		}
		if p.ended {
			p.t.Fatalf("%q is not %d times in the log\n%s", pattern, n, p.text.String())
		}
		p.wrote.Wait()
	}
}

// port returns the port of a listener.
func (p *program) port(scheme string) int {
	p.t.Helper()
	port, err := strconv.Atoi(p.find(`msg=listening url=`+scheme+`://127\.0\.0\.1:(\d+)`, 1)[1])
	if err != nil {
		p.t.Fatal(err)
	}
	return port
}

// A real server gets its certificate from pebble by itself and renews it over and over.
// The connections of its clients stay.
func TestServer(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only there the roots of the machine can be named by the environment")
	}
	acme := newPebbleToBe(t)
	dir := t.TempDir()
	config := filepath.Join(dir, "kaban.toml")
	text := fmt.Sprintf("data = %q\n[tls]\nacme = { hosts = [%q], email = \"admin@example.org\", directory = %q }\n", filepath.Join(dir, "data"), host, acme.directory())
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	server := start(t, []string{"SSL_CERT_FILE=" + acme.rootFile()}, "--config", config, "--listen", "https://127.0.0.1:0", "--listen", "http://127.0.0.1:0")
	acme.tlsPort, acme.httpPort = server.port("https"), server.port("http")
	const life = 15 // seconds; renewed after ten
	acme.begin(life)
	const obtained = `msg=certificate hosts=` + host
	server.find(obtained, 1)

	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(acme.tlsPort))
	dialer := ws.Dialer{
		TLSConfig: acme.client(host),
		NetDial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, address)
		},
		Timeout: patience,
	}
	clients := make([]net.Conn, *connections)
	for i := range clients {
		conn, _, _, err := dialer.Dial(t.Context(), "wss://"+host+"/v1/socket")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		clients[i] = conn
		hello := fmt.Sprintf(`{"type":"hello","version":1,"username":"v%d"}`, i)
		if err := wsutil.WriteClientText(conn, []byte(hello)); err != nil {
			t.Fatal(err)
		}
	}
	serial := func() string {
		conn, err := tls.Dial("tcp", address, acme.client(host))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	for n := range 2 {
		before, renewals := serial(), strings.Count(server.log(), obtained) // there were some while all connected
		server.find(obtained, renewals+1)
		if serial() == before {
			t.Error("the old certificate is still in use")
		}
		for i, conn := range clients {
			if err := ping(conn, fmt.Sprint(n)); err != nil {
				t.Fatalf("connection %d after renewal %d: %v\n%s", i, n+1, err, server.log())
			}
		}
	}

	get := http.Client{
		Transport: &http.Transport{
			TLSClientConfig: acme.client(host), ForceAttemptHTTP2: true,
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, network, address)
			},
		},
		Timeout: patience,
	}
	defer get.CloseIdleConnections()
	answer, err := get.Get((&url.URL{Scheme: "https", Host: host, Path: "/v1/server"}).String())
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(answer.Body)
	answer.Body.Close()
	if err != nil || answer.ProtoMajor != 2 || !bytes.Contains(body, []byte(`"server"`)) {
		t.Errorf("%s, %v: %s", answer.Proto, err, body)
	}
}

// ping sends a ping and waits for its pong.
func ping(conn net.Conn, text string) error {
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if err := wsutil.WriteClientMessage(conn, ws.OpPing, []byte(text)); err != nil {
		return err
	}
	for {
		frame, err := ws.ReadFrame(conn)
		if err != nil {
			return err
		}
		switch frame.Header.OpCode {
		case ws.OpPong:
			if string(frame.Payload) != text {
				return fmt.Errorf("the pong has %q", frame.Payload)
			}
			return nil
		case ws.OpClose:
			return fmt.Errorf("closed: %s", frame.Payload)
		}
	}
}
