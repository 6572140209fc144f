package certs

import (
	"bytes"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kaban/internal/tlstest"
)

// logbook is the log of a source.
type logbook struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logbook) count(part string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), part)
}

func (l *logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *logbook) options() Options { return Options{Log: slog.New(slog.NewTextHandler(l, nil))} }

// filed is a source of files with what a test needs around it.
type filed struct {
	*Source
	t         *testing.T
	dir       string
	authority *tlstest.Authority
	log       logbook
}

func newFiled(t *testing.T, life time.Duration) *filed {
	t.Helper()
	f := &filed{t: t, dir: t.TempDir(), authority: tlstest.NewAuthority(t)}
	cert, key := f.authority.Issue(life, "first.example.org")
	certFile, keyFile := f.authority.Write(f.dir, cert, key)
	var err error
	f.Source, err = Open(Settings{Cert: certFile, Key: keyFile}, f.log.options())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// serves returns the host of the certificate in use.
func (f *filed) serves() string {
	f.t.Helper()
	pair, err := f.Config().GetCertificate(&tls.ClientHelloInfo{ServerName: "any.example.org"})
	if err != nil {
		f.t.Fatal(err)
	}
	return pair.Leaf.DNSNames[0]
}

func (f *filed) write(name string, data []byte) {
	f.t.Helper()
	if err := os.WriteFile(filepath.Join(f.dir, name), data, 0o600); err != nil {
		f.t.Fatal(err)
	}
}

// polls waits for a number of looks at the files.
func polls(n int) {
	time.Sleep(time.Duration(n)*pollInterval + time.Millisecond)
	synctest.Wait()
}

// Files that change are taken into use without anybody's doing, once they are still.
func TestFilesThatChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFiled(t, 90*24*time.Hour)
		f.Start()
		cert, key := f.authority.Issue(120*24*time.Hour, "second.example.org")
		f.authority.Write(f.dir, cert, key)
		polls(1)
		if got := f.serves(); got != "first.example.org" {
			t.Fatalf("a change that is not still is in use: %s", got)
		}
		polls(1)
		if got := f.serves(); got != "second.example.org" {
			t.Fatalf("after two looks, %s is in use\n%s", got, &f.log)
		}
		if left := time.Until(f.NotAfter()).Round(time.Hour); left < 119*24*time.Hour {
			t.Errorf("the certificate ends in %s", left)
		}
		polls(100)
		if got := f.Stats(); got != (Stats{Loaded: 2}) {
			t.Errorf("a hundred more looks: %+v\n%s", got, &f.log)
		}
		if f.log.count("hosts=second.example.org") != 1 {
			t.Errorf("the log is\n%s", &f.log)
		}
	})
}

// A new file by another's name is a change, whatever its times and size.
func TestFilesThatAreRenamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFiled(t, 90*24*time.Hour)
		f.Start()
		old, err := os.Stat(filepath.Join(f.dir, "cert.pem"))
		if err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(f.dir, "new")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		cert, key := f.authority.Issue(90*24*time.Hour, "new.org") // shorter, then as many bytes
		for int64(len(cert)) < old.Size() {
			cert = append(cert, '\n')
		}
		if int64(len(cert)) != old.Size() {
			t.Fatal("the size is another one")
		}
		certFile, keyFile := f.authority.Write(dir, cert, key)
		for _, name := range []string{certFile, keyFile} {
			if err := os.Chtimes(name, old.ModTime(), old.ModTime()); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(name, filepath.Join(f.dir, filepath.Base(name))); err != nil {
				t.Fatal(err)
			}
		}
		polls(2)
		if got := f.serves(); got != "new.org" {
			t.Errorf("%s is in use\n%s", got, &f.log)
		}
	})
}

// broken are the ways in which a pair cannot be used.
func broken(a *tlstest.Authority) map[string]struct {
	cert, key []byte
	want      string
} {
	cert, key := a.Issue(90*24*time.Hour, "second.example.org")
	other, otherKey := a.Issue(90*24*time.Hour, "other.example.org")
	ended, endedKey := a.Issue(-time.Hour, "second.example.org")
	block := bytes.Index(cert[1:], []byte("-----BEGIN")) + 1
	type pair = struct {
		cert, key []byte
		want      string
	}
	return map[string]pair{
		"a key of another certificate":  {cert, otherKey, "is not for the key in"},
		"a certificate of another key":  {other, key, "is not for the key in"},
		"half a certificate":            {cert[:200], key, "cut off or damaged"},
		"half of the one behind it":     {cert[:block+200], key, "cut off or damaged"},
		"half a key":                    {cert, key[:len(key)/2], "cut off or damaged"},
		"damage inside":                 {bytes.Replace(cert, []byte("M"), []byte("!"), 1), key, "cut off or damaged"},
		"an empty certificate":          {nil, key, "no certificate in it"},
		"an empty key":                  {cert, nil, "no private key in it"},
		"the files the wrong way round": {key, cert, "no certificate in it"},
		"a certificate as the key":      {cert, cert, "no private key in it"},
		"no PEM":                        {cert, []byte("x"), "no private key in it"},
		"a key with a passphrase":       {cert, []byte("-----BEGIN ENCRYPTED PRIVATE KEY-----\nMTIz\n-----END ENCRYPTED PRIVATE KEY-----\n"), "has a passphrase"},
		"a file without end":            {bytes.Repeat([]byte("x"), maxFile+1), key, "more than 1048576 bytes"},
		"one that has ended":            {ended, endedKey, "put a new one there"},
	}
}

