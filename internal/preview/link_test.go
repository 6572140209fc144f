package preview

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestLinks(t *testing.T) {
	for _, test := range []struct {
		name, content string
		want          []string
	}{
		{"none", "hello: a://b and mailto:a@b.example", nil},
		{"one", "see https://a.example/b, please", []string{"https://a.example/b"}},
		{"capitals", "HTTP://A.example", []string{"HTTP://A.example"}},
		{"emphasis", "**https://a.example**", []string{"https://a.example"}},
		{"code", "`https://a.example`", nil},
		{"a block", "```\nhttps://a.example\n```\nhttps://b.example", []string{"https://b.example"}},
		{"quotes", "> https://a.example\n> > https://b.example\nhttps://c.example", []string{"https://c.example"}},
		{"a table", "a | b\n--- | ---\nhttps://a.example | c", []string{"https://a.example"}},
		{"brackets", "<https://a.example> and (https://b.example)", []string{"https://b.example"}},
		{"half a bracket", "<https://a.example or https://b.example>", []string{"https://a.example", "https://b.example"}},
		{"the same twice", "https://a.example https://A.example/#b https://a.example:443/ https://a.example/c", []string{"https://a.example", "https://a.example/c"}},
		{"many", "https://a.example https://b.example https://c.example https://d.example", []string{"https://a.example", "https://b.example", "https://c.example"}},
		{"credentials take no place", "https://u:p@a.example https://b.example", []string{"https://b.example"}},
		{"too long", "https://a.example/" + strings.Repeat("a", MaxURL), nil},
		{"not valid", "https://[ https://a.example/%zz", nil},
	} {
		if got := Links(test.content); !slices.Equal(got, test.want) {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

// However many links a message has, three get a preview.
func TestLinksAreBounded(t *testing.T) {
	content := strings.Repeat("https://a.example/ ", 50)
	for i := range 100 {
		content += "https://a.example/" + strings.Repeat("b", i) + " "
	}
	if n := len(Links(content)); n != MaxLinks {
		t.Errorf("%d links, want %d", n, MaxLinks)
	}
}

func TestParseLink(t *testing.T) {
	for link, want := range map[string]address{
		"https://A.Example":            {"https://a.example/", "https://a.example/", "a.example"},
		"https://a.example.:443/b?c#d": {"https://a.example./b?c", "https://a.example./b?c", "a.example"},
		"http://a.example:8080":        {"http://a.example:8080/", "http://a.example:8080/", "a.example"},
		"http://bücher.example/ä":      {"http://xn--bcher-kva.example/%C3%A4", "http://xn--bcher-kva.example/%C3%A4", "xn--bcher-kva.example"},
		"http://[::1]:80/":             {"http://[::1]/", "http://[::1]/", "::1"},
		"http://[::1]:81/":             {"http://[::1]:81/", "http://[::1]:81/", "::1"},
		"http://①②⑦.0.0.1":             {"http://127.0.0.1/", "http://127.0.0.1/", "127.0.0.1"},
	} {
		if got, err := parseLink(link); err != nil || got != want {
			t.Errorf("%s: %+v, %v, want %+v", link, got, err, want)
		}
	}
	for _, link := range []string{
		"", "a.example", "ftp://a.example", "https://", "https:///a", "https:a.example", "mailto:a@b.example", "javascript:alert(1)",
		"https://u@a.example", "https://a.example/%zz", "https://" + strings.Repeat("a", MaxURL),
	} {
		_, err := parseLink(link)
		if _, ok := errors.AsType[*URLError](err); !ok {
			t.Errorf("%.40q: %v, want a URLError", link, err)
		}
	}
}
