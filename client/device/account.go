package device

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"kaban/wire"
)

// Revoke ends the device of a token, on all its connections. A device that is revoked
// already is no error.
func Revoke(ctx context.Context, server string, token wire.Secret, options Options) error {
	err := asAccount(ctx, http.MethodDelete, server, "/v1/session", token, nil, nil, options)
	if refused, ok := errors.AsType[*Error](err); ok && refused.Status == http.StatusUnauthorized {
		return nil
	}
	return err
}

// Info is a device or a token of an account.
type Info struct {
	Name    string    `json:"name"`
	Used    time.Time `json:"used"` // the last time; zero for never
	Address string    `json:"address"`
	Current bool      `json:"current"` // the one that asks
}

// List returns the devices of the account of a token.
func List(ctx context.Context, server string, token wire.Secret, options Options) ([]Info, error) {
	var answer struct {
		Devices []Info `json:"devices"`
	}
	err := asAccount(ctx, http.MethodGet, server, "/v1/devices", token, nil, &answer, options)
	return answer.Devices, err
}

// Person is an account of the server.
type Person struct {
	Username string `json:"username"`
	Name     string `json:"name"` // to display
	Role     string `json:"role"` // as kaban.ParseRole reads it, or one of a later version
	Bot      bool   `json:"bot"`
	Online   bool   `json:"online"`
}

// Find returns the first account that the account of the token may know of with a text in its
// username or name, and a username that does not sort before the text; ok is false if there is none.
// Given the key of a username it finds the one with it, if there is one: usernames are sorted by their keys.
func Find(ctx context.Context, server string, token wire.Secret, key string, options Options) (found Person, ok bool, err error) {
	asked := url.Values{"query": {key}, "after": {before(key)}, "limit": {"1"}}
	var page struct {
		People []Person `json:"people"`
	}
	err = asAccount(ctx, http.MethodGet, server, "/v1/people?"+asked.Encode(), token, nil, &page, options)
	if err != nil || len(page.People) == 0 {
		return Person{}, false, err
	}
	return page.People[0], true, nil
}

// before returns a text that sorts before the key of a username and behind all keys that do. No
// username has the last of all code points.
func before(key string) string {
	last, size := utf8.DecodeLastRuneInString(key)
	last--
	for !utf8.ValidRune(last) {
		last--
	}
	return key[:len(key)-size] + string(last) + string(utf8.MaxRune)
}

// SetName changes the name to display of the account of a token: 1 to 64 code points.
func SetName(ctx context.Context, server string, token wire.Secret, name string, options Options) error {
	return asAccount(ctx, http.MethodPatch, server, "/v1/account", token, map[string]string{"name": name}, nil, options)
}

// asAccount sends a request with a token and decodes the answer. The errors are those
// of Begin.
func asAccount(ctx context.Context, method, server, path string, token wire.Secret, body, answer any, options Options) error {
	address, err := parseAddress(server)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var content io.Reader = http.NoBody
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			return err
		}
		content = strings.NewReader(string(encoded))
	}
	request, err := http.NewRequestWithContext(ctx, method, address.Web()+path, content)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+string(token))
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	text, err := exchange(newClient(address, &options), request)
	if err != nil || answer == nil {
		return err
	}
	return decode(text, answer)
}

// decode decodes the body of an answer.
func decode(text []byte, answer any) error {
	if err := json.Unmarshal(text, answer); err != nil {
		return &Error{Status: http.StatusOK, Code: wire.CodeBadJSON, Text: "the server's answer is not JSON; is this the address of a Kaban server?"}
	}
	return nil
}
