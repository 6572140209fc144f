package web_test

import (
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"kaban"
	"kaban/internal/account"
)

// subscription is what a browser sends: PushSubscription.toJSON(). FRESH is in its endpoint.
const subscription = `{"endpoint":"https://push.example/send/FRESH","expirationTime":null,"keys":{` +
	`"p256dh":"BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4","auth":"BTBZMqHH6r4Tts7J_aSIgg"}}`

// subscriptionAt returns what a browser sends that has subscribed at an endpoint, and its keys.
func subscriptionAt(t *testing.T, endpoint string) (body string, secrets []string) {
	t.Helper()
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var auth [16]byte
	rand.Read(auth[:])
	encode := base64.RawURLEncoding.EncodeToString
	p256dh, secret := encode(key.PublicKey().Bytes()), encode(auth[:])
	return fmt.Sprintf(`{"endpoint":%q,"expirationTime":null,"keys":{"p256dh":%q,"auth":%q}}`, endpoint, p256dh, secret), []string{endpoint, p256dh, secret}
}

// A browser subscribes, is listed without its secrets, and ends with its device.
func TestPushSubscriptions(t *testing.T) {
	f, _ := claimed(t, "invite")
	ann, bob := f.person("ann", kaban.RoleMember), f.person("bob", kaban.RoleMember)
	as := func(s account.Session) []string {
		return with(asJSON(), []string{"Authorization", "Bearer " + s.Secret})
	}
	list := func(s account.Session) string {
		t.Helper()
		return f.do("GET", "/v1/push/subscriptions", "", as(s)...).body
	}
	body, secrets := subscriptionAt(t, "https://push.example/send/s3cret")
	made := f.do("POST", "/v1/push/subscriptions", body, as(ann)...)
	if made.status != 201 || made.json["current"] != true || made.json["device"] != ann.Principal.SecretID {
		t.Fatalf("subscribed: %s", made)
	}
	again := f.do("POST", "/v1/push/subscriptions", body, as(ann)...)
	if again.status != 201 || again.json["id"] != made.json["id"] || again.json["created"] != made.json["created"] {
		t.Errorf("the same again: %s", again)
	}
	listed := list(ann)
	if strings.Count(listed, `"id"`) != 1 || !strings.Contains(listed, made.json["id"].(string)) {
		t.Errorf("listed are %s", listed)
	}
	for _, secret := range secrets {
		if strings.Contains(listed+made.body, secret) {
			t.Errorf("an answer has %s", secret)
		}
	}
	if got := list(bob); strings.Contains(got, `"id"`) {
		t.Errorf("bob sees %s", got)
	}
	path := "/v1/push/subscriptions/" + made.json["id"].(string)
	if got := f.do("DELETE", path, "", as(bob)...); got.status != 404 {
		t.Errorf("bob ends what is ann's: %s", got)
	}

	if got := f.do("DELETE", "/v1/push/subscriptions/nothing", "", as(ann)...); got.status != 404 || got.json["code"] != "not_found" || !strings.Contains(got.body, "no subscription") {
		t.Errorf("what is none ends: %s", got)
	}

	// Another browser of the device takes its place; the same browser of another account, too.
	other, _ := subscriptionAt(t, "https://push.example/send/other")
	if got := f.do("POST", "/v1/push/subscriptions", other, as(ann)...); got.status != 201 {
		t.Errorf("another browser: %s", got)
	}
	if got := list(ann); strings.Count(got, `"id"`) != 1 || strings.Contains(got, made.json["id"].(string)) {
		t.Errorf("a device has two browsers: %s", got)
	}
	if got := f.do("POST", "/v1/push/subscriptions", other, as(bob)...); got.status != 201 {
		t.Errorf("the browser of somebody else: %s", got)
	}
	if got := list(ann) + list(bob); strings.Count(got, `"id"`) != 1 || !strings.Contains(list(bob), `"id"`) {
		t.Errorf("a browser notifies two accounts: %s", got)
	}
	if got := f.do("DELETE", "/v1/session", "", as(bob)...); got.status != 204 {
		t.Errorf("bob signs out: %s", got)
	}
	device, err := f.accounts.Pushes(t.Context(), bob.Principal.As(""))
	if err == nil || len(device) != 0 {
		t.Errorf("the device is gone, and has %v, %v", device, err)
	}
}

// What is no subscription is refused, with the field and without quoting it.
func TestBadPushSubscriptions(t *testing.T) {
	f, owner := claimed(t, "invite")
	headers := with(asJSON(), []string{"Authorization", "Bearer " + owner.Secret})
	good := strings.ReplaceAll(subscription, "FRESH", "s3cret")
	for name, c := range map[string]struct{ old, text, field string }{
		"http":         {"https://", "http://", "endpoint"},
		"a user":       {"https://", "https://user:pass@", "endpoint"},
		"not reached":  {"push.example", "nowhere.example", "endpoint"},
		"a fragment":   {"s3cret", "s3cret#x", "endpoint"},
		"no endpoint":  {`"endpoint":"https://push.example/send/s3cret",`, ``, "endpoint"},
		"no keys":      {`"keys"`, `"key"`, "keys"},
		"no point":     {"BCVxsr7N", "BAAAAAAA", "keys.p256dh"},
		"a short key":  {"BCVxsr7N", "BCVx", "keys.p256dh"},
		"a short auth": {"BTBZMqHH", "BTB", "keys.auth"},
		"padding":      {"aSIgg", "aSIg=", "keys.auth"},
		"an unknown":   {`"expirationTime"`, `"expiration"`, "expiration"},
	} {
		got := f.do("POST", "/v1/push/subscriptions", strings.Replace(good, c.old, c.text, 1), headers...)
		if got.status != 400 || got.json["field"] != c.field {
			t.Errorf("%s: %s, want the field %s", name, got, c.field)
		}
		if strings.Contains(got.body, "s3cret") {
			t.Errorf("%s: the answer quotes the endpoint: %s", name, got)
		}
	}
	if got := f.do("POST", "/v1/push/subscriptions", strings.Replace(good, "null", "1790000000000", 1), headers...); got.status != 201 {
		t.Errorf("an expiration: %s", got)
	}
}

// Whether pushes have the text is a setting of the account.
func TestPushContent(t *testing.T) {
	f, owner := claimed(t, "invite")
	headers := with(asJSON(), []string{"Authorization", "Bearer " + owner.Secret})
	for _, c := range []struct{ body, want string }{{"", "text"}, {"hint", "hint"}, {"text", "text"}} {
		if c.body != "" {
			if got := f.do("PUT", "/v1/push", fmt.Sprintf(`{"content":%q}`, c.body), headers...); got.status != 200 || got.json["content"] != c.want {
				t.Errorf("set %s: %s", c.body, got)
			}
		}
		if got := f.do("GET", "/v1/push", "", headers...); got.status != 200 || got.json["content"] != c.want || len(got.json["application_server_key"].(string)) != 87 {
			t.Errorf("after %q: %s", c.body, got)
		}
	}
	if got := f.do("PUT", "/v1/push", `{"content":"all"}`, headers...); got.status != 400 || got.json["field"] != "content" {
		t.Errorf("an unknown content: %s", got)
	}
}
