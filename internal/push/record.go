package push

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

const (
	saltBytes = 16
	// recordSize is what the header of a record says (RFC 8188, section 2.1). It is the
	// same for all, as in the example of RFC 8291, so that it reveals nothing.
	recordSize = 4096
	// headerBytes are salt, record size, length of the key and key.
	headerBytes = saltBytes + 4 + 1 + pointBytes
	// overhead is what a record has besides what is encrypted and its padding: the header, the
	// byte that ends the content, and the tag of the cipher.
	overhead = headerBytes + 1 + 16
)

// bodySizes are the sizes that the body of a push may have, in bytes. The length of a message
// therefore says no more than whether it is short, which all in Latin letters are after
// they have been cut. RFC 8030, section 7.2, lets push services refuse more than 4,096;
// some refuse less, as they wrap the body in base64 for 4,096 of their own.
var bodySizes = [...]int{1024, 2048}

// maxContent is how much fits into the largest body, and maxShort into the smallest.
var (
	maxContent = bodySizes[len(bodySizes)-1] - overhead
	maxShort   = bodySizes[0] - overhead
)

// bodySize returns the smallest size in which a content fits, of at most maxContent bytes.
func bodySize(content int) int {
	for _, size := range bodySizes {
		if content+overhead <= size {
			return size
		}
	}
	return content + overhead
}

// encrypt returns a body for a subscription, with a key and a salt that are used once.
func encrypt(to *Subscription, content []byte) ([]byte, error) {
	once, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	var salt [saltBytes]byte
	rand.Read(salt[:]) // never fails
	return seal(to, content, bodySize(len(content)), once, salt)
}

// seal encrypts a content in one record, padded so that the body has a size (RFC 8291, section
// 3.4, and RFC 8188, section 2).
func seal(to *Subscription, content []byte, size int, once *ecdh.PrivateKey, salt [saltBytes]byte) ([]byte, error) {
	shared, err := once.ECDH(to.public)
	if err != nil {
		return nil, fmt.Errorf("agree on a secret: %w", err)
	}
	theirs, ours := to.public.Bytes(), once.PublicKey().Bytes()
	material, err := hkdf.Key(sha256.New, shared, to.auth[:], "WebPush: info\x00"+string(theirs)+string(ours), 32)
	if err != nil {
		return nil, fmt.Errorf("derive a secret: %w", err)
	}
	key, err := hkdf.Key(sha256.New, material, salt[:], "Content-Encoding: aes128gcm\x00", 16)
	if err != nil {
		return nil, fmt.Errorf("derive the key: %w", err)
	}
	nonce, err := hkdf.Key(sha256.New, material, salt[:], "Content-Encoding: nonce\x00", 12)
	if err != nil {
		return nil, fmt.Errorf("derive the nonce: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("make a cipher: %w", err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("make a cipher: %w", err)
	}
	padded := make([]byte, size-overhead+1)
	padded[copy(padded, content)] = 2 // ends the content of the last record
	body := make([]byte, 0, size)
	body = append(body, salt[:]...)
	body = binary.BigEndian.AppendUint32(body, recordSize)
	body = append(append(body, byte(len(ours))), ours...)
	return gcm.Seal(body, nonce, padded, nil), nil
}
