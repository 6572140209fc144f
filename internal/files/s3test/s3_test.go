package s3test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"kaban/internal/childtest"
	"kaban/internal/files"
	"kaban/internal/files/filestest"
	"kaban/internal/files/s3"
)

const bucket = "kaban-files"

// service is a fake S3 with faults.
type service struct {
	*httptest.Server
	requests atomic.Int64

	mu    sync.Mutex
	fault func(w http.ResponseWriter, r *http.Request, next http.Handler) // nil: none; guarded by mu
}

func TestMain(m *testing.M) {
	childtest.AtOnce(8)
	var err error
	if programDir, err = os.MkdirTemp("", "kaban-s3"); err != nil {
		log.Fatal(err)
	}
	code := m.Run()
	if err := os.RemoveAll(programDir); err != nil {
		log.Fatal(err)
	}
	os.Exit(code)
}

func newService(t *testing.T) *service {
	t.Helper()
	backend := s3mem.New()
	if err := backend.CreateBucket(bucket); err != nil {
		t.Fatal(err)
	}
	fake := gofakes3.New(backend, gofakes3.WithLogger(gofakes3.DiscardLog())).Server()
	s := new(service)
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests.Add(1)
		s.mu.Lock()
		fault := s.fault
		s.mu.Unlock()
		if fault == nil {
			fake.ServeHTTP(w, r)
			return
		}
		fault(w, r, fake)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // the fake answers some requests twice
	s.Start()
	t.Cleanup(s.Close)
	return s
}

func (s *service) set(fault func(http.ResponseWriter, *http.Request, http.Handler)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = fault
	s.requests.Store(0)
}

func (s *service) config() s3.Config {
	return s3.Config{
		Endpoint: strings.TrimPrefix(s.URL, "http://"), Bucket: bucket, Addressing: s3.InPath, Region: "us-east-1",
		AccessKey: "key", SecretKey: "the-secret-key", Stall: s3.DefaultStall,
	}
}

func (s *service) open(t *testing.T) *s3.Store { return s.openStalled(t, s3.DefaultStall) }

func (s *service) openStalled(t *testing.T, stall time.Duration) *s3.Store {
	t.Helper()
	c := s.config()
	c.Stall = stall
	store, err := s3.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// put changes an object behind the store's back.
func (s *service) put(t *testing.T, path string, data []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, s.URL+"/"+bucket+"/"+path, bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := s.Client().Do(r)
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("put: %v, %v", resp, err)
	}
	resp.Body.Close()
}

func TestConformance(t *testing.T) {
	for _, prefix := range []string{"", "a/b"} {
		t.Run("prefix "+prefix, func(t *testing.T) {
			services := make(map[files.Store]*service)
			filestest.Run(t, func(t *testing.T) files.Store {
				service := newService(t)
				c := service.config()
				c.Prefix, c.Stall = prefix, s3.DefaultStall
				store, err := s3.Open(t.Context(), c)
				if err != nil {
					t.Fatal(err)
				}
				services[store] = service
				return store
			}, func(t *testing.T, s files.Store, key files.Key, data []byte) {
				services[s].put(t, strings.TrimPrefix(prefix+"/"+key.Path(), "/"), data)
			})
		})
	}
}

// Objects that are not the store's are not in its list, and lists have pages.
func TestList(t *testing.T) {
	service := newService(t)
	store := service.open(t)
	want := filestest.Add(t, store, []byte("x"))
	service.put(t, "files/notes.txt", []byte("x"))
	service.put(t, "files/ab/other", []byte("x"))
	service.put(t, "filesystem/x", []byte("x"))
	for i := range 1050 {
		service.put(t, files.Key{Kind: files.Thumbnail, Hash: files.Hash{byte(i), byte(i >> 8)}}.Path(), []byte("x"))
	}
	if got := filestest.Sizes(t, store, files.Content); len(got) != 1 || got[want] != 1 {
		t.Errorf("got %v", got)
	}
	if got := filestest.Sizes(t, store, files.Thumbnail); len(got) != 1050 {
		t.Errorf("%d thumbnails", len(got))
	}
}

