package picture

import (
	"bufio"
	"errors"
	"image"
	"image/gif"
	"io"
)

// bufferSize is how much is read or written at once, in bytes.
const bufferSize = 64 << 10

// input is an uploaded file. It remembers an error of reading, which says nothing about
// the picture.
type input struct {
	source io.ReaderAt
	size   int64
	err    error
}

func (in *input) ReadAt(p []byte, offset int64) (int, error) {
	n, err := in.source.ReadAt(p, offset)
	if err != nil && !errors.Is(err, io.EOF) {
		in.err = err
	}
	return n, err
}

// reader reads the file from its beginning.
func (in *input) reader() *bufio.Reader {
	return bufio.NewReaderSize(io.NewSectionReader(in, 0, in.size), bufferSize)
}

// header is what is known of a picture before it is decoded.
type header struct {
	width, height int // as stored, before the orientation
	frames        int
	memory        int64 // that decoding takes, in bytes
	orientation   orientation
	profile       *profile // nil if the colours are those of sRGB
	quality       int      // of a JPEG made from it
	lossy         bool     // it has lost details already
}

// decoded is a picture in memory, upright and in sRGB.
type decoded struct {
	header
	still     image.Image // *image.YCbCr, Gray, RGBA (opaque), NRGBA or Paletted; at the origin
	animation *gif.GIF    // of a GIF, also of one frame
}

// format is how files with some beginning are read.
type format struct {
	magic string // '?' is any byte
	// inspect reads what there is to know without decoding. It may refuse early what is
	// beyond the limits.
	inspect func(*input, limits) (header, error)
	decode  func(*input, header) (decoded, error)
	strip   func(*stripper) error // see Strip
}

var formats = []format{
	{"\xff\xd8\xff", inspectJPEG, decodeJPEG, stripJPEG},
	{"\x89PNG\r\n\x1a\n", inspectPNG, decodePNG, stripPNG},
	{"GIF87a", inspectGIF, decodeGIF, stripGIF},
	{"GIF89a", inspectGIF, decodeGIF, stripGIF},
	{"RIFF????WEBP", inspectWebP, decodeWebP, stripWebP},
}

// format returns the format of the file.
func (in *input) format() (format, error) {
	begin := make([]byte, 12)
	n, err := in.ReadAt(begin, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return format{}, err
	}
	for _, f := range formats {
		if matches(begin[:n], f.magic) {
			return f, nil
		}
	}
	return format{}, &RefusedError{Reason: Unknown}
}

func matches(begin []byte, magic string) bool {
	if len(begin) < len(magic) {
		return false
	}
	for i := range len(magic) {
		if magic[i] != '?' && begin[i] != magic[i] {
			return false
		}
	}
	return true
}

// still returns a decoded picture that does not move, upright and in sRGB.
func still(img image.Image, h header) (decoded, error) {
	if size := img.Bounds().Size(); size.X != h.width || size.Y != h.height {
		return decoded{}, refuse(Broken, "%d x %d pixels, announced as %d x %d", size.X, size.Y, h.width, h.height)
	}
	img, err := plain(img, h.profile)
	if err != nil {
		return decoded{}, err
	}
	return decoded{header: h, still: h.orientation.upright(img)}, nil
}
