package web_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"kaban"
	"kaban/internal/account"
	"kaban/internal/peer"
)

// Cookies of a sign-in are Secure, with the prefix of their host, wherever the way of the
// browser is encrypted, and not where a browser would not send such ones back.
func TestCookiesAreSecure(t *testing.T) {
	const password = "purple monkey dishwasher"
	f, _ := claimed(t, "invite")
	_, _, err := f.accounts.AddAccount(t.Context(), account.Operator(), account.NewPerson{NewAccount: account.NewAccount{Username: "mia", Password: password}, Role: kaban.RoleMember})
	f.must(err)
	plain := peer.Listener{URL: "http://127.0.0.1:1", Loopback: true}
	network := peer.Listener{URL: "http://0.0.0.0:1"}
	encrypted := peer.Listener{URL: "https://0.0.0.0:1", TLS: true}
	for _, test := range []struct {
		what      string
		listener  peer.Listener
		proxy     string
		insecure  bool
		remote    string
		forwarded []string
		scheme    string
		status    int // 200 or a refusal
		secure    bool
	}{
		{"on this machine", plain, "", false, "127.0.0.1:1", nil, "http", 200, false},
		{"on this machine, encrypted", encrypted, "", false, "127.0.0.1:1", nil, "https", 200, true},
		{"encrypted", encrypted, "", false, "192.0.2.7:1", nil, "https", 200, true},
		{"in the clear", network, "", true, "192.0.2.7:1", nil, "http", 200, false},
		{"a proxy with https", plain, "127.0.0.1", false, "127.0.0.1:1", []string{"X-Forwarded-For", "192.0.2.7", "X-Forwarded-Proto", "https"}, "https", 200, true},
		{"a proxy elsewhere with https", network, "192.0.2.1", false, "192.0.2.1:1", []string{"X-Forwarded-For", "192.0.2.7", "X-Forwarded-Proto", "https"}, "https", 200, true},
		{"a proxy that only Forwarded says is encrypted", network, "192.0.2.1", false, "192.0.2.1:1", []string{"Forwarded", "for=192.0.2.7;proto=https"}, "https", 403, false},
		{"a proxy in the clear", plain, "127.0.0.1", false, "127.0.0.1:1", []string{"X-Forwarded-For", "192.0.2.7", "X-Forwarded-Proto", "http"}, "http", 403, false},
		{"a proxy in the clear, insecure", plain, "127.0.0.1", true, "127.0.0.1:1", []string{"X-Forwarded-For", "192.0.2.7", "X-Forwarded-Proto", "http"}, "http", 200, false},
		{"somebody that says it is a proxy", plain, "", false, "127.0.0.1:1", []string{"X-Forwarded-For", "192.0.2.7", "X-Forwarded-Proto", "https"}, "https", 403, false},
	} {
		t.Run(test.what, func(t *testing.T) {
			policy := peer.Policy{Insecure: test.insecure}
			var err error
			if test.proxy != "" {
				policy.Proxies, err = peer.ParseProxies([]string{test.proxy})
				f.must(err)
			}
			rules, err := peer.Decide(test.listener, policy)
			f.must(err)
			host := "127.0.0.1:1" // any name but those of this machine may be somebody's
			request := httptest.NewRequest("POST", test.scheme+"://"+host+"/v1/session", strings.NewReader(`{"username":"mia","password":"`+password+`"}`))
			request.RemoteAddr, request.TLS = test.remote, nil
			request.Header.Set("Content-Type", "application/json")
			request.Header.Set("Origin", test.scheme+"://"+host)
			for i := 0; i < len(test.forwarded); i += 2 {
				request.Header.Set(test.forwarded[i], test.forwarded[i+1])
			}
			recorder := httptest.NewRecorder()
			f.web.Answer(recorder, request, rules)
			cookies := recorder.Result().Cookies()
			if recorder.Code != test.status {
				t.Fatalf("got %d %s, want %d", recorder.Code, recorder.Body, test.status)
			}
			if test.status != http.StatusOK {
				if len(cookies) > 0 {
					t.Errorf("a refusal sets %v", cookies)
				}
				return
			}
			if len(cookies) != 2 {
				t.Fatalf("%d cookies are set", len(cookies))
			}
			for i, name := range []string{"kaban", "kaban-browser"} {
				if test.secure {
					name = "__Host-" + name
				}
				c := cookies[i]
				if c.Name != name || c.Secure != test.secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" {
					t.Errorf("the cookie is %s", c)
				}
			}
		})
	}
}
