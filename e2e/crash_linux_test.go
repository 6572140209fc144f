package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// secrets are those that have come or gone through a server.
type secrets struct {
	mu  sync.Mutex
	all map[string]string // what each is
}

func (s *secrets) add(what, secret string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all[secret] = what
}

// wantNone checks that none of them is in a text.
func (s *secrets) wantNone(t *testing.T, where, text string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for secret, what := range s.all {
		if secret == "" {
			t.Errorf("there is no %s", what)
		} else if strings.Contains(text, secret) {
			t.Errorf("%s has %s", where, what)
		}
	}
}

// greet says hello and returns the connection, and the answer.
func (p *peopled) greet(fields string) (net.Conn, map[string]any) {
	p.t.Helper()
	c, err := net.Dial("tcp", p.lines)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	fmt.Fprintf(c, `{"type":"hello","version":1,%s}`+"\n", fields)
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		p.t.Fatal(err)
	}
	var answer map[string]any
	if err := json.Unmarshal([]byte(line), &answer); err != nil {
		p.t.Fatal(err)
	}
	return c, answer
}

// TestCrashesShowNoSecrets has a server dump its stacks, after sign-ins of every kind and
// in the middle of others. No secret is in what it prints then, in its log, in the command
// lines and environments of its processes, and there is no core dump.
func TestCrashesShowNoSecrets(t *testing.T) {
	t.Parallel()
	for _, signal := range []syscall.Signal{syscall.SIGQUIT, syscall.SIGABRT} {
		t.Run(signal.String(), func(t *testing.T) {
			t.Parallel()
			p := startPeopledWith(t, []string{"GOTRACEBACK=system"}, "--log-level", "debug")
			s := &secrets{all: make(map[string]string)}
			s.add("the right password", rightPassword)
			s.add("a wrong password", wrongPassword)

			link := p.run("user", "add", "ann")
			_, secret, _ := strings.Cut(link, "#")
			s.add("a link", secret)
			answer := p.postAnswer("/v1/session", map[string]string{"link": secret, "password": "another long password"})
			s.add("the password of a link", "another long password")
			for _, c := range answer.Cookies() {
				s.add("the cookie "+c.Name, c.Value)
			}
			token := p.run("token", "add", "bob")
			s.add("a token", token)
			if _, a := p.greet(fmt.Sprintf(`"token":%q,"place":"the secret of a terminal of bob's"`, token)); a["type"] != "welcome" {
				t.Fatalf("with a token: %v", a)
			}
			s.add("a place", "the secret of a terminal of bob's")
			_, a := p.greet(fmt.Sprintf(`"username":"bob","password":%q`, rightPassword))
			device, _ := a["token"].(string)
			s.add("the secret of a device", device)
			if _, a = p.greet(fmt.Sprintf(`"username":"bob","password":%q`, wrongPassword)); a["code"] != "auth_failed" {
				t.Fatalf("with a wrong password: %v", a)
			}
			const wrongToken = "kaban_token_thisisnobodystokenandneverwillbeonexxxxx"
			s.add("a wrong token", wrongToken)
			if _, a = p.greet(fmt.Sprintf(`"token":%q`, wrongToken)); a["code"] != "auth_failed" {
				t.Fatalf("with a wrong token: %v", a)
			}
			answer = p.postAnswer("/v1/session", map[string]string{"username": "bob", "password": rightPassword})
			for _, c := range answer.Cookies() {
				s.add("the cookie "+c.Name, c.Value)
			}
			if answer = p.postAnswer("/v1/session", map[string]string{"username": "bob", "recovery_code": "abcd-efgh-ijkl-mnop"}); answer.StatusCode != http.StatusUnauthorized {
				t.Fatalf("with a wrong recovery code: %s", answer.Status)
			}
			s.add("a recovery code", "abcd-efgh-ijkl-mnop")

			var through sync.WaitGroup
			var answered sync.Once
			first := make(chan struct{})
			for range 60 { // seconds of work
				through.Go(func() {
					enter(t, p.lines, fmt.Sprintf(`"username":"bob","password":%q`, rightPassword), func(answer string) {
						answered.Do(func() { close(first) })
						var a struct{ Token string }
						if json.Unmarshal([]byte(answer), &a) == nil && a.Token != "" {
							s.add("the secret of a device", a.Token)
						}
					})
				})
			}
			receive(t, first, "answer")
			processes := childrenOf(t, p.Process.Pid)
			if len(processes) == 0 {
				t.Error("no process hashes passwords")
			}
			for _, pid := range append(processes, p.Process.Pid) {
				for _, file := range []string{"cmdline", "environ"} {
					text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
					if err != nil {
						continue // it has ended
					}
					s.wantNone(t, file, string(text))
				}
				if limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", pid)); err == nil && !strings.Contains(string(limits), "Max core file size        0  ") {
					t.Errorf("a process may dump its memory: %s", limits)
				}
			}
			for _, pid := range processes { // what they print is the server's to log
				syscall.Kill(pid, signal)
			}
			if err := p.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			<-p.ended
			through.Wait()
			if text := p.String(); strings.Count(text, "\ngoroutine ") < 10 {
				t.Fatalf("the server dumps no stacks: %s", text)
			}
			s.wantNone(t, "what the server prints", p.String())
		})
	}
}
