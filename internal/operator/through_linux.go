package operator

import (
	"errors"
	"fmt"
	"os"
)

// throughDirectory calls use with an address by way of /proc, if that is mounted.
func throughDirectory(dir, name string, use func(address string) error) (err error) {
	open, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, open.Close()) }()
	link := fmt.Sprintf("/proc/self/fd/%d", open.Fd())
	if _, err := os.Stat(link); err != nil {
		return errTooLong
	}
	return use(link + "/" + name)
}
