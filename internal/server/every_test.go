package server_test

import (
	"context"
	"strings"
	"testing"

	"kaban"
	"kaban/internal/limit"
	peers "kaban/internal/peer"
	"kaban/internal/store/storetest"
	"kaban/wire"
)

// everyRequest returns a valid request of each type that package wire knows, each a line
// with the ref "r".
func everyRequest(t *testing.T) map[wire.Type]string {
	t.Helper()
	room, err := kaban.ParseRoomName(kaban.Lobby)
	if err != nil {
		t.Fatal(err)
	}
	name := storetest.Username(t, "somebody")
	message, err := kaban.NewMessage(name, "hello", 100)
	if err != nil {
		t.Fatal(err)
	}
	id, err := kaban.ParseMessageID("1")
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[wire.Type]string)
	for kind := range wire.Type(255) {
		if !kind.IsRequest() {
			continue
		}
		r := wire.Request{
			Type: kind, Ref: []byte("r"), Room: room, ID: id, Username: name, Usernames: []kaban.Username{name}, Message: message,
			Target: 1, Emoji: "👍", On: true, Query: "x", Topic: "x", Role: kaban.RoomRoleOp, Level: kaban.NotifyAll,
			Kind: kaban.RoomPublic, Seq: 1,
		}
		line := r.Append(nil)
		var read wire.Request
		in := wire.NewReader(strings.NewReader(string(line)))
		if err := in.Fill(); err != nil {
			t.Fatal(err)
		}
		if err := in.ReadRequest(&read); err != nil { // or it would be refused for that
			t.Fatalf("%s: %v", line, err)
		}
		all[kind] = string(line)
	}
	return all
}

// TestEveryRequestInEveryState sends every type of request in each state of a connection
// that is not signed in yet, or not any more.
func TestEveryRequestInEveryState(t *testing.T) {
	open, town := serve(t), newTown(t)
	open.dial() // so that what serves WebSockets is there for the whole test
	town.dial()
	const visitor = `{"type":"hello","version":1,"username":"visitor","ref":"h"}` + "\n"
	for kind, line := range everyRequest(t) {
		isHello := kind == wire.TypeHello
		tooEarly := func(p *peer) {
			t.Helper()
			p.send(line + line) // the second one is never read
			p.expect("error", "code", "hello_required", "ref", "r")
			p.expectEnd("protocol")
		}
		states := map[string]func(){
			"before hello": func() { tooEarly(open.dial()) },
			"before hello, where only accounts come in": func() { tooEarly(town.dial()) },
		}
		if isHello {
			states = map[string]func(){
				"before hello": func() {
					p := open.dial()
					p.send(line)
					p.expect("welcome", "ref", "r")
				},
				"before hello, where only accounts come in": func() {
					p := town.dial()
					p.send(line + line)
					p.expect("error", "code", "auth_required", "ref", "r")
					p.expectEnd("auth")
				},
			}
		}
		states["after a hello that needs an account"] = func() {
			p := town.dial()
			p.send(visitor + line)
			p.expect("error", "code", "auth_required", "ref", "h")
			p.expectEnd("auth")
		}
		states["during a sign-in that fails"] = func() {
			p := town.dial()
			p.send(`{"type":"hello","version":1,"token":"kaban_token_` + strings.Repeat("x", 43) + `","ref":"h"}` + "\n" + line)
			p.expect("error", "code", "auth_failed", "ref", "h")
			p.expectEnd("auth")
		}
		states["during a sign-in"] = func() {
			p := town.dial()
			p.send(`{"type":"hello","version":1,"token":"` + town.tokens["ann"] + `","ref":"h"}` + "\n" + line)
			p.expect("welcome", "ref", "h")
			p.answered(t, isHello)
		}
		states["after the welcome"] = func() {
			p := town.enter("bob")
			p.send(line)
			p.answered(t, isHello)
		}
		for state, try := range states {
			t.Run(kind.String()+" "+state, func(t *testing.T) {
				open.t, town.t = t, t
				try()
			})
		}
	}
}

// answered sees that a request got its answer as one of somebody that is signed in, and
// that the connection goes on.
func (p *peer) answered(t *testing.T, isHello bool) {
	t.Helper()
	p.say(`{"type":"ping","ref":"last"}`)
	for {
		f, err := p.next()
		if err != nil {
			t.Fatal(err)
		}
		code, _ := f["code"].(string)
		switch {
		case f["ref"] == "last":
			return
		case f["ref"] == "r" && isHello != (code == "already_greeted"):
			t.Errorf("got %s", f)
		case code == "hello_required", code == "unknown_type", f["type"] == "goodbye":
			t.Errorf("got %s", f)
		}
	}
}

// TestEveryRequestAtALockedServer sends every type of request from elsewhere to a server
// without an owner.
func TestEveryRequestAtALockedServer(t *testing.T) {
	onlyPlain(t)
	g := gate(t, limit.Config{}, peers.Policy{})
	for kind, line := range everyRequest(t) {
		p := g.from("192.0.2.1")
		p.send(line + line)
		if kind == wire.TypeHello {
			p.expect("error", "code", "auth_required", "ref", "r")
			p.expectEnd("auth")
			continue
		}
		p.expect("error", "code", "hello_required", "ref", "r")
		p.expectEnd("protocol")
	}
}

// TestEveryRequestAfterTheGoodbye sends every type of request on connections that the
// server has said goodbye to: none is carried out, or answered.
func TestEveryRequestAfterTheGoodbye(t *testing.T) {
	f := serve(t)
	all := make(map[wire.Type]*peer)
	requests := everyRequest(t)
	for kind := range requests {
		all[kind] = f.hello("ann-" + kind.String())
	}
	ended := make(chan error, 1)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	go func() { ended <- f.shutdown(ctx) }()
	for kind, p := range all {
		p.expect("goodbye", "reason", "draining")
		p.conn.Write([]byte(requests[kind])) // which fails if the server has hung up
		if got, err := p.next(); err == nil {
			t.Errorf("%s after the goodbye is answered with %s", kind, got)
		}
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