// refuse answers with an error of S3.
func refuse(status int, code string) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(status)
		if r.Method != http.MethodHead {
			fmt.Fprintf(w, `<?xml version="1.0"?><Error><Code>%s</Code><Message>no</Message></Error>`, code)
		}
	}
}

// stall takes a request and never answers.
func stall(_ http.ResponseWriter, r *http.Request, _ http.Handler) {
	io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
}

// stallHalfway begins an answer and does not end it.
func stallHalfway(w http.ResponseWriter, r *http.Request, next http.Handler) {
	switch r.Method {
	case http.MethodHead:
		next.ServeHTTP(w, r)
		return
	case http.MethodGet:
	default:
		stall(w, r, next)
		return
	}
	w.Header().Set("Content-Length", "100000")
	w.Header().Set("Last-Modified", "Sat, 28 Nov 2026 04:00:00 GMT")
	w.Write(make([]byte, 1000))
	w.(http.Flusher).Flush()
	<-r.Context().Done()
}

// hangUp closes the connection.
func hangUp(http.ResponseWriter, *http.Request, http.Handler) { panic(http.ErrAbortHandler) }

// calls makes each call of a store, all at once, and returns the errors.
func calls(t *testing.T, store files.Store, key files.Key) map[string]error {
	t.Helper()
	_, staged := filestest.Stage(t, filestest.Bytes(1, 50_000))
	all := make(map[string]error)
	var mu sync.Mutex
	var group sync.WaitGroup
	for name, call := range map[string]func() error{
		"Add":    func() error { return store.Add(t.Context(), files.Key{Hash: staged.Sum}, staged) },
		"Remove": func() error { return store.Remove(t.Context(), files.Key{Hash: files.Hash{1}}) },
		"Open": func() error {
			f, _, err := store.Open(t.Context(), key)
			if err == nil {
				_, err = io.Copy(io.Discard, f)
				f.Close()
			}
			return err
		},
		"Check": func() error { _, err := files.Check(t.Context(), store, key, -1); return err },
		"All": func() (err error) {
			for _, err = range store.All(t.Context(), files.Content) {
			}
			return err
		},
	} {
		group.Go(func() {
			err := call()
			mu.Lock()
			defer mu.Unlock()
			all[name] = err
		})
	}
	group.Wait()
	return all
}

// Whatever is wrong with the service, each call ends with an error that says what to do,
// after few requests. When the service is well again, so is the store.
func TestFaults(t *testing.T) {
	for name, c := range map[string]struct {
		fault  func(http.ResponseWriter, *http.Request, http.Handler)
		advice string
		most   int64 // requests of a call
	}{
		"500":            {refuse(500, "InternalError"), "try again later", 20},
		"503":            {refuse(503, "ServiceUnavailable"), "try again later", 20},
		"slow down":      {refuse(503, "SlowDown"), "try again later", 20},
		"429":            {refuse(429, "TooManyRequests"), "try again later", 20},
		"wrong region":   {refuse(400, "AuthorizationHeaderMalformed"), "region", 2},
		"403":            {refuse(403, "AccessDenied"), "keys", 2},
		"wrong keys":     {refuse(403, "SignatureDoesNotMatch"), "keys", 2},
		"no bucket":      {refuse(404, "NoSuchBucket"), "create the bucket", 2},
		"a clock":        {refuse(403, "RequestTimeTooSkewed"), "clock", 20},
		"not S3":         {refuse(405, ""), "speaks S3", 2},
		"no answer":      {stall, "reached", 20},
		"half an answer": {stallHalfway, "reached", 20},
		"hangs up":       {hangUp, "reached", 20},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			service := newService(t)
			store := service.open(t)
			key := filestest.Add(t, store, filestest.Bytes(2, 100_000))
			patience := s3.DefaultStall
			if strings.HasSuffix(name, "answer") { // else nothing waits, but the machine may be slow
				patience = time.Second
			}
			stalled := service.openStalled(t, patience)
			service.set(c.fault)
			for call, err := range calls(t, stalled, key) {
				e, ok := errors.AsType[*files.UnreachableError](err)
				if !ok || errors.Is(err, files.ErrNotFound) || !strings.Contains(e.Advice, c.advice) || !strings.Contains(e.Store, bucket) {
					t.Errorf("%s: %v, want an UnreachableError with %q", call, err, c.advice)
				}
				if strings.Contains(fmt.Sprint(err), "the-secret-key") {
					t.Errorf("%s: the error has the key: %v", call, err)
				}
			}
			if n := service.requests.Load(); n > 5*c.most {
				t.Errorf("%d requests were made, want at most %d", n, 5*c.most)
			}
			service.set(nil)
			for call, err := range calls(t, store, filestest.Add(t, store, []byte("x"))) {
				if err != nil {
					t.Errorf("%s, with a service that is well again: %v", call, err)
				}
			}
		})
	}
}

