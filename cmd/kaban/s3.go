package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"kaban/internal/files/s3"
	"kaban/internal/secretfile"
)

// s3Flags say that files are kept in a bucket of S3, and are the table [s3] of the configuration
// file.
type s3Flags struct {
	S3Endpoint   string `name:"s3-endpoint" key:"s3.endpoint" placeholder:"URL" env:"KABAN_S3_ENDPOINT" help:"Keep the files of messages in S3 instead of the data directory: the address of the service, such as https://s3.eu-central-1.amazonaws.com. An http:// address sends them in the clear."`
	S3Bucket     string `name:"s3-bucket" key:"s3.bucket" placeholder:"NAME" env:"KABAN_S3_BUCKET" help:"The bucket. It must exist."`
	S3Prefix     string `name:"s3-prefix" key:"s3.prefix" placeholder:"PATH" env:"KABAN_S3_PREFIX" help:"What the paths of objects in it begin with, such as chat. Each server needs a bucket or a prefix of its own."`
	S3Region     string `name:"s3-region" key:"s3.region" placeholder:"NAME" env:"KABAN_S3_REGION" help:"The region of the bucket. By default the service is asked for it."`
	S3Addressing string `name:"s3-addressing" key:"s3.addressing" placeholder:"WAY" enum:"auto,host,path" env:"KABAN_S3_ADDRESSING" default:"auto" help:"Where addresses of objects have the bucket: host, path, or auto, which is host at Amazon, Google and Alibaba and path elsewhere. Default: ${default}."`
	S3CA         string `name:"s3-ca" key:"s3.ca" placeholder:"FILE" env:"KABAN_S3_CA" help:"Certificates in PEM that the one of the service must lead to. By default those of the system."`
	S3AccessKey  string `name:"s3-access-key" key:"s3.access_key" placeholder:"ID" env:"KABAN_S3_ACCESS_KEY" help:"The id of the access key. It must allow listing the bucket, and reading, writing and deleting objects."`
	S3SecretFile string `name:"s3-secret-key-file" key:"s3.secret_key_file" placeholder:"FILE" env:"KABAN_S3_SECRET_KEY_FILE" help:"File with the secret of the access key, or credential:NAME for a credential of systemd. The secret itself is never on a command line or in a variable."`
}

// s3Table is what "kaban config print" says of the table [s3].
const s3Table = "A bucket of S3, or of what speaks its protocol, that keeps the files of messages. Without an endpoint they are in the data directory."

const (
	// maxS3Prefix bounds a prefix, in bytes. The service allows 1,024 for the whole path of an object.
	maxS3Prefix = 512
	// maxS3Secret is longer than any secret of an access key, in bytes.
	maxS3Secret = 4 << 10
)

// bucketName is what a bucket may be called.
var bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

var addressings = map[string]s3.Addressing{"auto": s3.Auto, "host": s3.InHost, "path": s3.InPath}

// isSet reports whether files are in S3.
func (f *s3Flags) isSet() bool { return f.S3Endpoint != "" }

// location is the bucket and the prefix. Two with the same location have the same objects.
func (f *s3Flags) location() string {
	if !f.isSet() {
		return ""
	}
	return strings.TrimSuffix(f.S3Endpoint, "/") + " " + f.S3Bucket + "/" + strings.Trim(f.S3Prefix, "/")
}

