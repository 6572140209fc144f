package main

import (
	"fmt"
	"strconv"
	"time"

	"kaban/internal/display"
)

// thousands writes a number with separators: 1,234,567.
func thousands[T int | int64 | uint64](n T) string {
	text := strconv.FormatInt(int64(n), 10)
	sign := ""
	if text[0] == '-' {
		sign, text = "-", text[1:]
	}
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return sign + text
}

// decimal writes a number with one digit after the point, and separators before it.
func decimal(f float64) string {
	tenths := int64(f*10 + 0.5)
	return thousands(tenths/10) + "." + strconv.FormatInt(tenths%10, 10)
}

// counted is display.Count with separators.
func counted(n int, one string, many ...string) string {
	return thousands(n) + " " + display.Noun(n, one, many...)
}

// byteSize writes a number of bytes with three digits or four: 812 B, 1.5 KiB, 1023 MiB.
func byteSize(n int64) string {
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	value, unit := float64(n)/1024, 0
	units := []string{"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	for value >= 1023.5 && unit < len(units)-1 {
		value /= 1024
		unit++
	}
	if value < 99.95 {
		return fmt.Sprintf("%.1f %s", value, units[unit])
	}
	return fmt.Sprintf("%.0f %s", value, units[unit])
}

// duration writes a time with its two largest units: 3d 4h, 12m 5s.
func duration(d time.Duration) string {
	d = max(d, 0)
	for _, u := range []struct {
		large, small         time.Duration
		largeName, smallName string
	}{
		{24 * time.Hour, time.Hour, "d", "h"},
		{time.Hour, time.Minute, "h", "m"},
		{time.Minute, time.Second, "m", "s"},
	} {
		if d < u.large {
			continue
		}
		text := thousands(int64(d/u.large)) + u.largeName
		if rest := d % u.large / u.small; rest > 0 {
			text += fmt.Sprintf(" %d%s", rest, u.smallName)
		}
		return text
	}
	return fmt.Sprintf("%ds", d/time.Second)
}

// fromNow is a time seen from now: in 3d 4h, or 12m ago.
func fromNow(t, now time.Time) string {
	if t.After(now) {
		return "in " + duration(t.Sub(now))
	}
	return duration(now.Sub(t)) + " ago"
}