// Only what a client reads of an object is asked for, and what is there already is not sent again.
func TestNoByteTooMany(t *testing.T) {
	t.Parallel()
	service := newService(t)
	store := service.open(t)
	data := filestest.Bytes(6, 100_000)
	key, staged := filestest.Stage(t, data)
	if err := store.Add(t.Context(), key, staged); err != nil {
		t.Fatal(err)
	}
	var asked []string
	service.set(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		asked = append(asked, strings.TrimSpace(r.Method+" "+r.Header.Get("Range")))
		next.ServeHTTP(w, r)
	})
	f, info, err := store.Open(t.Context(), key)
	if err != nil || info.Size != int64(len(data)) {
		t.Fatal(info, err)
	}
	if _, err := f.Seek(99_000, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(f); err != nil || !bytes.Equal(got, data[99_000:]) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if err := errors.Join(f.Close(), store.Add(t.Context(), key, staged)); err != nil {
		t.Fatal(err)
	}
	if want := []string{"HEAD", "GET bytes=99000-", "HEAD"}; !slices.Equal(asked, want) {
		t.Errorf("the service is asked %q, want %q", asked, want)
	}
	// Others bytes of the same length are.
	service.set(nil)
	service.put(t, key.Path(), make([]byte, len(data)))
	if err := store.Add(t.Context(), key, staged); err != nil {
		t.Fatal(err)
	}
	if got, _ := filestest.Read(t, store, key); !bytes.Equal(got, data) {
		t.Error("a damaged object is not mended")
	}
}

