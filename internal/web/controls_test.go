package web_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"kaban"
	"kaban/internal/account"
	"kaban/internal/store"
	"kaban/internal/store/teststore"
	"kaban/internal/web"
)

// controls are the characters that begin another line, or end a text, somewhere.
var controls = []string{"\n", "\r", "\x00", "\x1b", "\u0085"}

// lenient are the operations for programs that nobody can change. They take any text, and
// keep it without such characters.
var lenient = []string{"POST /v1/device", "POST /v1/device/token"}

// spoilt returns a value of JSON once for each of its texts, with something put into that.
// what names the text.
func spoilt(value any, name, put string) (all map[string]any) {
	all = make(map[string]any)
	switch value := value.(type) {
	case string:
		all[name] = value + put + "x" // at an end, some are trimmed
	case []any:
		for i := range value {
			for what, bad := range spoilt(value[i], name, put) {
				list := slices.Clone(value)
				list[i] = bad
				all[what] = list
			}
		}
	case map[string]any:
		for field := range value {
			for what, bad := range spoilt(value[field], strings.TrimPrefix(name+"."+field, "."), put) {
				changed := maps.Clone(value)
				changed[field] = bad
				all[what] = changed
			}
		}
	}
	return all
}

// example returns a value for a schema of the document.
func example(all map[string]any, schema map[string]any) any {
	if ref, ok := schema["$ref"].(string); ok {
		schemas := all["components"].(map[string]any)["schemas"].(map[string]any)
		return example(all, schemas[ref[strings.LastIndex(ref, "/")+1:]].(map[string]any))
	}
	if values, ok := schema["enum"].([]any); ok {
		return values[0]
	}
	switch kind := schema["type"]; kind {
	case "string":
		return "xx"
	case "integer", "number":
		return 1
	case "boolean":
		return true
	case "array":
		items, _ := schema["items"].(map[string]any)
		return []any{example(all, items)}
	}
	object := make(map[string]any)
	properties, _ := schema["properties"].(map[string]any)
	for name, of := range properties {
		object[name] = example(all, of.(map[string]any))
	}
	return object
}

