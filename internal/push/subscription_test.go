package push

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestSubscriptions(t *testing.T) {
	b := newBrowser(t)
	key, secret := text(b.private.PublicKey().Bytes()), text(b.auth)
	for endpoint, want := range map[string]string{
		"https://push.example/a":                           "push.example",
		"https://PUSH.Example/a?b=c":                       "push.example",
		"HTTPS://push.example:443/":                        "push.example",
		"https://push.example:8443":                        "push.example:8443",
		"https://192.0.2.1/a":                              "192.0.2.1",
		"https://[2001:DB8::1]/a":                          "[2001:db8::1]",
		"https://[2001:db8::1]:8443/a":                     "[2001:db8::1]:8443",
		"https://a_b.xn--bcher-kva.test/":                  "a_b.xn--bcher-kva.test",
		"https://h/" + strings.Repeat("a", MaxEndpoint-10): "h",
	} {
		s, err := ParseSubscription(endpoint, key, secret)
		if err != nil || s.Host() != want {
			t.Errorf("%.60s: got %v, %v, want %s", endpoint, s, err, want)
		}
	}
	point := b.private.PublicKey().Bytes()
	off := bytes.Clone(point)
	off[64] ^= 1
	compressed := append([]byte{2}, point[1:33]...)
	infinity := make([]byte, 65)
	for name, c := range map[string]struct{ endpoint, p256dh, auth, field, problem string }{
		"nothing":             {"", key, secret, "endpoint", "is empty"},
		"http":                {"http://push.example/a", key, secret, "endpoint", "must begin with https://"},
		"no scheme":           {"push.example/a", key, secret, "endpoint", "must begin with https://"},
		"opaque":              {"https:push.example", key, secret, "endpoint", "has no valid host"},
		"file":                {"file:///etc/passwd", key, secret, "endpoint", "must begin with https://"},
		"too long":            {"https://h/" + strings.Repeat("a", MaxEndpoint-9), key, secret, "endpoint", "has 2049 bytes; the limit is 2048"},
		"a user":              {"https://user@push.example/a", key, secret, "endpoint", "must have no user or password"},
		"an empty user":       {"https://@push.example/a", key, secret, "endpoint", "must have no user or password"},
		"a password":          {"https://user:pass@push.example/a", key, secret, "endpoint", "must have no user or password"},
		"no host":             {"https:///a", key, secret, "endpoint", "has no valid host"},
		"only a port":         {"https://:443/a", key, secret, "endpoint", "has no valid host"},
		"an empty port":       {"https://push.example:/a", key, secret, "endpoint", "has no valid port"},
		"port 0":              {"https://push.example:0/a", key, secret, "endpoint", "has no valid port"},
		"port 65536":          {"https://push.example:65536/a", key, secret, "endpoint", "has no valid port"},
		"port 0443":           {"https://push.example:0444/a", key, secret, "endpoint", "has no valid port"},
		"a trailing dot":      {"https://push.example./a", key, secret, "endpoint", "has no valid host"},
		"two dots":            {"https://push..example/a", key, secret, "endpoint", "has no valid host"},
		"a zone":              {"https://[fe80::1%25eth0]/a", key, secret, "endpoint", "has no valid host"},
		"a fragment":          {"https://push.example/a#b", key, secret, "endpoint", "must have no fragment"},
		"an empty fragment":   {"https://push.example/a#", key, secret, "endpoint", "must have no fragment"},
		"a space":             {"https://push.example/a b", key, secret, "endpoint", "has a character that URLs do not have"},
		"a line end":          {"https://push.example/a\r\nX: y", key, secret, "endpoint", "has a character that URLs do not have"},
		"a letter of Unicode": {"https://püsh.example/a", key, secret, "endpoint", "has a character that URLs do not have"},
		"a bad escape":        {"https://push.example/%zz", key, secret, "endpoint", "is not a URL"},
		"an escaped host":     {"https://push%2eexample/a", key, secret, "endpoint", "is not a URL"},
		"no key":              {"https://push.example/a", "", secret, "p256dh", "has 0 characters; 65 bytes in base64url without padding have 87"},
		"padding":             {"https://push.example/a", key + "=", secret, "p256dh", "has 88 characters"},
		"a compressed point":  {"https://push.example/a", text(compressed), secret, "p256dh", "has 44 characters"},
		"no point":            {"https://push.example/a", text(off), secret, "p256dh", "is not a point of P-256"},
		"infinity":            {"https://push.example/a", text(infinity), secret, "p256dh", "is not a point of P-256"},
		"no base64url":        {"https://push.example/a", "+" + key[1:], secret, "p256dh", "is not base64url without padding"},
		"a line end in it":    {"https://push.example/a", "\n" + key[1:], secret, "p256dh", "is not base64url without padding"},
		"no secret":           {"https://push.example/a", key, "", "auth", "has 0 characters; 16 bytes in base64url without padding have 22"},
		"15 bytes":            {"https://push.example/a", key, text(b.auth[:15]), "auth", "has 20 characters"},
		"17 bytes":            {"https://push.example/a", key, text(append([]byte{1}, b.auth...)), "auth", "has 23 characters"},
		"bits left over":      {"https://push.example/a", key, secret[:21] + "B", "auth", "is not base64url without padding"},
	} {
		s, err := ParseSubscription(c.endpoint, c.p256dh, c.auth)
		e, ok := errors.AsType[*SubscriptionError](err)
		if !ok || e.Field != c.field || !strings.Contains(e.Problem, c.problem) || s != nil {
			t.Errorf("%s: got %v, %v; want %s %s", name, s, err, c.field, c.problem)
		}
	}
}

