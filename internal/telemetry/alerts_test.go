package telemetry_test

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"kaban/internal/bus"
	"kaban/internal/childtest"
	"kaban/internal/count"
	"kaban/internal/dispatch"
)

const (
	rulesFile = "../../deploy/prometheus/kaban.rules.yml"
	rulesTest = "../../deploy/prometheus/kaban.rules.test.yml"
	boardFile = "../../deploy/grafana/kaban.json"
)

// needs returns the path of a program of Debian's package prometheus.
func needs(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Skipf("%s is not installed; scripts/setup installs it", program)
	}
	return path
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	must(t, err)
	return string(text)
}

// matches returns what the first group of an expression matches.
func matches(text, expression string) (found []string) {
	for _, m := range regexp.MustCompile(expression).FindAllStringSubmatch(text, -1) {
		if !slices.Contains(found, m[1]) {
			found = append(found, m[1])
		}
	}
	return found
}

// boardExpressions returns the expressions of the board, its variables replaced.
func boardExpressions(t *testing.T) (all []string) {
	t.Helper()
	var board struct {
		Panels []struct {
			Type    string
			Title   string
			Targets []struct{ Expr string }
		}
	}
	must(t, json.Unmarshal([]byte(read(t, boardFile)), &board))
	for _, p := range board.Panels {
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("the panel %q shows nothing", p.Title)
		}
		for _, target := range p.Targets {
			all = append(all, strings.NewReplacer("$__rate_interval", "15s", "$instance", ".*").Replace(target.Expr))
		}
	}
	if len(all) < 30 {
		t.Fatalf("found only %d expressions in the board", len(all))
	}
	return all
}

// TestBoardAndRulesReferToMetrics: a metric that does not exist is no error to
// Prometheus, it is an alert that never fires.
func TestBoardAndRulesReferToMetrics(t *testing.T) {
	known := families(t, start(t).registry)
	known["up"] = nil // of Prometheus itself
	texts := map[string]string{rulesFile: read(t, rulesFile), boardFile: strings.Join(boardExpressions(t), "\n"), rulesTest: read(t, rulesTest)}
	for file, text := range texts {
		names := matches(text, `\b((?:kaban|go|process)_[a-z0-9_]+)\b`)
		if len(names) < 8 {
			t.Fatalf("%s: found only %q", file, names)
		}
		for _, name := range names {
			bare := name
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				if base, ok := strings.CutSuffix(name, suffix); ok && known[base].GetMetric() != nil {
					bare = base
				}
			}
			if _, ok := known[bare]; !ok {
				t.Errorf("%s refers to %s, which is no metric", file, name)
			}
		}
	}
	used := texts[rulesFile] + texts[boardFile]
	for name := range known {
		if strings.HasPrefix(name, "kaban_") && name != "kaban_build_info" && !regexp.MustCompile(name+`(_bucket)?\b`).MatchString(used) {
			t.Logf("neither the board nor a rule has %s", name)
		}
	}
}

// TestRulesAgainstSeries has Prometheus try each rule, as it is, in both states.
func TestRulesAgainstSeries(t *testing.T) {
	promtool := needs(t, "promtool")
	for _, args := range [][]string{{"check", "rules", rulesFile}, {"test", "rules", rulesTest}} {
		if out, err := exec.CommandContext(t.Context(), promtool, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", args, err, out)
		}
	}
	tests := read(t, rulesTest)
	for _, alert := range matches(read(t, rulesFile), `alert: (\w+)`) {
		if !regexp.MustCompile(`alertname: ` + alert + `\n\s+exp_alerts: *(\[\{|\n)`).MatchString(tests) {
			t.Errorf("%s has no test in which %s fires", rulesTest, alert)
		}
	}
}

// promtheus is a running Prometheus.
type prometheusServer struct {
	t  *testing.T
	at string
}

