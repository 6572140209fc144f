package picture

import (
	"bufio"
	"errors"
	"fmt"
	"image"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
)

// errTooLong is what an encoder gets when an output exceeds its limit.
var errTooLong = errors.New("the output is too long")

// output counts and bounds what is written, and remembers an error, which says nothing
// about the picture.
type output struct {
	to   io.Writer
	size int64
	max  int64
	err  error
}

func (o *output) Write(p []byte) (int, error) {
	if o.size+int64(len(p)) > o.max {
		o.err = errTooLong
	}
	if o.err != nil {
		return 0, o.err
	}
	n, err := o.to.Write(p)
	o.size += int64(n)
	o.err = err
	return n, err
}

// write writes a picture and its thumbnail.
func (l limits) write(d decoded, picture, small io.Writer) (made Made, err error) {
	made.Frames = d.frames
	width, height := d.width, d.height
	if d.orientation.transposes() {
		width, height = height, width
	}
	encode := func(w io.Writer) error { return gif.EncodeAll(w, d.animation) }
	kind := GIF
	if d.animation == nil {
		var img image.Image
		img, kind = d.output()
		encode = func(w io.Writer) error { return encodeStill(w, img, kind, d.quality) }
	}
	made.Picture, err = l.rendition(picture, kind, width, height, encode)
	if err != nil || !hasThumbnail(width, height, d.frames) {
		return made, err
	}
	img := thumbnail(d.still, width, height)
	kind = PNG
	if img.Opaque() {
		kind = JPEG
	}
	width, height = img.Rect.Dx(), img.Rect.Dy()
	encode = func(w io.Writer) error { return encodeStill(w, img, kind, thumbnailQuality) }
	made.Thumbnail, err = l.rendition(small, kind, width, height, encode)
	return made, err
}

// output returns what is encoded, and as which type. What has lost no details loses none.
func (d decoded) output() (image.Image, Type) {
	if !d.lossy {
		return d.still, PNG
	}
	m, ok := d.still.(*image.NRGBA)
	if !ok {
		return d.still, JPEG
	}
	if !m.Opaque() {
		return m, PNG
	}
	return &image.RGBA{Pix: m.Pix, Stride: m.Stride, Rect: m.Rect}, JPEG
}

// rendition writes an output.
func (l limits) rendition(to io.Writer, t Type, width, height int, encode func(io.Writer) error) (Rendition, error) {
	o := &output{to: to, max: l.output}
	b := bufio.NewWriterSize(o, bufferSize)
	err := encode(b)
	if err == nil {
		err = b.Flush()
	}
	switch {
	case errors.Is(o.err, errTooLong):
		return Rendition{}, refuse(TooLong, "over %d bytes as %s", l.output, t)
	case o.err != nil:
		return Rendition{}, fmt.Errorf("write a picture: %w", o.err)
	case err != nil:
		return Rendition{}, refuse(Broken, "encode: %v", err)
	}
	return Rendition{Type: t, Width: width, Height: height, Size: o.size}, nil
}

func encodeStill(w io.Writer, img image.Image, t Type, quality int) error {
	if t == JPEG {
		return jpeg.Encode(w, img, &jpeg.Options{Quality: quality})
	}
	return png.Encode(w, img)
}
