package childtest

import (
	"os"
	"runtime"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// WithModes calls a function in a thread for which the modes of files count, also if the tests run as root. Goroutines that
// it starts are not in this thread.
func WithModes(t testing.TB, call func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		call()
		return
	}
	var thread sync.WaitGroup
	thread.Go(func() {
		runtime.LockOSThread() // the thread ends with the goroutine
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var data [2]unix.CapUserData
		if err := unix.Capget(&header, &data[0]); err != nil {
			t.Error("capget:", err)
			return
		}
		data[0].Effective &^= 1<<unix.CAP_DAC_OVERRIDE | 1<<unix.CAP_DAC_READ_SEARCH
		if err := unix.Capset(&header, &data[0]); err != nil {
			t.Error("capset:", err)
			return
		}
		call()
	})
	thread.Wait()
}
