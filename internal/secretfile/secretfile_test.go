package secretfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestRead(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		name, text, want, fails string
		mode                    fs.FileMode
		warns                   bool
	}{
		{name: "plain", text: "s3cret", want: "s3cret", mode: 0o600},
		{name: "lines", text: "\n s3cret\r\n", want: "s3cret", mode: 0o400},
		{name: "group", text: "s3cret", want: "s3cret", mode: 0o640, warns: false},
		{name: "group may write", text: "s3cret", want: "s3cret", mode: 0o660, warns: true},
		{name: "all", text: "s3cret", want: "s3cret", mode: 0o644, warns: true},
		{name: "others may write", text: "s3cret", want: "s3cret", mode: 0o602, warns: true},
		{name: "empty", fails: "has no secret of at most 10 bytes", mode: 0o600},
		{name: "blank", text: " \n", fails: "has no secret of at most 10 bytes", mode: 0o600},
		{name: "longest", text: "0123456789", want: "0123456789", mode: 0o600},
		{name: "long", text: "0123456789a", fails: "has no secret of at most 10 bytes", mode: 0o600},
	} {
		path := filepath.Join(dir, c.name)
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, c.mode); err != nil {
			t.Fatal(err)
		}
		got, warning, err := Read(path, 10)
		if got != c.want || (err == nil) != (c.fails == "") || err != nil && !strings.Contains(err.Error(), c.fails) {
			t.Errorf("%s: got %q, %v", c.name, got, err)
		}
		if (warning != "") != c.warns && runtime.GOOS != "windows" {
			t.Errorf("%s: warned %q", c.name, warning)
		}
		if text := strings.TrimSpace(c.text); text != "" && (strings.Contains(warning, text) || err != nil && strings.Contains(err.Error(), text)) {
			t.Errorf("%s: %q or %v has the secret", c.name, warning, err)
		}
	}
	if _, _, err := Read(filepath.Join(dir, "none"), 10); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func TestCredentials(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "oidc"), []byte("s3cret\n"), 0o400); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	if got, warning, err := Read("credential:oidc", 10); got != "s3cret" || warning != "" || err != nil {
		t.Errorf("got %q, %q, %v", got, warning, err)
	}
	for _, name := range []string{"credential:", "credential:..", "credential:.", "credential:../oidc", "credential:/etc/passwd", `credential:a\b`} {
		if got, err := Path(name); err == nil {
			t.Errorf("%s is %s", name, got)
		}
	}
	if got, err := Path("dir/file"); got != "dir/file" || err != nil {
		t.Errorf("got %s, %v", got, err)
	}
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	if _, _, err := Read("credential:oidc", 10); !errors.Is(err, ErrNoCredentials) {
		t.Errorf("without credentials: %v", err)
	}
}
