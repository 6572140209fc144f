package account

import "testing"

func TestSecrets(t *testing.T) {
	seen := make(map[string]bool)
	for range 100 {
		s := newSecret(devicePrefix)
		if !looksLike(s, devicePrefix) || looksLike(s, tokenPrefix) || looksLike(s[1:], devicePrefix) || looksLike(s+"x", devicePrefix) {
			t.Errorf("%q does not look like a secret of a device only", s)
		}
		if h := hashOf(s); seen[h] || len(h) != 64 {
			t.Errorf("the hash %q of a new secret", h)
		} else {
			seen[h] = true
		}
	}
	// The hash is SHA-256, as FIPS 180-4 gives it for "abc".
	if got := hashOf("abc"); got != "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" {
		t.Errorf("the hash of abc is %s", got)
	}
}