// check returns what is wrong. named returns how a flag is called where it was set.
func (f *s3Flags) check(named func(flag string) string) error {
	if !f.isSet() {
		for _, other := range []struct{ flag, value string }{
			{"s3-bucket", f.S3Bucket},
			{"s3-prefix", f.S3Prefix},
			{"s3-region", f.S3Region},
			{"s3-ca", f.S3CA},
			{"s3-access-key", f.S3AccessKey},
			{"s3-secret-key-file", f.S3SecretFile},
		} {
			if other.value != "" {
				return usagef("%s: without the address of the service, --s3-endpoint, files are in the data directory", named(other.flag))
			}
		}
		return nil
	}
	var problems []error
	if _, err := f.endpoint(); err != nil {
		problems = append(problems, usagef("%s %s: %w", named("s3-endpoint"), f.S3Endpoint, err))
	}
	if !bucketName.MatchString(f.S3Bucket) {
		problems = append(problems, usagef("%s %q: a bucket has 3 to 63 characters of a-z, 0-9, \"-\" and \".\"", named("s3-bucket"), f.S3Bucket))
	}
	prefix := strings.Trim(f.S3Prefix, "/")
	if prefix != "" && (path.Clean(prefix) != prefix || strings.HasPrefix(prefix, "..") || len(prefix) > maxS3Prefix || strings.ContainsFunc(prefix, func(r rune) bool { return r < ' ' || r == '\\' || r > '~' })) {
		problems = append(problems, usagef("%s %q: write words with \"/\" between them, of up to %d characters of ASCII", named("s3-prefix"), f.S3Prefix, maxS3Prefix))
	}
	if f.S3AccessKey == "" {
		problems = append(problems, usagef("%s: name the access key", named("s3-access-key")))
	}
	if f.S3SecretFile == "" {
		problems = append(problems, usagef("%s: name the file with the secret of the access key", named("s3-secret-key-file")))
	}
	return errors.Join(problems...)
}

// checkS3 refuses a place of files that cannot be meant.
func (c *serveCommand) checkS3() error {
	if c.s3Flags.isSet() && c.Data == inMemory {
		return usagef("%s: a server with --data %s keeps no files; name a data directory, or leave it out", c.named("s3-endpoint"), inMemory)
	}
	return c.s3Flags.check(c.named)
}

// endpoint returns the address of the service.
func (f *s3Flags) endpoint() (*url.URL, error) {
	const form = "write it like https://s3.eu-central-1.amazonaws.com or http://127.0.0.1:9000"
	u, err := url.Parse(f.S3Endpoint)
	switch {
	case err != nil, u.Scheme != schemeHTTP && u.Scheme != schemeHTTPS, u.Hostname() == "":
		return nil, errors.New(form)
	case u.User != nil:
		return nil, errors.New("it must not have a name or a password: the keys have settings of their own")
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("it must not have a path: the bucket and the prefix have settings of their own; " + form)
	}
	return u, nil
}

// isClear reports whether files go through a network in the clear.
func (f *s3Flags) isClear() bool {
	u, err := f.endpoint()
	if err != nil || u.Scheme != schemeHTTP {
		return false
	}
	at, err := netip.ParseAddr(u.Hostname())
	return u.Hostname() != "localhost" && (err != nil || !at.IsLoopback())
}

// absolute returns the same with absolute paths of files, for another process.
func (f s3Flags) absolute() (s3Flags, error) {
	for _, file := range []*string{&f.S3CA, &f.S3SecretFile} {
		if *file == "" || strings.HasPrefix(*file, secretfile.Credential) {
			continue
		}
		full, err := filepath.Abs(*file)
		if err != nil {
			return f, err
		}
		*file = full
	}
	return f, nil
}

// open returns the store, and a warning about the file with the secret. It asks the service nothing.
func (f *s3Flags) open(owner string) (store *s3.Store, warning string, err error) {
	u, err := f.endpoint()
	if err != nil {
		return nil, "", fmt.Errorf("--s3-endpoint %s: %w", f.S3Endpoint, err)
	}
	secret, warning, err := secretfile.Read(f.S3SecretFile, maxS3Secret)
	if err != nil {
		return nil, "", fmt.Errorf("the secret of the access key of S3: %w", err)
	}
	roots, err := f.roots()
	if err != nil {
		return nil, "", err
	}
	store, err = s3.New(s3.Config{
		Endpoint: u.Host, TLS: u.Scheme == schemeHTTPS, RootCAs: roots, Addressing: addressings[f.S3Addressing],
		Bucket: f.S3Bucket, Prefix: f.S3Prefix, Region: f.S3Region, AccessKey: f.S3AccessKey, SecretKey: secret, Owner: owner,
	})
	return store, warning, err
}

// roots returns the certificates that the one of the service must lead to; nil for those of the system.
func (f *s3Flags) roots() (*x509.CertPool, error) {
	if f.S3CA == "" {
		return nil, nil
	}
	text, err := os.ReadFile(f.S3CA)
	if err != nil {
		return nil, fmt.Errorf("the certificates of S3: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("the certificates of S3: %s has none in PEM", f.S3CA)
	}
	return roots, nil
}
