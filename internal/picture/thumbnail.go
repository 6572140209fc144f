package picture

import (
	"image"
	"image/draw"

	scale "golang.org/x/image/draw"
)

const (
	// thumbnailSide is the longest side of a thumbnail, in pixels: 360 on a screen with two
	// pixels in each direction for one.
	thumbnailSide = 720
	// thumbnailQuality is that of its JPEG.
	thumbnailQuality = 80
)

// hasThumbnail reports whether a picture is to have one.
func hasThumbnail(width, height, frames int) bool {
	return frames > 1 || max(width, height) > thumbnailSide
}

// HasThumbnail reports whether a picture of a size in pixels has a thumbnail, whatever its frames. One of a
// smaller size has one if it is animated.
func HasThumbnail(width, height int) bool { return hasThumbnail(width, height, 1) }

// fit returns the size of the thumbnail of a picture.
func fit(width, height int) (int, int) {
	longest := max(width, height)
	if longest <= thumbnailSide {
		return width, height
	}
	smaller := func(n int) int { return max(1, (n*thumbnailSide+longest/2)/longest) }
	return smaller(width), smaller(height)
}

// thumbnail returns a small picture of an upright one that lies on a canvas of some size.
// First it averages squares, strip by strip, down to twice the size or a little more, then
// it scales with a good filter. So a large picture is never in memory twice, and the filter
// has little to do.
func thumbnail(img image.Image, width, height int) *image.RGBA {
	side := max(1, max(width, height)/(2*thumbnailSide))
	small := image.NewRGBA(image.Rect(0, 0, (width+side-1)/side, (height+side-1)/side))
	strip := image.NewRGBA(image.Rect(0, 0, width, side))
	sums := make([]uint32, len(small.Pix)/max(1, small.Rect.Dy()))
	for y := range small.Rect.Dy() {
		strip.Rect = image.Rect(0, y*side, width, min((y+1)*side, height))
		part := strip.Rect.Intersect(img.Bounds())
		if part != strip.Rect {
			clear(strip.Pix)
		}
		draw.Draw(strip, part, img, part.Min, draw.Src)
		average(small.Pix[y*small.Stride:][:small.Stride], strip, side, sums)
	}
	w, h := fit(width, height)
	if small.Rect.Dx() == w && small.Rect.Dy() == h {
		return small
	}
	to := image.NewRGBA(image.Rect(0, 0, w, h))
	scale.CatmullRom.Scale(to, to.Rect, small, small.Rect, scale.Src, nil)
	return to
}

// average writes a row of pixels, each the mean of a square of a strip. The squares at
// the right and at the bottom may be smaller. The sums are for its use.
func average(to []byte, strip *image.RGBA, side int, sums []uint32) {
	width, rows := strip.Rect.Dx(), strip.Rect.Dy()
	if side == 1 {
		copy(to, strip.Pix)
		return
	}
	clear(sums)
	for y := range rows {
		row := strip.Pix[y*strip.Stride:][:4*width]
		for i := 0; i < len(sums); i += 4 {
			square := row[:min(4*side, len(row))]
			row = row[len(square):]
			for ; len(square) >= 4; square = square[4:] {
				sums[i] += uint32(square[0])
				sums[i+1] += uint32(square[1])
				sums[i+2] += uint32(square[2])
				sums[i+3] += uint32(square[3])
			}
		}
	}
	for i, sum := range sums {
		n := uint32(rows * min(side, width-i/4*side))
		to[i] = byte((sum + n/2) / n)
	}
}
