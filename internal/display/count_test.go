package display

import "testing"

func TestCount(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{Count(0, "message"), "0 messages"},
		{Count(1, "message"), "1 message"},
		{Count(uint64(2501), "message"), "2501 messages"},
		{Count(int64(1), "reply", "replies"), "1 reply"},
		{Count(2, "reply", "replies"), "2 replies"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}