// owned returns a store that adds and removes objects for an owner.
func (s *service) owned(t *testing.T, owner string) *s3.Store {
	t.Helper()
	c := s.config()
	c.Owner = owner
	store, err := s3.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// wantRefused checks that a store does not change what is another owner's, and says so.
func wantRefused(t *testing.T, store *s3.Store) {
	t.Helper()
	key, staged := filestest.Stage(t, []byte("x"))
	_, tidied := store.Tidy(t.Context())
	for what, err := range map[string]error{
		"Add": store.Add(t.Context(), key, staged), "Remove": store.Remove(t.Context(), key), "Tidy": tidied, "Ready": store.Ready(t.Context()),
	} {
		if e, ok := errors.AsType[*files.UnreachableError](err); !ok || !e.Final || !strings.Contains(err.Error(), "another data directory") {
			t.Errorf("%s of what is another's: %v", what, err)
		}
	}
}

// Two data directories on the same objects would remove each other's.
func TestOwners(t *testing.T) {
	t.Parallel()
	service := newService(t)
	first, second := service.owned(t, "first"), service.owned(t, "second")
	key := filestest.Add(t, first, []byte("first"))
	wantRefused(t, second)
	if got, _ := filestest.Read(t, second, key); string(got) != "first" {
		t.Errorf("another owner reads %q", got)
	}
	if err := service.owned(t, "first").Ready(t.Context()); err != nil {
		t.Errorf("the same owner again: %v", err)
	}
	if err := second.TakeOver(t.Context()); err != nil {
		t.Fatal(err)
	}
	filestest.Add(t, second, []byte("second"))
	if _, err := first.Tidy(t.Context()); err == nil {
		t.Error("the former owner would look for objects that it does not need")
	}
	wantRefused(t, first)
	if err := second.Remove(t.Context(), key); err != nil {
		t.Error(err)
	}
}

// A store notices after a while that its objects were taken over, also without Tidy, and then adds and removes nothing.
func TestTakenOver(t *testing.T) {
	t.Parallel()
	service := newService(t)
	c := service.config()
	c.Owner, c.Recheck = "first", time.Nanosecond
	first, err := s3.New(c)
	if err != nil {
		t.Fatal(err)
	}
	key := filestest.Add(t, first, []byte("first"))
	if err := service.owned(t, "second").TakeOver(t.Context()); err != nil {
		t.Fatal(err)
	}
	other, staged := filestest.Stage(t, []byte("x"))
	for what, err := range map[string]error{"Add": first.Add(t.Context(), other, staged), "Remove": first.Remove(t.Context(), key)} {
		if e, ok := errors.AsType[*files.UnreachableError](err); !ok || !e.Final {
			t.Errorf("%s of what is another's: %v", what, err)
		}
	}
	// Until then it is believed: one request for each file would be one too many.
	believing := service.owned(t, "second")
	filestest.Add(t, believing, []byte("second"))
	before := service.requests.Load()
	if err := believing.Remove(t.Context(), key); err != nil || service.requests.Load() != before+1 {
		t.Errorf("%d requests to remove an object, %v", service.requests.Load()-before, err)
	}
}

// Of two that are new at the same moment one becomes the owner.
func TestOneOwner(t *testing.T) {
	t.Parallel()
	service := newService(t)
	var asked sync.WaitGroup
	asked.Add(2)
	var puts, gets atomic.Int64
	first := make(chan struct{}) // closed when one has seen that it is the owner
	service.set(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Method == http.MethodPut { // after both have found nobody
			asked.Done()
			asked.Wait()
			if puts.Add(1) == 2 {
				<-first
			}
		}
		next.ServeHTTP(w, r)
		if r.Method == http.MethodGet && gets.Add(1) == 3 {
			close(first)
		}
	})
	results := make(chan error, 2)
	for _, owner := range []string{"first", "second"} {
		store := service.owned(t, owner)
		go func() { results <- store.Ready(t.Context()) }()
	}
	one, other := <-results, <-results
	if (one == nil) == (other == nil) {
		t.Errorf("the results are %v and %v", one, other)
	}
}

// A service without conditional requests works, too.
func TestOwnerWithoutConditions(t *testing.T) {
	t.Parallel()
	service := newService(t)
	service.set(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Header.Get("If-None-Match") != "" {
			refuse(501, "NotImplemented")(w, r, next)
			return
		}
		next.ServeHTTP(w, r)
	})
	filestest.Add(t, service.owned(t, "first"), []byte("x"))
	wantRefused(t, service.owned(t, "second"))
}

// A service that is away when a store is opened is asked whose the objects are when it is back.
func TestOwnerLater(t *testing.T) {
	t.Parallel()
	service := newService(t)
	store := service.owned(t, "first")
	service.set(refuse(503, "ServiceUnavailable"))
	if e, ok := errors.AsType[*files.UnreachableError](store.Ready(t.Context())); !ok || e.Final {
		t.Errorf("got %v", e)
	}
	service.set(nil)
	filestest.Add(t, store, []byte("x"))
	wantRefused(t, service.owned(t, "second"))
}

