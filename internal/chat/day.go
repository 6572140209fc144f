package chat

import "time"

// now returns the time of day in milliseconds since 1970 UTC, as documents have it. A
// ban ends at a time of day that a person has chosen.
func (c *Chat) now() int64 { return time.Now().UnixMilli() }
