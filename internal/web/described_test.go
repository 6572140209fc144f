package web_test

import (
	"fmt"
	"strings"
	"testing"

	"kaban"
)

// A file is described after its upload until a message has it; an edit may leave a message with
// nothing but its files, which the inbox shows, too.
func TestFilesAreDescribed(t *testing.T) {
	f, _ := claimed(t, "open")
	ann, bob := f.person("ann", kaban.RoleMember), f.person("bob", kaban.RoleMember)
	id := f.file(ann, "cat.txt", "a cat")
	describe := func(alt string, headers ...string) *answer {
		t.Helper()
		return f.do("PATCH", "/v1/files/"+id, `{"alt":"`+alt+`"}`, with(headers, []string{"Content-Type", "application/json"})...)
	}
	describe("a  sleeping\\ncat", bearer(ann)...).has(t, 200, "file", id, "alt", "a sleeping cat", "name", "cat.txt")
	describe("a dog", bearer(bob)...).has(t, 404, "code", "not_found")
	describe("a dog").has(t, 401, "code", "auth_required")
	describe(strings.Repeat("x", kaban.MaxFileAlt+1), bearer(ann)...).has(t, 400, "code", "bad_field")
	f.do("PATCH", "/v1/files/"+id, `{}`, with(bearer(ann), []string{"Content-Type", "application/json"})...).has(t, 400, "field", "alt")
	f.post("lobby", `{"id":"1","content":"@bob, look","files":["`+id+`"]}`, bearer(ann)...).has(t, 201)
	describe("a dog", bearer(ann)...).has(t, 403, "code", "forbidden")
	describe("a sleeping cat", bearer(ann)...).has(t, 200)
	if page := f.get("/v1/rooms/lobby/messages", bearer(bob)...); !strings.Contains(page.body, `"alt":"a sleeping cat"`) {
		t.Errorf("the page has %s", page)
	}
}

func TestTextsAreTakenAway(t *testing.T) {
	f, _ := claimed(t, "open")
	ann := f.person("ann", kaban.RoleMember)
	with := f.post("lobby", `{"id":"1","content":"look","files":["`+f.file(ann, "a.txt", "a")+`"]}`, bearer(ann)...).has(t, 201).json["seq"]
	alone := f.post("lobby", `{"id":"2","content":"alone"}`, bearer(ann)...).has(t, 201).json["seq"]
	edit := func(seq any, id, content string) *answer {
		t.Helper()
		return f.do("PATCH", "/v1/rooms/lobby/messages/"+fmt.Sprint(seq), `{"id":"`+id+`","content":"`+content+`"}`, append(bearer(ann), "Content-Type", "application/json")...)
	}
	edit(alone, "3", "").has(t, 400, "code", "empty_content")
	edit(with, "4", " ").has(t, 400, "code", "empty_content")
	edit(with, "5", "").has(t, 201, "duplicate", false)
	edit(with, "5", "").has(t, 200, "duplicate", true)
	edit(with, "5", "x").has(t, 409, "code", "id_conflict")
	page := f.get("/v1/rooms/lobby/messages", bearer(ann)...)
	if !strings.Contains(page.body, `"content":"","files":[{`) || strings.Contains(page.body, "look") {
		t.Errorf("the page has %s", page)
	}
}
