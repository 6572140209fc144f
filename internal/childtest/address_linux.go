package childtest

import (
	"fmt"
	"os"
	"syscall"
)

// Reserve is Address for those without a testing.TB: the address is reserved until release.
//
// The port has a socket that is bound and does not listen. With SO_REUSEADDR, which Go
// sets for its listeners, another one can be bound to it and listen, but the system does
// not pick the port for a listener at port 0 or for an outgoing connection.
func Reserve() (address string, release func(), err error) {
	s, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return "", nil, os.NewSyscallError("socket", err)
	}
	release = func() { syscall.Close(s) }
	address, err = bindToLoopback(s)
	if err != nil {
		release()
		return "", nil, err
	}
	return address, release, nil
}

func bindToLoopback(s int) (address string, err error) {
	if err := syscall.SetsockoptInt(s, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		return "", os.NewSyscallError("setsockopt", err)
	}
	if err := syscall.Bind(s, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return "", os.NewSyscallError("bind", err)
	}
	bound, err := syscall.Getsockname(s)
	if err != nil {
		return "", os.NewSyscallError("getsockname", err)
	}
	return fmt.Sprintf("127.0.0.1:%d", bound.(*syscall.SockaddrInet4).Port), nil
}
