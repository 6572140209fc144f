package picture

import "image"

// upright returns a picture as it is to be seen. Only a transposition takes new memory, a
// plane at a time.
func (o orientation) upright(img image.Image) image.Image {
	if o == upright {
		return img
	}
	switch m := img.(type) {
	case *image.YCbCr:
		return o.uprightYCbCr(m)
	case *image.Gray:
		p := o.turn(plane{m.Pix, m.Rect.Dx(), m.Rect.Dy(), m.Stride, 1})
		return &image.Gray{Pix: p.pix, Stride: p.stride, Rect: p.bounds()}
	case *image.Paletted:
		p := o.turn(plane{m.Pix, m.Rect.Dx(), m.Rect.Dy(), m.Stride, 1})
		return &image.Paletted{Pix: p.pix, Stride: p.stride, Rect: p.bounds(), Palette: m.Palette}
	case *image.RGBA:
		p := o.turn(plane{m.Pix, m.Rect.Dx(), m.Rect.Dy(), m.Stride, 4})
		return &image.RGBA{Pix: p.pix, Stride: p.stride, Rect: p.bounds()}
	case *image.NRGBA:
		p := o.turn(plane{m.Pix, m.Rect.Dx(), m.Rect.Dy(), m.Stride, 4})
		return &image.NRGBA{Pix: p.pix, Stride: p.stride, Rect: p.bounds()}
	}
	return img
}

// transposed has the ratios of chroma subsampling after a transposition.
var transposed = map[image.YCbCrSubsampleRatio]image.YCbCrSubsampleRatio{
	image.YCbCrSubsampleRatio444: image.YCbCrSubsampleRatio444,
	image.YCbCrSubsampleRatio420: image.YCbCrSubsampleRatio420,
	image.YCbCrSubsampleRatio422: image.YCbCrSubsampleRatio440,
	image.YCbCrSubsampleRatio440: image.YCbCrSubsampleRatio422,
}

// uprightYCbCr turns each plane. If an odd number of columns or rows is mirrored, half of
// the chroma moves by a pixel, which nobody sees.
func (o orientation) uprightYCbCr(m *image.YCbCr) image.Image {
	ratio := m.SubsampleRatio
	if o.transposes() {
		var ok bool
		if ratio, ok = transposed[ratio]; !ok {
			return o.upright(opaque(m))
		}
	}
	across, down := subsampling(m.SubsampleRatio)
	width, height := m.Rect.Dx(), m.Rect.Dy()
	chromaWidth, chromaHeight := (width+across-1)/across, (height+down-1)/down
	y := o.turn(plane{m.Y, width, height, m.YStride, 1})
	m.Y = nil // a transposition of the next one has room
	cb := o.turn(plane{m.Cb, chromaWidth, chromaHeight, m.CStride, 1})
	cr := o.turn(plane{m.Cr, chromaWidth, chromaHeight, m.CStride, 1})
	return &image.YCbCr{
		Y: y.pix, Cb: cb.pix, Cr: cr.pix, YStride: y.stride, CStride: cb.stride,
		SubsampleRatio: ratio, Rect: y.bounds(),
	}
}

// subsampling returns how many columns and rows share a sample of chroma.
func subsampling(ratio image.YCbCrSubsampleRatio) (across, down int) {
	switch ratio {
	case image.YCbCrSubsampleRatio422:
		return 2, 1
	case image.YCbCrSubsampleRatio420:
		return 2, 2
	case image.YCbCrSubsampleRatio440:
		return 1, 2
	case image.YCbCrSubsampleRatio411:
		return 4, 1
	case image.YCbCrSubsampleRatio410:
		return 4, 2
	}
	return 1, 1
}

// plane is rows of samples, of a number of bytes each. It begins at the origin.
type plane struct {
	pix                   []byte
	width, height, stride int
	size                  int // bytes of a sample
}

func (p plane) bounds() image.Rectangle { return image.Rect(0, 0, p.width, p.height) }

func (p plane) row(y int) []byte { return p.pix[y*p.stride : y*p.stride+p.width*p.size] }

// turn returns a plane as it is to be seen.
func (o orientation) turn(p plane) plane {
	if o.transposes() {
		p = p.transpose()
	}
	if o.mirrors() {
		p.mirror()
	}
	if o.flips() {
		p.flip()
	}
	return p
}

// tile is the side of the squares in which a plane is transposed, in samples. Their rows
// stay in the cache of a processor.
const tile = 32

func (p plane) transpose() plane {
	to := plane{make([]byte, p.width*p.height*p.size), p.height, p.width, p.height * p.size, p.size}
	for top := 0; top < p.height; top += tile {
		for left := 0; left < p.width; left += tile {
			for y := top; y < min(top+tile, p.height); y++ {
				row := p.row(y)
				for x := left; x < min(left+tile, p.width); x++ {
					at := x*to.stride + y*p.size
					copy(to.pix[at:at+p.size], row[x*p.size:])
				}
			}
		}
	}
	return to
}

func (p plane) mirror() {
	for y := range p.height {
		row := p.row(y)
		for i, j := 0, (p.width-1)*p.size; i < j; i, j = i+p.size, j-p.size {
			for k := range p.size {
				row[i+k], row[j+k] = row[j+k], row[i+k]
			}
		}
	}
}

func (p plane) flip() {
	for i, j := 0, p.height-1; i < j; i, j = i+1, j-1 {
		above, below := p.row(i), p.row(j)
		for k := range above {
			above[k], below[k] = below[k], above[k]
		}
	}
}
