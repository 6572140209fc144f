package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// mostExposed is the greatest exposure of the service that is allowed, in tenths, as
// "systemd-analyze security" measures it: 0 is none and 100 is all.
const mostExposed = 20

// units copies the units to a directory, with this binary as the program.
func units(t *testing.T) (dir string, files []string) {
	t.Helper()
	dir = t.TempDir()
	for _, name := range []string{"kaban.service", "kaban.socket"} {
		text, err := os.ReadFile(filepath.Join("../deploy/systemd", name))
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(string(text), "/usr/bin/kaban", binary)), 0o600); err != nil {
			t.Fatal(err)
		}
		files = append(files, path)
	}
	return dir, files
}

// analyze runs systemd-analyze, which "make setup" installs.
func analyze(t *testing.T, args ...string) (output string, err error) {
	t.Helper()
	text, err := exec.CommandContext(t.Context(), "systemd-analyze", args...).CombinedOutput()
	return string(text), err
}

// systemd finds nothing wrong in the units.
func TestUnitsAreValid(t *testing.T) {
	t.Parallel()
	_, files := units(t)
	if output, err := analyze(t, append([]string{"verify"}, files...)...); err != nil || strings.TrimSpace(output) != "" {
		t.Errorf("systemd-analyze verify: %v\n%s", err, output)
	}
}

// The service may do little beside what it needs.
func TestServiceIsHardened(t *testing.T) {
	t.Parallel()
	_, files := units(t)
	output, err := analyze(t, "security", "--offline=true", fmt.Sprint("--threshold=", mostExposed), "--no-pager", files[0])
	if found := regexp.MustCompile(`Overall exposure level for .*`).FindString(output); err != nil || found == "" {
		t.Errorf("systemd-analyze security: %v\n%s", err, output)
	} else {
		t.Log(found)
	}
}

// The addresses of the socket unit are those that the server listens at by default.
func TestSocketUnitHasTheDefaultAddresses(t *testing.T) {
	t.Parallel()
	_, files := units(t)
	text, err := os.ReadFile(files[1])
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, match := range regexp.MustCompile(`(?m)^ListenStream=(.*)$`).FindAllStringSubmatch(string(text), -1) {
		got = append(got, match[1])
	}
	c := command(t, "config", "print")
	c.begin()
	c.finish()
	var want []string
	line := regexp.MustCompile(`(?m)^listen = .*$`).FindString(c.String())
	for _, match := range regexp.MustCompile(`://([^"]*)"`).FindAllStringSubmatch(line, -1) {
		want = append(want, match[1])
	}
	if len(want) == 0 || !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
