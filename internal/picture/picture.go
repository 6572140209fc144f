// Package picture makes from an uploaded picture what may be shown: a JPEG, PNG or GIF that
// was encoded here, upright and in sRGB, and a thumbnail.
//
// What it guarantees:
//
//   - The output is written from pixels by the encoders of Go. It has no Exif, XMP or IPTC,
//     no comment, no colour profile, no unknown segment, chunk or extension, and nothing
//     behind its end. The same holds for an upload that is also HTML or a ZIP archive.
//   - The size is read before anything is decoded, and so is the memory that decoding takes.
//     A picture beyond the limits costs next to nothing.
//   - A file that cannot be shown is a *RefusedError, whatever is wrong with it. Any other
//     error means that nobody knows: the disk is full, or the process was killed.
//
// Decoding takes up to 400 MiB and seconds of a processor, so servers leave it to a Worker,
// which has one child process at a time do it. The child calls Serve.
//
// What it does not do: it makes no output durable, and it does not know whose picture it
// is. Pixels can be chosen so that the compressed output spells anything, so the output
// needs its Content-Type, nosniff and a Content-Security-Policy like any upload.
package picture

import (
	"fmt"
	"io"
)

// Type is the format of an output.
type Type uint8

const (
	JPEG Type = iota + 1
	PNG
	GIF
)

// String returns the media type, RFC 6838.
func (t Type) String() string {
	switch t {
	case JPEG:
		return "image/jpeg"
	case PNG:
		return "image/png"
	case GIF:
		return "image/gif"
	}
	return fmt.Sprintf("Type(%d)", uint8(t))
}

// Rendition is one output.
type Rendition struct {
	Type          Type
	Width, Height int   // in pixels, upright
	Size          int64 // in bytes
}

// Made is what was made from a picture.
type Made struct {
	Picture Rendition
	// Thumbnail is zero if there is none: neither side of the picture is longer than 720
	// pixels, and it does not move.
	Thumbnail Rendition
	// Frames is over 1 for an animation, always a GIF. The thumbnail is its first frame.
	Frames int
}

// limits bounds what is shown.
type limits struct {
	source int64 // bytes of an upload
	output int64 // bytes of an output: a few bytes of an upload can repeat what takes many elsewhere
	pixels int64 // of a frame
	side   int   // pixels
	memory int64 // bytes of the decoded picture, and of what the decoder needs beside it
	frames int   // of an animation
}

// usual has room for a camera of 50 megapixels, which has 8192 x 6144, at 8 bytes a pixel,
// and for a minute of animation with 30 frames a second.
var usual = limits{source: 100 << 20, output: 100 << 20, pixels: 50 << 20, side: 30_000, memory: 400 << 20, frames: 2_000}

// Make reads a picture of some size, in bytes, and writes what may be shown and, if it is
// to have one, a thumbnail. After an error the outputs are of no use. The error is a
// *RefusedError if the file cannot be shown, or else wraps what reading or writing
// returned.
//
// It takes up to 600 MiB of memory and, on one processor, up to half a minute. Calls do not
// depend on each other.
func Make(source io.ReaderAt, size int64, picture, thumbnail io.Writer) (Made, error) {
	return usual.make(source, size, picture, thumbnail)
}

func (l limits) make(source io.ReaderAt, size int64, picture, thumbnail io.Writer) (made Made, err error) {
	in := &input{source: source, size: size}
	defer func() {
		if p := recover(); p != nil { // no decoder is trusted that far
			err = refuse(Broken, "the decoder panicked: %v", p)
		}
		if in.err != nil {
			err = fmt.Errorf("read the picture: %w", in.err)
		}
		if err != nil {
			made = Made{}
		}
	}()
	if size > l.source {
		return Made{}, refuse(TooLarge, "%d bytes, at most %d", size, l.source)
	}
	f, err := in.format()
	if err != nil {
		return Made{}, err
	}
	h, err := f.inspect(in, l)
	if err != nil {
		return Made{}, refusal(err)
	}
	if err := l.allow(h); err != nil {
		return Made{}, err
	}
	d, err := f.decode(in, h)
	if err != nil {
		return Made{}, refusal(err)
	}
	return l.write(d, picture, thumbnail)
}

// allow refuses what is beyond the limits.
func (l limits) allow(h header) error {
	switch pixels := int64(h.width) * int64(h.height); {
	case h.width <= 0 || h.height <= 0:
		return refuse(Broken, "%d x %d pixels", h.width, h.height)
	case h.width > l.side || h.height > l.side:
		return refuse(TooLarge, "%d x %d pixels, at most %d on a side", h.width, h.height, l.side)
	case pixels > l.pixels:
		return refuse(TooLarge, "%d x %d are %d pixels, at most %d", h.width, h.height, pixels, l.pixels)
	case h.frames > l.frames:
		return refuse(TooManyFrames, "over %d", l.frames)
	case h.memory > l.memory:
		return refuse(TooLarge, "decoding takes %d MiB, at most %d", h.memory>>20, l.memory>>20)
	}
	return nil
}
