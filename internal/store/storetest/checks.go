package storetest

import (
	"flag"
	"strconv"
)

const checksFlag = "rapid.checks"

// Checks has rapid check each property of a package at most n times, unless -rapid.checks says
// otherwise: one check of a store with files takes long, and make torture has many. It parses
// the flags, and is for TestMain.
func Checks(n int) {
	flag.Parse()
	said := false
	flag.Visit(func(f *flag.Flag) { said = said || f.Name == checksFlag })
	usual, err := strconv.Atoi(flag.Lookup(checksFlag).Value.String())
	if !said && err == nil {
		flag.Set(checksFlag, strconv.Itoa(min(n, usual)))
	}
}
