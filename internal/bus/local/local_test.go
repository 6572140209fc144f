package local

import (
	"testing"

	"kaban/internal/bus"
	"kaban/internal/bus/bustest"
)

func TestBus(t *testing.T) {
	bustest.Run(t, func(t *testing.T) func() bus.Bus {
		return new(Network).Open
	})
}
