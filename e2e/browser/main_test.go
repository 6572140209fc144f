// Package browser tests the web page end to end: Debian's Chromium, driven over its
// debugging protocol, against the real binary.
//
// One browser runs all tests; each page has a profile of its own, like another
// machine. A test fails when its page throws, logs an unexpected error, violates the
// content security policy or opens a dialog.
package browser

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"kaban/internal/childtest"
)

// patience is how long a test waits for something that must happen.
const patience = 2 * time.Minute

// within fails the test if f does not return in time.
func within(t testing.TB, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatalf("%s takes longer than %v", what, patience)
	}
}

var (
	// binary is the program under test.
	binary string
	// modules is the directory with the npm packages that tests inject into pages.
	modules string
	// browser is the context that pages are opened in.
	browser context.Context
	// screenshots is the directory for the pictures of TestScreenshots, which runs only
	// if it is set.
	screenshots = flag.String("screenshots", "", "write the pictures of the documentation into this directory")
)

// atOnce is how many tests run at a time at least. A browser works more than a story.
const atOnce = 3

// unneeded are features of Chromium that start processes beside those of the pages: two for
// what drops down from the address bar of each window, which nobody sees, and one in advance
// for the next page.
const unneeded = "WebUIOmniboxPopup,WebUIOmniboxAimPopup,SpareRendererForSitePerProcess"

func TestMain(m *testing.M) {
	childtest.AtOnce(atOnce)
	code, err := buildAndRun(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func buildAndRun(m *testing.M) (int, error) {
	if testing.Short() {
		fmt.Println("no browser in short mode")
		return 0, nil
	}
	dir, err := os.MkdirTemp("", "kaban-browser")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "kaban")
	// Without the race detector: the server has tests of its own.
	build := childtest.Go("build", "-o", binary, "kaban/cmd/kaban")
	if output, err := build.CombinedOutput(); err != nil {
		return 1, fmt.Errorf("build: %w\n%s", err, output)
	}
	install := childtest.Go("run", ".", "-modules")
	install.Dir = filepath.FromSlash("../../internal/web/page/build")
	if output, err := install.CombinedOutput(); err != nil {
		return 1, fmt.Errorf("install the packages of package-lock.json: %w\n%s", err, output)
	}
	modules = filepath.FromSlash("../../internal/web/page/node_modules")

	program, err := findBrowser()
	if err != nil {
		return 1, err
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(program),
		chromedp.UserDataDir(filepath.Join(dir, "profile")),
		chromedp.Flag("no-sandbox", os.Geteuid() == 0), // it does not run as root otherwise
		chromedp.Flag("disable-gpu", true),
		chromedp.Flag("lang", "en-US"),
		chromedp.Flag("disable-features", "Translate,"+unneeded),
		chromedp.Flag("no-proxy-server", true),
		chromedp.Flag("ignore-certificate-errors", true), // those of tests come from nobody
		chromedp.Flag("hide-scrollbars", *screenshots != ""),
		chromedp.WSURLReadTimeout(patience),
	)
	allocator, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	defer cancel()
	var stop context.CancelFunc
	browser, stop = chromedp.NewContext(allocator)
	defer stop()
	if err := chromedp.Do(browser); err != nil {
		return 1, fmt.Errorf("start %s: %w", program, err)
	}
	return m.Run(), nil
}

func findBrowser() (string, error) {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("there is no Chromium; scripts/setup installs it (go test -short does without)")
}
