package conn_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"
)

// keys are those that a client of TLS 1.3 sends with (RFC 8446, section 7): crypto/tls
// itself never asks for new ones.
type keys struct {
	t      *testing.T
	secret []byte
	aead   cipher.AEAD
	iv     []byte
	number uint64 // of the next record
}

// newKeys returns those of a client that has sent hello and join, a record each. log is
// what its KeyLogWriter got.
func newKeys(t *testing.T, log *bytes.Buffer) *keys {
	t.Helper()
	k := &keys{t: t, number: 2}
	for line := range strings.Lines(log.String()) {
		if fields := strings.Fields(line); fields[0] == "CLIENT_TRAFFIC_SECRET_0" {
			var err error
			if k.secret, err = hex.DecodeString(fields[2]); err != nil || len(k.secret) != sha256.Size {
				t.Skip("another cipher suite than AES-128")
			}
		}
	}
	k.derive()
	return k
}

func (k *keys) expand(label string, size int) []byte {
	info := binary.BigEndian.AppendUint16(nil, uint16(size))
	info = append(info, byte(len("tls13 ")+len(label)))
	info = append(append(append(info, "tls13 "...), label...), 0)
	out, err := hkdf.Expand(sha256.New, k.secret, string(info), size)
	if err != nil {
		k.t.Fatal(err)
	}
	return out
}

func (k *keys) derive() {
	block, err := aes.NewCipher(k.expand("key", 16))
	if err != nil {
		k.t.Fatal(err)
	}
	if k.aead, err = cipher.NewGCM(block); err != nil {
		k.t.Fatal(err)
	}
	k.iv = k.expand("iv", 12)
}

// next goes on to the keys behind a KeyUpdate.
func (k *keys) next() {
	k.secret, k.number = k.expand("traffic upd", sha256.Size), 0
	k.derive()
}

// record returns a record with a type of content.
func (k *keys) record(kind byte, content []byte) []byte {
	plain := append(bytes.Clone(content), kind)
	head := binary.BigEndian.AppendUint16([]byte{23, 3, 3}, uint16(len(plain)+k.aead.Overhead()))
	nonce := bytes.Clone(k.iv)
	for i, b := range binary.BigEndian.AppendUint64(nil, k.number) {
		nonce[4+i] ^= b
	}
	k.number++
	return k.aead.Seal(head, nonce, plain, head)
}
