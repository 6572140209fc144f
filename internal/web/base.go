package web

import (
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strings"
)

// maxBasePath is in bytes.
const maxBasePath = 200

// ParseBasePath parses the path below which a server is served, such as /chat. It
// returns it with a slash in front and none at the end; the root is "".
func ParseBasePath(text string) (string, error) {
	trimmed := strings.TrimSuffix(text, "/")
	if trimmed == "" {
		return "", nil
	}
	if len(text) > maxBasePath {
		return "", fmt.Errorf("the base path has %d bytes; at most %d are possible", len(text), maxBasePath)
	}
	u, err := url.Parse(trimmed)
	if err != nil || u.Scheme != "" || u.Host != "" || u.Path != trimmed || path.Clean(trimmed) != trimmed || trimmed[0] != '/' {
		return "", fmt.Errorf("%q is no path such as /chat", text)
	}
	for _, c := range []byte(trimmed) {
		if !strings.ContainsRune("/-._~", rune(c)) && !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9') {
			return "", fmt.Errorf("a base path has letters, digits and -._~ between slashes, so %q is none", text)
		}
	}
	return trimmed, nil
}

// below serves requests below the base path as if it were the root. What a load
// balancer asks for is at the root, too, since that does not go through the proxy.
func (s *Server) below(next http.Handler) http.Handler {
	base := s.config.BasePath
	if base == "" {
		return next
	}
	stripped := http.StripPrefix(base, next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasPrefix(r.URL.Path, base+"/"):
			stripped.ServeHTTP(w, r)
		case isHealth(r.URL.Path):
			next.ServeHTTP(w, r)
		case r.URL.Path == base && isSafe(r.Method):
			http.Redirect(w, r, base+"/", http.StatusPermanentRedirect) // links of the page are relative
		default:
			refuse(w, http.StatusNotFound, "there is nothing here; this server is at "+base+"/")
		}
	})
}
