//go:build otel

package trace_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"kaban/internal/chat"
	"kaban/internal/conn"
	"kaban/internal/dispatch"
	"kaban/internal/peer"
	"kaban/internal/server"
	"kaban/internal/store"
	"kaban/internal/store/memory"
	"kaban/internal/trace"
)

// collect starts a collector of OTLP over HTTP. Stop sends what is left, and returns all
// spans by their name.
func collect(t *testing.T) (stop func() map[string][]*otlp.Span) {
	t.Helper()
	var mu sync.Mutex
	spans := make(map[string][]*otlp.Span)
	at := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var request collector.ExportTraceServiceRequest
		if err == nil {
			err = proto.Unmarshal(body, &request)
		}
		if err != nil || r.URL.Path != "/v1/traces" {
			t.Errorf("%s: %v", r.URL.Path, err)
		}
		mu.Lock()
		defer mu.Unlock()
		for _, of := range request.ResourceSpans {
			if about := fmt.Sprint(of.Resource); !strings.Contains(about, "kaban") || !strings.Contains(about, "1.2.3") {
				t.Errorf("the spans are of %s", about)
			}
			for _, scope := range of.ScopeSpans {
				for _, s := range scope.Spans {
					spans[s.Name] = append(spans[s.Name], s)
				}
			}
		}
	}))
	t.Cleanup(at.Close)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", at.URL)
	flush, err := trace.Setup(t.Context(), "1.2.3", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return func() map[string][]*otlp.Span {
		if err := flush(context.Background()); err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		defer mu.Unlock()
		return spans
	}
}

// failing is a store that fails when a test says so.
type failing struct {
	store.Store
	now atomic.Bool
}

func (f *failing) Append(ctx context.Context, writes []store.Write, results []store.Result) error {
	if f.now.Load() {
		return errors.New("the test has it fail")
	}
	return f.Store.Append(ctx, writes, results)
}

// talk returns a client in a room of a new server, which ends with the test.
func talk(t *testing.T, kept store.Store) (say func(string), expect func(string)) {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	d, err := dispatch.New(t.Context(), kept, dispatch.Options{})
	check(err)
	rooms, err := chat.New(t.Context(), d, chat.Options{})
	check(err)
	m, err := conn.New(conn.Config{Submit: rooms.Submit})
	check(err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	var serving sync.WaitGroup
	serving.Go(func() { server.New(server.Config{}, rooms, m).Serve(l, peer.Loopback()) })
	c, err := net.Dial("tcp", l.Addr().String())
	check(err)
	t.Cleanup(func() {
		c.Close()
		m.Close()
		serving.Wait()
		rooms.Close()
		d.Close()
		kept.Close()
	})
	c.SetDeadline(time.Now().Add(2 * time.Minute))
	lines := bufio.NewScanner(c)
	say = func(line string) { io.WriteString(c, line+"\n") }
	expect = func(kind string) {
		t.Helper()
		for lines.Scan() {
			if strings.HasPrefix(lines.Text(), `{"type":"`+kind+`"`) {
				return
			}
		}
		t.Fatalf("waiting for %s: %v", kind, lines.Err())
	}
	say(`{"type":"hello","version":1,"username":"a"}`)
	say(`{"type":"join","room":"lobby"}`)
	expect("joined")
	return say, expect
}

func TestEachStageOfAMessageIsASpan(t *testing.T) {
	stop := collect(t)
	kept := &failing{Store: memory.New(0)}
	say, expect := talk(t, kept)
	say(`{"type":"send","room":"lobby","id":"1","content":"a secret"}`)
	expect("ack")
	kept.now.Store(true)
	say(`{"type":"send","room":"lobby","id":"2","content":"a secret"}`)
	expect("error")
	say(`{"type":"ping"}`)
	expect("pong") // a round later; the first message has ended by then
	spans := stop()
	for name, want := range map[string]int{"message": 2, "read": 2, "commit": 2, "fan-out": 1} {
		if got := len(spans[name]); got != want {
			t.Fatalf("%d spans %q, want %d", got, name, want)
		}
	}
	for _, message := range spans["message"] {
		last := message.StartTimeUnixNano
		var stages []string
		for _, stage := range []string{"read", "commit", "fan-out"} {
			i := slices.IndexFunc(spans[stage], func(s *otlp.Span) bool { return string(s.TraceId) == string(message.TraceId) })
			if i < 0 {
				continue
			}
			s := spans[stage][i]
			if stages = append(stages, stage); string(s.ParentSpanId) != string(message.SpanId) {
				t.Errorf("%s is no part of the message", stage)
			}
			if s.StartTimeUnixNano < last || s.EndTimeUnixNano < s.StartTimeUnixNano || s.EndTimeUnixNano > message.EndTimeUnixNano {
				t.Errorf("%s is not after the stage before it, or not within the message", stage)
			}
			last = s.EndTimeUnixNano
		}
		want := "[read commit fan-out]"
		if message.Status.GetCode() == otlp.Status_STATUS_CODE_ERROR {
			want = "[read commit]"
		}
		if got := fmt.Sprint(stages); got != want {
			t.Errorf("the stages are %s, want %s", got, want)
		}
		if text := fmt.Sprint(message); strings.Contains(text, "secret") || strings.Contains(text, "lobby") {
			t.Errorf("a span says too much: %s", text)
		}
	}
	if !slices.ContainsFunc(spans["message"], func(s *otlp.Span) bool { return s.Status.GetCode() == otlp.Status_STATUS_CODE_ERROR }) {
		t.Error("no message is marked as one that was not stored")
	}
}
