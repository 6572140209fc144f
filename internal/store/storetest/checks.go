package storetest

import (
	"flag"
	"strconv"
)

// usualChecks is how often rapid checks each property by itself.
const usualChecks = "100"

// Checks has rapid check each property of a package n times, unless -rapid.checks says
// otherwise: one check of a store with files takes long, and make torture has many. It parses
// the flags, and is for TestMain.
func Checks(n int) {
	flag.Parse()
	if flag.Lookup("rapid.checks").Value.String() == usualChecks {
		flag.Set("rapid.checks", strconv.Itoa(n))
	}
}
