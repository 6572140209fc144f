package push

import (
	"bytes"
	"crypto/ecdh"
	"encoding/base64"
	"math/rand/v2"
	"testing"
)

// example is that of RFC 8291, section 5 and appendix A.
var example = struct{ content, sender, receiver, auth, salt, body string }{
	content:  "When I grow up, I want to be a watermelon",
	sender:   "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw",
	receiver: "q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94",
	auth:     "BTBZMqHH6r4Tts7J_aSIgg",
	salt:     "DGv6ra1nlYgDCS1FRnbzlw",
	body: "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_" +
		"yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN",
}

func bytesOf(t *testing.T, text string) []byte {
	t.Helper()
	data, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func privateOf(t *testing.T, text string) *ecdh.PrivateKey {
	t.Helper()
	private, err := ecdh.P256().NewPrivateKey(bytesOf(t, text))
	if err != nil {
		t.Fatal(err)
	}
	return private
}

func TestExampleOfTheRFC(t *testing.T) {
	b := &browser{privateOf(t, example.receiver), bytesOf(t, example.auth)}
	body := bytesOf(t, example.body)
	got, err := b.open(body)
	if err != nil || string(got) != example.content {
		t.Errorf("the receiver of the tests reads %q, %v", got, err)
	}
	sub := b.subscribe(t, "https://push.example.net/push/JzLQ3raZJfFBR0aqvOMsLrt54w4rJUsV")
	sealed, err := seal(sub, []byte(example.content), len(body), privateOf(t, example.sender), [saltBytes]byte(bytesOf(t, example.salt)))
	if err != nil || !bytes.Equal(sealed, body) {
		t.Errorf("got %s, %v\nwant %s", text(sealed), err, example.body)
	}
}

func TestEncryption(t *testing.T) {
	b := newBrowser(t)
	sub := b.subscribe(t, "https://push.example/1")
	seen := make(map[string]bool)
	for length := 0; length <= maxContent; length += 1 + length/64 {
		content := make([]byte, length)
		for i := range content {
			content[i] = byte(rand.N(3)) // bytes that look like padding
		}
		body, err := encrypt(sub, content)
		if err != nil {
			t.Fatal(err)
		}
		got, err := b.open(body)
		if err != nil || !bytes.Equal(got, content) {
			t.Fatalf("%d bytes: got %x, %v; want %x", length, got, err, content)
		}
		want := 1024
		if length > 1024-103 {
			want = 2048
		}
		if len(body) != want {
			t.Errorf("%d bytes have a body of %d, want %d", length, len(body), want)
		}
		if salt, key := string(body[:16]), string(body[21:86]); seen[salt] || seen[key] {
			t.Fatalf("%d bytes: a salt or a key is used twice", length)
		} else {
			seen[salt], seen[key] = true, true
		}
		body[len(body)-1]++
		if _, err := b.open(body); err == nil {
			t.Errorf("%d bytes: a changed body is read", length)
		}
	}
	if maxContent+103 > 4096 {
		t.Errorf("the largest body has %d bytes", maxContent+103)
	}
}

func TestNobodyElseReads(t *testing.T) {
	b, other := newBrowser(t), newBrowser(t)
	body, err := encrypt(b.subscribe(t, "https://push.example/1"), []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	for name, reader := range map[string]*browser{
		"another browser": other, "another secret": {b.private, other.auth}, "another key": {other.private, b.auth},
	} {
		if got, err := reader.open(body); err == nil {
			t.Errorf("%s reads %q", name, got)
		}
	}
	if bytes.Contains(body, []byte("secret")) {
		t.Error("the body has the content")
	}
}

func BenchmarkEncrypt(b *testing.B) {
	sub := newBrowser(b).subscribe(b, "https://push.example/1")
	for b.Loop() {
		if _, err := encrypt(sub, make([]byte, 300)); err != nil {
			b.Fatal(err)
		}
	}
}
