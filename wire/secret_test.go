package wire

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestSecretsAreNotPrinted(t *testing.T) {
	const open = "hunter2hunter2"
	q := Request{Type: TypeHello, Token: open, Password: open}
	e := Event{Type: TypeWelcome, Token: open}
	var out strings.Builder
	for _, v := range []any{q, &q, e, &e, q.Token, &q.Token, []Secret{open}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			fmt.Fprintf(&out, verb, v)
		}
		if text, err := json.Marshal(v); err == nil {
			out.Write(text)
		}
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "v", v)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "v", v)
	}
	text := strings.ToLower(out.String())
	for _, leak := range []string{open, fmt.Sprintf("%x", open)} {
		if i := strings.Index(text, leak); i >= 0 {
			t.Errorf("a secret is printed: …%s", text[max(0, i-100):i+len(leak)])
		}
	}
	if !strings.Contains(out.String(), "[secret]") {
		t.Error("nothing stands in for a secret")
	}
	for _, line := range [][]byte{q.Append(nil), e.Append(nil)} {
		if !strings.Contains(string(line), `"token":"`+open+`"`) {
			t.Errorf("a frame lacks its secret: %s", line)
		}
	}
}
