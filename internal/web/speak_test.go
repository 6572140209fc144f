package web_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"kaban/client"
	"kaban/internal/store"
	"kaban/internal/store/teststore"
	"kaban/internal/web"
	"kaban/wire"
)

// slowStore appends when it is told to.
type slowStore struct {
	store.Store
	begun, goOn chan struct{}
}

func (s *slowStore) Append(ctx context.Context, batch []store.Write, results []store.Result) error {
	s.begun <- struct{}{}
	<-s.goOn
	return s.Store.Append(ctx, batch, results)
}

// While a message over HTTP is being stored its name is taken: nobody can log in
// under it and find words in their mouth, under whatever spelling.
func TestANameIsTakenWhileItSpeaks(t *testing.T) {
	s := &slowStore{teststore.New(t), make(chan struct{}), make(chan struct{})}
	f := start(t, web.Config{}, s)
	login := func(name string) error {
		c, err := client.Dial(t.Context(), f.tcp, client.Options{Username: name})
		if err == nil {
			c.Close()
		}
		return err
	}
	for _, test := range []struct{ path, contentType, body, name, other string }{
		{"/v1/rooms/lobby/messages", "application/json", `{"id":"1","username":"alice","content":"x"}`, "alice", "aIice"},
	} {
		status := make(chan int)
		go func() {
			answer, err := f.client.Post(f.url+test.path, test.contentType, strings.NewReader(test.body))
			if err != nil {
				t.Error(err)
				status <- 0
				return
			}
			answer.Body.Close()
			status <- answer.StatusCode
		}()
		<-s.begun
		for _, name := range []string{test.name, test.other} {
			var refused *client.Error
			if err := login(name); !errors.As(err, &refused) || refused.Code != wire.CodeUsernameTaken {
				t.Errorf("%s: %s logs in while %s speaks: %v", test.path, name, test.name, err)
			}
		}
		s.goOn <- struct{}{}
		if got := <-status; got != http.StatusCreated && got != http.StatusOK {
			t.Errorf("%s: the status is %d", test.path, got)
		}
		if err := login(test.name); err != nil {
			t.Errorf("%s: %s cannot log in afterwards: %v", test.path, test.name, err)
		}
	}
}

// A client that goes away does not free the name that it speaks under: its message
// is on its way all the same.
func TestANameIsTakenUntilItsMessageIsStored(t *testing.T) {
	s := &slowStore{teststore.New(t), make(chan struct{}), make(chan struct{})}
	f := start(t, web.Config{}, s)
	ctx, leave := context.WithCancel(t.Context())
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, f.url+"/v1/rooms/lobby/messages", strings.NewReader(`{"id":"1","username":"alice","content":"x"}`))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		if answer, err := f.client.Do(request); err == nil {
			answer.Body.Close()
			t.Errorf("got %s, though nothing is stored", answer.Status)
		}
	}()
	<-s.begun
	leave()
	<-gone
	f.until("the server has noticed", func() bool { n, _ := f.web.Connections(); return n == 0 })
	c, err := client.Dial(t.Context(), f.tcp, client.Options{Username: "alice"})
	if refused, ok := errors.AsType[*client.Error](err); !ok || refused.Code != wire.CodeUsernameTaken {
		t.Errorf("alice logs in before her message is stored: %v", err)
	}
	if c != nil {
		c.Close()
	}
	s.goOn <- struct{}{}
	f.until("the name is free", func() bool {
		c, err := client.Dial(t.Context(), f.tcp, client.Options{Username: "alice"})
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

// lazyStore takes a moment for everything.
type lazyStore struct{ store.Store }

func (s lazyStore) Append(ctx context.Context, batch []store.Write, results []store.Result) error {
	time.Sleep(2 * time.Millisecond)
	return s.Store.Append(ctx, batch, results)
}

// Posts and logins under one name race. Whoever has logged in and joined never
// sees words that it has not said.
func TestPostsRaceLogins(t *testing.T) {
	f := start(t, web.Config{}, lazyStore{teststore.New(t)})
	both := 0
	for round := range 60 {
		name := fmt.Sprint("racer", round)
		stored := make(chan float64, 1)
		go func() {
			body := fmt.Sprintf(`{"id":"%d","username":"%s","content":"over HTTP"}`, round, name)
			answer, err := f.client.Post(f.url+"/v1/rooms/lobby/messages", "application/json", strings.NewReader(body))
			if err != nil {
				t.Error(err)
				stored <- 0
				return
			}
			defer answer.Body.Close()
			var receipt struct{ Seq float64 }
			if err := json.NewDecoder(answer.Body).Decode(&receipt); err != nil {
				t.Error(err)
			}
			stored <- receipt.Seq
		}()
		time.Sleep(time.Duration(round%12) * 250 * time.Microsecond) // the login comes anywhere in the post
		c, err := client.Dial(t.Context(), f.tcp, client.Options{Username: name})
		if err != nil {
			<-stored
			continue // the post was first
		}
		r, err := c.Join(t.Context(), "lobby", client.From{})
		if err != nil {
			t.Fatal(err)
		}
		head := float64(r.Head())
		if seq := <-stored; seq > head {
			t.Errorf("round %d: %s joined at %v, and then its name said message %v", round, name, head, seq)
		} else if seq > 0 {
			both++
		}
		c.Close()
	}
	t.Logf("%d times one came cleanly after the other", both)
}

// An alert is not lost because somebody has the name of its hook, and nobody is taken
// for its author: it is a program's, which is a member of one room.
func TestAHookWhoseNameIsTaken(t *testing.T) {
	f := start(t, web.Config{}, withHook(t, nil))
	f.dial("webhook")
	f.do("POST", "/hooks/secret", `{"text":"fire","username":"WEBHOOK"}`).has(t, 200)
	if username, content := f.last(); username != "WEBHOOK" || content != "fire" {
		t.Errorf("got %q from %q", content, username)
	}
	page := f.get("/v1/rooms/builds/messages").has(t, 200)
	if m := page.json["messages"].([]any)[0].(map[string]any); m["bot"] != true || m["account"] != nil {
		t.Errorf("the author is not shown as a program: %v", m)
	}
}