// A service that refuses once or twice is asked again.
func TestRetries(t *testing.T) {
	t.Parallel()
	service := newService(t)
	store := service.open(t)
	data := filestest.Bytes(3, 200_000)
	key := filestest.Add(t, store, data)
	for name, fault := range map[string]func(http.ResponseWriter, *http.Request, http.Handler){
		"503": refuse(503, "SlowDown"), "500": refuse(500, "InternalError"), "hang up": hangUp,
	} {
		var n atomic.Int64
		service.set(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if n.Add(1)%3 != 0 {
				fault(w, r, next)
				return
			}
			next.ServeHTTP(w, r)
		})
		if got, _ := filestest.Read(t, store, key); !bytes.Equal(got, data) {
			t.Errorf("%s: %d bytes", name, len(got))
		}
		filestest.Add(t, store, data)
		if got := filestest.Sizes(t, store, files.Content); len(got) != 1 {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// cutter cuts an answer after some bytes.
type cutter struct {
	http.ResponseWriter
	left int
}

func (c *cutter) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p[:min(len(p), c.left)])
	if c.left -= n; err == nil && n < len(p) {
		c.ResponseWriter.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	return n, err
}

// An answer that is cut is continued where it ended. If nothing comes any more, the blob is
// not whole.
func TestCutAnswers(t *testing.T) {
	t.Parallel()
	service := newService(t)
	store := service.open(t)
	data := filestest.Bytes(4, 3<<20)
	key := filestest.Add(t, store, data)
	var gets atomic.Int64
	service.set(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Method == http.MethodGet {
			gets.Add(1)
			w = &cutter{w, 1<<20 + 5}
		}
		next.ServeHTTP(w, r)
	})
	if got, _ := filestest.Read(t, store, key); !bytes.Equal(got, data) {
		t.Errorf("%d bytes", len(got))
	}
	if gets.Load() != 3 {
		t.Errorf("%d requests, want 3", gets.Load())
	}
	f, _, err := store.Open(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	service.set(func(w http.ResponseWriter, r *http.Request, next http.Handler) { next.ServeHTTP(&cutter{w, 0}, r) })
	n, err := io.Copy(io.Discard, f)
	if _, ok := errors.AsType[*files.UnreachableError](err); !ok || n >= int64(len(data)) {
		t.Errorf("%d bytes, %v, want an UnreachableError", n, err)
	}
	if n := service.requests.Load(); n > 20 {
		t.Errorf("%d requests", n)
	}
}

// A service that loses what it acknowledges does not go unnoticed.
func TestLosses(t *testing.T) {
	t.Parallel()
	service := newService(t)
	store := service.open(t)
	key, staged := filestest.Stage(t, []byte("lost"))
	service.set(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Method == http.MethodPut {
			if sum := r.Header.Get("X-Amz-Content-Sha256"); sum != key.Hash.String() {
				t.Errorf("the service is told the checksum %q", sum)
			}
			io.Copy(io.Discard, r.Body)
			w.Header().Set("ETag", `"d41d8cd98f00b204e9800998ecf8427e"`)
			return
		}
		next.ServeHTTP(w, r)
	})
	err := store.Add(t.Context(), key, staged)
	if e, ok := errors.AsType[*files.UnreachableError](err); !ok || !strings.Contains(e.Advice, "loses") {
		t.Errorf("Add: %v, want an UnreachableError", err)
	}
	// A part of it is as bad.
	service.set(nil)
	service.put(t, key.Path(), []byte("lo"))
	if state, err := files.Check(t.Context(), store, key, 4); state != files.Partial || err != nil {
		t.Errorf("Check: %s, %v", state, err)
	}
	if err := store.Remove(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	if state, err := files.Check(t.Context(), store, key, 4); state != files.Missing || err != nil {
		t.Errorf("Check: %s, %v", state, err)
	}
}

// What a service says of a full bucket is ErrNoSpace.
func TestNoSpace(t *testing.T) {
	t.Parallel()
	service := newService(t)
	store := service.open(t)
	for _, fault := range []func(http.ResponseWriter, *http.Request, http.Handler){
		refuse(403, "QuotaExceeded"), refuse(507, "XMinioStorageFull"), refuse(400, "XMinioAdminBucketQuotaExceeded"), refuse(507, ""),
	} {
		service.set(fault)
		key, staged := filestest.Stage(t, []byte("x"))
		if err := store.Add(t.Context(), key, staged); !errors.Is(err, files.ErrNoSpace) {
			t.Errorf("got %v, want ErrNoSpace", err)
		}
	}
}

// A service that is not there, and addresses and buckets that are wrong.
func TestOpen(t *testing.T) {
	t.Parallel()
	service := newService(t)
	for name, change := range map[string]func(*s3.Config){
		"no bucket":   func(c *s3.Config) { c.Bucket = "kaban-others" },
		"no endpoint": func(c *s3.Config) { c.Endpoint = "127.0.0.1:1" },
		"TLS":         func(c *s3.Config) { c.TLS = true },
		"an address":  func(c *s3.Config) { c.Endpoint = "http://" + c.Endpoint + "/x" },
		"a bad name":  func(c *s3.Config) { c.Bucket = "_" },
	} {
		c := service.config()
		change(&c)
		if s, err := s3.Open(t.Context(), c); err == nil {
			t.Errorf("%s: %v", name, s)
		} else {
			t.Log(name, err)
		}
	}
}

// A call ends with its context, whatever the service does.
func TestCancel(t *testing.T) {
	t.Parallel()
	service := newService(t)
	c := service.config()
	c.Stall = time.Hour
	store, err := s3.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	key := filestest.Add(t, store, filestest.Bytes(5, 1000))
	why := errors.New("enough")
	for name, call := range map[string]func(context.Context) error{
		"Add": func(ctx context.Context) error {
			key, staged := filestest.Stage(t, []byte("x"))
			return store.Add(ctx, key, staged)
		},
		"Open":   func(ctx context.Context) error { _, _, err := store.Open(ctx, key); return err },
		"Remove": func(ctx context.Context) error { return store.Remove(ctx, key) },
		"All": func(ctx context.Context) (err error) {
			for _, err = range store.All(ctx, files.Content) {
			}
			return err
		},
	} {
		ctx, cancel := context.WithCancelCause(t.Context())
		service.set(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			cancel(why)
			stall(w, r, next)
		})
		if err := call(ctx); !errors.Is(err, why) {
			t.Errorf("%s: %v, want %v", name, err, why)
		}
	}
}

