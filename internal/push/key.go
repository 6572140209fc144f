package push

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"kaban/internal/failpoint/disk"
	"kaban/internal/secretfile"
)

const (
	// KeyName is the file in a data directory that has the key.
	KeyName = "push.key"
	// maxKeyFile is the longest file that is read, in bytes. A key has 241.
	maxKeyFile = 4096
	keyBlock   = "PRIVATE KEY" // of PEM: PKCS #8

	// lockName is a file that is locked while a key is written. It stays.
	lockName = "push.key.lock"
	// draftName begins the names of keys that are not complete. A crash leaves one.
	draftName = ".push-key-"
	// lockPatience is how long to wait for another process that writes the key, which takes it
	// milliseconds, and lockPause how long between two looks.
	lockPatience, lockPause = 10 * time.Second, 5 * time.Millisecond
)

var (
	// ErrDamagedKey means that a file has no key that can be used.
	ErrDamagedKey = errors.New("the file with the key for Web Push is damaged")
	// ErrExposedKey means that others may read or change the file.
	ErrExposedKey = errors.New("the key for Web Push is no secret")
	// ErrOtherKey means that there is another key already.
	ErrOtherKey = errors.New("there is another key for Web Push")
)

// Key identifies the server to push services (RFC 8292). A browser
// subscribes with its public half, and its push service then takes nothing from others. It does
// not change, may be shared, and does not show its private half to package fmt or a log.
type Key struct {
	private *ecdsa.PrivateKey
	public  string
	// topics returns what names topics. It is derived from the private half, so that it stays the
	// same. It is a function because package fmt never looks into one, even where it cannot call
	// the methods of a Key.
	topics func() []byte
}

// NewKey makes a key.
func NewKey() (*Key, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key for Web Push: %w", err)
	}
	return keyOf(private)
}

func keyOf(private *ecdsa.PrivateKey) (*Key, error) {
	point, err := private.PublicKey.Bytes()
	if err != nil {
		return nil, fmt.Errorf("encode the key for Web Push: %w", err)
	}
	raw, err := private.Bytes()
	if err != nil {
		return nil, fmt.Errorf("encode the key for Web Push: %w", err)
	}
	topics, err := hkdf.Key(sha256.New, raw, nil, "kaban push topics", sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("derive the key of topics: %w", err)
	}
	return &Key{private, base64.RawURLEncoding.EncodeToString(point), func() []byte { return topics }}, nil
}

// Public returns the public half as browsers want it in PushManager.subscribe: a point in
// base64url without padding, 87 characters.
func (k *Key) Public() string { return k.public }

// String returns the public half.
func (k Key) String() string { return "push key " + k.public }

// Format writes String, whatever the verb is: others would print the fields.
func (k Key) Format(to fmt.State, _ rune) { io.WriteString(to, k.String()) }

// LogValue returns String.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

// OpenKey returns the key of a data directory, and makes it if there is none; made reports that.
// Of several processes that do so at the same time, one makes it and all return the same. Errors
// are ErrDamagedKey, ErrExposedKey and those of the file system.
func OpenKey(dir string) (key *Key, made bool, err error) {
	path := filepath.Join(dir, KeyName)
	key, err = readKey(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, false, err
	}
	if key, err = NewKey(); err != nil {
		return nil, false, err
	}
	switch err = key.create(path); {
	case errors.Is(err, fs.ErrExist): // somebody was faster
		key, err = readKey(path)
		return key, false, err
	case err != nil:
		return nil, false, err
	}
	return key, true, nil
}

// ReadKey returns the key of a data directory. The error is fs.ErrNotExist if there is none; others are those of
// OpenKey.
func ReadKey(dir string) (*Key, error) { return readKey(filepath.Join(dir, KeyName)) }

// Write writes the key to a data directory that has none. The error is fs.ErrExist if there is one.
func (k *Key) Write(dir string) error { return k.create(filepath.Join(dir, KeyName)) }

// ParseKey reads a key from PEM, as Key.PEM returns it. The error is ErrDamagedKey.
func ParseKey(text []byte) (*Key, error) {
	private, problem := parseKey(string(text))
	if problem != "" {
		return nil, fmt.Errorf("%w: %s", ErrDamagedKey, problem)
	}
	return keyOf(private)
}

