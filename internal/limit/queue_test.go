package limit_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"

	"kaban/internal/limit"
)

// queued are the calls of a queue, by name, that run until they are told to end.
type queued struct {
	t       *testing.T
	queue   *limit.Queue
	running []string
	ends    map[string]chan struct{}
	cancels map[string]context.CancelFunc
	errs    map[string]error
}

func newQueued(t *testing.T, running, waiting int) *queued {
	return &queued{
		t: t, queue: limit.NewQueue(running, waiting),
		ends: make(map[string]chan struct{}), cancels: make(map[string]context.CancelFunc), errs: make(map[string]error),
	}
}

// call begins a call of the key that its first letter stands for; "-" is the zero Key.
func (q *queued) call(names ...string) {
	for _, name := range names {
		key := limit.NameKey(name[:1])
		if name[0] == '-' {
			key = 0
		}
		ctx, cancel := context.WithCancel(q.t.Context())
		end := make(chan struct{})
		q.ends[name], q.cancels[name] = end, cancel
		go func() {
			leave, err := q.queue.Enter(ctx, key)
			q.errs[name] = err
			if err != nil {
				return
			}
			q.running = append(q.running, name)
			<-end
			q.running = slices.DeleteFunc(q.running, func(other string) bool { return other == name })
			leave()
			leave()
		}()
		synctest.Wait()
	}
}

func (q *queued) end(name string) {
	close(q.ends[name])
	synctest.Wait()
}

func (q *queued) want(what string, running ...string) {
	q.t.Helper()
	if !slices.Equal(q.running, running) {
		q.t.Errorf("%s: %v run, want %v", what, q.running, running)
	}
}

// One call of a key runs at a time, in their order, and keys come in turn.
func TestQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueued(t, 2, 4)
		q.call("a1", "a2", "a3", "a4", "a5")
		q.want("one key", "a1")
		q.call("b1", "c1", "b2")
		q.want("more keys", "a1", "b1")
		q.end("a1")
		q.want("the key that waits longest", "b1", "c1")
		q.end("c1")
		q.want("the next of the first key", "b1", "a2")
		q.call("d1")
		q.end("a2")
		q.want("a key that came later, before the third of the first", "b1", "d1")
		q.end("b1")
		q.want("the first key again", "d1", "a3")
		q.end("d1")
		q.want("the other one", "a3", "b2")
		for _, name := range []string{"b2", "a3", "a4", "a5"} {
			q.end(name)
		}
		q.want("the end")
		if n := q.queue.Keys(); n != 0 {
			t.Errorf("%d keys are kept", n)
		}
	})
}

// Beyond a number calls of a key are refused, those of another key are not, and the zero Key is
// nobody's.
func TestQueueIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueued(t, 1, 2)
		q.call("a1", "a2", "a3", "a4", "b1", "-1", "-2", "-3", "-4")
		exceeded, ok := errors.AsType[*limit.ExceededError](q.errs["a4"])
		if !ok || exceeded.RetryAfter <= 0 {
			t.Errorf("one too many: %v", q.errs["a4"])
		}
		for name, err := range q.errs {
			if name != "a4" && err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		for _, name := range []string{"a1", "b1", "-1", "-2", "-3", "-4", "a2", "a3"} {
			q.want("in turn", name)
			q.end(name)
		}
		q.want("the end")
	})
}

// A call whose context ends takes no turn, wherever it waits.
func TestQueueIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueued(t, 1, 4)
		q.call("a1", "a2", "a3", "b1", "b2", "c1", "-1")
		for _, name := range []string{"a2", "b1", "c1", "-1"} {
			q.cancels[name]()
			synctest.Wait()
			if !errors.Is(q.errs[name], context.Canceled) {
				t.Errorf("%s: %v", name, q.errs[name])
			}
		}
		q.end("a1")
		q.want("the next", "b2")
		q.end("b2")
		q.want("the last", "a3")
		q.end("a3")
		q.call("a6")
		q.want("it is free", "a6")
		q.end("a6")
		if n := q.queue.Keys(); n != 0 {
			t.Errorf("%d keys are kept", n)
		}
	})
}
