package picture

import (
	"io"
	"slices"
)

// More of GIF89a.
const (
	gifControl     = 0xf9
	gifApplication = 0xff
	gifControlSize = 6 // the length, 4 bytes and an empty block
)

// loops are the applications that say how often an animation repeats. They mean the same.
var loops = []string{"NETSCAPE2.0", "ANIMEXTS1.0"}

// stripGIF keeps frames, how long they are shown, and how often all of them are.
func stripGIF(s *stripper) error {
	screen := make([]byte, gifScreen)
	if _, err := io.ReadFull(s.in, screen); err != nil {
		return err
	}
	if err := s.withTable(screen, screen[10]); err != nil {
		return err
	}
	for {
		kind, err := s.in.ReadByte()
		if err != nil {
			return err
		}
		switch {
		case kind == gifTrailer && !s.begun:
			return errNoPixels
		case kind == gifTrailer:
			return s.put(gifTrailer)
		case kind == gifExtension:
			err = s.extension()
		case kind == gifImage:
			err = s.frame()
		default:
			err = refuse(Broken, "GIF has no block %#x", kind)
		}
		if err != nil {
			return err
		}
	}
}

// withTable writes bytes and copies the table of colours behind them, if the flags say that there is one.
func (s *stripper) withTable(b []byte, flags byte) error {
	err := s.put(b...)
	if err == nil && flags&gifTable != 0 {
		err = s.copy(3 << (1 + flags&7))
	}
	return err
}

func (s *stripper) extension() error {
	label, err := s.in.ReadByte()
	if err != nil {
		return err
	}
	switch label {
	case gifControl:
		body := make([]byte, gifControlSize)
		if _, err := io.ReadFull(s.in, body); err != nil {
			return err
		}
		if body[0] != gifControlSize-2 || body[gifControlSize-1] != 0 {
			return refuse(Broken, "a control of GIF is % x", body)
		}
		return s.put(append([]byte{gifExtension, gifControl}, body...)...)
	case gifApplication:
		return s.application()
	case gifText: // which nothing shows
		if err := s.discard(gifTextHeader); err != nil {
			return err
		}
	}
	return skipBlocks(s.in)
}

// application keeps how often an animation repeats.
func (s *stripper) application() error {
	name, err := s.block()
	if err != nil || len(name) == 0 {
		return err
	}
	if !slices.Contains(loops, string(name)) {
		return skipBlocks(s.in)
	}
	count, err := s.block()
	if err != nil || len(count) == 0 {
		return err
	}
	if len(count) == 3 && count[0] == 1 {
		extension := append([]byte{gifExtension, gifApplication, byte(len(name))}, name...)
		if err := s.put(append(extension, 3, 1, count[1], count[2], 0)...); err != nil {
			return err
		}
	}
	return skipBlocks(s.in)
}

// block reads a block of up to 255 bytes.
func (s *stripper) block() ([]byte, error) {
	n, err := s.in.ReadByte()
	if err != nil {
		return nil, err
	}
	body := make([]byte, n)
	_, err = io.ReadFull(s.in, body)
	return body, err
}

// frame copies a frame behind its first byte.
func (s *stripper) frame() error {
	descriptor := append([]byte{gifImage}, make([]byte, gifDescriptor)...)
	if _, err := io.ReadFull(s.in, descriptor[1:]); err != nil {
		return err
	}
	if err := s.withTable(descriptor, descriptor[gifDescriptor]); err != nil {
		return err
	}
	s.begun = true
	if err := s.copy(1); err != nil { // the size of codes
		return err
	}
	for {
		n, err := s.in.ReadByte()
		if err == nil {
			err = s.put(n)
		}
		if n == 0 || err != nil {
			return err
		}
		if err := s.copy(int64(n)); err != nil {
			return err
		}
	}
}
