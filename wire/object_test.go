package wire

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func TestCheckObject(t *testing.T) {
	for _, test := range []struct {
		body string
		code Code // empty is none
	}{
		{`{}`, ""},
		{`{"a":"b","c":[1,true,null,{"d":"\u00e9"}]}`, ""},
		{` {"a":1} ` + "\n", ""},
		{``, CodeBadJSON},
		{`hello`, CodeBadJSON},
		{`{"a":1}{}`, CodeBadJSON},
		{`{"a":1,}`, CodeBadJSON},
		{`[]`, CodeBadFrame},
		{`"x"`, CodeBadFrame},
		{`null`, CodeBadFrame},
		{`{"a":1,"a":2}`, CodeBadFrame},
		{`{"x":{"a":1,"a":2}}`, CodeBadFrame},
		{`{"a":1,"\u0061":2}`, CodeBadFrame},
		{`{"a":1.5}`, CodeBadField},
		{`{"a":1e3}`, CodeBadField},
		{"{\"a\":\"\xff\"}", CodeBadUTF8},
		{`{"a":"\ud800"}`, CodeBadUTF8},
		{"{\"a\":\"\x00\"}", CodeBadJSON},
		{`{"a":` + strings.Repeat("[", 20) + strings.Repeat("]", 20) + `}`, CodeBadFrame},
	} {
		err := CheckObject([]byte(test.body))
		bad, _ := errors.AsType[*ReaderError](err)
		switch {
		case test.code == "" && err != nil, test.code != "" && (bad == nil || bad.Code != test.code):
			t.Errorf("%s: %v, want the code %q", test.body, err, test.code)
		}
	}
}

// What CheckObject accepts, encoding/json reads as an object.
func FuzzCheckObject(f *testing.F) {
	f.Add([]byte(`{"a":"b","c":[1,true,null,{"d":"\u00e9"}]}`))
	f.Add([]byte("{\"a\":\"\x7f\",\"b\":-0}"))
	f.Fuzz(func(t *testing.T, body []byte) {
		if CheckObject(body) != nil {
			return
		}
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(body, &fields); err != nil || fields == nil {
			t.Errorf("%q is accepted, and encoding/json says %v", body, err)
		}
	})
}
