package web

import (
	"net/http"
	"time"
)

// The names of the cookie. Where the connection is encrypted its name has the prefix
// that keeps other hosts and plain connections from setting it (RFC 6265bis, section
// 4.1.3.2), and only that one is read.
const (
	secureCookie = "__Host-kaban"
	plainCookie  = "kaban"
)

// cookieFor is how long a browser keeps the cookie. Browsers cap it at 400 days (RFC
// 6265bis, section 5.5). The server may end the session earlier.
const cookieFor = 400 * 24 * time.Hour

func (w *who) cookieName() string {
	if w.peer.Encrypted {
		return secureCookie
	}
	return plainCookie
}

// cookie returns the cookie with a secret.
func (w *who) cookie(secret string, expires time.Duration) http.Cookie {
	return http.Cookie{
		Name: w.cookieName(), Value: secret, Path: "/", MaxAge: int(expires / time.Second),
		Secure: w.peer.Encrypted, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
}

// noCookie has the browser forget the cookie.
func (w *who) noCookie() http.Cookie {
	gone := w.cookie("", 0)
	gone.MaxAge = -1
	return gone
}
