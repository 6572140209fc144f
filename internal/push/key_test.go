package push

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// openKey opens the key of a directory or fails the test.
func openKey(t *testing.T, dir string) (*Key, bool) {
	t.Helper()
	key, made, err := OpenKey(dir)
	if err != nil {
		t.Fatal(err)
	}
	return key, made
}

func TestKeysAreMadeOnce(t *testing.T) {
	dir := t.TempDir()
	first, made := openKey(t, dir)
	if !made {
		t.Error("the first key was not made")
	}
	again, made := openKey(t, dir)
	if made || again.Public() != first.Public() || !again.private.Equal(first.private) || !bytes.Equal(again.topics(), first.topics()) {
		t.Error("the second start has another key")
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 || entries[0].Name() != KeyName || entries[1].Name() != lockName {
		t.Errorf("the directory has %v, %v", entries, err)
	}
	info, err := os.Stat(filepath.Join(dir, KeyName))
	if err != nil || runtime.GOOS != "windows" && info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if other, _ := openKey(t, t.TempDir()); other.Public() == first.Public() {
		t.Error("two servers have one key")
	}
	if len(first.Public()) != 87 {
		t.Errorf("the public half has %d characters", len(first.Public()))
	}
}

func TestStartsRaceForTheKey(t *testing.T) {
	for range 20 {
		dir := t.TempDir()
		var (
			group   sync.WaitGroup
			mu      sync.Mutex
			keys    = make(map[string]int)
			makers  int
			barrier = make(chan struct{})
		)
		for range 8 {
			group.Go(func() {
				<-barrier
				key, made, err := OpenKey(dir)
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					t.Error(err)
					return
				}
				keys[key.Public()]++
				if made {
					makers++
				}
			})
		}
		close(barrier)
		group.Wait()
		if len(keys) != 1 || makers != 1 {
			t.Fatalf("%d keys, made %d times", len(keys), makers)
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 { // with the lock
			t.Fatalf("the directory has %v, %v", entries, err)
		}
	}
}

func TestKeysOfOthers(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no modes")
	}
	dir := t.TempDir()
	openKey(t, dir)
	path := filepath.Join(dir, KeyName)
	for mode, exposed := range map[fs.FileMode]bool{0o600: false, 0o400: false, 0o640: false, 0o644: true, 0o604: true, 0o602: true, 0o620: true} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		key, made, err := OpenKey(dir)
		if errors.Is(err, ErrExposedKey) != exposed || (key == nil) != exposed || made {
			t.Errorf("%04o: %v, made %v, %v", mode, key, made, err)
		}
		if exposed && !(strings.Contains(err.Error(), "chmod 600") && strings.Contains(err.Error(), path)) {
			t.Errorf("%04o: the error does not say what to do: %v", mode, err)
		}
	}
}

// A damaged file is an error, and never another key: browsers would not be notified any more, and
// nobody would know why.
func TestFlippedBits(t *testing.T) {
	dir := t.TempDir()
	key, _ := openKey(t, dir)
	path := filepath.Join(dir, KeyName)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range good {
		for bit := range 8 {
			bad := bytes.Clone(good)
			bad[i] ^= 1 << bit
			private, problem := parseKey(strings.TrimSpace(string(bad)))
			if problem == "" && !private.Equal(key.private) {
				t.Fatalf("bit %d of byte %d makes another key", bit, i)
			}
		}
	}
}

func TestDamagedKeys(t *testing.T) {
	dir := t.TempDir()
	openKey(t, dir)
	path := filepath.Join(dir, KeyName)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(p384)
	if err != nil {
		t.Fatal(err)
	}
	secret := string(good[40:80])
	for name, bad := range map[string][]byte{
		"empty":               {},
		"zeros":               make([]byte, len(good)),
		"cut":                 good[:len(good)/2],
		"more behind it":      append(bytes.Clone(good), "more"...),
		"two keys":            append(bytes.Clone(good), good...),
		"too long":            append(bytes.Clone(good), make([]byte, maxKeyFile)...),
		"another curve":       pem.EncodeToMemory(&pem.Block{Type: keyBlock, Bytes: der}),
		"another type":        bytes.ReplaceAll(good, []byte("PRIVATE KEY"), []byte("CERTIFICATE")),
		"no key in the PEM":   pem.EncodeToMemory(&pem.Block{Type: keyBlock, Bytes: []byte("no key")}),
		"text in front of it": append([]byte("more\n"), good[1:]...),
	} {
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		key, made, err := OpenKey(dir)
		if !errors.Is(err, ErrDamagedKey) || key != nil || made {
			t.Errorf("%s: %v, made %v, %v", name, key, made, err)
			continue
		}
		if !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "backup") || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", name, err)
		}
		if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, bad) {
			t.Errorf("%s: the file was changed", name)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, _, err := OpenKey(dir); !errors.Is(err, ErrDamagedKey) {
		t.Errorf("a directory: %v", err)
	}
	if _, _, err := OpenKey(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no data directory: %v", err)
	}
}