// A pair that cannot be used leaves the old one in use and is reported once. When it is
// replaced by a good one, that is taken.
func TestFilesThatDoNotFit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, test := range broken(tlstest.NewAuthority(t)) {
			f := newFiled(t, 90*24*time.Hour)
			f.Start()
			f.authority.Write(f.dir, test.cert, test.key)
			polls(20)
			if got := f.serves(); got != "first.example.org" {
				t.Errorf("%s: %s is in use", name, got)
			}
			if n := f.log.count("not replaced"); n != 1 || f.log.count(test.want) != 1 {
				t.Errorf("%s: reported %d times, want %q\n%s", name, n, test.want, &f.log)
			}
			if got := f.Stats(); got != (Stats{Loaded: 1, Refused: 1}) {
				t.Errorf("%s: %+v", name, got)
			}
			if got := f.States(); len(got) != 1 || !errors.Is(got[0].Err, ErrPair) || !got[0].NotAfter.Equal(f.NotAfter()) {
				t.Errorf("%s: %+v", name, got)
			}
			before := f.log.String()
			err := f.Reload()
			if f.log.String() != before {
				t.Errorf("%s: Reload logs the error that it returns\n%s", name, &f.log)
			}
			if !errors.Is(err, ErrPair) || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), f.dir) {
				t.Errorf("%s: Reload returns %v", name, err)
			}
			cert, key := f.authority.Issue(90*24*time.Hour, "second.example.org")
			f.authority.Write(f.dir, cert, key)
			polls(2)
			if got := f.serves(); got != "second.example.org" {
				t.Errorf("%s: after a good one, %s is in use\n%s", name, got, &f.log)
			}
			if err := f.States()[0].Err; err != nil {
				t.Errorf("%s: after a good one: %v", name, err)
			}
			f.Close()
		}
	})
}

// A pair that could not be used for a reason outside of the files is taken when the
// reason is gone.
func TestFilesThatAreTooEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFiled(t, 90*24*time.Hour)
		f.Start()
		f.authority.Now = func() time.Time { return time.Now().Add(24 * time.Hour) }
		cert, key := f.authority.Issue(90*24*time.Hour, "second.example.org")
		f.authority.Write(f.dir, cert, key)
		time.Sleep(23 * time.Hour)
		if f.serves() != "first.example.org" || f.log.count("check the clock") != 1 {
			t.Errorf("%s is in use\n%s", f.serves(), &f.log)
		}
		time.Sleep(time.Hour)
		if got := f.serves(); got != "second.example.org" {
			t.Errorf("%s is in use\n%s", got, &f.log)
		}
	})
}

// A pair that is written one file after the other, slowly, is not reported at all.
func TestFilesThatAreWrittenSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFiled(t, 90*24*time.Hour)
		f.Start()
		cert, key := f.authority.Issue(90*24*time.Hour, "second.example.org")
		f.write("cert.pem", cert[:100])
		polls(1)
		f.write("cert.pem", cert)
		polls(1)
		f.write("key.pem", key)
		polls(2)
		if got := f.serves(); got != "second.example.org" || f.log.count("not replaced") > 0 {
			t.Errorf("%s is in use\n%s", got, &f.log)
		}
	})
}

