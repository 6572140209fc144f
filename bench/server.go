package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// The servers to compare.
const (
	kabanMemory     = "kaban memory"
	kabanDurable    = "kaban durable"
	kabanWeb        = "kaban WebSocket" // in memory
	floorLoop       = "floor loop"
	floorGoroutines = "floor goroutines"
)

var everyServer = []string{kabanMemory, kabanDurable, floorLoop, floorGoroutines}

func isFloor(server string) bool { return strings.HasPrefix(server, "floor") }

// process is a running server.
type process struct {
	address string
	pid     int
	started time.Duration // from exec to msg=ready
	command *exec.Cmd
	reading sync.WaitGroup
	log     strings.Builder
}

// start runs a server on a free port and waits until it is ready.
func (m *meter) start(server, data string) (*process, error) {
	var command *exec.Cmd
	switch server {
	case floorLoop, floorGoroutines:
		command = exec.CommandContext(m.ctx, filepath.Join(m.dir, "bench-floor"), "-mode", strings.TrimPrefix(server, "floor "))
	default:
		listen := "tcp://127.0.0.1:0"
		if server == kabanWeb {
			listen = "http://127.0.0.1:0"
		}
		command = exec.CommandContext(m.ctx, filepath.Join(m.dir, "bench-kaban"), "serve",
			"--listen", listen, "--data", data, "--max-clients", "20000")
	}
	return launch(command)
}

func launch(command *exec.Cmd) (*process, error) {
	p := &process{command: command}
	stderr, err := command.StderrPipe()
	if err != nil {
		return nil, err
	}
	begin := time.Now()
	if err := command.Start(); err != nil {
		return nil, err
	}
	p.pid = command.Process.Pid
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		line := lines.Text()
		p.log.WriteString(line + "\n")
		if _, url, ok := strings.Cut(line, "msg=listening url=tcp://"); ok {
			p.address, _, _ = strings.Cut(url, " ")
		} else if _, url, ok := strings.Cut(line, "msg=listening url=http://"); ok {
			address, _, _ := strings.Cut(url, " ")
			p.address = "ws://" + address
		}
		if strings.Contains(line, "msg=ready") {
			p.started = time.Since(begin)
			p.reading.Go(func() { io.Copy(io.Discard, stderr) })
			return p, nil
		}
	}
	return nil, fmt.Errorf("%s ended before it was ready: %w\n%s", filepath.Base(command.Path), command.Wait(), p.log.String())
}

// stop ends a server; the floor has no graceful shutdown.
func (p *process) stop() error {
	if err := p.command.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	p.reading.Wait()
	err := p.command.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == -1 {
		return nil // by the signal
	}
	return err
}

// with runs a function on a new server and stops the server.
func (m *meter) with(server string, do func(*process) error) (err error) {
	data := ":memory:"
	if server == kabanDurable {
		if data, err = os.MkdirTemp(m.scratch, "data-"); err != nil {
			return err
		}
		defer os.RemoveAll(data)
	}
	p, err := m.start(server, data)
	if err != nil {
		return err
	}
	err = do(p)
	if stopped := p.stop(); err == nil && m.ctx.Err() == nil {
		err = stopped
	}
	return err
}

// machine describes the machine of the figures.
type machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Memory string `json:"memory"`
	System string `json:"system"`
	Go     string `json:"go"`
	Commit string `json:"commit"`
	Date   string `json:"date"`
	Load   string `json:"load"` // at the start
}

func output(ctx context.Context, name string, args ...string) string {
	text, err := exec.CommandContext(ctx, name, args...).Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(text))
}

// lineOf returns the text after a name in a file of /proc.
func lineOf(file, name string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			return strings.TrimLeft(strings.TrimSpace(rest), ": \t")
		}
	}
	return "unknown"
}