// PEM returns the key, which is a secret, in PEM (PKCS #8).
func (k *Key) PEM() ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(k.private)
	if err != nil {
		return nil, fmt.Errorf("encode the key for Web Push: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: keyBlock, Bytes: der}), nil
}

// CopyKey copies the key of one directory to another, for backups and from them. It reports
// whether it has: not if there is none to copy, or the same is there already. It never replaces a
// key: then the error is ErrOtherKey. It may also be ErrDamagedKey, ErrExposedKey or one of the file
// system.
func CopyKey(from, to string) (copied bool, err error) {
	key, err := readKey(filepath.Join(from, KeyName))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	}
	path := filepath.Join(to, KeyName)
	if err = key.create(path); err == nil || !errors.Is(err, fs.ErrExist) {
		return err == nil, err
	}
	there, err := readKey(path)
	switch {
	case err != nil:
		return false, err
	case there.public != key.public:
		return false, fmt.Errorf("%w: %s is not the one in %s; subscriptions work with the key that they were made with, so keep that one and move the other away", ErrOtherKey, path, from)
	}
	return false, nil
}

// readKey reads the file of a key.
func readKey(path string) (*Key, error) {
	text, warning, err := secretfile.Read(path, maxKeyFile)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("read the key for Web Push: %w", err)
	case warning != "":
		return nil, fmt.Errorf("%w: %s. If somebody may have read it, remove it instead: a new one is made, and browsers are notified again once their page was opened", ErrExposedKey, warning)
	case err != nil:
		return nil, damaged(path, err.Error())
	}
	private, problem := parseKey(text)
	if problem != "" {
		return nil, damaged(path, problem)
	}
	return keyOf(private)
}

// damaged returns an error that says what to do. The problem must not quote the file.
func damaged(path, problem string) error {
	return fmt.Errorf("%w: %s: %s. Put the copy from a backup in its place; or remove it: a new one is made, and browsers are notified again once their page was opened", ErrDamagedKey, path, problem)
}

// parseKey reads a key from PEM. It must be exactly as it was written: the file has both halves, so
// that a flipped bit does not go unnoticed as another key.
func parseKey(text string) (private *ecdsa.PrivateKey, problem string) {
	block, rest := pem.Decode([]byte(text))
	if block == nil || block.Type != keyBlock || len(rest) > 0 {
		return nil, "it has no private key in PEM"
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, "its key cannot be read"
	}
	private, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || private.Curve != elliptic.P256() {
		return nil, "its key is none of P-256"
	}
	if again, err := x509.MarshalPKCS8PrivateKey(private); err != nil || !bytes.Equal(again, block.Bytes) {
		return nil, "the halves of its key do not fit"
	}
	return private, ""
}

// create writes the key to a file that does not exist: as a whole, or not at all, durably, and so
// that nobody else can read it at any time. The error is fs.ErrExist if there is one.
func (k *Key) create(path string) error {
	text, err := k.PEM()
	if err != nil {
		return err
	}
	dir := filepath.Dir(path)
	err = alone(dir, func() error {
		if err := sweep(dir); err != nil {
			return err
		}
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			if err == nil {
				err = fs.ErrExist
			}
			return err
		}
		return write(path, text)
	})
	if err != nil {
		return fmt.Errorf("write the key for Web Push: %w", err)
	}
	return nil
}

// write writes a file that does not exist, while nobody else does.
func write(path string, text []byte) error {
	dir := filepath.Dir(path)
	draft, err := os.CreateTemp(dir, draftName+"*") // with mode 0600
	if err != nil {
		return err
	}
	_, err = draft.Write(text)
	if err = errors.Join(err, draft.Sync(), draft.Close()); err == nil {
		err = os.Rename(draft.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(draft.Name()))
	}
	return disk.SyncDirectory(dir)
}

// sweep removes what processes have left that were killed while they wrote a key.
func sweep(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), draftName) {
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

// alone does some work on the key of a directory while no other process does. A hard link would
// exclude others as well, but not every file system has them.
func alone(dir string, work func() error) (err error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	for began := time.Now(); ; time.Sleep(lockPause) {
		held, err := disk.TryLock(f)
		if err != nil { // a file system without locks: the server has locked its directory otherwise
			return work()
		}
		if !held {
			break
		}
		if time.Since(began) > lockPatience {
			return fmt.Errorf("another process holds %s", lockName)
		}
	}
	return errors.Join(work(), disk.Unlock(f))
}
