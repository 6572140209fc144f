package e2e

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"

	"github.com/rogpeppe/go-internal/testscript"

	"kaban/internal/childtest"
)

// serve starts a server in the background, waits until it is ready and sets
// KABAN_SERVER, SERVER_PID and, for HTTP, WEB. Its log is in server.log. Arguments are flags.
// "serve stop" sends SIGINT and expects exit code 0; "serve kill" sends SIGKILL;
// "serve hangup" sends SIGHUP. Several nodes are one server: they get the same signals, have one log,
// and are behind one address. SERVER_PID, METRICS and the state directory are then those of the last.
func serve(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) == 1 {
		switch args[0] {
		case "hangup":
			for _, node := range storyOf(ts).nodes {
				ts.Check(node.Process.Signal(syscall.SIGHUP))
			}
			return
		case "stop", "kill":
			endServer(ts, args[0] == "kill")
			return
		}
	}
	s := storyOf(ts)
	tcp, web := reserved(ts, "KABAN_SERVER"), reserved(ts, "WEB")
	if *nodeCount == 1 {
		startNode(ts, 1, tcp, web, args)
	} else {
		way, err := newBalancer(tcp, web)
		ts.Check(err)
		s.way = way
		ts.Defer(way.close)
		for n := range *nodeCount {
			startNode(ts, *nodeCount-n, anyPort(tcp), anyPort(web), args)
			way.add(ts.Getenv("KABAN_SERVER"), ts.Getenv("WEB"))
		}
		ts.Setenv("KABAN_SERVER", way.at[0])
		ts.Setenv("WEB", way.at[1])
	}
	host, port, err := net.SplitHostPort(ts.Getenv("KABAN_SERVER"))
	ts.Check(err)
	ts.Setenv("HOST", host)
	ts.Setenv("PORT", port)
}

// anyPort returns an address with any port of a host.
func anyPort(address string) string {
	host, _, _ := net.SplitHostPort(address)
	return net.JoinHostPort(host, "0")
}

// endServer ends all nodes, by a signal that asks them or by one that does not. A node that is asked must
// end with exit code 0.
func endServer(ts *testscript.TestScript, kill bool) {
	s := storyOf(ts)
	if len(s.nodes) == 0 {
		ts.Fatalf("no server runs")
	}
	ended := s.nodes
	s.nodes = nil
	if s.way != nil {
		s.way.refuse()
	}
	for _, node := range ended {
		if kill {
			ts.Check(node.Process.Kill())
		} else {
			ts.Check(node.Process.Signal(os.Interrupt))
		}
	}
	for _, node := range ended {
		if err := wait(node); err != nil && !kill {
			ts.Fatalf("the server ended with %v:\n%s", err, ts.ReadFile("server.log"))
		}
	}
	if s.way != nil {
		s.way.close()
		s.way = nil
	}
}

// startNode starts a node, waits until it is ready and sets the variables of its addresses.
func startNode(ts *testscript.TestScript, n int, tcp, web string, args []string) {
	log, err := os.OpenFile(ts.MkAbs("server.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	ts.Check(err)
	defer log.Close()
	begin, err := log.Seek(0, io.SeekEnd)
	ts.Check(err)
	node := exec.Command(storyOf(ts).binary, append([]string{"serve", "--listen", "tcp://" + tcp, "--listen", "http://" + web}, args...)...)
	node.Dir, node.Stderr = ts.MkAbs("."), log
	node.Env = append(os.Environ(), kept(ts)...)
	node.Env = append(node.Env, apart(ts, n)...)
	childtest.Bind(node, syscall.SIGKILL)
	ts.Check(node.Start())
	s := storyOf(ts)
	s.nodes = append(s.nodes, node)
	ts.Defer(func() {
		if node.ProcessState == nil {
			node.Process.Kill()
			node.Wait()
		}
	})
	ts.Setenv("SERVER_PID", strconv.Itoa(node.Process.Pid))
	text := await(ts, "server.log", "msg=ready", begin)
	for variable, scheme := range map[string]string{"KABAN_SERVER": "tcp", "WEB": "http", "METRICS": "metrics"} {
		_, url, _ := strings.Cut(text, fmt.Sprint("url=", scheme, "://"))
		address, _, _ := strings.Cut(url, "\n")
		ts.Setenv(variable, address) // a story may have asked for any port
	}
}

// reserved returns the address in a variable, which it sets if it is empty. The story keeps
// the address to its end, so that the server can come back to it.
func reserved(ts *testscript.TestScript, variable string) string {
	address := ts.Getenv(variable)
	if address == "" {
		var release func()
		var err error
		address, release, err = childtest.Reserve()
		ts.Check(err)
		ts.Defer(release)
		ts.Setenv(variable, address)
	}
	return address
}
