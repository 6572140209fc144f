package e2e

import (
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"testing"
)

// With hardly any file descriptors, and more silent connections than descriptors,
// people can log in and the health check answers.
func TestALoginWithoutFilesToSpare(t *testing.T) {
	t.Parallel()
	const files, crowd = 200, 600
	server := command(t)
	server.Cmd = exec.CommandContext(t.Context(), "sh", "-c", fmt.Sprintf("ulimit -n %d && exec %q serve --listen tcp://127.0.0.1:0 --listen http://127.0.0.1:0 --data :memory:", files, binary))
	server.Stdout, server.Stderr = server, server
	server.begin()
	server.await("msg=ready")
	said := server.String()
	_, rest, _ := strings.Cut(said, "url=tcp://")
	addr, _, _ := strings.Cut(rest, "\n")
	_, rest, _ = strings.Cut(said, "url=http://")
	web, _, _ := strings.Cut(rest, "\n")
	if !strings.Contains(said, "the limit of open files allows fewer clients") {
		t.Errorf("the log does not say that there is room for fewer:\n%s", said)
	}
	for i := range crowd {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if i%2 == 0 {
			fmt.Fprint(conn, `{"type":"hello","version":1,`)
		}
	}
	for i := range 5 {
		send := command(t, "send", "--server", addr, "lobby", fmt.Sprint("message ", i))
		send.begin()
		if code := send.finish(); code != 0 {
			t.Fatalf("send ended with %d: %s", code, send)
		}
		answer, err := impatient.Get("http://" + web + "/healthz")
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			t.Errorf("health: got %s", answer.Status)
		}
	}
	if said := server.String(); strings.Contains(said, "cannot accept") || strings.Contains(said, "cannot serve") {
		t.Errorf("the server ran out of files:\n%s", said)
	}
}
