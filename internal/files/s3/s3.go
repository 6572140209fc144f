// Package s3 keeps blobs as objects in a bucket of S3, or of what speaks its protocol.
//
// An object is sent in one request, so it is there whole or not at all, and nothing is left of
// a request that was interrupted. The store compares its checksum, and the size is read back
// before Add returns. Durability is what the service promises.
//
// Requests are repeated a few times, then there is an error. Nothing waits for a service
// that does not answer for longer than Config.Stall at a time, and nothing holds more of an
// object than a buffer.
//
// A store with an owner keeps its name in an object, and adds and removes nothing beside
// that of another owner: two servers on one prefix would remove each other's objects.
package s3

import (
	"context"
	"crypto/md5"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"os"
	"path"
	"strings"
	"sync/atomic"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"kaban/internal/files"
)

const (
	// DefaultStall is how long a service may take to go on.
	DefaultStall = 30 * time.Second
	// tries is how often a request is made at most.
	tries = 4
	// idleTime is how long a connection without a request is kept, less than any Stall.
	idleTime = 20 * time.Second
	// firstPause is the pause before a request is repeated. It doubles.
	firstPause = 100 * time.Millisecond
	// connections is how many are kept for the next requests.
	connections = 16
	// briefStalls bounds a request without a body as a whole, with all its tries, in stalls.
	briefStalls = 4
)

// DefaultRecheck is how long a store trusts that the objects are its owner's: somebody may have taken them over. That
// is one request more a minute while it adds or removes.
const DefaultRecheck = time.Minute

// Config says where the bucket is. The keys are read by whoever makes it.
type Config struct {
	Endpoint   string // host or host:port
	Bucket     string
	Prefix     string // in front of all paths of objects, without a slash at the beginning; may be empty
	Region     string // "" asks the service for it
	Addressing Addressing
	TLS        bool
	RootCAs    *x509.CertPool // nil: those of the system
	AccessKey  string
	SecretKey  string
	// Owner is who adds and removes objects, in letters and digits. "" checks nothing: for
	// whoever only reads.
	Owner string
	// Stall is how long the service may take to accept a connection, to take or send the next
	// bytes, or to begin its answer. 0 is DefaultStall.
	Stall time.Duration
	// Recheck is how long it is believed that the objects are the owner's. 0 is DefaultRecheck.
	Recheck time.Duration
}

// Addressing says where addresses of objects have the bucket.
type Addressing uint8

// The ways to address a bucket.
const (
	Auto   Addressing = iota // in the host at Amazon, Google and Alibaba, in the path elsewhere
	InHost                   // bucket.endpoint/object
	InPath                   // endpoint/bucket/object
)

var lookups = [...]minio.BucketLookupType{Auto: minio.BucketLookupAuto, InHost: minio.BucketLookupDNS, InPath: minio.BucketLookupPath}

// Store is a files.Store in a bucket.
type Store struct {
	client *minio.Core // repeats requests
	once   *minio.Core // does not
	c      Config
	name   string
	locks  files.Locks // so that no Remove meets an Add between the request and its confirmation

	owned atomic.Pointer[time.Time] // when the objects were last seen to be the owner's; nil: they may not be
	turn  chan struct{}             // has one element while somebody asks whose they are
}

// New returns the store in a bucket. It asks the service nothing: an error is a mistake in the
// configuration.
func New(c Config) (*Store, error) {
	if c.Stall == 0 {
		c.Stall = DefaultStall
	}
	if c.Recheck == 0 {
		c.Recheck = DefaultRecheck
	}
	c.Prefix = strings.Trim(c.Prefix, "/")
	options := minio.Options{
		Creds:        credentials.NewStaticV4(c.AccessKey, c.SecretKey, ""),
		Secure:       c.TLS,
		Transport:    newTransport(c),
		Region:       c.Region,
		BucketLookup: lookups[c.Addressing],
		MaxRetries:   tries,
	}
	client, err := minio.NewCore(c.Endpoint, &options)
	if err != nil {
		return nil, fmt.Errorf("open the file store in S3: %w", err)
	}
	options.MaxRetries = 1
	once, err := minio.NewCore(c.Endpoint, &options)
	if err != nil {
		return nil, fmt.Errorf("open the file store in S3: %w", err)
	}
	name := "s3://" + path.Join(c.Bucket, c.Prefix) + " at " + c.Endpoint
	return &Store{client: client, once: once, c: c, name: name, turn: make(chan struct{}, 1)}, nil
}

