// Package journaltest finds bytes in the files of a data directory, also where a journal
// masks them.
package journaltest

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The format of a segment, as package journal describes it.
const (
	magic       = "kabanjr1"
	saltAt      = 24
	saltSize    = 16
	markSize    = 8
	frameHeader = 24
)

// Searcher searches a directory. It remembers the salts that it has seen, because a file
// whose header was overwritten may still have frames that they unmask.
type Searcher struct {
	dir   string
	salts [][]byte
}

// NewSearcher returns a searcher of a directory and all below it.
func NewSearcher(dir string) *Searcher { return &Searcher{dir: dir} }

// Look notes the salts that are there now. It reads no more of a file than its header.
func (s *Searcher) Look(t testing.TB) { s.each(t, saltAt+saltSize, func(string, []byte) {}) }

// each calls visit with at most a number of bytes of each file, but those that are gone before
// they are read.
func (s *Searcher) each(t testing.TB, most int64, visit func(name string, content []byte)) {
	t.Helper()
	err := filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			if errors.Is(err, fs.ErrNotExist) {
				err = nil
			}
			return err
		}
		content, err := readStart(path, most)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if bytes.HasPrefix(content, []byte(magic)) && len(content) >= saltAt+saltSize {
			salt := content[saltAt : saltAt+saltSize]
			if !slices.ContainsFunc(s.salts, func(other []byte) bool { return bytes.Equal(salt, other) }) {
				s.salts = append(s.salts, bytes.Clone(salt))
			}
		}
		visit(strings.TrimPrefix(path, s.dir+string(filepath.Separator)), content)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// readStart returns the content of a file, or its first bytes.
func readStart(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, most))
}

// Find returns the names of the files that have any of some texts.
func (s *Searcher) Find(t testing.TB, texts ...string) (names []string) {
	t.Helper()
	s.Look(t)
	s.each(t, math.MaxInt64, func(name string, content []byte) {
		all := [][]byte{content}
		if strings.HasSuffix(name, ".segment") || strings.HasSuffix(name, ".spare") {
			for _, salt := range s.salts {
				all = append(all, unmasked(content, salt)...)
			}
		}
		for _, text := range texts {
			if slices.ContainsFunc(all, func(p []byte) bool { return bytes.Contains(p, []byte(text)) }) {
				names = append(names, name)
				return
			}
		}
	})
	return names
}

// unmasked returns what is in all frames of a salt, wherever they begin. Behind the end of a
// frame there is nonsense.
func unmasked(content, salt []byte) (all [][]byte) {
	for at := 0; ; at += markSize {
		i := bytes.Index(content[at:], salt[:markSize])
		if i < 0 {
			return all
		}
		at += i
		if at == saltAt || at+frameHeader > len(content) {
			continue
		}
		block, _ := aes.NewCipher(salt) // never fails: 16 bytes are a key
		var start [aes.BlockSize]byte
		binary.BigEndian.PutUint64(start[:], uint64(at))
		size := min(int(binary.LittleEndian.Uint32(content[at+8:])), len(content)-at-frameHeader)
		p := bytes.Clone(content[at+frameHeader:][:size])
		cipher.NewCTR(block, start[:]).XORKeyStream(p, p)
		all = append(all, p)
	}
}
