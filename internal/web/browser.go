package web

import (
	"net/http"
	"time"

	"kaban/internal/account"
)

// The names of the cookie that binds a ceremony to a browser: a sign-in or a
// registration that takes two requests. After a sign-in the browser keeps it, so that
// strangers' guesses do not slow down whoever signs in there again. It is no proof of an
// account.
const (
	secureBrowserCookie = "__Host-kaban-browser"
	plainBrowserCookie  = "kaban-browser"
)

// BrowserCookies are that cookie in a request.
type BrowserCookies struct {
	Secure string `cookie:"__Host-kaban-browser" hidden:"true"`
	Plain  string `cookie:"kaban-browser" hidden:"true"`
}

// The length of a secret of a browser, in bytes. Another one is not ours.
const (
	minBrowser = 32
	maxBrowser = 128
)

// browser returns the secret of the browser, "" if it has none. Where the connection is
// encrypted only the cookie counts that no plain connection can set.
func (in *BrowserCookies) browser(by *who) string {
	if by.peer.Encrypted {
		return checkBrowser(in.Secure)
	}
	return checkBrowser(in.Plain)
}

// checkBrowser returns a secret that may be ours, "" for another one.
func checkBrowser(sent string) string {
	if len(sent) < minBrowser || len(sent) > maxBrowser {
		return ""
	}
	return sent
}

// begin returns the secret of the browser for a new ceremony, and the cookie for one
// that had none. A browser keeps its secret: it may have several ceremonies at a time.
func (in *BrowserCookies) begin(by *who) (browser string, cookies []http.Cookie) {
	if browser = in.browser(by); browser != "" {
		return browser, nil
	}
	browser = account.NewBrowser()
	return browser, []http.Cookie{by.browserCookie(browser, 0)}
}

// browserFor is how long a browser is known after a sign-in, as long as package limit
// remembers it.
const browserFor = 30 * 24 * time.Hour

// browserCookie returns the cookie with the secret of a browser. Without a time it ends
// with the browser.
func (w *who) browserCookie(browser string, expires time.Duration) http.Cookie {
	cookie := http.Cookie{
		Name: plainBrowserCookie, Value: browser, Path: "/", MaxAge: int(expires / time.Second),
		HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
	if w.peer.Encrypted {
		cookie.Name, cookie.Secure = secureBrowserCookie, true
	}
	return cookie
}

// browserSecret returns the secret of the browser that makes the request, a new one if it
// has none.
func (w *who) browserSecret() string {
	if w.browser == "" {
		w.browser = account.NewBrowser()
	}
	return w.browser
}
