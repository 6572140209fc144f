package childtest

import (
	"os/exec"
	"syscall"
)

func bind(c *exec.Cmd, signal syscall.Signal) {
	if c.SysProcAttr == nil {
		c.SysProcAttr = new(syscall.SysProcAttr)
	}
	c.SysProcAttr.Pdeathsig = signal
}