// A control character in any text of any request (a part of its path, a parameter, a field
// of its body) is refused or is only looked for, but for a line feed in the content of a
// message. It is in no document afterwards, the audit among them, and breaks no line of
// the log.
func TestControlCharactersInEveryField(t *testing.T) {
	docs := teststore.New(t)
	withHook(t, docs)
	keys, err := account.NewPasskeys(docs, []string{passkeyOrigin}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	f := start(t, web.Config{Passkeys: keys}, docs)
	owner := f.claim("open")
	f.person("mia", kaban.RoleMember)
	_, err = f.accounts.MakeBot(t.Context(), owner.Principal.As(""), account.NewBot{Username: "robo"})
	f.must(err)
	f.say("lobby", "first", "vic", "hello")
	all, err := document()
	if err != nil {
		t.Fatal(err)
	}
	known := make(map[string]string) // bodies by operation
	for request, body := range bodies() {
		method, path, _ := strings.Cut(request, " ")
		pattern, _ := operation(all, method, path)
		known[method+" "+pattern] = body
	}
	values := map[string]string{"room": "lobby", "seq": "1", "username": "mia", "emoji": "👍"}
	tried := 0
	for _, pattern := range slices.Sorted(maps.Keys(all["paths"].(map[string]any))) {
		item := all["paths"].(map[string]any)[pattern].(map[string]any)
		for _, verb := range slices.Sorted(maps.Keys(item)) {
			op, ok := item[verb].(map[string]any)
			if !ok || op["operationId"] == nil {
				continue
			}
			method := strings.ToUpper(verb)
			fields := make(map[string]string)
			isPath := make(map[string]bool)
			parameters, _ := op["parameters"].([]any)
			for _, p := range parameters {
				p := p.(map[string]any)
				name := p["name"].(string)
				schema, _ := p["schema"].(map[string]any)
				switch p["in"] {
				case "path":
					isPath[name] = true
				case "query":
					if schema["type"] != "string" && schema["type"] != "array" {
						continue
					}
				default: // a header has no such characters
					continue
				}
				if fields[name] = values[name]; fields[name] == "" {
					fields[name] = "xx"
				}
			}
			var body any
			if request, ok := op["requestBody"].(map[string]any); ok {
				if media, ok := request["content"].(map[string]any)["application/json"].(map[string]any); ok {
					body = example(all, media["schema"].(map[string]any))
				}
				if text := known[method+" "+pattern]; text != "" {
					body = nil
					f.must(json.Unmarshal([]byte(text), &body))
				}
			}
			ask := func(what string, fields map[string]string, body any, spoiltField string) {
				t.Helper()
				tried++
				path, query := pattern, make(url.Values)
				for name, value := range fields {
					if isPath[name] {
						path = strings.ReplaceAll(path, "{"+name+"}", url.PathEscape(value))
					} else if name == spoiltField {
						query.Set(name, value)
					}
				}
				if len(query) > 0 {
					path += "?" + query.Encode()
				}
				text := ""
				if body != nil {
					encoded, err := json.Marshal(body)
					f.must(err)
					text = string(encoded)
				}
				if strings.HasSuffix(pattern, "/events") && method == "GET" {
					return // the same in HEAD
				}
				var got *answer
				if socket, _ := op["x-admin-socket"].(string); socket == "only" {
					got = f.asOperator(method, path, text)
				} else {
					got = f.do(method, path, text, with(asJSON(), bearer(owner), origin(f.url))...)
				}
				if got.status >= 500 && got.status != 503 || got.status < 300 && method != "GET" && !slices.Contains(lenient, method+" "+pattern) {
					t.Errorf("%s %s with %s is answered with %s", method, path, what, got)
				}
			}
			for _, put := range controls {
				for name, value := range fields {
					changed := maps.Clone(fields)
					changed[name] = value + put + "x"
					ask(fmt.Sprintf("%s %q", name, changed[name]), changed, body, name)
				}
				for what, bad := range spoilt(body, "", put) {
					ask(fmt.Sprintf("%q in %s", put, what), fields, bad, "")
				}
			}
		}
	}
	for _, put := range controls {
		f.do("POST", "/hooks/secret", `{"username":"x`+put+`y","text":"a`+put+`b"}`)
		text, err := json.Marshal(map[string]string{"username": "x" + put + "y", "text": "a" + put + "b", "channel": put, "icon_emoji": put})
		f.must(err)
		f.do("POST", "/hooks/secret", string(text), asJSON()...)
	}
	if tried < 300 {
		t.Errorf("only %d requests are tried", tried)
	}
	checkStored(t, docs)
	for _, room := range []string{"lobby", "builds"} {
		checkText(t, room, f.get("/v1/rooms/"+room+"/messages?limit=500", bearer(owner)...).json)
	}
	for line := range strings.Lines(f.log.String()) {
		if line = strings.TrimSuffix(line, "\n"); !strings.HasPrefix(line, "time=") || strings.ContainsFunc(line, unicode.IsControl) || strings.Contains(line, "level=ERROR") {
			t.Errorf("a line of the log is %q", line)
		}
	}
}

// checkText checks that no text of a value has control characters, but lines and tabs in a
// content.
func checkText(t *testing.T, what string, value any) {
	t.Helper()
	switch value := value.(type) {
	case string:
		if isBad := func(c rune) bool {
			return unicode.IsControl(c) && !(strings.HasSuffix(what, ".content") && (c == '\n' || c == '\t'))
		}; strings.ContainsFunc(value, isBad) {
			t.Errorf("%s is %q", what, value)
		}
	case []any:
		for _, one := range value {
			checkText(t, what, one)
		}
	case map[string]any:
		for name, one := range value {
			checkText(t, what+"."+name, one)
		}
	}
}

// checkStored checks all documents.
func checkStored(t *testing.T, s store.Store) {
	t.Helper()
	err := s.View(t.Context(), func(tx store.Tx) error {
		all, err := tx.Scan("", "\U0010ffff", 1<<20)
		if len(all) == 0 {
			t.Error("there are no documents")
		}
		for _, d := range all {
			var value any
			if json.Unmarshal(d.Value, &value) == nil {
				checkText(t, fmt.Sprintf("document %q", d.Key), value)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
