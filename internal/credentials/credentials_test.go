package credentials

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"kaban/wire"
)

func file(t *testing.T) File {
	t.Helper()
	return Beside(filepath.Join(t.TempDir(), "kaban", "config.toml"))
}

// What is put is there for its server only, until it is deleted, and for nobody else.
func TestPutAndDelete(t *testing.T) {
	f := file(t)
	if _, ok, err := f.Of("h:1"); ok || err != nil {
		t.Errorf("without a file: %v, %v", ok, err)
	}
	ann, ben := Credential{Username: "ann", Token: "first", Device: true, Web: "https://h", CA: "-----BEGIN\nx\n-----END\n", Pin: "sha256/x"}, Credential{Username: "ben", Token: "second"}
	for server, c := range map[string]Credential{"h:1": ann, "[::1]:6440": ben} {
		if err := f.Put(server, c); err != nil {
			t.Fatal(err)
		}
	}
	for server, want := range map[string]Credential{"h:1": ann, "[::1]:6440": ben} {
		if got, ok, err := f.Of(server); got != want || !ok || err != nil {
			t.Errorf("%s: got %s %s, %v, %v", server, got.Username, string(got.Token), ok, err)
		}
	}
	if info, err := os.Stat(f.Path()); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("the file has mode %v, %v", info.Mode(), err)
	}
	if err := f.Delete("h:1"); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := f.Of("h:1"); ok || err != nil {
		t.Errorf("a deleted one is there: %v", err)
	}
	if _, ok, _ := f.Of("[::1]:6440"); !ok {
		t.Error("the other one is gone")
	}
	entries, err := os.ReadDir(filepath.Dir(f.Path()))
	if err != nil || len(entries) != 1 {
		t.Errorf("the directory has %v, %v", entries, err)
	}
}

// Whatever a server sends as a token and a name comes back as it was.
func TestAnyText(t *testing.T) {
	f := file(t)
	rapid.Check(t, func(t *rapid.T) {
		server := rapid.StringMatching(`[a-z0-9.:\[\]"\\ -]{1,20}`).Draw(t, "server")
		c := Credential{Username: rapid.String().Draw(t, "username"), Token: wire.Secret(rapid.StringN(1, -1, 100).Draw(t, "token")), Web: rapid.String().Draw(t, "web"), CA: rapid.String().Draw(t, "ca"), Pin: rapid.String().Draw(t, "pin")}
		c.Device = c.Web != "" || rapid.Bool().Draw(t, "device")
		if err := f.Put(server, c); err != nil {
			t.Fatal(err)
		}
		if got, ok, err := f.Of(server); got != c || !ok || err != nil {
			t.Fatalf("got %q %q %q, %v, %v", got.Username, string(got.Token), got.Web, ok, err)
		}
	})
}

// A file that cannot be trusted or understood is not used and not replaced, and no
// error says what is in it.
func TestBadFiles(t *testing.T) {
	good := "[\"h:1\"]\nusername = \"ann\"\ntoken = \"hidden-secret\"\n"
	for name, c := range map[string]struct {
		text string
		mode os.FileMode
		want string
	}{
		"others can read it": {good, 0o644, "chmod 600"},
		"the group can":      {good, 0o640, "chmod 600"},
		"no TOML":            {good + "token = hidden-secret", 0o600, "line"},
		"another shape":      {"\"h:1\" = \"hidden-secret\"\n", 0o600, "not valid"},
		"too long":           {good + strings.Repeat("#", maxFile), 0o600, "bytes"},
	} {
		if runtime.GOOS == "windows" && c.mode != 0o600 {
			continue
		}
		f := file(t)
		if err := os.MkdirAll(filepath.Dir(f.Path()), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(f.Path(), []byte(c.text), c.mode); err != nil {
			t.Fatal(err)
		}
		_, ok, err := f.Of("h:1")
		if ok || err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hidden-secret") {
			t.Errorf("%s: %v, %v", name, ok, err)
		}
		if err := f.Put("h:2", Credential{Token: "x"}); err == nil {
			t.Errorf("%s: it is replaced", name)
		}
	}
	if err := (File{}).Put("h:1", Credential{}); !errors.Is(err, ErrNoHome) {
		t.Errorf("no home: %v", err)
	}
	if text := fmt.Sprintf("%v %+v", Credential{Token: "hidden-secret"}, Credential{Token: "hidden-secret"}); strings.Contains(text, "hidden-secret") {
		t.Errorf("a credential prints its secret: %s", text)
	}
}
