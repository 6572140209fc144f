// Package s3 keeps blobs as objects in a bucket of S3, or of what speaks its protocol.
//
// An object is sent in one request, so it is there whole or not at all, and nothing is left of
// a request that was interrupted. The store compares its checksum, and the size is read back
// before Add returns. Durability is what the service promises.
//
// Requests are repeated a few times, then there is an error. Nothing waits for a service
// that does not answer for longer than Config.Stall at a time, and nothing holds more of an
// object than a buffer.
package s3

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"os"
	"path"
	"strings"
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

// Config says where the bucket is. The keys are read by whoever makes it.
type Config struct {
	Endpoint  string // host or host:port
	Bucket    string
	Prefix    string // in front of all paths of objects, without a slash at the beginning; may be empty
	Region    string // "" asks the service for it
	PathStyle bool   // the bucket is in the path of addresses, not in the host
	TLS       bool
	RootCAs   *x509.CertPool // nil: those of the system
	AccessKey string
	SecretKey string
	// Stall is how long the service may take to accept a connection, to take or send the next
	// bytes, or to begin its answer. 0 is DefaultStall.
	Stall time.Duration
}

// Store is a files.Store in a bucket.
type Store struct {
	client *minio.Core // repeats requests
	once   *minio.Core // does not
	c      Config
	name   string
	locks  files.Locks // so that no Remove meets an Add between the request and its confirmation
}

// Open returns the store in a bucket, after it has asked whether the bucket is there. Any error is an
// UnreachableError, or a mistake in the configuration.
func Open(ctx context.Context, c Config) (*Store, error) {
	if c.Stall == 0 {
		c.Stall = DefaultStall
	}
	c.Prefix = strings.Trim(c.Prefix, "/")
	lookup := minio.BucketLookupDNS
	if c.PathStyle {
		lookup = minio.BucketLookupPath
	}
	options := minio.Options{
		Creds:        credentials.NewStaticV4(c.AccessKey, c.SecretKey, ""),
		Secure:       c.TLS,
		Transport:    newTransport(c),
		Region:       c.Region,
		BucketLookup: lookup,
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
	s := &Store{client: client, once: once, c: c, name: "s3://" + path.Join(c.Bucket, c.Prefix) + " at " + c.Endpoint}
	ctx, cancel := s.brief(ctx)
	defer cancel()
	there, err := client.BucketExists(ctx, c.Bucket)
	if err == nil && !there {
		err = minio.ErrorResponse{Code: minio.NoSuchBucket, Message: "the bucket does not exist"}
	}
	if err != nil {
		return nil, s.explain(ctx, "open the file store in S3", err)
	}
	return s, nil
}

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
	size, sum, err := files.Sum(ctx, f)
	if err == nil {
		err = staged.Verify(size, sum)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	unlock, err := s.locks.Lock(ctx, key.Hash)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	defer unlock()
	if err := s.send(ctx, what, key, f, size, sum); err != nil {
		return err
	}
	return s.confirm(ctx, what, key, size)
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

// Open is that of files.Store. The context holds for reading, too.
func (s *Store) Open(ctx context.Context, key files.Key) (io.ReadSeekCloser, files.Info, error) {
	body, info, _, err := s.client.GetObject(ctx, s.c.Bucket, s.object(key), minio.GetObjectOptions{})
	if err != nil {
		return nil, files.Info{}, s.explain(ctx, "open "+key.String(), err)
	}
	r := &reader{s: s, ctx: ctx, info: files.Info{Key: key, Size: info.Size, Time: info.LastModified}, etag: info.ETag, body: body}
	return r, r.info, nil
}

// Remove is that of files.Store.
func (s *Store) Remove(ctx context.Context, key files.Key) error {
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
	final := status >= 400 && status < 500 && status != http.StatusTooManyRequests && status != http.StatusRequestTimeout
	if final || status == http.StatusInsufficientStorage || try >= tries || ctx.Err() != nil {
		return s.explain(ctx, what, err)
	}
	select {
	case <-time.After(firstPause << (try - 1)):
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", what, context.Cause(ctx))
	}
}

// Tidy is that of files.Store. A request that was interrupted leaves nothing.
func (s *Store) Tidy(context.Context) (removed int, err error) { return 0, nil }

// isMissing reports whether the bucket is there and the object is not.
func isMissing(err error) bool { return minio.ToErrorResponse(err).Code == minio.NoSuchKey }
