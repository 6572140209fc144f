//go:build unix

package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// reloadable is a server with a configuration file, and a connection to it.
type reloadable struct {
	*running
	t      *testing.T
	config string
	http   http.Client
	url    string
	base   string // what every file has
}

func startReloadable(t *testing.T, text string) *reloadable {
	t.Helper()
	dir := t.TempDir()
	r := &reloadable{t: t, config: filepath.Join(dir, "kaban.toml"), base: fmt.Sprintf("listen = ['tcp://127.0.0.1:0', 'http://127.0.0.1:0']\ndata = '%s'\nproxy = ['127.0.0.1']\n", filepath.Join(dir, "data"))}
	password := filepath.Join(dir, "password")
	if err := os.WriteFile(password, []byte("correct horse battery"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"owner", "olga", "--password-file", password}, {"settings", "set", "access", "open"}} {
		c := command(t, append(args, "--data", filepath.Join(dir, "data"))...)
		c.begin()
		if code := c.finish(); code != 0 {
			t.Fatal(c)
		}
	}
	r.http = http.Client{Timeout: patience, Transport: &http.Transport{MaxConnsPerHost: 1}}
	t.Cleanup(r.http.CloseIdleConnections)
	r.write(r.base + text)
	r.running = command(t, "serve", "--config", r.config)
	r.begin()
	r.await("msg=ready")
	_, rest, _ := strings.Cut(r.String(), "url=http://")
	address, _, _ := strings.Cut(rest, "\n")
	r.url = "http://" + address
	return r
}

func (r *reloadable) write(text string) {
	r.t.Helper()
	if err := os.WriteFile(r.config, []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// hangup writes another file, sends SIGHUP and returns what is logged, up to the line
// with a text.
func (r *reloadable) hangup(text, until string) string {
	r.t.Helper()
	r.write(text)
	before := len(r.String())
	if err := r.Process.Signal(syscall.SIGHUP); err != nil {
		r.t.Fatal(err)
	}
	r.until(func() bool { return strings.Contains(r.String()[before:], until) })
	return r.String()[before:]
}

// ask makes requests of somebody behind the proxy, and returns how many of them were
// answered, and how many connections they took.
func (r *reloadable) ask(count int) (answered, connections int) {
	r.t.Helper()
	for range count {
		request, err := http.NewRequestWithContext(httptrace.WithClientTrace(r.t.Context(), &httptrace.ClientTrace{
			GotConn: func(i httptrace.GotConnInfo) {
				if !i.Reused {
					connections++
				}
			},
		}), http.MethodGet, r.url+"/v1/rooms", nil)
		if err != nil {
			r.t.Fatal(err)
		}
		request.Header.Set("X-Forwarded-For", "192.0.2.1")
		response, err := r.http.Do(request)
		if err != nil {
			r.t.Fatal(err)
		}
		io.Copy(io.Discard, response.Body)
		response.Body.Close()
		switch response.StatusCode {
		case http.StatusTooManyRequests:
		case http.StatusOK:
			answered++
		default:
			r.t.Fatalf("status %d", response.StatusCode)
		}
	}
	return answered, connections
}

const (
	anyRequests = "[limits]\naccount_requests_per_second = 0\n"
	fewRequests = "[limits]\naccount_requests_per_second = 1\naccount_requests_burst = 1\n"
)

// SIGHUP has a server take limits for the connections that it has, and name what needs a
// restart.
func TestReload(t *testing.T) {
	t.Parallel()
	r := startReloadable(t, anyRequests)
	if answered, connections := r.ask(60); answered != 60 || connections != 1 {
		t.Fatalf("without a limit, %d of 60 requests are answered over %d connections", answered, connections)
	}
	log := r.hangup("log_level = 'debug'\nheartbeat = '31s'\n"+strings.Replace(r.base, "tcp://127.0.0.1:0", "tcp://127.0.0.1:1", 1)+fewRequests, "reloaded")
	for _, want := range []string{
		`level=WARN msg="these keys of the configuration have changed and need a restart" keys="heartbeat listen"`,
		`msg="reloaded the configuration" changed="limits.account_requests_burst limits.account_requests_per_second log_level" failed=""`,
	} {
		if !strings.Contains(log, want) {
			t.Errorf("%s is not in\n%s", want, log)
		}
	}
	if answered, connections := r.ask(60); answered > 55 || connections != 0 {
		t.Errorf("with a limit, %d of 60 requests are answered over %d new connections", answered, connections)
	}
	log = r.hangup(r.base, "reloaded")
	if strings.Contains(log, "restart") || !strings.Contains(log, "log_level") {
		t.Errorf("the file of the start again is logged as\n%s", log)
	}
}

// A file with mistakes changes nothing, and the log says what is wrong.
func TestReloadOfABrokenFile(t *testing.T) {
	t.Parallel()
	r := startReloadable(t, anyRequests)
	log := r.hangup(fewRequests+"account_conections = 5\n[limit]\n", "line 5")
	for _, want := range []string{
		`level=ERROR msg="the configuration is not reloaded, and everything stays as it was" error="configuration file `,
		`line 4: unknown key \"limits.account_conections\", did you mean \"limits.account_connections\"?`,
		`line 5: unknown key \"limit\"`,
	} {
		if !strings.Contains(log, want) {
			t.Errorf("%s is not in\n%s", want, log)
		}
	}
	for _, text := range []string{r.base + fewRequests + "x", r.base + "max_clients = 0\n" + fewRequests, "listen = ['tcp://0.0.0.0:0']\n" + fewRequests} {
		if log := r.hangup(text, "level=ERROR"); strings.Contains(log, "reloaded the") {
			t.Errorf("%q is reloaded:\n%s", text, log)
		}
	}
	if answered, _ := r.ask(60); answered != 60 {
		t.Errorf("after broken files, %d of 60 requests are answered", answered)
	}
	os.Remove(r.config)
	if err := r.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	r.await("no such file")
	if log := r.hangup(r.base, "reloaded"); !strings.Contains(log, "changed=limits.account_requests_per_second") {
		t.Errorf("afterwards, a good file is logged as\n%s", log)
	}
}

// Flags and the environment override the file after SIGHUP as before.
func TestReloadKeepsFlags(t *testing.T) {
	t.Parallel()
	config := filepath.Join(t.TempDir(), "kaban.toml")
	if err := os.WriteFile(config, []byte("log_level = 'debug'\nmax_clients = 3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := command(t, "serve", "--data", ":memory:", "--listen", "tcp://127.0.0.1:0", "--config", config, "--log-level", "info", "--log-format", "json")
	s.Env = append(os.Environ(), "KABAN_MAX_CLIENTS=5")
	s.begin()
	s.await(`"msg":"ready"`)
	if err := s.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	s.await(`"msg":"reloaded the configuration","changed":"","failed":""`)
	if text := s.String(); strings.Contains(text, "restart") || !strings.Contains(text, `"max_clients":5`) {
		t.Errorf("got %s", text)
	}
}
