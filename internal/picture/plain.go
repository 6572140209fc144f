package picture

import (
	"image"
	"image/color"
	"image/draw"
)

// plain returns a picture in sRGB with 8 bits for a value: no screen that shows a chat has
// more. It is an *image.YCbCr, Gray, RGBA (opaque), NRGBA or Paletted, in the memory of the
// decoded one where that is enough.
func plain(img image.Image, p *profile) (image.Image, error) {
	switch m := img.(type) {
	case *image.YCbCr:
		if p == nil {
			return m, nil
		}
		return p.apply(opaque(m)), nil
	case *image.CMYK:
		return fromCMYK(m), nil // as browsers show it: see ADR 0038
	case *image.Gray:
		return m, nil
	case *image.Gray16:
		narrow(m.Pix)
		return &image.Gray{Pix: m.Pix[:len(m.Pix)/2], Stride: m.Stride / 2, Rect: m.Rect}, nil
	case *image.RGBA64:
		narrow(m.Pix)
		return p.apply(&image.RGBA{Pix: m.Pix[:len(m.Pix)/2], Stride: m.Stride / 2, Rect: m.Rect}), nil
	case *image.NRGBA64:
		narrow(m.Pix)
		return p.apply(&image.NRGBA{Pix: m.Pix[:len(m.Pix)/2], Stride: m.Stride / 2, Rect: m.Rect}), nil
	case *image.NYCbCrA:
		return p.apply(withAlpha(m)), nil
	case *image.RGBA, *image.NRGBA, *image.Paletted:
		return p.apply(m), nil
	}
	return nil, refuse(Broken, "pixels of %T", img)
}

// apply converts colours in place. A nil profile changes nothing.
func (p *profile) apply(img image.Image) image.Image {
	if p == nil {
		return img
	}
	switch m := img.(type) {
	case *image.RGBA:
		p.convert(m.Pix)
	case *image.NRGBA:
		p.convert(m.Pix)
	case *image.Paletted:
		for i, c := range m.Palette {
			n := color.NRGBAModel.Convert(c).(color.NRGBA)
			pix := [4]byte{n.R, n.G, n.B, n.A}
			p.convert(pix[:])
			m.Palette[i] = color.NRGBA{pix[0], pix[1], pix[2], pix[3]}
		}
	}
	return img
}

// opaque returns the pixels of a picture without alpha.
func opaque(img image.Image) *image.RGBA {
	bounds := img.Bounds()
	to := image.NewRGBA(image.Rect(0, 0, bounds.Dx(), bounds.Dy()))
	draw.Draw(to, to.Rect, img, bounds.Min, draw.Src)
	return to
}

// fromCMYK converts in place: both take four bytes for a pixel.
func fromCMYK(m *image.CMYK) *image.RGBA {
	for pix := m.Pix; len(pix) >= 4; pix = pix[4:] {
		pix[0], pix[1], pix[2] = color.CMYKToRGB(pix[0], pix[1], pix[2], pix[3])
		pix[3] = 255
	}
	return &image.RGBA{Pix: m.Pix, Stride: m.Stride, Rect: m.Rect}
}

// narrow moves the upper bytes of values of 16 bits to the front.
func narrow(pix []byte) {
	for i := range len(pix) / 2 {
		pix[i] = pix[2*i]
	}
}

func withAlpha(m *image.NYCbCrA) *image.NRGBA {
	to := image.NewNRGBA(image.Rect(0, 0, m.Rect.Dx(), m.Rect.Dy()))
	pix := to.Pix
	for y := m.Rect.Min.Y; y < m.Rect.Max.Y; y++ {
		for x := m.Rect.Min.X; x < m.Rect.Max.X; x++ {
			luma, chroma := m.YOffset(x, y), m.COffset(x, y)
			pix[0], pix[1], pix[2] = color.YCbCrToRGB(m.Y[luma], m.Cb[chroma], m.Cr[chroma])
			pix[3] = m.A[m.AOffset(x, y)]
			pix = pix[4:]
		}
	}
	return to
}
