package tui

import (
	"bytes"
	"io"
	"os"
	"sync"

	"github.com/charmbracelet/x/ansi"
)

// painter shows pictures; see canvas.
type painter interface{ draw(d drawing) }

// canvas is the terminal as the renderer writes to it. While a picture is shown it is drawn again after each
// write of the renderer, which knows nothing of it and may have drawn over it. A write of the renderer is a whole
// frame, so a picture never lands inside a sequence.
//
// Its methods may be called by several goroutines.
type canvas struct {
	*os.File // the renderer asks it for its size

	mu    sync.Mutex
	shown drawing
}

// Write implements io.Writer.
func (c *canvas) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if bytes.Contains(p, []byte(ansi.ResetModeAltScreenSaveCursor)) { // what is written next is on the person's own screen
		io.WriteString(c.File, c.shown.hide)
		c.shown = drawing{}
	}
	n, err := c.File.Write(p)
	if err == nil && c.shown.show != "" {
		_, err = io.WriteString(c.File, c.shown.show)
	}
	return n, err
}

// WriteString implements io.StringWriter: that of the File would pass the picture by.
func (c *canvas) WriteString(s string) (int, error) { return c.Write([]byte(s)) }

// draw shows a picture in place of the one that is shown. The zero drawing shows none; what was there has to be
// drawn over. An error of the terminal is left to the renderer, which meets it, too.
func (c *canvas) draw(d drawing) {
	c.mu.Lock()
	defer c.mu.Unlock()
	io.WriteString(c.File, c.shown.hide+d.load+d.show)
	c.shown = d
}

// askGraphics asks a terminal which pictures it shows: with a query of the kitty protocol, the attributes of DA1,
// where 4 is sixel, and the size of a cell in pixels. Whatever answers arrive are events, whenever they do; nothing
// waits for them, and a terminal that knows none of the sequences ignores them (ECMA-48).
var askGraphics = ansi.KittyGraphics([]byte("AAAA"), "i=31", "s=1", "v=1", "a=q", "t=d", "f=24") +
	ansi.RequestPrimaryDeviceAttributes + ansi.WindowOp(16)