// Open is New, and Ready.
func Open(ctx context.Context, c Config) (*Store, error) {
	s, err := New(c)
	if err != nil {
		return nil, err
	}
	if err := s.Ready(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// String returns what the store is, without secrets.
func (s *Store) String() string { return s.name }

// newTransport returns one whose connections end when nothing moves.
func newTransport(c Config) *http.Transport {
	dialer := &net.Dialer{Timeout: c.Stall}
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return &movingConn{conn, c.Stall}, nil
		},
		TLSClientConfig:       &tls.Config{RootCAs: c.RootCAs, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:   c.Stall,
		ResponseHeaderTimeout: c.Stall,
		IdleConnTimeout:       min(idleTime, c.Stall/2),
		MaxIdleConnsPerHost:   connections,
		DisableCompression:    true,
	}
}

// movingConn is a connection whose reads and writes end when nothing moves. A write postpones the
// end of a read: the answer comes after it.
type movingConn struct {
	net.Conn
	stall time.Duration
}

func (c *movingConn) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(c.stall)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

func (c *movingConn) Write(p []byte) (int, error) {
	if err := c.SetDeadline(time.Now().Add(c.stall)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// brief bounds a request without a body.
func (s *Store) brief(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, briefStalls*s.c.Stall, errStalled)
}

var errStalled = errors.New("no answer in time")

func (s *Store) object(key files.Key) string { return path.Join(s.c.Prefix, key.Path()) }

// Add is that of files.Store. It reads the staged file twice: once to compare it, once to send it.
func (s *Store) Add(ctx context.Context, key files.Key, staged files.Staged) error {
	if err := staged.Matches(key); err != nil {
		return err
	}
	what := "add " + key.String()
	f, err := os.Open(staged.Path)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	defer f.Close()
	tag := md5.New() // not for security: services call an object by it
	size, sum, err := files.Sum(ctx, io.TeeReader(f, tag))
	if err == nil {
		err = staged.Verify(size, sum)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if err := s.own(ctx); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	unlock, err := s.locks.Lock(ctx, key.Hash)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	defer unlock()
	if s.has(ctx, key, size, hex.EncodeToString(tag.Sum(nil))) {
		return nil
	}
	if err := s.send(ctx, what, key, f, size, sum); err != nil {
		return err
	}
	return s.confirm(ctx, what, key, size)
}

// has reports whether an object is known to be there with these bytes. Services that encrypt objects
// with keys of their own call them by something else, so theirs are sent again.
func (s *Store) has(ctx context.Context, key files.Key, size int64, tag string) bool {
	brief, cancel := s.brief(ctx)
	defer cancel()
	info, err := s.once.StatObject(brief, s.c.Bucket, s.object(key), minio.StatObjectOptions{})
	return err == nil && info.Size == size && strings.Trim(info.ETag, `"`) == tag
}

// send sends an object, in a few tries.
func (s *Store) send(ctx context.Context, what string, key files.Key, f io.ReaderAt, size int64, sum files.Hash) error {
	for try := 1; ; try++ {
		// Each try reads by itself: the one before may still be sending.
		_, err := s.once.PutObject(ctx, s.c.Bucket, s.object(key), io.NewSectionReader(f, 0, size), size, "", sum.String(), minio.PutObjectOptions{
			ContentType:          "application/octet-stream",
			DisableContentSha256: true, // no checksums of pieces: the request is signed with that of the whole
		})
		if err == nil {
			return nil
		}
		if err := s.again(ctx, what, try, err); err != nil {
			return err
		}
	}
}

// confirm makes sure that the service has what it has acknowledged.
func (s *Store) confirm(ctx context.Context, what string, key files.Key, size int64) error {
	brief, cancel := s.brief(ctx)
	defer cancel()
	info, err := s.client.StatObject(brief, s.c.Bucket, s.object(key), minio.StatObjectOptions{})
	if err == nil && info.Size == size {
		return nil
	}
	if err == nil {
		err = fmt.Errorf("it has %d bytes of %d", info.Size, size)
	}
	if isMissing(err) || info.Size != size && info.ETag != "" {
		return fmt.Errorf("%s: %w", what, &files.UnreachableError{Store: s.name, Err: fmt.Errorf("it does not have what it has just acknowledged: %w", err), Advice: "see whether the service works: it loses files"})
	}
	return s.explain(brief, what, err)
}

// Open is that of files.Store. The context holds for reading, too. The object is asked for by the
// first Read, so that a client with a part of it, or with all of it, costs no more than that.
func (s *Store) Open(ctx context.Context, key files.Key) (io.ReadSeekCloser, files.Info, error) {
	info, err := s.stat(ctx, key)
	if err != nil {
		return nil, files.Info{}, err
	}
	r := &reader{s: s, ctx: ctx, info: files.Info{Key: key, Size: info.Size, Time: info.LastModified}, etag: info.ETag}
	return r, r.info, nil
}

// stat asks what an object is. The answer to a HEAD has no body, so it does not say why it is refused, nor
// whether the object is missing or the bucket; that to a GET does.
func (s *Store) stat(ctx context.Context, key files.Key) (minio.ObjectInfo, error) {
	brief, cancel := s.brief(ctx)
	defer cancel()
	info, err := s.client.StatObject(brief, s.c.Bucket, s.object(key), minio.StatObjectOptions{})
	if isRefused(minio.ToErrorResponse(err).StatusCode) {
		var body io.ReadCloser
		if body, info, _, err = s.client.GetObject(brief, s.c.Bucket, s.object(key), minio.GetObjectOptions{}); err == nil {
			body.Close()
		}
	}
	if err != nil {
		return info, s.explain(brief, "open "+key.String(), err)
	}
	return info, nil
}

// Remove is that of files.Store.
func (s *Store) Remove(ctx context.Context, key files.Key) error {
	if err := s.own(ctx); err != nil {
		return fmt.Errorf("remove %s: %w", key, err)
	}
	unlock, err := s.locks.Lock(ctx, key.Hash)
	if err != nil {
		return fmt.Errorf("remove %s: %w", key, err)
	}
	defer unlock()
	brief, cancel := s.brief(ctx)
	defer cancel()
	err = s.client.RemoveObject(brief, s.c.Bucket, s.object(key), minio.RemoveObjectOptions{})
	if err != nil && !isMissing(err) {
		return s.explain(brief, "remove "+key.String(), err)
	}
	return nil
}

// All is that of files.Store. It has a page of the list, 1,000 objects, in memory.
func (s *Store) All(ctx context.Context, kind files.Kind) iter.Seq2[files.Info, error] {
	return func(yield func(files.Info, error) bool) {
		prefix := path.Join(s.c.Prefix, kind.Folder()) + "/"
		for object := range s.client.ListObjectsIter(ctx, s.c.Bucket, minio.ListObjectsOptions{Prefix: prefix, Recursive: true}) {
			if object.Err != nil {
				yield(files.Info{}, s.explain(ctx, "list files", object.Err))
				return
			}
			key, ok := files.ParsePath(strings.TrimPrefix(strings.TrimPrefix(object.Key, s.c.Prefix), "/"))
			if ok && !yield(files.Info{Key: key, Size: object.Size, Time: object.LastModified}, nil) {
				return
			}
		}
		if ctx.Err() != nil {
			yield(files.Info{}, fmt.Errorf("list files: %w", context.Cause(ctx)))
		}
	}
}

// again waits before a request is made again after a failed try, or returns the error if it is
// not.
func (s *Store) again(ctx context.Context, what string, try int, err error) error {
	status := minio.ToErrorResponse(err).StatusCode
	if isRefused(status) || status == http.StatusInsufficientStorage || try >= tries || ctx.Err() != nil {
		return s.explain(ctx, what, err)
	}
	select {
	case <-time.After(firstPause << (try - 1)):
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", what, context.Cause(ctx))
	}
}

// Tidy is that of files.Store. A request that was interrupted leaves nothing, but somebody may have taken
// the objects over: whoever looks for objects that nothing needs calls Tidy first.
func (s *Store) Tidy(ctx context.Context) (removed int, err error) {
	s.owned.Store(nil)
	return 0, s.own(ctx)
}

// isRefused reports whether the same request will get the same answer.
func isRefused(status int) bool {
	return status >= 400 && status < 500 && status != http.StatusTooManyRequests && status != http.StatusRequestTimeout
}

// isMissing reports whether the bucket is there and the object is not.
func isMissing(err error) bool { return minio.ToErrorResponse(err).Code == minio.NoSuchKey }
