package childtest

import (
	"flag"
	"runtime"
	"strconv"
	"testing"
)

// Only the default of -parallel is raised.
func TestAtOnce(t *testing.T) {
	usual := runtime.GOMAXPROCS(0)
	asked := flag.Lookup("test.parallel").Value.String()
	t.Cleanup(func() { flag.Set("test.parallel", asked) })
	for _, c := range []struct{ asked, atLeast, want int }{
		{usual, usual + 2, usual + 2},
		{usual, usual, usual},
		{usual + 1, usual + 2, usual + 1},
		{usual + 5, usual + 2, usual + 5},
	} {
		flag.Set("test.parallel", strconv.Itoa(c.asked))
		AtOnce(c.atLeast)
		if got := flag.Lookup("test.parallel").Value.String(); got != strconv.Itoa(c.want) {
			t.Errorf("-parallel %d, at least %d: %s at a time, want %d", c.asked, c.atLeast, got, c.want)
		}
	}
}
