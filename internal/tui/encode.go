package tui

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	_ "image/gif"  // a decoder of image.Decode
	_ "image/jpeg" // a decoder of image.Decode
	_ "image/png"  // a decoder of image.Decode
	"strings"

	"github.com/charmbracelet/x/ansi"
	"github.com/charmbracelet/x/ansi/kitty"
	"github.com/charmbracelet/x/ansi/sixel"
	"golang.org/x/image/draw"
	_ "golang.org/x/image/webp" // a decoder of image.Decode

	"kaban/internal/display"
)

const (
	// maxThumbnail bounds the bytes of a thumbnail: a PNG of 720 x 720 pixels in 32 bits has 2 MiB
	// before it is compressed.
	maxThumbnail = 4 << 20
	// maxThumbnailSide bounds the sides of a thumbnail in pixels. The server makes them of at most 720.
	maxThumbnailSide = 1024
)

// protocol is a way to show pictures.
type protocol uint8

const (
	noPictures protocol = iota
	sixelGraphics
	kittyGraphics
)

// cells is a size in columns and rows, or in pixels of a cell.
type cells struct{ width, height int }

// assumedCell is the size of a cell in pixels for a terminal that does not report it. It is smaller than
// in nearly all terminals, so that a picture stays inside the screen.
var assumedCell = cells{6, 12}

// decodeThumbnail decodes a picture from the server. It looks at the size first, so that a few bytes cannot take
// much memory.
func decodeThumbnail(data []byte) (image.Image, error) {
	if len(data) > maxThumbnail {
		return nil, fmt.Errorf("its thumbnail has more than %s", display.Bytes(maxThumbnail))
	}
	head, _, err := image.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return nil, errors.New("its thumbnail is no picture, or is incomplete")
	}
	if head.Width <= 0 || head.Height <= 0 || head.Width > maxThumbnailSide || head.Height > maxThumbnailSide {
		return nil, fmt.Errorf("its thumbnail has %d x %d pixels, at most %d on a side", head.Width, head.Height, maxThumbnailSide)
	}
	img, _, err := image.Decode(bytes.NewReader(data))
	if err != nil || img.Bounds().Dx() != head.Width || img.Bounds().Dy() != head.Height {
		return nil, errors.New("its thumbnail is no picture, or is incomplete")
	}
	return img, nil
}

// drawing is a picture as the terminal shows it.
type drawing struct {
	// load is written once, show after each frame, and hide at the end.
	load, show, hide string
}

// pictureID is the id of the only picture that the client shows with the kitty protocol.
const pictureID = 1802658401 // "kaba"

// drawingOf encodes a picture for an area of the screen, with its upper left corner at a row and a column that count
// from 0, in cells of a size in pixels. Nothing in it comes from anything but the pixels.
func drawingOf(p protocol, img image.Image, area cells, row, column int, cell cells) (drawing, error) {
	size := fitPixels(img.Bounds().Size(), area, cell)
	used := cells{(size.X + cell.width - 1) / cell.width, (size.Y + cell.height - 1) / cell.height}
	row, column = row+(area.height-used.height)/2, column+(area.width-used.width)/2
	at := func(sequence string) string {
		return ansi.SaveCursor + ansi.CursorPosition(column+1, row+1) + sequence + ansi.RestoreCursor
	}
	var b strings.Builder
	if p == kittyGraphics {
		err := kitty.EncodeGraphics(&b, scaled(img, size), &kitty.Options{
			Action: kitty.Transmit, ID: pictureID, Format: kitty.RGBA, ImageWidth: size.X, ImageHeight: size.Y,
			Compression: kitty.Zlib, Transmission: kitty.Direct, Chunk: true, Quiet: 2,
		})
		id := fmt.Sprintf("i=%d", pictureID)
		place := ansi.KittyGraphics(nil, "a=p", id, "p=1", fmt.Sprintf("c=%d,r=%d", used.width, used.height), "C=1", "q=2")
		return drawing{load: b.String(), show: at(place), hide: ansi.KittyGraphics(nil, "a=d", "d=I", id, "q=2")}, err
	}
	var data bytes.Buffer
	err := (&sixel.Encoder{}).Encode(&data, scaled(img, size))
	return drawing{show: at(ansi.SixelGraphics(0, 1, 0, data.Bytes()))}, err
}

// fitPixels returns the size at which a picture fits into an area. It becomes no larger than it is.
func fitPixels(size image.Point, area, cell cells) image.Point {
	width, height := max(area.width*cell.width, 1), max(area.height*cell.height, 1)
	if size.X <= width && size.Y <= height {
		return size
	}
	if size.X*height > size.Y*width { // the width is what bounds it
		return image.Pt(width, max(1, size.Y*width/size.X))
	}
	return image.Pt(max(1, size.X*height/size.Y), height)
}

// scaled returns a picture at a size, with its corner at 0, 0.
func scaled(img image.Image, size image.Point) image.Image {
	to := image.NewNRGBA(image.Rectangle{Max: size})
	draw.ApproxBiLinear.Scale(to, to.Bounds(), img, img.Bounds(), draw.Src, nil)
	return to
}
