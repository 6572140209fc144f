package certs

import (
	"context"
	"crypto/tls"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// pollInterval is how often the files are looked at. What has changed is read when
	// it has not changed again for as long.
	pollInterval = 5 * time.Second
	// endsSoon is how long before its end a certificate is due for the operator.
	endsSoon = 14 * 24 * time.Hour
	// remindEvery is how often the log says so.
	remindEvery = 24 * time.Hour
)

// files has the certificate from two files.
type files struct {
	certFile, keyFile string
	options           Options
	counts            *counters
	current           atomic.Pointer[tls.Certificate]

	mu       sync.Mutex
	seen     look  // at the files that were read last
	before   look  // at the files, one poll ago
	problem  error // of the files that were read last; nil if they are in use
	reminded time.Time
}

// look is what the file system says of the files without reading them.
type look struct{ cert, key fs.FileInfo } // nil: there is none

// openFiles reads the files for the first time.
func openFiles(cert, key string, options Options, counts *counters) (*files, error) {
	f := &files{certFile: cert, keyFile: key, options: options, counts: counts}
	f.seen = f.look()
	f.before = f.seen
	pair, err := readPair(cert, key)
	if err != nil {
		return nil, err
	}
	f.use(pair)
	if err := f.checkDays(pair); err != nil {
		f.options.Log.Error("the certificate is in use, but clients refuse it", "error", err)
		f.reminded = f.options.Clock.Now()
	}
	return f, nil
}

func (f *files) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return f.current.Load(), nil
}

func (f *files) challenge(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, nil }
func (f *files) handler(next http.Handler) http.Handler              { return next }
func (f *files) notAfter() time.Time                                 { return f.current.Load().Leaf.NotAfter }

func (f *files) hostNames() []string {
	names := slices.Clone(f.current.Load().Leaf.DNSNames)
	return slices.DeleteFunc(names, func(name string) bool { return strings.Contains(name, "*") })
}

// run looks at the files until ctx ends.
func (f *files) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.options.Clock.After(pollInterval):
			f.poll()
		}
	}
}

// poll reads files that have changed and then stayed as they are, and those that could
// not be used the last time: their permissions may have been the reason.
func (f *files) poll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.look()
	isStill := now.equals(f.before)
	f.before = now
	if isStill && (!now.equals(f.seen) || f.problem != nil) {
		known := f.problem
		if err := f.loadLocked(now); err != nil && (known == nil || known.Error() != err.Error()) {
			f.counts.refused.Add(1)
			f.options.Log.Warn("the certificate was not replaced, the old one stays in use", "ends", f.notAfter(), "error", err)
		}
	}
	f.remindLocked()
}

func (f *files) reload(settings *Settings) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if settings != nil && (settings.ACME != nil || settings.Check() != nil) {
		return errAnotherWay
	}
	cert, key := f.certFile, f.keyFile
	if settings != nil {
		f.certFile, f.keyFile = settings.Cert, settings.Key
	}
	err := f.loadLocked(f.look())
	if err != nil {
		f.counts.refused.Add(1)
		f.certFile, f.keyFile = cert, key
		if settings != nil && (cert != settings.Cert || key != settings.Key) {
			f.problem = nil // it is about other files
			f.seen = f.look()
		}
	}
	return err
}

// loadLocked takes the files into use, or keeps why not in f.problem and returns it. The
// caller reports it.
func (f *files) loadLocked(now look) error {
	f.seen = now
	pair, err := readPair(f.certFile, f.keyFile)
	if err == nil {
		err = f.checkDays(pair)
	}
	if err != nil {
		f.problem = err
		return err
	}
	f.problem = nil
	old := f.current.Load()
	if isSame(old, pair) {
		return nil
	}
	f.use(pair)
	if lost := uncovered(old.Leaf, pair.Leaf); len(lost) > 0 {
		f.options.Log.Warn("the new certificate is not for all names of the old one, so clients that connect to the others refuse it; have it issued again with these names, unless nobody uses them any more", "names", strings.Join(lost, ","), "file", f.certFile)
	}
	f.reminded = time.Time{}
	return nil
}

// use takes a pair into use.
func (f *files) use(pair *tls.Certificate) {
	f.current.Store(pair)
	f.counts.loaded.Add(1)
	f.options.Log.Info("certificate", "hosts", strings.Join(namesOf(pair.Leaf), ","), "ends", pair.Leaf.NotAfter, "file", f.certFile)
	warnIfReadable(f.options.Log, f.keyFile)
}

// checkDays returns an error if a certificate has ended or not begun.
func (f *files) checkDays(pair *tls.Certificate) error {
	switch now := f.options.Clock.Now(); {
	case now.After(pair.Leaf.NotAfter):
		return pairError(f.certFile, "the certificate ended at %s; put a new one there", day(pair.Leaf.NotAfter))
	case now.Before(pair.Leaf.NotBefore):
		return pairError(f.certFile, "the certificate begins at %s only; check the clock of this machine, or wait until then", day(pair.Leaf.NotBefore)) // without the time now: it is another problem at each look
	}
	return nil
}

// remindLocked says once a day that the certificate ends soon or has ended.
func (f *files) remindLocked() {
	now := f.options.Clock.Now()
	left := f.notAfter().Sub(now)
	if left > endsSoon || !f.reminded.IsZero() && now.Sub(f.reminded) < remindEvery {
		return
	}
	f.reminded = now
	if left <= 0 {
		f.options.Log.Error("the certificate has ended, so clients refuse it; put a new one in its place, the server takes it by itself", "ended", f.notAfter(), "file", f.certFile)
		return
	}
	f.options.Log.Warn("the certificate ends soon; put a new one in its place, the server takes it by itself", "ends", f.notAfter(), "file", f.certFile)
}

func (f *files) look() look { return look{stat(f.certFile), stat(f.keyFile)} }

func stat(path string) fs.FileInfo {
	info, err := os.Stat(path)
	if err != nil {
		return nil
	}
	return info
}

func (l look) equals(other look) bool {
	return isUnchanged(l.cert, other.cert) && isUnchanged(l.key, other.key)
}

func isUnchanged(a, b fs.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// warnIfReadable warns if everybody on the machine can read a private key.
func warnIfReadable(log *slog.Logger, path string) {
	info := stat(path)
	if runtime.GOOS == "windows" || info == nil { // Windows has no such bits
		return
	}
	if mode := info.Mode().Perm(); mode&0o004 != 0 {
		log.Warn("everybody on this machine can read the private key of the certificate; \"chmod o= FILE\" ends that", "file", path, "mode", fmt.Sprintf("%04o", mode))
	}
}