// Files that are gone, or that the server may not read, leave the old ones in use. A
// change of permissions alone is noticed.
func TestFilesThatCannotBeRead(t *testing.T) {
	if runtime.GOOS == "windows" || os.Getuid() == 0 {
		t.Log("only files that are gone: permissions do not bind this user")
	}
	synctest.Test(t, func(t *testing.T) {
		f := newFiled(t, 90*24*time.Hour)
		f.Start()
		name := filepath.Join(f.dir, "key.pem")
		if err := os.Rename(name, name+".away"); err != nil {
			t.Fatal(err)
		}
		polls(10)
		if f.serves() != "first.example.org" || f.log.count("check the path") != 1 {
			t.Errorf("the log is\n%s", &f.log)
		}
		cert, key := f.authority.Issue(90*24*time.Hour, "second.example.org")
		f.authority.Write(f.dir, cert, key)
		if runtime.GOOS != "windows" && os.Getuid() != 0 {
			if err := os.Chmod(name, 0); err != nil {
				t.Fatal(err)
			}
			polls(10)
			if f.serves() != "first.example.org" || f.log.count("make it readable") != 1 {
				t.Errorf("the log is\n%s", &f.log)
			}
			if err := os.Chmod(name, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		polls(2)
		if got := f.serves(); got != "second.example.org" {
			t.Errorf("%s is in use\n%s", got, &f.log)
		}
	})
}

// A server starts with a certificate that has ended, and says so; with files that
// cannot be used at all it does not start.
func TestOpenFiles(t *testing.T) {
	authority := tlstest.NewAuthority(t)
	for name, test := range broken(authority) {
		certFile, keyFile := authority.Write(t.TempDir(), test.cert, test.key)
		var log logbook
		s, err := Open(Settings{Cert: certFile, Key: keyFile}, log.options())
		if name == "one that has ended" {
			if err != nil || log.count(test.want) != 1 {
				t.Errorf("%s: %v\n%s", name, err, &log)
			}
			continue
		}
		if !errors.Is(err, ErrPair) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, %v; want %s", name, s, err, test.want)
		}
	}
}

// The log says once a day that a certificate ends soon or has ended.
func TestCertificateThatEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFiled(t, endsSoon+2*time.Hour)
		f.Start()
		time.Sleep(time.Hour)
		if f.log.count("ends soon") != 0 {
			t.Errorf("too early:\n%s", &f.log)
		}
		time.Sleep(2 * time.Hour)
		if n := f.log.count("ends soon"); n != 1 {
			t.Errorf("reported %d times, want once", n)
		}
		f.Close()

		f = newFiled(t, 47*time.Hour)
		f.Start()
		time.Sleep(46 * time.Hour)
		if n := f.log.count("ends soon"); n != 2 || f.log.count("has ended") != 0 {
			t.Errorf("within two days, reported %d times\n%s", n, &f.log)
		}
		time.Sleep(3 * time.Hour)
		if n := f.log.count("has ended"); n != 1 {
			t.Errorf("the end is reported %d times", n)
		}
		if f.serves() != "first.example.org" {
			t.Error("a certificate that ended while in use is gone")
		}
	})
}

// A key that everybody can read is in use, with a warning.
func TestKeyThatEverybodyCanRead(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there are no such bits")
	}
	authority := tlstest.NewAuthority(t)
	for mode, want := range map[os.FileMode]int{0o600: 0, 0o640: 0, 0o644: 1, 0o604: 1} {
		cert, key := authority.Issue(time.Hour, "first.example.org")
		certFile, keyFile := authority.Write(t.TempDir(), cert, key)
		if err := os.Chmod(keyFile, mode); err != nil {
			t.Fatal(err)
		}
		var log logbook
		if _, err := Open(Settings{Cert: certFile, Key: keyFile}, log.options()); err != nil {
			t.Fatal(err)
		}
		if got := log.count("chmod o="); got != want {
			t.Errorf("mode %o: %d warnings, want %d", mode, got, want)
		}
	}
}

// Handshakes get the certificate in use, with whatever name they ask for, while it is
// replaced all the time.
func TestHandshakesDuringReload(t *testing.T) {
	f := newFiled(t, 90*24*time.Hour)
	config := f.Config()
	var dialing sync.WaitGroup
	for range 4 {
		dialing.Go(func() {
			for range 25 {
				near, far := net.Pipe()
				server := tls.Server(far, config)
				done := make(chan error, 1)
				go func() { done <- server.Handshake() }()
				client := tls.Client(near, &tls.Config{RootCAs: f.authority.Pool(), ServerName: "first.example.org"})
				if err := client.Handshake(); err != nil {
					t.Error(err)
				}
				if err := <-done; err != nil {
					t.Error(err)
				}
				near.Close()
				far.Close()
			}
		})
	}
	for range 20 {
		cert, key := f.authority.Issue(90*24*time.Hour, "first.example.org")
		f.authority.Write(f.dir, cert, key)
		if err := f.Reload(); err != nil {
			t.Error(err)
		}
	}
	dialing.Wait()
	if got := f.Stats(); got.Loaded != 21 {
		t.Errorf("loaded %d times", got.Loaded)
	}
}

