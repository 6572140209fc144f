package people

import "testing"

func TestParseRetention(t *testing.T) {
	for text, want := range map[string]int64{"forever": 0, "1d": 1, "90d": 90, "36500d": 36500} {
		if got, err := ParseRetention(text); got != want || err != nil {
			t.Errorf("%q is %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "0d", "-1d", "+1d", "01d", "36501d", "d", "90", "90h", "1.5d", " 90d", "Forever", "99999999999999999999d"} {
		if got, err := ParseRetention(text); err == nil {
			t.Errorf("%q is %d", text, got)
		}
	}
}

// A clock that is wrong for a while is not believed, and one that stays so is, at last.
func TestClock(t *testing.T) {
	const hour, days = 60 * 60 * 1000, 24 * 60 * 60 * 1000
	const start = 10_000 * days
	t.Run("a clock that is right", func(t *testing.T) {
		c := Clock{}
		c.Advance(start, 0)
		for i := int64(1); i <= 100; i++ {
			if c.Advance(start+i*hour+i, hour); c.Time != start+i*hour+i || c.Doubted != 0 {
				t.Fatalf("after %d hours it is %+v", i, c)
			}
		}
	})
	t.Run("a day forward, for some hours", func(t *testing.T) {
		c := Clock{}
		c.Advance(start, 0)
		for i := int64(1); i <= 23; i++ {
			if c.Advance(start+i*hour+days, hour); c.Time != start+i*hour {
				t.Fatalf("after %d hours it is %+v, want %d", i, c, start+i*hour)
			}
		}
		if c.Advance(start+24*hour, hour); c.Time != start+24*hour || c.Doubted != 0 {
			t.Errorf("once it is right again it is %+v", c)
		}
		if c.Advance(start+25*hour+days, hour); c.Time != start+25*hour {
			t.Errorf("the next jump is believed: %+v", c)
		}
	})
	t.Run("a year forward, for good", func(t *testing.T) {
		c := Clock{}
		c.Advance(start, 0)
		for i := int64(1); i <= 24; i++ {
			c.Advance(start+i*hour+365*days, hour)
		}
		if c.Time != start+24*hour+365*days || c.Doubted != 0 {
			t.Errorf("after a day it is %+v", c)
		}
	})
	t.Run("a server that is off at night", func(t *testing.T) {
		c, now := Clock{}, int64(start)
		c.Advance(now, 0)
		for range 10 {
			for range 16 {
				now += hour
				c.Advance(now, hour)
			}
			now += 8 * hour
			c.Advance(now, 0)
		}
		if behind := now - c.Time; behind > 2*days {
			t.Errorf("it is behind by %d hours", behind/hour)
		}
	})
	t.Run("back and forth", func(t *testing.T) {
		c := Clock{}
		c.Advance(start, 0)
		if c.Advance(1000, hour); c.Time != 1000 {
			t.Errorf("set back it is %+v", c)
		}
		if c.Advance(start+2*hour, hour); c.Time != 1000+hour {
			t.Errorf("set forward again it is %+v", c)
		}
	})
}
