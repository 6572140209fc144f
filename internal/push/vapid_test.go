package push

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// claims are those of RFC 8292, section 2.
type claims struct {
	Audience string `json:"aud"`
	Expires  int64  `json:"exp"`
	Subject  string `json:"sub"`
}

// verify reads an Authorization header as a push service does, by another library and by hand, and
// returns its claims.
func verify(t *testing.T, header, public string) claims {
	t.Helper()
	fields, ok := strings.CutPrefix(header, "vapid t=")
	token, key, found := strings.Cut(fields, ", k=")
	if !ok || !found || key != public {
		t.Fatalf("the header is %q", header)
	}
	verifier, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), bytesOf(t, key))
	if err != nil {
		t.Fatal(err)
	}
	signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		t.Fatal(err)
	}
	content, err := signed.Verify(verifier)
	if err != nil {
		t.Fatalf("%s: %v", token, err)
	}
	if typ := signed.Signatures[0].Protected.ExtraHeaders["typ"]; typ != "JWT" {
		t.Errorf("typ is %v", typ)
	}
	parts := strings.Split(token, ".")
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	signature := bytesOf(t, parts[2])
	if len(signature) != 64 || !ecdsa.Verify(verifier, sum[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])) {
		t.Error("the signature is not the one of RFC 7518, section 3.4")
	}
	var c claims
	if err := json.Unmarshal(content, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTokens(t *testing.T) {
	key := testKey(t)
	s := newSigner(key, "https://chat.example.org")
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	header, err := s.authorization("push.example:8443", now)
	if err != nil {
		t.Fatal(err)
	}
	want := claims{"https://push.example:8443", now.Add(12 * time.Hour).Unix(), "https://chat.example.org"}
	if got := verify(t, header, key.Public()); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if other, err := s.authorization("push.example", now); err != nil || verify(t, other, key.Public()).Audience != "https://push.example" {
		t.Errorf("another push service: %v", err)
	}
	// One that is long in use, or of a clock that was wrong, is made anew. RFC 8292 allows 24 hours.
	for _, step := range []struct {
		name  string
		now   time.Time
		again bool
	}{
		{"later", now.Add(tokenUse - time.Second), true},
		{"too late", now.Add(tokenUse), false},
		{"a clock that is set back", now.Add(-time.Second), false},
		{"years back", now.AddDate(-5, 0, 0), false},
		{"a clock that is set forward", now.AddDate(10, 0, 0), false},
		{"and right again", now, false},
	} {
		got, err := s.authorization("push.example:8443", step.now)
		if err != nil {
			t.Fatal(err)
		}
		c := verify(t, got, key.Public())
		if left := time.Unix(c.Expires, 0).Sub(step.now); left <= 0 || left > 24*time.Hour {
			t.Errorf("%s: it is valid for another %v", step.name, left)
		}
		if (got == header) != step.again {
			t.Errorf("%s: the same token: %v, want %v", step.name, got == header, step.again)
		}
		header = got
	}
}

func TestTokensAreBounded(t *testing.T) {
	s := newSigner(testKey(t), "mailto:admin@example.org")
	for i := range maxTokens + 10 {
		if _, err := s.authorization(fmt.Sprintf("h%d.example", i), time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.tokens) > maxTokens {
		t.Errorf("%d tokens are kept", len(s.tokens))
	}
}

// Other text in the subject stays text.
func TestSubjectsAreQuoted(t *testing.T) {
	key := testKey(t)
	header, err := newSigner(key, `https://x/","aud":"y`).authorization("push.example", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if got := verify(t, header, key.Public()); got.Subject != `https://x/","aud":"y` || got.Audience != "https://push.example" {
		t.Errorf("got %+v", got)
	}
}

func BenchmarkToken(b *testing.B) {
	s := newSigner(testKey(b), "https://chat.example.org")
	for b.Loop() {
		if _, err := s.sign("push.example", time.Now()); err != nil {
			b.Fatal(err)
		}
	}
}