// Other files can take the place of those in use, if they fit.
func TestReloadFromOtherFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFiled(t, 90*24*time.Hour)
		f.Start()
		cert, key := f.authority.Issue(90*24*time.Hour, "second.example.org")
		certFile, keyFile := f.authority.Write(t.TempDir(), cert, key)
		old := Settings{Cert: filepath.Join(f.dir, "cert.pem"), Key: filepath.Join(f.dir, "key.pem")}
		for want, s := range map[string]Settings{
			"check the path":     {Cert: certFile + "x", Key: keyFile},
			"is not for the key": {Cert: certFile, Key: old.Key},
			"takes a restart":    {},
			"a restart":          {ACME: &ACME{Hosts: []string{"chat.example.org"}, Cache: "x"}},
		} {
			if err := f.ReloadFrom(s); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %s", err, want)
			}
		}
		refused := f.Stats().Refused
		polls(10)
		if f.serves() != "first.example.org" || f.Stats().Refused != refused {
			t.Errorf("after mistakes, %s is in use\n%s", f.serves(), &f.log)
		}
		again, againKey := f.authority.Issue(90*24*time.Hour, "again.example.org")
		f.authority.Write(f.dir, again, againKey)
		polls(2)
		if got := f.serves(); got != "again.example.org" {
			t.Errorf("after mistakes, the old files are not looked at: %s is in use", got)
		}
		if err := f.ReloadFrom(Settings{Cert: certFile, Key: keyFile}); err != nil || f.serves() != "second.example.org" {
			t.Errorf("%v, %s is in use", err, f.serves())
		}
		third, thirdKey := f.authority.Issue(90*24*time.Hour, "third.example.org")
		f.authority.Write(f.dir, third, thirdKey) // nobody looks there any more
		polls(3)
		if got := f.serves(); got != "second.example.org" {
			t.Errorf("%s is in use", got)
		}
		f.authority.Write(filepath.Dir(certFile), third, thirdKey)
		polls(2)
		if got := f.serves(); got != "third.example.org" {
			t.Errorf("%s is in use", got)
		}
	})
}

// A certificate that Reload has refused is not reported again by the looks at the files.
func TestRefusedReloadIsReportedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFiled(t, 90*24*time.Hour)
		f.Start()
		f.write("cert.pem", nil)
		if err := f.Reload(); !errors.Is(err, ErrPair) {
			t.Errorf("Reload returns %v", err)
		}
		polls(10)
		if f.log.count("not replaced") != 0 {
			t.Errorf("reported a second time\n%s", &f.log)
		}
		if got := f.Stats(); got != (Stats{Loaded: 1, Refused: 1}) {
			t.Errorf("%+v", got)
		}
	})
}

// The log warns of each name of the old certificate that the new one is not for.
func TestNamesThatANewCertificateLacks(t *testing.T) {
	for _, test := range []struct {
		name     string
		old, new []string
		want     string // "": no warning
	}{
		{"the same", []string{"a.example.org", "192.0.2.1"}, []string{"192.0.2.1", "a.example.org"}, ""},
		{"another case", []string{"a.example.org"}, []string{"A.Example.org"}, ""},
		{"more", []string{"a.example.org"}, []string{"b.example.org", "a.example.org"}, ""},
		{"a wildcard for it", []string{"a.example.org"}, []string{"*.example.org"}, ""},
		{"the same wildcard", []string{"*.example.org"}, []string{"*.example.org"}, ""},
		{"one fewer", []string{"a.example.org", "b.example.org"}, []string{"a.example.org"}, "b.example.org"},
		{"others", []string{"a.example.org", "b.example.org"}, []string{"c.example.org"}, "a.example.org,b.example.org"},
		{"no wildcard any more", []string{"*.example.org"}, []string{"a.example.org"}, "*.example.org"},
		{"a wildcard for other depths", []string{"example.org", "a.b.example.org"}, []string{"*.example.org"}, "example.org,a.b.example.org"},
		{"no address any more", []string{"a.example.org", "192.0.2.1", "2001:db8::1"}, []string{"a.example.org"}, "192.0.2.1,2001:db8::1"},
	} {
		authority, dir := tlstest.NewAuthority(t), t.TempDir()
		issue := func(names []string) (cert, key string) {
			t.Helper()
			certPEM, keyPEM := authority.Issue(time.Hour, names...)
			return authority.Write(dir, certPEM, keyPEM)
		}
		var log logbook
		cert, key := issue(test.old)
		s, err := Open(Settings{Cert: cert, Key: key}, log.options())
		if err != nil {
			t.Fatal(err)
		}
		issue(test.new)
		if err := s.Reload(); err != nil {
			t.Fatal(err)
		}
		if test.want == "" {
			if n := log.count("names="); n != 0 {
				t.Errorf("%s: warned %d times\n%s", test.name, n, &log)
			}
		} else if log.count("level=WARN") < 1 || log.count("names="+test.want+" ") != 1 {
			t.Errorf("%s: want a warning with %s\n%s", test.name, test.want, &log)
		}
		s.Close()
	}
}
