package kaban

import "slices"

// reserved has the looks of names that could be mistaken for the server or for
// everyone.
var reserved = reservedLooks("server", "system", "kaban", "everyone", "all", "here", "channel")

func reservedLooks(names ...string) map[string]bool {
	looks := make(map[string]bool)
	for _, name := range names {
		if u, err := ParseUsername(name); err == nil {
			for _, l := range u.Looks() {
				looks[l] = true
			}
		}
	}
	return looks
}

// IsReserved reports whether a name is, or looks like, one that could be mistaken
// for the server or for everyone. Nobody may use such a name.
func IsReserved(name Username) bool {
	return slices.ContainsFunc(name.Looks(), func(l string) bool { return reserved[l] })
}