func TestIDs(t *testing.T) {
	a, b := newBrowser(t), newBrowser(t)
	one := a.subscribe(t, "https://push.example/1")
	if again := b.subscribe(t, "https://push.example/1"); one.ID() != again.ID() || len(one.ID()) != 22 {
		t.Errorf("one endpoint has the ids %s and %s", one.ID(), again.ID())
	}
	if other := a.subscribe(t, "https://push.example/2"); one.ID() == other.ID() {
		t.Error("two endpoints have one id")
	}
}

// Whoever logs a subscription, logs no secret.
func TestSubscriptionsAreNotShown(t *testing.T) {
	b := newBrowser(t)
	s := b.subscribe(t, "https://push.example/s3cret?token=t0ken")
	var log bytes.Buffer
	for _, logger := range []*slog.Logger{slog.New(slog.NewTextHandler(&log, nil)), slog.New(slog.NewJSONHandler(&log, nil))} {
		logger.Info("subscribed", "subscription", s, "value", *s, "any", []any{s})
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q", "%d", "%t"} {
		fmt.Fprintf(&log, verb+" "+verb+"\n", s, *s)
	}
	for _, secret := range []string{
		"s3cret", "t0ken", text(b.auth), text(s.auth[:]), fmt.Sprint(s.auth), fmt.Sprintf("%#v", s.auth), fmt.Sprintf("%x", s.auth), fmt.Sprintf("%x", s.endpoint),
	} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("the log has %q: %s", secret, &log)
		}
	}
	if !strings.Contains(log.String(), s.ID()) || !strings.Contains(log.String(), "push.example") {
		t.Errorf("the log does not tell subscriptions apart: %s", &log)
	}
}

func FuzzSubscription(f *testing.F) {
	b := newBrowser(f)
	f.Add("https://push.example:8443/a?b=c", text(b.private.PublicKey().Bytes()), text(b.auth))
	f.Add("https://[::1%25a]:1/", "", "")
	f.Fuzz(func(t *testing.T, endpoint, p256dh, auth string) {
		s, err := ParseSubscription(endpoint, p256dh, auth)
		if err != nil {
			if _, ok := errors.AsType[*SubscriptionError](err); !ok || s != nil {
				t.Fatalf("%v, %v", s, err)
			}
			return
		}
		// Whatever is taken can be pushed to.
		sender := newSender(Config{Key: testKey(t), Subject: "https://chat.example.org", Now: time.Now})
		n := notice(1)
		request, err := sender.request(t.Context(), s, &n, &Message{}, false, timeToLive)
		if err != nil {
			t.Fatal(err)
		}
		if host, _ := hostOf(request.URL.String()); request.URL.Scheme != "https" || host != s.Host() {
			t.Fatalf("a push to %q goes to %q", s.Host(), request.URL.Host)
		}
	})
}
