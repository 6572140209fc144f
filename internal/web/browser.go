package web

import (
	"net/http"

	"kaban/internal/account"
)

// The names of the cookie that binds a ceremony to a browser: a sign-in or a
// registration that takes two requests. It is no proof of an account.
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
	sent := in.Plain
	if by.peer.Encrypted {
		sent = in.Secure
	}
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
	cookie := http.Cookie{Name: plainBrowserCookie, Value: browser, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode}
	if by.peer.Encrypted {
		cookie.Name, cookie.Secure = secureBrowserCookie, true
	}
	return browser, []http.Cookie{cookie}
}
