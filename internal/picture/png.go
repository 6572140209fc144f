package picture

import (
	"bufio"
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"image/png"
	"io"
)

const (
	pngMagic = 8 // bytes
	// maxProfile bounds a colour profile, in bytes. The ones that matter have under 4 KiB.
	maxProfile = 64 << 10
	// Types of colour, PNG (third edition), 11.2.1.
	pngPalette = 3
	pngColour  = 2 // a bit
	pngAlpha   = 4 // a bit
)

func inspectPNG(in *input, _ limits) (header, error) {
	config, err := png.DecodeConfig(in.reader())
	if err != nil {
		return header{}, err
	}
	var c pngChunks
	if err := c.read(in.reader()); err != nil {
		return header{}, err
	}
	return header{
		width: config.Width, height: config.Height, frames: 1,
		memory:      c.pixelSize() * int64(config.Width) * int64(config.Height) * c.passes() / 2,
		orientation: exifOrientation(c.exif), profile: parseProfile(c.profile),
	}, nil
}

func decodePNG(in *input, h header) (decoded, error) {
	img, err := png.Decode(in.reader())
	if err != nil {
		return decoded{}, err
	}
	return still(img, h)
}

// pngChunks is what chunks say beside the pixels. The decoder decides what is right, and
// does not look into the others.
type pngChunks struct {
	depth, colour byte
	interlaced    bool
	transparent   bool // it has a chunk tRNS
	pixels        bool // they have begun
	exif, profile []byte
}

// read reads all chunks: Exif may be behind the pixels.
func (c *pngChunks) read(r *bufio.Reader) error {
	if _, err := r.Discard(pngMagic); err != nil {
		return err
	}
	for {
		var begin [8]byte
		if _, err := io.ReadFull(r, begin[:]); err != nil {
			return err
		}
		length, kind := binary.BigEndian.Uint32(begin[:]), string(begin[4:])
		if kind == "IEND" {
			return nil
		}
		if length > 1<<31-1 {
			return refuse(Broken, "a chunk of PNG is too long")
		}
		left := int(length) + 4 // with the checksum
		switch kind {
		case "IHDR", "iCCP", "eXIf", "tRNS":
			body := make([]byte, min(int(length), maxProfile))
			if _, err := io.ReadFull(r, body); err != nil {
				return err
			}
			left -= len(body)
			if int(length) <= maxProfile {
				c.chunk(kind, body)
			}
		case "IDAT":
			c.pixels = true
		}
		if _, err := r.Discard(left); err != nil {
			return err
		}
	}
}

func (c *pngChunks) chunk(kind string, body []byte) {
	switch kind {
	case "IHDR":
		if len(body) == 13 && c.depth == 0 {
			c.depth, c.colour, c.interlaced = body[8], body[9], body[12] != 0
		}
	case "tRNS":
		c.transparent = true
	case "eXIf":
		if c.exif == nil {
			c.exif = body
		}
	case "iCCP":
		if c.profile == nil && !c.pixels {
			c.profile = inflateProfile(body)
		}
	}
}

// inflateProfile returns the profile in a chunk iCCP, PNG, 11.3.2.3: a name, a zero, a
// method and the compressed profile. It is nil if that is not so.
func inflateProfile(body []byte) []byte {
	_, rest, found := bytes.Cut(body, []byte{0})
	if !found || len(rest) == 0 {
		return nil
	}
	z, err := zlib.NewReader(bytes.NewReader(rest[1:]))
	if err != nil {
		return nil
	}
	text, err := io.ReadAll(io.LimitReader(z, maxProfile+1))
	if err = errors.Join(err, z.Close()); err != nil || len(text) > maxProfile {
		return nil
	}
	return text
}

// pixelSize returns how many bytes the decoder has for a pixel, or more.
func (c *pngChunks) pixelSize() int64 {
	switch {
	case c.depth == 16:
		return 8
	case c.colour == pngPalette:
		return 1
	case c.colour&(pngColour|pngAlpha) != 0 || c.transparent:
		return 4
	}
	return 1
}

// passes returns twice how often the picture is in memory. The last pass of an interlaced
// one is half of it.
func (c *pngChunks) passes() int64 {
	if c.interlaced {
		return 3
	}
	return 2
}
