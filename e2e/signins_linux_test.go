package e2e

import (
	"bufio"
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kaban/client"
)

// signIns is off by default: it loads the machine for a minute, and its times mean
// something only where nothing else runs.
var signIns = flag.Int("signins", 0, "measure so many sign-ins at once with passwords, such as 1000")

// Bounds of a flood of 1,000 sign-ins with passwords.
const (
	floodTime   = 30 * time.Second      // in which all right ones are through
	floodMemory = 256 << 10             // KiB of the server and its processes
	floodDelay  = 20 * time.Millisecond // of a message meanwhile, at the 99th percentile
	floodNames  = 20                    // accounts that sign in
	floodEvery  = 5 * time.Millisecond  // another message
)

const rightPassword, wrongPassword = "correct horse battery", "wrong horse battery"

// A thousand people sign in at once, with the right password, a wrong one, or either.
// They are all answered soon, the memory stays bounded, and somebody that is there
// already hardly notices.
func TestAThousandSignIns(t *testing.T) {
	if *signIns == 0 {
		t.Skip("-signins is not given")
	}
	for name, right := range map[string]func(i int) bool{
		"right": func(int) bool { return true },
		"wrong": func(int) bool { return false },
		"mixed": func(i int) bool { return i%2 == 0 },
	} {
		t.Run(name, func(t *testing.T) { flood(t, *signIns, right) })
	}
}

func flood(t *testing.T, count int, right func(i int) bool) {
	dir := t.TempDir()
	data, secret := filepath.Join(dir, "data"), filepath.Join(dir, "password")
	if err := os.WriteFile(secret, []byte(rightPassword), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) {
		t.Helper()
		c := command(t, append(args, "--data", data, "--password-file", secret)...)
		c.begin()
		if code := c.finish(); code != 0 {
			t.Fatalf("%v ends with %d: %s", args, code, c)
		}
	}
	run("owner", "olga")
	server := command(t, "serve", "--data", data, "--listen", "tcp://127.0.0.1:0", "--max-newcomers", strconv.Itoa(2*count))
	server.begin()
	server.await("msg=ready")
	for i := range floodNames {
		run("user", "add", fmt.Sprint("ann", i))
	}
	_, rest, _ := strings.Cut(server.String(), "url=tcp://")
	address, _, _ := strings.Cut(rest, "\n")

	olga, err := client.Dial(t.Context(), address, client.Options{Username: "olga", Password: rightPassword})
	if err != nil {
		t.Fatal(err)
	}
	defer olga.Close()
	lobby, err := olga.Join(t.Context(), "lobby", client.From{})
	if err != nil {
		t.Fatal(err)
	}
	calm := chatter(t, lobby, time.After(3*time.Second))

	var through sync.WaitGroup
	var bad, late atomic.Int64
	began := time.Now()
	for i := range count {
		through.Go(func() {
			password, want := rightPassword, `"welcome"`
			if !right(i) {
				password, want = wrongPassword, `"auth_failed"`
			}
			enter(t, address, fmt.Sprintf(`"username":"ann%d","password":%q`, i%floodNames, password), func(answer string) {
				if !strings.Contains(answer, want) && bad.Add(1) <= 3 {
					t.Errorf("got %s, want %s", answer, want)
				}
				late.Store(max(late.Load(), int64(time.Since(began))))
			})
		})
	}
	ended := make(chan time.Time)
	go func() { through.Wait(); close(ended) }()
	busy := chatter(t, lobby, ended)
	took, memory := time.Duration(late.Load()), peakMemory(t, server.Process.Pid)
	t.Logf("%d sign-ins took %s; the server and its processes had %d MiB; a message took %s (median %s) of %d, and %s (median %s) before",
		count, took.Round(time.Millisecond), memory>>10, percentile(busy, 99), percentile(busy, 50), len(busy), percentile(calm, 99), percentile(calm, 50))
	if bad.Load() > 0 || took > floodTime || memory > floodMemory || percentile(busy, 99) > floodDelay {
		t.Errorf("%d wrong answers, want none, within %s, with %d MiB and %s for a message", bad.Load(), floodTime, floodMemory>>10, floodDelay)
	}
}

// enter says hello and hands on the first answer.
func enter(t *testing.T, address, fields string, answered func(string)) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Error(err)
		return
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	fmt.Fprintf(c, `{"type":"hello","version":1,%s}`+"\n", fields)
	answer, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		answer = err.Error()
	}
	answered(answer)
}

// chatter sends messages one after the other until the time, and returns how long each
// took until it was stored.
func chatter(t *testing.T, room *client.Room, until <-chan time.Time) (took []time.Duration) {
	t.Helper()
	for {
		select {
		case <-until:
			return took
		case <-time.After(floodEvery):
		}
		began := time.Now()
		if _, err := room.Send(t.Context(), "still there"); err != nil {
			t.Fatal(err)
		}
		took = append(took, time.Since(began))
	}
}

// percentile returns the time in which so many of a hundred were done.
func percentile(times []time.Duration, of int) time.Duration {
	sorted := slices.Sorted(slices.Values(times))
	if len(sorted) == 0 {
		return 0
	}
	return sorted[len(sorted)*of/100].Round(10 * time.Microsecond)
}

// peakMemory returns how much memory a process and its children have had at most, in KiB.
func peakMemory(t *testing.T, pid int) (kib int) {
	t.Helper()
	for _, child := range childrenOf(t, pid) {
		kib += ownPeak(t, child)
	}
	return kib + ownPeak(t, pid)
}

// ownPeak is peakMemory without children.
func ownPeak(t *testing.T, pid int) (kib int) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		t.Fatal(err)
	}
	return kib
}
