package picture

import "testing"

// What the runtime of Go says when it gets no memory is told from other crashes.
func TestRanOut(t *testing.T) {
	for complaint, want := range map[string]bool{
		"runtime: out of memory: cannot allocate 4194304-byte block (4194304 in use)":                                                            true,
		"fatal error: runtime: cannot allocate memory":                                                                                           true,
		"SIGSEGV: segmentation violation\nPC=0x43313d m=2 sigcode=1 addr=0x0\n\ngoroutine 0:\nruntime.(*spanQueue).tryDrain(0x400?, 0x0?, 0x0?)": true,
		"panic: runtime error: index out of range [3] with length 3":                                                                             false,
		"SIGSEGV: segmentation violation\nmain.main()":                                                                                           false,
		"": false,
	} {
		if got := ranOut([]byte(complaint)); got != want {
			t.Errorf("%q: %v, want %v", complaint, got, want)
		}
	}
}
