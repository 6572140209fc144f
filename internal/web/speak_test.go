package web_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"kaban"
	"kaban/client"
	"kaban/internal/store"
	"kaban/internal/store/memory"
	"kaban/internal/web"
	"kaban/wire"
)

// slowStore appends when it is told to.
type slowStore struct {
	store.Store
	begun, goOn chan struct{}
}

func (s *slowStore) Append(ctx context.Context, batch []kaban.Dispatch, results []store.Result) error {
	s.begun <- struct{}{}
	<-s.goOn
	return s.Store.Append(ctx, batch, results)
}

// While a message over HTTP is being stored its name is taken: nobody can log in
// under it and find words in their mouth. Whatever speaks, and under whatever
// spelling.
func TestANameIsTakenWhileItSpeaks(t *testing.T) {
	s := &slowStore{memory.New(0), make(chan struct{}), make(chan struct{})}
	f := start(t, web.Config{Hooks: oneHook{}}, s)
	login := func(name string) error {
		c, err := client.Dial(t.Context(), f.tcp, client.Options{Username: name})
		if err == nil {
			c.Close()
		}
		return err
	}
	for _, test := range []struct{ path, contentType, body, name, other string }{
		{"/v1/rooms/lobby/messages", "application/json", `{"id":"1","username":"alice","content":"x"}`, "alice", "aIice"},
		{"/hooks/secret", "application/json", `{"text":"x","username":"bob"}`, "bob", "Вob"},
		{"/hooks/secret", "application/json", `{"text":"x"}`, "webhook", "WEBHOOK"},
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
