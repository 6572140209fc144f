package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"kaban"
	"kaban/internal/bench"
	"kaban/internal/store"
	"kaban/internal/store/sqlite"
	"kaban/internal/tlstest"
)

// The states of a server at its start.
const (
	startNew  = "start-new"
	startFull = "start-full"
)

var starts = []struct{ name, title string }{
	{startNew, "a new server"},
	{startFull, "1,000 rooms, 2,000 people, 50 accounts, a full journal, TLS"},
}

const (
	fullRooms    = 1000
	fullPeople   = 2000
	fullAccounts = 50
	fullMessages = 20_000 // the newest are in the journal
	startRepeats = 5      // starts a run
	visitors     = 1000   // clients that come and leave

	// quiet is more than twice as long as a server waits before it returns memory.
	quiet  = 12 * time.Second
	settle = time.Second
)

// starts measures how long a start takes, and the memory of a server that has nothing
// to do.
func (m *meter) starts() error {
	for _, s := range starts {
		dir, err := os.MkdirTemp(m.scratch, "start-")
		if err != nil {
			return err
		}
		listen, err := m.prepareStart(s.name, dir)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		for i := range startRepeats {
			crashed := fmt.Sprint(dir, "-", i) // a server that ends empties its journal
			if err := os.CopyFS(crashed, os.DirFS(dir)); err != nil {
				return err
			}
			if err := m.startOnce(s.name, crashed, listen, i+1 == startRepeats); err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			if err := os.RemoveAll(crashed); err != nil {
				return err
			}
		}
		fmt.Fprintf(os.Stderr, "%s:%s\n", s.name, m.record.Figures[s.name][kabanDurable].last())
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	return nil
}

// prepareStart makes what a server finds, and returns its further arguments.
func (m *meter) prepareStart(name, dir string) ([]string, error) {
	if name == startNew {
		p, err := launch(m.serve(dir))
		if err != nil {
			return nil, err
		}
		return nil, p.stop()
	}
	written, err := os.MkdirTemp(m.scratch, "start-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(written)
	for i := range fullAccounts {
		args := []string{"user", "add", fmt.Sprintf("account-%d", i), "--data", written}
		if i == 0 {
			args = []string{"owner", "owner", "--data", written}
		}
		command := exec.CommandContext(m.ctx, filepath.Join(m.dir, "bench-kaban"), args...)
		if output, err := command.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("make an account: %w\n%s", err, output)
		}
	}
	if err := m.fillRooms(written, dir); err != nil {
		return nil, err
	}
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	if err := writeCertificate(cert, key); err != nil {
		return nil, err
	}
	return []string{"--listen", "https://127.0.0.1:0", "--listen", "tls://127.0.0.1:0", "--tls-cert", cert, "--tls-key", key}, nil
}

// serve returns a server with the page.
func (m *meter) serve(dir string, more ...string) *exec.Cmd {
	args := append([]string{"serve", "--data", dir, "--listen", "http://127.0.0.1:0", "--listen", "tcp://127.0.0.1:0"}, more...)
	return exec.CommandContext(m.ctx, filepath.Join(m.dir, "bench-kaban"), args...)
}

// fillRooms adds messages of people to rooms, and copies what a crash would leave then.
func (m *meter) fillRooms(dir, crashed string) (err error) {
	s, err := sqlite.Open(m.ctx, dir, sqlite.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	batch := make([]store.Write, 100)
	results := make([]store.Result, len(batch))
	for done := 0; done < fullMessages; done += len(batch) {
		for i := range batch {
			k := done + i
			room, err := kaban.ParseRoomName(fmt.Sprintf("room-%d", k%fullRooms))
			if err != nil {
				return err
			}
			name, err := kaban.ParseUsername(fmt.Sprintf("person-%d", k%fullPeople))
			if err != nil {
				return err
			}
			said, err := kaban.NewMessage(name, content, kaban.MaxContentCeiling)
			if err != nil {
				return err
			}
			batch[i] = store.Write{Draft: said.Draft(kaban.Visitor(name), room, kaban.NewMessageID())}
		}
		if err := s.Append(m.ctx, batch, results); err != nil {
			return err
		}
	}
	if err := m.wait(settle); err != nil { // nothing is merged any more
		return err
	}
	return os.CopyFS(crashed, os.DirFS(dir))
}

// writeCertificate writes the files of a certificate.
func writeCertificate(cert, key string) error {
	pair, err := tlstest.Server().GetCertificate(nil)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}), 0o600),
		os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600),
	)
}

// startOnce starts a server, and measures its memory if asked to.
func (m *meter) startOnce(name, dir string, more []string, withMemory bool) (err error) {
	p, err := launch(m.serve(dir, more...))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	add := func(metric string, value float64) { m.record.Figures.add(name, kabanDurable, metric, value) }
	add(startMillis, float64(p.started.Microseconds())/1000)
	if !withMemory {
		return nil
	}
	memory := func(metric string) error {
		anon, err := strconv.ParseFloat(strings.TrimSuffix(lineOf(fmt.Sprintf("/proc/%d/status", p.pid), "RssAnon"), " kB"), 64)
		add(metric, anon/1024)
		return err
	}
	if err := memory(readyMiB); err != nil {
		return err
	}
	if err := m.wait(quiet); err != nil {
		return err
	}
	if err := memory(quietMiB); err != nil || name != startNew { // accounts have closed the server to others
		return err
	}
	o := bench.Options{Server: p.address, Rooms: visitors / 10, Members: 10, Warmup: time.Second, Duration: time.Second}
	if _, err := bench.Run(m.ctx, bench.Idle, o); err != nil {
		return err
	}
	if err := m.wait(quiet); err != nil {
		return err
	}
	return memory(afterMiB)
}

func (m *meter) wait(d time.Duration) error {
	select {
	case <-m.ctx.Done():
		return context.Cause(m.ctx)
	case <-time.After(d):
		return nil
	}
}

// startSection shows them.
func (r *record) startSection() string {
	var b strings.Builder
	header(&b, "", "start, ms", "memory when ready, MiB", "after twelve quiet seconds", "after 1,000 clients have come and left")
	for _, s := range starts {
		at := func(metric string) string { return figure(r.Figures.median(s.name, kabanDurable, metric)) }
		row(&b, s.title, at(startMillis), at(readyMiB), at(quietMiB), at(afterMiB))
	}
	return b.String()
}