// A large object takes no memory, coming or going.
func TestMemory(t *testing.T) {
	const size = 64 << 20
	service := newService(t)
	c := service.config()
	c.Stall = s3.DefaultStall
	store, err := s3.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	service.set(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		switch r.Method {
		case http.MethodPut:
			io.Copy(io.Discard, r.Body)
			w.Header().Set("ETag", `"x"`)
		case http.MethodHead, http.MethodGet:
			w.Header().Set("Content-Length", fmt.Sprint(size))
			w.Header().Set("Last-Modified", "Sat, 28 Nov 2026 04:00:00 GMT")
			w.Header().Set("ETag", `"x"`)
			for piece := make([]byte, 32<<10); r.Method == http.MethodGet; {
				if _, err := w.Write(piece); err != nil {
					return
				}
			}
		}
	})
	path := filepath.Join(t.TempDir(), "sparse")
	if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, size)); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	_, sum, err := files.Sum(t.Context(), f)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	key := files.Key{Hash: sum}
	if grown := filestest.Peak(func() {
		if err := store.Add(t.Context(), key, files.Staged{Path: path, Size: size, Sum: sum}); err != nil {
			t.Errorf("Add: %v", err)
		}
		if state, err := files.Check(t.Context(), store, key, size); state != files.Good || err != nil {
			t.Errorf("Check: %s, %v", state, err)
		}
	}); grown > 16<<20 {
		t.Errorf("%d bytes of heap", grown)
	} else {
		t.Logf("%d KiB of heap", grown>>10)
	}
}