func TestCopyKey(t *testing.T) {
	data, backup := t.TempDir(), t.TempDir()
	if copied, err := CopyKey(data, backup); copied || err != nil {
		t.Errorf("no key: %v, %v", copied, err)
	}
	key, _ := openKey(t, data)
	for i, want := range []bool{true, false} {
		if copied, err := CopyKey(data, backup); copied != want || err != nil {
			t.Errorf("copy %d: %v, %v", i, copied, err)
		}
	}
	if info, err := os.Stat(filepath.Join(backup, KeyName)); err != nil || runtime.GOOS != "windows" && info.Mode() != 0o600 {
		t.Errorf("the copy has mode %v, %v", info, err)
	}
	restored := t.TempDir()
	if copied, err := CopyKey(backup, restored); !copied || err != nil {
		t.Errorf("restore: %v, %v", copied, err)
	}
	if got, made := openKey(t, restored); made || got.Public() != key.Public() {
		t.Error("the restored server has another key")
	}
	other := t.TempDir()
	kept, _ := openKey(t, other)
	if copied, err := CopyKey(backup, other); copied || !errors.Is(err, ErrOtherKey) {
		t.Errorf("over another key: %v, %v", copied, err)
	}
	if got, _ := openKey(t, other); got.Public() != kept.Public() {
		t.Error("the key of another server was replaced")
	}
	if err := os.WriteFile(filepath.Join(backup, KeyName), []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if copied, err := CopyKey(backup, t.TempDir()); copied || !errors.Is(err, ErrDamagedKey) {
		t.Errorf("a damaged copy: %v, %v", copied, err)
	}
}

// A process that is killed while it writes the key leaves a draft. The next one removes it, and writes
// its own key where there are no hard links, too: nothing here uses them.
func TestDraftsAreSwept(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{draftName + "123", draftName + "456", "push.keyring"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("half a k"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	openKey(t, dir)
	entries, err := os.ReadDir(dir)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if want := "push.key push.key.lock push.keyring"; err != nil || strings.Join(names, " ") != want {
		t.Errorf("the directory has %v, %v; want %s", names, err, want)
	}
}

// A key that cannot be written leaves nothing behind.
func TestAKeyThatCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	key := testKey(t)
	path := filepath.Join(dir, KeyName)
	if err := os.Mkdir(path, 0o700); err != nil { // in its place
		t.Fatal(err)
	}
	if err := write(path, []byte("x")); err == nil {
		t.Error("a directory was replaced")
	}
	if err := key.create(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("got %v, want that it exists", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
		t.Errorf("the directory has %v, %v", entries, err)
	}
}

// Whoever logs a key, or what has one, logs no secret.
func TestKeysAreNotShown(t *testing.T) {
	key := testKey(t)
	raw, err := key.private.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	config := Config{Key: key}
	for _, logger := range []*slog.Logger{slog.New(slog.NewTextHandler(&log, nil)), slog.New(slog.NewJSONHandler(&log, nil))} {
		logger.Info("key", "key", key, "value", *key, "config", config, "any", []any{key})
	}
	hidden := struct{ key Key }{*key} // package fmt calls no methods of it
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%X", "%q", "%d", "%o", "%b", "%c", "%U", "%t", "%p", "%w"} {
		for _, value := range []any{key, *key, config, &config, []any{key}, []Key{*key}, hidden, &hidden, &key} {
			fmt.Fprintf(&log, verb+"\n", value)
		}
	}
	for _, secret := range []string{
		text(raw), fmt.Sprintf("%x", raw), fmt.Sprintf("%X", raw), new(big.Int).SetBytes(raw).String(), fmt.Sprint(raw),
		fmt.Sprint(key.topics()), fmt.Sprintf("%x", key.topics()), fmt.Sprintf("%#v", key.topics()),
	} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("the log has %s: %s", secret, &log)
		}
	}
}
