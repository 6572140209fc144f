package dial

import (
	"errors"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for text, want := range map[string][3]string{ // usual form, scheme, host and port
		"127.0.0.1:6440":                       {"127.0.0.1:6440", "tcp", "127.0.0.1:6440"},
		"127.0.0.1":                            {"127.0.0.1:6440", "tcp", "127.0.0.1:6440"},
		"127.9.9.9:1":                          {"127.9.9.9:1", "tcp", "127.9.9.9:1"},
		"localhost":                            {"localhost:6440", "tcp", "localhost:6440"},
		"LocalHost.:7":                         {"localhost.:7", "tcp", "localhost.:7"},
		"kaban.localhost":                      {"kaban.localhost:6440", "tcp", "kaban.localhost:6440"},
		"::1":                                  {"[::1]:6440", "tcp", "[::1]:6440"},
		"[::1]":                                {"[::1]:6440", "tcp", "[::1]:6440"},
		"[::1]:1":                              {"[::1]:1", "tcp", "[::1]:1"},
		"::ffff:127.0.0.1":                     {"[::ffff:127.0.0.1]:6440", "tcp", "[::ffff:127.0.0.1]:6440"},
		":6441":                                {"localhost:6441", "tcp", "localhost:6441"},
		"chat.example":                         {"tls://chat.example:6440", "tls", "chat.example:6440"},
		" Chat.Example:7000 ":                  {"tls://chat.example:7000", "tls", "chat.example:7000"},
		"localhost.example":                    {"tls://localhost.example:6440", "tls", "localhost.example:6440"},
		"notlocalhost":                         {"tls://notlocalhost:6440", "tls", "notlocalhost:6440"},
		"10.0.0.1":                             {"tls://10.0.0.1:6440", "tls", "10.0.0.1:6440"},
		"0.0.0.0":                              {"tls://0.0.0.0:6440", "tls", "0.0.0.0:6440"},
		"2001:DB8::1":                          {"tls://[2001:db8::1]:6440", "tls", "[2001:db8::1]:6440"},
		"fe80::1%eth0":                         {"tls://[fe80::1%25eth0]:6440", "tls", "[fe80::1%eth0]:6440"},
		"tcp://chat.example":                   {"tcp://chat.example:6440", "tcp", "chat.example:6440"},
		"tcp://127.0.0.1:06440/":               {"127.0.0.1:6440", "tcp", "127.0.0.1:6440"},
		"TLS://localhost":                      {"tls://localhost:6440", "tls", "localhost:6440"},
		"tls://[fe80::1%25eth0]:1":             {"tls://[fe80::1%25eth0]:1", "tls", "[fe80::1%eth0]:1"},
		"ws://h":                               {"http://h", "ws", "h:80"},
		"http://127.0.0.1:6480":                {"http://127.0.0.1:6480", "ws", "127.0.0.1:6480"},
		"ws://h:6480/v1/socket":                {"http://h:6480", "ws", "h:6480"},
		"wss://h":                              {"https://h", "wss", "h:443"},
		"wss://h/v1/socket":                    {"https://h", "wss", "h:443"},
		"wss://h/chat/v1/socket":               {"https://h/chat", "wss", "h:443"},
		"wss://h/chat":                         {"https://h/chat", "wss", "h:443"},
		"https://h:443/":                       {"https://h", "wss", "h:443"},
		"https://h:80":                         {"https://h:80", "wss", "h:80"},
		"http://h:443":                         {"http://h:443", "ws", "h:443"},
		"https://h:6443/a/b/":                  {"https://h:6443/a/b", "wss", "h:6443"},
		"https://h/a%20b":                      {"https://h/a%20b", "wss", "h:443"},
		"https://h/v1/sockets":                 {"https://h/v1/sockets", "wss", "h:443"},
		"https://[2001:db8::1]/chat":           {"https://[2001:db8::1]/chat", "wss", "[2001:db8::1]:443"},
		"https://[fe80::1%25eth0]":             {"https://[fe80::1%25eth0]", "wss", "[fe80::1%eth0]:443"},
		"https://chat.xn--bcher-kva.example.":  {"https://chat.xn--bcher-kva.example.", "wss", "chat.xn--bcher-kva.example.:443"},
		"wss://my_host-1.internal:8443/x/y/z/": {"https://my_host-1.internal:8443/x/y/z", "wss", "my_host-1.internal:8443"},
	} {
		a, err := Parse(text)
		if err != nil || a.String() != want[0] || string(a.Scheme()) != want[1] || a.HostPort() != want[2] {
			t.Errorf("%q: got %q, %s, %s, %v, want %q", text, a, a.Scheme(), a.HostPort(), err, want)
			continue
		}
		if a.IsEncrypted() != (want[1] == "tls" || want[1] == "wss") || (a.Web() != "") != strings.HasPrefix(want[1], "ws") {
			t.Errorf("%q: encrypted is %v, the web address is %q", text, a.IsEncrypted(), a.Web())
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"": "empty", "  ": "empty", "a:b:c": "HOST:PORT", "a:b": "port", "a:0": "port", "a:65536": "port", "a:": "port", "a:-1": "port",
		"a b": "characters", "h/x": "scheme", "h:1/x": "port", "/tmp/socket": "scheme", "[::1": "HOST:PORT", "[h]": "characters", "bücher.example": "xn--",
		".": "characters", "a..b": "characters", "tcp://": "no host", "https:///x": "no host", "tcp://h:": "port", "https://h:0": "port", "https://h:99999": "port",
		"tcp://h/x": "path", "tls://h/v1/socket": "path", "ftp://h": "does not start with", "kaban://h": "does not start with", "://h": "does not start with",
		"https://h?a=b": "more than", "https://h/?": "more than", "https://h#f": "more than", "https://h/#": "more than",
		"https://h//x": "path", "https://h/../x": "path", "https://h/./x": "path", "https://h/%zz": "no valid", "https://h\n": "no valid-or-trimmed",
		"https://ann:secret@h": "a name or a password", "ann:secret@h": "a name or a password", "https://h/\x7f": "no valid",
		"wss://" + strings.Repeat("a", 254): "253", "wss://" + strings.Repeat("a", 3000): "limit",
	} {
		a, err := Parse(text)
		if text == "https://h\n" { // surrounding space is cut
			if err != nil {
				t.Errorf("%q: %v", text, err)
			}
			continue
		}
		_, ok := errors.AsType[*AddressError](err)
		if !ok || !strings.Contains(err.Error(), want) || a != (Address{}) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: got %v, %v, want %q", text, a, err, want)
		}
	}
}

// The usual form of an address leads to the same place, and no text is accepted that
// carries user information.
func FuzzParse(f *testing.F) {
	for _, text := range []string{"127.0.0.1", "chat.example:1", "https://h/chat", "wss://[fe80::1%25e]:1/v1/socket", "tls://::1", "h/v1/socket/v1/socket", "wss://h/v1/socket/v1/socket", "https://a@h"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := Parse(text)
		if err != nil {
			if a != (Address{}) {
				t.Fatalf("%q: an address beside an error", text)
			}
			return
		}
		if strings.Contains(text, "@") || a.Host() == "" || strings.ContainsAny(a.String(), "@ \r\n\x00") {
			t.Fatalf("%q becomes %q", text, a)
		}
		if again, err := Parse(a.String()); err != nil || again != a {
			t.Fatalf("%q becomes %q, which is %q, %v", text, a, again, err)
		}
		if a.Scheme() == TCP && !a.IsLoopback() && !strings.HasPrefix(strings.ToLower(strings.TrimSpace(text)), "tcp://") {
			t.Fatalf("%q is not encrypted", text)
		}
	})
}
