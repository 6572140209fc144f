package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// pane is a program in a tmux terminal.
type pane struct {
	t      *testing.T
	socket string
	starts int
	env    []string // of the program
	home   string
}

// openPane opens a terminal with a size and runs the client in it, in an
// environment of its own.
func openPane(t *testing.T, width, height int, env []string, args ...string) *pane {
	t.Helper()
	home := t.TempDir()
	p := &pane{t: t, home: home}
	p.env = append([]string{
		"XDG_CONFIG_HOME=" + filepath.Join(home, "config"), "XDG_STATE_HOME=" + filepath.Join(home, "state"), "TZ=UTC", "USER=guest",
	}, env...)
	p.start(width, height, append([]string{binary, "chat"}, args...)...)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s shows:\n%s", strings.Join(args, " "), p.screen())
		}
		p.close()
	})
	return p
}

// close closes the terminal and waits until the program has exited.
func (p *pane) close() {
	p.t.Helper()
	out, err := p.run("display-message", "-p", "#{pane_pid}")
	p.run("kill-server")
	pid, _ := strconv.Atoi(strings.TrimSpace(out))
	if err != nil || pid == 0 {
		return
	}
	for deadline := time.Now().Add(patience); syscall.Kill(pid, 0) == nil; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			p.t.Error("the program outlives its terminal")
			syscall.Kill(pid, syscall.SIGKILL)
			return
		}
	}
}

// start runs a program in a new terminal. Its other output goes to the file
// "errors".
func (p *pane) start(width, height int, program ...string) {
	p.t.Helper()
	p.starts++
	p.socket = p.file("tmux")
	command := "exec env"
	for _, word := range append(p.env, program...) {
		command += " '" + word + "'"
	}
	if program[0] == binary {
		command += " 2>>" + filepath.Join(p.home, "errors")
	}
	p.must("-f", "/dev/null", "new-session", "-d", "-x", strconv.Itoa(width), "-y", strconv.Itoa(height), command)
	p.run("set-option", "-g", "remain-on-exit", "on")
	p.run("set-option", "-g", "set-clipboard", "on")
}

func (p *pane) run(args ...string) (string, error) {
	out, err := exec.Command("tmux", append([]string{"-u", "-S", p.socket}, args...)...).CombinedOutput()
	return string(out), err
}

func (p *pane) must(args ...string) string {
	p.t.Helper()
	out, err := p.run(args...)
	if err != nil {
		p.t.Fatalf("tmux %q: %v: %s (scripts/setup installs tmux)", args, err, out)
	}
	return out
}

// keys presses keys by their tmux names (Enter, C-k, M-a, PageUp) and types
// everything else.
func (p *pane) keys(keys ...string) {
	p.t.Helper()
	p.must(append([]string{"send-keys"}, keys...)...)
}

func (p *pane) screen() string {
	out, _ := p.run("capture-pane", "-p")
	return out
}

func (p *pane) coloured() string { return p.must("capture-pane", "-p", "-e") }

// awaitThat waits until the screen satisfies a condition.
func (p *pane) awaitThat(what string, holds func(screen string) bool) {
	p.t.Helper()
	for deadline := time.Now().Add(patience); !holds(p.screen()); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			errors, _ := os.ReadFile(filepath.Join(p.home, "errors"))
			p.t.Fatalf("%s does not come; errors: %s", what, errors)
		}
	}
}

func (p *pane) await(text string) {
	p.t.Helper()
	p.awaitThat(fmt.Sprintf("%q", text), func(screen string) bool { return strings.Contains(screen, text) })
}

func (p *pane) awaitGone(text string) {
	p.t.Helper()
	p.awaitThat(fmt.Sprintf("the end of %q", text), func(screen string) bool { return !strings.Contains(screen, text) })
}

// awaitLine waits for a line with texts in order.
func (p *pane) awaitLine(texts ...string) {
	p.t.Helper()
	for i := range texts {
		texts[i] = regexp.QuoteMeta(texts[i])
	}
	pattern := regexp.MustCompile(strings.Join(texts, ".*"))
	p.awaitThat(pattern.String(), pattern.MatchString)
}

// awaitEnd waits until the program has exited. tmux does not always know its exit
// code; TestATerminalThatAnswersNothing checks it.
func (p *pane) awaitEnd() {
	p.t.Helper()
	for deadline := time.Now().Add(patience); strings.TrimSpace(p.must("display-message", "-p", "#{pane_dead}")) != "1"; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			p.t.Fatal("the program does not end")
		}
	}
}

// child returns the process that the pane's program has started.
func (p *pane) child() int {
	p.t.Helper()
	pid := strings.TrimSpace(p.must("display-message", "-p", "#{pane_pid}"))
	children, err := os.ReadFile("/proc/" + pid + "/task/" + pid + "/children")
	if err != nil {
		p.t.Fatal(err)
	}
	child, err := strconv.Atoi(strings.TrimSpace(string(children)))
	if err != nil {
		p.t.Fatalf("the program has the children %q", children)
	}
	return child
}

// file returns the path of a file of the current start.
func (p *pane) file(name string) string { return filepath.Join(p.home, fmt.Sprint(name, p.starts)) }
