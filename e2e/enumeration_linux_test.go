package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// failedSignIns is off by default: tests assert no times.
var failedSignIns = flag.Int("failedsignins", 0, "compare the times of so many failed sign-ins of each cause, such as 100")

const (
	// alike is by how much the medians of two causes may differ.
	alike = 0.10
	// fewest makes the medians mean something.
	fewest = 60
)

// peopled is a server with an owner, olga, and a member, bob.
type peopled struct {
	*running
	data, secret  string // the directory, and a file with rightPassword
	lines, origin string // where it listens
}

// startPeopled starts one, with flags of kaban serve.
func startPeopled(t *testing.T, flags ...string) *peopled {
	t.Helper()
	dir := t.TempDir()
	data, secret := filepath.Join(dir, "data"), filepath.Join(dir, "password")
	if err := os.WriteFile(secret, []byte(rightPassword), 0o600); err != nil {
		t.Fatal(err)
	}
	server := command(t, append([]string{"serve", "--data", data, "--listen", "tcp://127.0.0.1:0", "--listen", "http://127.0.0.1:0"}, flags...)...)
	p := &peopled{running: server, data: data, secret: secret}
	p.run("owner", "olga", "--password-file", secret)
	p.begin()
	p.await("msg=ready")
	p.lines, p.origin = p.listens("tcp"), "http://"+p.listens("http")
	p.run("user", "add", "bob", "--password-file", secret)
	return p
}

// listens returns the address at which the server speaks a protocol.
func (p *peopled) listens(scheme string) string {
	_, rest, _ := strings.Cut(p.String(), "url="+scheme+"://")
	address, _, _ := strings.Cut(rest, "\n")
	return address
}

// run runs a command of its operator and returns the last line that it prints.
func (p *peopled) run(args ...string) string {
	p.t.Helper()
	c := command(p.t, append(args, "--data", p.data)...)
	c.begin()
	if code := c.finish(); code != 0 {
		p.t.Fatalf("%v ends with %d: %s", args, code, c)
	}
	printed := strings.Split(strings.TrimSpace(c.String()), "\n")
	return printed[len(printed)-1]
}

// post makes a request to the API.
func (p *peopled) post(path string, body any) (status int, answer string) {
	p.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		p.t.Fatal(err)
	}
	asked, err := http.NewRequest(http.MethodPost, p.origin+path, bytes.NewReader(text))
	if err != nil {
		p.t.Fatal(err)
	}
	asked.Header.Set("Content-Type", "application/json")
	asked.Header.Set("Origin", p.origin)
	got, err := impatient.Do(asked)
	if err != nil {
		p.t.Fatal(err)
	}
	defer got.Body.Close()
	read, err := io.ReadAll(got.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return got.StatusCode, string(read)
}

// Why a sign-in fails shows neither in the text nor in the time that it takes.
func TestFailedSignInsTakeTheSameTime(t *testing.T) {
	if *failedSignIns == 0 {
		t.Skip("-failedsignins is not given")
	}
	tries := max(*failedSignIns, fewest)
	p := startPeopled(t)
	for _, name := range []string{"carol", "eve", "gone"} {
		p.run("user", "add", name, "--password-file", p.secret)
	}
	p.run("user", "suspend", "eve")
	p.run("user", "remove", "gone")
	p.run("user", "add", "unclaimed")
	p.run("bot", "add", "robot")
	_, link, _ := strings.Cut(p.run("user", "add", "passwordless"), "#")
	if status, answer := p.post("/v1/session", map[string]string{"link": link}); status != http.StatusOK {
		t.Fatalf("a link without a password: %d %s", status, answer)
	}
	// The first two have one cause: how far they differ is what the machine does.
	causes := []string{"bob", "carol", "nobody", "eve", "gone", "unclaimed", "passwordless", "robot"}

	ways := map[string]func(name string) (answer string, took time.Duration){
		"kaban/1": func(name string) (string, time.Duration) {
			c, err := net.Dial("tcp", p.lines)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(patience))
			began := time.Now()
			fmt.Fprintf(c, `{"type":"hello","version":1,"username":%q,"password":%q}`+"\n", name, wrongPassword)
			answer, err := bufio.NewReader(c).ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			return answer, time.Since(began)
		},
		"HTTP": func(name string) (string, time.Duration) {
			began := time.Now()
			status, answer := p.post("/v1/session", map[string]string{"username": name, "password": wrongPassword})
			return fmt.Sprint(status, answer), time.Since(began)
		},
	}
	type tried struct{ way, name string }
	took := make(map[tried][]time.Duration)
	texts := make(map[string]string)
	for range tries {
		for _, i := range rand.Perm(len(causes)) {
			for way, try := range ways {
				answer, time := try(causes[i])
				if text, known := texts[way]; known && text != answer {
					t.Fatalf("%s: the answers %q and %q differ", way, answer, text)
				}
				texts[way] = answer
				took[tried{way, causes[i]}] = append(took[tried{way, causes[i]}], time)
			}
		}
	}
	for way, text := range texts {
		if !strings.Contains(text, "auth_failed") {
			t.Errorf("%s: the answer is %s", way, text)
		}
		usual := percentile(took[tried{way, causes[0]}], 50)
		for _, name := range causes {
			median := percentile(took[tried{way, name}], 50)
			ratio := float64(median) / float64(usual)
			t.Logf("%-8s %-12s median %s of %d, %.3f times that of a wrong password", way, name, median, tries, ratio)
			switch {
			case ratio >= 1-alike && ratio <= 1+alike:
			case name == causes[1]:
				t.Fatalf("the machine is too busy: times with one cause differ by more than %.0f %%", 100*alike)
			default:
				t.Errorf("%s: the time differs by more than %.0f %%", name, 100*alike)
			}
		}
	}
}