// startPrometheus starts Prometheus over the given targets with the rules. Its windows
// of time are some seconds instead of minutes, and no rule waits.
func startPrometheus(t *testing.T, targets ...string) *prometheusServer {
	t.Helper()
	program, dir := needs(t, "prometheus"), t.TempDir()
	rules := regexp.MustCompile(`(?m)^\s+for: .*\n`).ReplaceAllString(read(t, rulesFile), "")
	rules = regexp.MustCompile(`\[\d+[mh]\]`).ReplaceAllString(rules, "[15s]")
	must(t, os.WriteFile(filepath.Join(dir, "rules.yml"), []byte(rules), 0o600))
	config := fmt.Sprintf(`
global: {scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 500ms}
rule_files: [rules.yml]
scrape_configs: [{job_name: kaban, static_configs: [{targets: [%s]}]}]
`, strings.Join(targets, ", "))
	must(t, os.WriteFile(filepath.Join(dir, "prometheus.yml"), []byte(config), 0o600))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	at := l.Addr().String()
	l.Close()
	log := new(strings.Builder)
	command := exec.CommandContext(t.Context(), program, "--config.file="+filepath.Join(dir, "prometheus.yml"),
		"--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+at, "--log.level=warn")
	command.Stdout, command.Stderr = log, log
	childtest.Bind(command, syscall.SIGKILL)
	must(t, command.Start())
	t.Cleanup(func() {
		command.Process.Kill()
		command.Wait()
		if t.Failed() {
			t.Log(log)
		}
	})
	p := &prometheusServer{t, at}
	eventually(t, "Prometheus", func() bool {
		response, err := http.Get("http://" + at + "/-/ready")
		if err != nil {
			return false
		}
		response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
	return p
}

// firing returns the alerts that fire, as "name instance".
func (p *prometheusServer) firing() (all []string) {
	p.t.Helper()
	_, body := ask(p.t, "http://"+p.at+"/api/v1/alerts")
	var answer struct {
		Data struct {
			Alerts []struct {
				Labels struct{ Alertname, Instance string }
				State  string
			}
		}
	}
	must(p.t, json.Unmarshal(body, &answer))
	for _, a := range answer.Data.Alerts {
		if a.State == "firing" {
			all = append(all, a.Labels.Alertname+" "+a.Labels.Instance)
		}
	}
	return all
}

// query returns how many series an expression has; -1 if Prometheus does not
// understand it.
func (p *prometheusServer) query(expression string) int {
	p.t.Helper()
	_, body := ask(p.t, "http://"+p.at+"/api/v1/query?query="+url.QueryEscape(expression))
	var answer struct {
		Status, Error string
		Data          struct{ Result []json.RawMessage }
	}
	must(p.t, json.Unmarshal(body, &answer))
	if answer.Status != "success" {
		p.t.Logf("%s: %s", expression, answer.Error)
		return -1
	}
	return len(answer.Data.Result)
}

// alerts is off by default: Prometheus looks at times, and a machine that is busy with
// other tests answers it too late. The rules themselves are tested always.
var alerts = flag.Bool("alerts", false, "see each alert fire in a real Prometheus; the machine must be idle")

// TestAlertsFire brings a server into every state that there is a rule for. Prometheus
// has to see it there, and has to see nothing on a server that is well.
func TestAlertsFire(t *testing.T) {
	if !*alerts {
		t.Skip("-alerts is not given")
	}
	needs(t, "prometheus")
	good, bad := start(t), start(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	l.Close()
	hasFastDisk(good)
	bad.disk.Free = bad.disk.Total / 100
	bad.backups.Failures = 3
	bad.search.Lag, bad.search.Behind = 10*time.Minute, 1000
	bad.store.journal.Store(64 << 20)
	bad.database.Up = false
	good.nodes, bad.nodes = 1, 0
	hasLyingPeers(bad)
	bad.certificate = time.Now().Add(3 * 24 * time.Hour)
	down, badAt, goodAt := l.Addr().String(), bad.scrape(false), good.scrape(false)
	p := startPrometheus(t, fmt.Sprintf("%q", goodAt), fmt.Sprintf("%q", badAt), fmt.Sprintf("%q", down))
	eventually(t, "the first scrape", func() bool { return p.query(`kaban_clients`) == 2 })

	bad.store.delay.Store(int64(600 * time.Millisecond))
	want := []string{"KabanDown " + down}
	for _, alert := range matches(read(t, rulesFile), `alert: (\w+)`) {
		if alert != "KabanDown" {
			want = append(want, alert+" "+badAt)
		}
	}
	var working sync.WaitGroup
	defer working.Wait()
	stop := make(chan struct{})
	defer close(stop)
	working.Go(func() { sicken(t, bad, stop) })
	working.Go(func() { useWell(t, good, stop) })
	seen := make(map[string]bool)
	for end := time.Now().Add(3 * patience); !hasAll(seen, want) && time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		for _, alert := range p.firing() {
			seen[alert] = true
		}
	}
	for _, alert := range want {
		if !seen[alert] {
			t.Errorf("%s does not fire", alert)
		}
		delete(seen, alert)
	}
	for alert := range seen {
		t.Errorf("%s fires, and should not", alert)
	}
	for _, expression := range boardExpressions(t) {
		everything := strings.TrimSuffix(expression, " > 0") // which hides what did not happen
		eventually(t, expression, func() bool { return p.query(everything) != 0 })
		if p.query(expression) < 0 || p.query(everything) < 0 {
			t.Errorf("Prometheus does not understand %s", expression)
		}
	}
}

func hasAll(seen map[string]bool, want []string) bool {
	return !slices.ContainsFunc(want, func(alert string) bool { return !seen[alert] })
}

// repeat does something until the test ends.
func repeat(stop <-chan struct{}, do func(i int)) {
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		default:
			do(i)
		}
	}
}

// hasFastDisk has the commits of a server take 10 ms each by its own word: this machine may
// be busy, and then the rule is right.
func hasFastDisk(f *fixture) {
	stats := f.sources.Dispatcher
	var commits count.Histogram
	f.sources.Dispatcher = func() dispatch.Stats {
		s := stats()
		commits.Observe(0.01, 1)
		s.CommitSeconds = commits.Snapshot()
		return s
	}
}

// hasLyingPeers has a server without a bus hear hints that are forged or lie, by its own word.
func hasLyingPeers(f *fixture) {
	stats := f.sources.Dispatcher
	var lies atomic.Uint64
	f.sources.Dispatcher = func() dispatch.Stats {
		s := stats()
		s.Ahead = lies.Add(1)
		return s
	}
	f.sources.Bus = func() bus.Stats { return bus.Stats{Forged: lies.Load()} }
}

// useWell is what a server sees on a usual day.
func useWell(t *testing.T, f *fixture, stop <-chan struct{}) {
	c, err := connect(f, "well")
	if err != nil {
		t.Error(err)
		return
	}
	repeat(stop, func(i int) {
		fmt.Fprintf(c, "{\"type\":\"send\",\"room\":\"lobby\",\"id\":\"%d\",\"content\":\"hello\"}\n", i)
		time.Sleep(50 * time.Millisecond)
	})
}

// sicken has a server live through everything that there is a rule for.
func sicken(t *testing.T, f *fixture, stop <-chan struct{}) {
	var all sync.WaitGroup
	defer all.Wait()
	all.Go(func() { // messages over a slow disk, which fails at times
		c, err := connect(f, "sender")
		if err != nil {
			t.Error(err)
			return
		}
		repeat(stop, func(i int) {
			fmt.Fprintf(c, "{\"type\":\"send\",\"room\":\"lobby\",\"id\":\"%d\",\"content\":%q}\n", i, strings.Repeat("x", 4000))
			time.Sleep(100 * time.Millisecond)
			f.store.failing.Store(i%40 >= 30)
		})
	})
	all.Go(func() { // somebody who guesses
		repeat(stop, func(i int) {
			wrongPassword(f, fmt.Sprint("guessed", i%3))
			time.Sleep(20 * time.Millisecond)
		})
	})
	all.Go(func() { // defects
		repeat(stop, func(int) {
			ours, theirs := net.Pipe()
			f.manager.Delegate(ours, broken{})
			time.Sleep(time.Second)
			theirs.Close()
		})
	})
	for k := range 20 { // clients that take nothing
		all.Go(func() {
			repeat(stop, func(i int) {
				if err := stallOnce(f, fmt.Sprintf("slow%d-%d", k, i)); err != nil {
					t.Error(err)
				}
				time.Sleep(100 * time.Millisecond)
			})
		})
	}
}

// connect is member for other goroutines than a test's.
func connect(f *fixture, name string) (net.Conn, error) {
	c, err := net.Dial("tcp", f.tcp)
	if err != nil {
		return nil, err
	}
	f.t.Cleanup(func() { c.Close() })
	_, err = fmt.Fprintf(c, "{\"type\":\"hello\",\"version\":1,\"username\":%q}\n{\"type\":\"join\",\"room\":\"lobby\"}\n", name)
	return c, err
}

// stallOnce asks for much and takes nothing until the server gives it up.
func stallOnce(f *fixture, name string) error {
	c, err := connect(f, name)
	if err != nil {
		return err
	}
	defer c.Close()
	c.(*net.TCPConn).SetReadBuffer(4 << 10)
	c.SetWriteDeadline(time.Now().Add(patience))
	for err == nil {
		_, err = fmt.Fprintf(c, "{\"type\":\"history\",\"room\":\"lobby\",\"limit\":30}\n")
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("%s was not given up", name)
	}
	return nil
}
