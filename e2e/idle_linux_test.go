package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// idleMemory is what an idle connection of an account may have of the server's heap, in bytes.
const idleMemory = 1152

// An idle connection of an account that is in a room has little memory, whatever the connection
// has done before. What the process has of the system's memory is more, by what the collector
// of garbage lets the heap grow.
func TestIdleConnectionsOfAccountsAreSmall(t *testing.T) {
	t.Parallel()
	const people, few, many = 10, 100, 800
	p := startPeopled(t, "--listen", "metrics://127.0.0.1:0", "--pprof", "--max-newcomers", strconv.Itoa(many))
	tokens := []string{p.run("token", "add", "olga")}
	for i := 1; i < people; i++ {
		name := fmt.Sprint("ann", i)
		p.run("user", "add", name, "--password-file", p.secret)
		tokens = append(tokens, p.run("token", "add", name))
	}
	var connections []net.Conn
	enterUntil := func(count int) {
		for i := len(connections); i < count; i++ {
			connections = append(connections, p.enterRoom(tokens[i%people], fmt.Sprint("hall", i/people%people)))
		}
	}
	enterUntil(few)
	before := p.heap()
	enterUntil(many)
	after := p.heap()
	each := (after - before) / (many - few)
	t.Logf("%d B each: %d B with %d connections, %d B with %d", each, before, few, after, many)
	if each > idleMemory {
		t.Errorf("an idle connection has %d B of heap, want at most %d", each, idleMemory)
	}
	for _, c := range connections { // they are there until now
		c.Close()
	}
}

// enterRoom connects with a token and joins a room, and makes it if there is none.
func (p *peopled) enterRoom(token, room string) net.Conn {
	p.t.Helper()
	c, welcome := p.greet(fmt.Sprintf(`"token":%q`, token))
	if welcome["type"] != "welcome" {
		p.t.Fatalf("got %v, want a welcome", welcome)
	}
	c.SetReadDeadline(time.Now().Add(patience))
	fmt.Fprintf(c, `{"type":"join","room":%q}`+"\n", room)
	for lines := bufio.NewScanner(c); lines.Scan(); {
		if strings.Contains(lines.Text(), `"type":"joined"`) {
			return c
		}
	}
	p.t.Fatalf("no joined of %s", room)
	return nil
}

// heap returns the bytes of the objects that the server can reach.
func (p *peopled) heap() int {
	p.t.Helper()
	var n int
	for range 3 { // a pool keeps what it has for two collections
		answer, err := http.Get("http://" + p.listens("metrics") + "/debug/pprof/heap?gc=1&debug=1")
		if err != nil {
			p.t.Fatal(err)
		}
		text, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		found := regexp.MustCompile(`# HeapAlloc = (\d+)`).FindSubmatch(text)
		if err != nil || found == nil {
			p.t.Fatalf("no heap (error: %v): %.200s", err, text)
		}
		if n, err = strconv.Atoi(string(found[1])); err != nil {
			p.t.Fatal(err)
		}
	}
	return n
}
