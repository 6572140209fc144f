package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var (
	downloads = flag.Int("downloads", 0, "pairs of measurements of a conversation alone and beside 100 downloads, of 20 s each")
	pace      = flag.Int("downloads.rate", 1_000_000, "bytes a second of each download")
)

const (
	// downloadSize is the size of the file in bytes, and downloaders how many fetch it at a time.
	downloadSize = 10_000_000
	downloaders  = 100
)

// TestDownloadsBesideAConversation measures what 100 downloads at a time, at the pace of a link that they
// share, cost a conversation of 100 people in which 200 messages a second are sent. They should leave its
// p99 within 20 %. How noisy the machine is shows in the p99 of the conversation alone.
func TestDownloadsBesideAConversation(t *testing.T) {
	if *downloads == 0 {
		t.Skip("a measurement: make downloads")
	}
	p := startPeopled(t)
	tokens := []string{p.run("token", "add", "olga"), p.run("token", "add", "bob")}
	id := p.uploadLong(tokens[0])
	p.run("settings", "set", "access", "open") // who talks are visitors
	var ratios, alone []float64
	for range *downloads {
		before := p.talk()
		ctx, stop := context.WithCancel(t.Context())
		var group sync.WaitGroup
		var fetched atomic.Int64
		for i := range downloaders { // of two accounts: one has 64 at most
			group.Go(func() {
				for ctx.Err() == nil {
					if err := p.download(ctx, tokens[i%2], id, &fetched); err != nil && ctx.Err() == nil {
						t.Error(err)
						return
					}
				}
			})
		}
		for fetched.Load() < downloaders<<16 && !t.Failed() {
			time.Sleep(time.Millisecond)
		}
		began, from := time.Now(), fetched.Load()
		beside := p.talk()
		rate := float64(fetched.Load()-from) / time.Since(began).Seconds() / 1e6
		stop()
		group.Wait()
		ratios, alone = append(ratios, beside/before), append(alone, before)
		t.Logf("p99 %.1f ms alone, %.1f ms beside %d downloads with %.0f MB/s: %.2f times", before, beside, downloaders, rate, beside/before)
	}
	slices.Sort(ratios)
	slices.Sort(alone)
	t.Logf("in the median %.2f times, from %.2f to %.2f; the p99 of the conversation alone is %.1f to %.1f ms", ratios[len(ratios)/2], ratios[0], ratios[len(ratios)-1], alone[0], alone[len(alone)-1])
}

// uploadLong uploads a file, and sends it to the lobby, where others may have it.
func (p *peopled) uploadLong(token string) (id string) {
	p.t.Helper()
	var form bytes.Buffer
	parts := multipart.NewWriter(&form)
	part, err := parts.CreateFormFile("file", "long.bin")
	if err == nil {
		_, err = part.Write(bytes.Repeat([]byte("0123456789"), downloadSize/10))
	}
	if err := errors.Join(err, parts.Close()); err != nil {
		p.t.Fatal(err)
	}
	var file struct{ File string }
	p.asks(token, "/v1/files", parts.FormDataContentType(), &form, &file)
	p.asks(token, "/v1/rooms/lobby/messages", "application/json", strings.NewReader(fmt.Sprintf(`{"id":"long","files":[%q]}`, file.File)), &struct{}{})
	return file.File
}

// asks posts something, and reads the answer into a value.
func (p *peopled) asks(token, path, contentType string, body io.Reader, into any) {
	p.t.Helper()
	r, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, p.origin+path, body)
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set("Content-Type", contentType)
	r.Header.Set("Authorization", "Bearer "+token)
	got, err := http.DefaultClient.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer got.Body.Close()
	if err := json.NewDecoder(got.Body).Decode(into); err != nil || got.StatusCode != http.StatusCreated {
		p.t.Fatalf("%s is answered with %d, %v", path, got.StatusCode, err)
	}
}

// download fetches the file once, at the pace of its share of a link.
func (p *peopled) download(ctx context.Context, token, id string, fetched *atomic.Int64) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.origin+"/v1/files/"+id, nil)
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	got, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer got.Body.Close()
	if got.StatusCode != http.StatusOK || got.ContentLength != downloadSize {
		return fmt.Errorf("the file is answered with %d, of %d bytes", got.StatusCode, got.ContentLength)
	}
	began, buffer := time.Now(), make([]byte, 64<<10)
	for n := int64(0); ; {
		some, err := got.Body.Read(buffer)
		n += int64(some)
		fetched.Add(int64(some))
		if errors.Is(err, io.EOF) && n == downloadSize {
			return nil
		}
		if err != nil {
			return fmt.Errorf("after %d bytes: %w", n, err)
		}
		time.Sleep(time.Until(began.Add(time.Duration(n) * time.Second / time.Duration(*pace))))
	}
}

// talk has a conversation for 10 s, and returns the p99 of its deliveries in milliseconds.
func (p *peopled) talk() float64 {
	p.t.Helper()
	c := command(p.t, "bench", "latency", "--server", "tcp://"+p.lines, "--members", "100", "--rate", "200", "--duration", "10s", "--json")
	c.begin()
	if code := c.finish(); code != 0 {
		p.t.Fatalf("the conversation ends with %d: %s", code, c)
	}
	var found struct {
		Lost    int
		Latency struct {
			P99 float64 `json:"p99_ms"`
		}
	}
	text := c.String()
	text = text[strings.Index(text, "{"):]
	if err := json.NewDecoder(strings.NewReader(text)).Decode(&found); err != nil || found.Latency.P99 == 0 {
		p.t.Fatalf("the conversation says %q: %v", text, err)
	}
	return found.Latency.P99
}
