package dial

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"kaban/internal/tlstest"
)

func TestPins(t *testing.T) {
	for _, first := range []byte{0, 255, 252} { // base64 begins with A, two slashes, one
		testPins(t, first)
	}
}

func testPins(t *testing.T, first byte) {
	p := Pin{first}
	for i := range p[1:] {
		p[1+i] = first | byte(i*9)
	}
	b64, digits := base64.StdEncoding.EncodeToString(p[:]), hex.EncodeToString(p[:])
	var pairs []string
	for i := 0; i < len(digits); i += 2 {
		pairs = append(pairs, digits[i:i+2])
	}
	for _, text := range []string{b64, strings.TrimSuffix(b64, "="), "sha256/" + b64, "sha256//" + b64, " SHA256:" + b64 + "\n", digits, strings.ToUpper(digits), strings.Join(pairs, ":"), "sha256:" + digits, p.String()} {
		if got, err := ParsePin(text); got != p || err != nil {
			t.Errorf("%q: got %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "sha256/", b64[1:], b64 + "A", digits[1:], digits + "00", "sha1/" + b64, strings.Repeat("0", 64), "!" + b64[1:], b64 + "=", strings.Repeat(":", 44)} {
		if got, err := ParsePin(text); got != (Pin{}) || !errors.Is(err, ErrPin) {
			t.Errorf("%q: got %v, %v", text, got, err)
		}
	}
	if (Pin{}).String() != "" {
		t.Error("no pin has a text")
	}
}

func FuzzParsePin(f *testing.F) {
	f.Add("sha256:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
	f.Add(strings.Repeat("ab:", 31) + "ab")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParsePin(text)
		if err != nil {
			return
		}
		if again, err := ParsePin(p.String()); again != p || err != nil || p == (Pin{}) {
			t.Fatalf("%q: %v, %v, %v", text, p, again, err)
		}
	})
}

func TestBadAuthorities(t *testing.T) {
	authority := tlstest.NewAuthority(t)
	if _, err := ParseCA(append([]byte("a comment\n"), append(authority.PEM, authority.PEM...)...)); err != nil {
		t.Error(err)
	}
	for _, text := range []string{"", "x", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"} {
		if _, err := ParseCA([]byte(text)); !errors.Is(err, ErrNoCertificates) {
			t.Errorf("%q: %v", text, err)
		}
	}
	bad := "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
	if _, err := ParseCA(append(authority.PEM, bad...)); err == nil || !strings.Contains(err.Error(), "certificate 2") {
		t.Errorf("a bad one: %v", err)
	}
	if _, err := ParseCA(make([]byte, MaxCA+1)); err == nil || !strings.Contains(err.Error(), "limit") {
		t.Errorf("too long: %v", err)
	}
	for address, want := range map[string]error{"tls://127.0.0.1": ErrNoCertificates, "tcp://127.0.0.1": ErrNoUse, "ws://127.0.0.1": ErrNoUse, "https://127.0.0.1": ErrNoCertificates} {
		d := dialer(t, address, Trust{CA: []byte("x")})
		if _, err := d.Dial(patient(t)); !errors.Is(err, want) || !errors.Is(d.Check(), want) {
			t.Errorf("%s: %v", address, err)
		}
	}
}
