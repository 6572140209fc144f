package search

import (
	"fmt"
	"strings"
	"time"
)

// date is a day of the calendar. The zero value is none.
type date struct {
	year  int
	month time.Month
	day   int
}

func dateOf(t time.Time) date {
	year, month, day := t.Date()
	return date{year, month, day}
}

func (d date) plus(years, months, days int) date {
	return dateOf(time.Date(d.year+years, d.month+time.Month(months), d.day+days, 12, 0, 0, 0, time.UTC))
}

func (d date) next() date     { return d.plus(0, 0, 1) }
func (d date) previous() date { return d.plus(0, 0, -1) }

func (d date) String() string { return fmt.Sprintf("%04d-%02d-%02d", d.year, d.month, d.day) }

// number orders dates.
func (d date) number() int { return d.year<<9 | int(d.month)<<5 | d.day }

func (d date) isBefore(other date) bool { return d.number() < other.number() }

// start returns the first instant of the day in a time zone. There are days without a
// midnight, days with two, and some that a zone left out.
func (d date) start(zone *time.Location) time.Time {
	const step = 15 * time.Minute // all changes of clocks are multiples of it
	t := time.Date(d.year, d.month, d.day, 0, 0, 0, 0, zone)
	for range 4 * 24 {
		if !dateOf(t).isBefore(d) {
			break
		}
		t = t.Add(step)
	}
	for range 4 * 3 {
		if earlier := t.Add(-step); dateOf(earlier) == d {
			t = earlier
		}
	}
	return t
}

// The years that a date may have. What begins with the first or ends with the last is
// open there: so the day before and the day after a limit can be typed too.
const (
	firstYear = 1970
	lastYear  = 9998
)

var firstDay = date{firstYear, time.January, 1}

// parseDates reads a day, a month, a year, "today" or "yesterday", and returns the first
// day and the one after the last.
func parseDates(value string, now time.Time) (first, after date, problem string) {
	switch strings.ToLower(value) {
	case "today":
		first = dateOf(now)
		return first, first.next(), ""
	case "yesterday":
		after = dateOf(now)
		return after.previous(), after, ""
	}
	for _, form := range []struct {
		layout              string
		years, months, days int
	}{
		{"2006-01-02", 0, 0, 1},
		{"2006-01", 0, 1, 0},
		{"2006", 1, 0, 0},
	} {
		if len(value) != len(form.layout) {
			continue
		}
		t, err := time.Parse(form.layout, value)
		switch {
		case err == nil && (t.Year() < firstYear || t.Year() > lastYear):
			return first, after, fmt.Sprintf("%q is not a year from %d to %d", value[:4], firstYear, lastYear)
		case err == nil:
			first = dateOf(t)
			return first, first.plus(form.years, form.months, form.days), ""
		case isDate(value):
			return first, after, fmt.Sprintf("%q is not in the calendar", value)
		}
	}
	return first, after, fmt.Sprintf("%q is not a date: write 2026-01-31, 2026-01, 2026, today or yesterday", value)
}

// isDate reports whether a value has only the characters of a date.
func isDate(value string) bool { return strings.Trim(value, "0123456789-") == "" && value[0] != '-' }
