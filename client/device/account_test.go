package device

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"

	"kaban"
)

// An account is found by its username in one request, however many others have that in theirs.
func TestFind(t *testing.T) {
	names := []string{"ann", "Ann_", "anna", "hanna", "é", "z"}
	for i := range 6000 { // before and behind the one that is looked for
		names = append(names, fmt.Sprint("a-ann-", i), fmt.Sprint("ann-", i))
	}
	key := func(name string) string {
		t.Helper()
		username, err := kaban.ParseUsername(name)
		if err != nil {
			t.Fatal(err)
		}
		return username.Key()
	}
	slices.SortFunc(names, func(a, b string) int { return strings.Compare(key(a), key(b)) })
	requests := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests++
		asked := r.URL.Query()
		limit, err := strconv.Atoi(asked.Get("limit"))
		if err != nil {
			t.Error(err)
		}
		people := []Person{}
		for _, name := range names {
			if len(people) < limit && key(name) > asked.Get("after") && strings.Contains(key(name), key(asked.Get("query"))) {
				people = append(people, Person{Username: name})
			}
		}
		json.NewEncoder(w).Encode(map[string]any{"people": people})
	}))
	defer server.Close()
	for name, want := range map[string]string{
		"ann": "ann", "ANN_": "Ann_", "ann-5999": "ann-5999", "É": "é", "z": "z", "zz": "", "ann-x": "",
	} {
		requests = 0
		found, ok, err := Find(t.Context(), server.URL, "token", key(name), Options{})
		if err != nil || ok != (want != "") || found.Username != want || requests != 1 {
			t.Errorf("%s: %+v, %t, %v after %d requests; want %q", name, found, ok, err, requests, want)
		}
	}
}
