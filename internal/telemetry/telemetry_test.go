package telemetry_test

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/encoding/protodelim"

	"kaban/internal/conn"
	"kaban/internal/count"
	"kaban/internal/dispatch"
	"kaban/internal/peer"
	"kaban/internal/telemetry"
)

// ask makes a request and returns the answer.
func ask(t testing.TB, url string, header ...string) (*http.Response, []byte) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	must(t, err)
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			request.Host = header[i+1]
		}
		request.Header.Set(header[i], header[i+1])
	}
	response, err := http.DefaultClient.Do(request)
	must(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	must(t, err)
	return response, body
}

func TestNamesAndHelpFollowTheConventions(t *testing.T) {
	_, body := ask(t, "http://"+start(t).scrape(false)+"/metrics")
	problems, err := promlint.New(bytes.NewReader(body)).Lint()
	must(t, err)
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// TestLabelsAreBounded: what strangers do must not make new series.
func TestLabelsAreBounded(t *testing.T) {
	f := start(t)
	series := func() (n int) {
		for name, family := range families(t, f.registry) {
			if strings.HasPrefix(name, "kaban_") {
				n += len(family.Metric)
			}
		}
		return n
	}
	before := series()
	for i := range 20 {
		c := f.member(fmt.Sprint("room", i))
		c.send(fmt.Sprint("room", i), "1", "x")
		c.say(`{"type":"nonsense%d"}`, i)
		c.expect("error")
		wrongPassword(f, fmt.Sprint("stranger", i))
		f.get(http.MethodPost, fmt.Sprint("/hooks/", i), "{}")
	}
	if after := series(); after != before {
		t.Errorf("there were %d series and are %d", before, after)
	}
	if before > 200 {
		t.Errorf("there are %d series", before)
	}
}

// scrapeNative returns the metrics as a scraper reads them that takes native histograms.
func scrapeNative(t *testing.T, at string) map[string]*dto.MetricFamily {
	t.Helper()
	_, body := ask(t, "http://"+at+"/metrics", "Accept", "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited")
	named := make(map[string]*dto.MetricFamily)
	for from := bytes.NewReader(body); from.Len() > 0; {
		var family dto.MetricFamily
		must(t, protodelim.UnmarshalFrom(from, &family))
		named[family.GetName()] = &family
	}
	return named
}

// TestHistogramsHaveBothKindsOfBuckets reads what was observed back from both.
func TestHistogramsHaveBothKindsOfBuckets(t *testing.T) {
	var observed count.Histogram
	f := &fixture{t: t, sources: telemetry.Sources{Dispatcher: func() dispatch.Stats { return dispatch.Stats{AckSeconds: observed.Snapshot()} }}}
	at := f.scrape(false)
	empty := scrapeNative(t, at)["kaban_ack_seconds"].Metric[0].Histogram
	if len(empty.PositiveSpan) != 1 || empty.GetSampleCount() != 0 {
		t.Errorf("an empty histogram is not known as a native one: %v", empty)
	}
	values := map[float64]int{0.001: 5, 0.0010001: 1, 0.25: 2, 0.3: 7, 100: 1, 1e-7: 3}
	for value, n := range values {
		observed.Observe(value, n)
	}
	h := scrapeNative(t, at)["kaban_ack_seconds"].Metric[0].Histogram
	if h.GetSampleCount() != 19 || math.Abs(h.GetSampleSum()-102.6060003) > 1e-6 {
		t.Errorf("count %d, sum %g", h.GetSampleCount(), h.GetSampleSum())
	}
	native := make(map[int]int64)
	number, i, n := int32(0), 0, int64(0)
	for _, span := range h.PositiveSpan {
		number += span.GetOffset()
		for range span.GetLength() {
			n += h.PositiveDelta[i]
			native[int(number)] = n
			number, i = number+1, i+1
		}
	}
	for value, times := range values {
		bucket := int(math.Ceil(math.Log2(value)*count.PerPower - 1e-9))
		if native[bucket] < int64(times) {
			t.Errorf("%g was observed %d times, and bucket %d has %d: %v", value, times, bucket, native[bucket], native)
		}
	}
	for _, b := range h.Bucket {
		want := 0
		for value, times := range values {
			if value <= b.GetUpperBound() {
				want += times
			}
		}
		if b.GetCumulativeCount() != uint64(want) {
			t.Errorf("%d up to %g, want %d", b.GetCumulativeCount(), b.GetUpperBound(), want)
		}
	}
}

func TestProfilesAreOnlyServedWhenAsked(t *testing.T) {
	for _, test := range []struct {
		profiles bool
		path     string
		status   int
	}{
		{false, "/metrics", 200},
		{false, "/debug/pprof/", 404},
		{false, "/debug/pprof/heap", 404},
		{false, "/", 404},
		{true, "/metrics", 200},
		{true, "/debug/pprof/", 200},
		{true, "/debug/pprof/heap", 200},
		{true, "/debug/pprof/cmdline", 200},
	} {
		f := &fixture{t: t}
		if got, _ := ask(t, "http://"+f.scrape(test.profiles)+test.path); got.StatusCode != test.status {
			t.Errorf("profiles %t, %s: got %d, want %d", test.profiles, test.path, got.StatusCode, test.status)
		}
	}
}

// TestAPageCannotReadMetrics: a browser on this machine goes to the name of a page's
// site, which leads to 127.0.0.1.
func TestAPageCannotReadMetrics(t *testing.T) {
	f := &fixture{t: t}
	at := f.scrape(true)
	for host, want := range map[string]int{
		"evil.example": 421, "evil.example:6490": 421, "": 200, "localhost:6490": 200, "localhost": 200, "127.0.0.1": 200, "[::1]": 200, "[::1]:6490": 200,
	} {
		header := []string{"Host", host}
		if host == "" {
			header = nil
		}
		for _, path := range []string{"/metrics", "/debug/pprof/cmdline"} {
			if got, _ := ask(t, "http://"+at+path, header...); got.StatusCode != want {
				t.Errorf("Host %q, %s: got %d, want %d", host, path, got.StatusCode, want)
			}
		}
	}
}

// TestOnlyProxiesReadWhatTheyGuard: beyond loopback, --proxy names those that may
// connect.
func TestOnlyProxiesReadWhatTheyGuard(t *testing.T) {
	proxies, err := peer.ParseProxies([]string{"192.0.2.0/24"})
	must(t, err)
	rules, err := peer.Decide(peer.Listener{URL: "metrics://0.0.0.0:6490"}, peer.Policy{Proxies: proxies})
	must(t, err)
	s, err := telemetry.New(telemetry.Config{})
	must(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	var serving sync.WaitGroup
	serving.Go(func() { s.ServeUnder(l, rules) })
	defer serving.Wait()
	defer s.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	must(t, err)
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	io.WriteString(c, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
	if got, _ := io.ReadAll(c); len(got) > 0 {
		t.Errorf("somebody that is no proxy was given %.40q", got)
	}
}

// crowd connects clients through pipes, which take no files.
func crowd(tb testing.TB, f *fixture, clients int) {
	tb.Helper()
	protocol := f.lines.Lines(peer.Loopback())
	for i := range clients {
		ours, theirs := net.Pipe()
		tb.Cleanup(func() { theirs.Close() })
		f.manager.Delegate(ours, protocol)
		fmt.Fprintf(theirs, "{\"type\":\"hello\",\"version\":1,\"username\":\"crowd%d\"}\n", i)
		var answer [1 << 10]byte
		if _, err := theirs.Read(answer[:]); err != nil {
			tb.Fatal(err)
		}
	}
}

// BenchmarkScrape is one scrape of a server with 10,000 clients. The aim is 50 ms.
func BenchmarkScrape(b *testing.B) {
	f := start(b)
	crowd(b, f, 10_000)
	if n := f.manager.Stats().Clients; n != 10_000 {
		b.Fatalf("%d clients", n)
	}
	at := f.scrape(false)
	for b.Loop() {
		ask(b, "http://"+at+"/metrics")
	}
}

// TestAScrapeWaitsForNoCommit: the store of a server may be slow, which is when its
// operator looks.
func TestAScrapeWaitsForNoCommit(t *testing.T) {
	f := start(t)
	c := f.member("lobby")
	f.store.appends.Lock()
	defer f.store.appends.Unlock()
	c.say(`{"type":"send","room":"lobby","id":"slow","content":"x"}`)
	c.say(`{"type":"history","room":"lobby"}`)
	c.expect("history") // so the send was submitted
	if families(t, f.registry)["kaban_messages_total"] == nil {
		t.Error("there are no metrics")
	}
}

// TestReasonsHaveNames: each is a label.
func TestReasonsHaveNames(t *testing.T) {
	seen := make(map[string]conn.Reason)
	for r := range conn.Lost + 1 {
		if other, twice := seen[r.String()]; twice || r.String() == "" {
			t.Errorf("reasons %d and %d are both %q", r, other, r)
		}
		seen[r.String()] = r
	}
}
