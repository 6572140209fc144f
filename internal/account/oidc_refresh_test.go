package account

import (
	"bytes"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// Refresh has the provider asked at once, and the old configuration used if that fails.
func TestRefresh(t *testing.T) {
	s := newSignOn(t)
	const path = "/.well-known/openid-configuration"
	fail := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }
	ask := func(step string, asked int, works bool) {
		t.Helper()
		_, err := s.SignInAddress(s.ctx, s.provider, s.browser, "", "")
		if got := s.fake.count(path); got != asked || (err == nil) != works {
			t.Errorf("%s: asked %d times, want %d; %v", step, got, asked, err)
		}
	}
	s.fake.on[path] = fail
	s.provider.Refresh()
	ask("it fails", 1, false)
	ask("the backoff", 1, false)
	s.provider.Refresh()
	ask("it fails again", 2, false)
	s.fake.with(func() { delete(s.fake.on, path) })
	s.provider.Refresh()
	ask("it works", 3, true)
	ask("it is known", 3, true)
	s.fake.with(func() { s.fake.on[path] = fail })
	s.provider.Refresh()
	ask("it fails, and is known", 4, true)
}

// The secret can be a credential of systemd, and a file that others can read is reported,
// once.
func TestFileOfTheSecret(t *testing.T) {
	s := newSignOn(t)
	dir := t.TempDir()
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	path := filepath.Join(dir, "oidc")
	if err := os.WriteFile(path, []byte(testSecret), 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	s.provider.options.Log = slog.New(slog.NewTextHandler(&log, nil))
	s.set("oidc.client_secret_file", "credential:oidc")
	s.entered("jane", nil)
	if log.Len() > 0 {
		t.Errorf("logged %s", &log)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	s.entered("jane", nil)
	s.entered("jane", nil)
	if text := log.String(); runtime.GOOS != "windows" && strings.Count(text, "chmod 600") != 1 || strings.Contains(text, "s3cret") {
		t.Errorf("logged %s", text)
	}
	os.Remove(path)
	if _, err := s.enter(); err == nil || !strings.Contains(err.Error(), "oidc.client_secret_file") {
		t.Errorf("without the file: %v", err)
	}
}
