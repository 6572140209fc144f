package picture

import (
	"bytes"
	"image"
	"image/color"
	"image/gif"
	"image/png"
	"math"
	"testing"

	scale "golang.org/x/image/draw"
)

func TestThumbnailSizes(t *testing.T) {
	for _, c := range []struct{ width, height, wantWidth, wantHeight int }{
		{721, 10, 720, 10},
		{10, 721, 10, 720},
		{1440, 720, 720, 360},
		{4000, 3000, 720, 540},
		{3000, 4001, 540, 720},
		{30_000, 1, 720, 1},
		{1, 30_000, 1, 720},
	} {
		if w, h := fit(c.width, c.height); w != c.wantWidth || h != c.wantHeight {
			t.Errorf("%d x %d: got %d x %d, want %d x %d", c.width, c.height, w, h, c.wantWidth, c.wantHeight)
		}
	}
	for _, c := range []struct {
		width, height int
		want          image.Point
	}{{720, 30, image.Point{}}, {30, 720, image.Point{}}, {721, 10, image.Pt(720, 10)}, {10, 721, image.Pt(10, 720)}, {30_000, 1, image.Pt(720, 1)}} {
		m := mustMake(t, "PNG", pngOf(t, image.NewGray(image.Rect(0, 0, c.width, c.height))))
		if got := image.Pt(m.Thumbnail.Width, m.Thumbnail.Height); got != c.want {
			t.Errorf("%d x %d: got %+v, want %v", c.width, c.height, m.Thumbnail, c.want)
		}
	}
}

// Of what is transparent the thumbnail is a PNG, and of all else a JPEG.
func TestThumbnailTypes(t *testing.T) {
	m := image.NewNRGBA(image.Rect(0, 0, 800, 200))
	for i := range m.Pix {
		m.Pix[i] = 255
	}
	if got := mustMake(t, "opaque", pngOf(t, m)).Thumbnail.Type; got != JPEG {
		t.Errorf("opaque: got %s", got)
	}
	for y := range 100 {
		for x := range 400 {
			m.SetNRGBA(x, y, color.NRGBA{0, 0, 255, 0})
		}
	}
	out := mustMake(t, "transparent", pngOf(t, m))
	if out.Thumbnail.Type != PNG {
		t.Errorf("transparent: got %s", out.Thumbnail.Type)
	}
	if got := pixel(t, out.thumbnail, 10, 10); got.A != 0 {
		t.Errorf("the transparent quarter is %v", got)
	}
	if got, want := pixel(t, out.thumbnail, 700, 170), (color.NRGBA{255, 255, 255, 255}); got != want {
		t.Errorf("the others are %v", got)
	}
	// The blue of transparent pixels does not run into the white ones.
	thumbnail, err := png.Decode(bytes.NewReader(out.thumbnail))
	if err != nil {
		t.Fatal(err)
	}
	for x := range 720 {
		if got := color.NRGBAModel.Convert(thumbnail.At(x, 90)).(color.NRGBA); got.A > 50 && (got.R < 240 || got.B < 240) {
			t.Fatalf("the edge is %v at %d", got, x)
		}
	}
}

// A thumbnail shows the picture where it is, and makes gray of a fine pattern.
func TestThumbnailLooks(t *testing.T) {
	for _, size := range []image.Point{{900, 300}, {1439, 100}, {1440, 200}, {2881, 301}, {203, 4321}} {
		slope := image.NewRGBA(image.Rect(0, 0, size.X, size.Y))
		pattern := image.NewGray(slope.Rect)
		for y := range size.Y {
			for x := range size.X {
				slope.SetRGBA(x, y, color.RGBA{byte(x * 255 / size.X), byte(y * 255 / size.Y), 100, 255})
				pattern.Pix[pattern.PixOffset(x, y)] = byte((x + y) % 2 * 255)
			}
		}
		got := thumbnail(slope, size.X, size.Y)
		for y := 2; y < got.Rect.Dy()-2; y++ {
			for x := 2; x < got.Rect.Dx()-2; x++ {
				want := color.NRGBA{byte((2*x + 1) * 255 / (2 * got.Rect.Dx())), byte((2*y + 1) * 255 / (2 * got.Rect.Dy())), 100, 255}
				if c := color.NRGBA(got.RGBAAt(x, y)); !near(c, want, 3) {
					t.Fatalf("%v: the pixel %d, %d is %v, want %v", size, x, y, c, want)
				}
			}
		}
		got = thumbnail(pattern, size.X, size.Y)
		for y := 2; y < got.Rect.Dy()-2; y++ {
			for x := 2; x < got.Rect.Dx()-2; x++ {
				if c := got.RGBAAt(x, y); c.R < 96 || c.R > 160 {
					t.Fatalf("%v: the pattern is %v at %d, %d", size, c, x, y)
				}
			}
		}
	}
}

// The edges of a picture are as bright as the rest, also where squares are cut short, and
// what is finer than the thumbnail shows no false pattern: the result is nearly that of
// the filter alone.
func TestThumbnailIsExact(t *testing.T) {
	for _, size := range []image.Point{{2881, 301}, {203, 4321}, {4323, 5}} {
		white := image.NewGray(image.Rect(0, 0, size.X, size.Y))
		for i := range white.Pix {
			white.Pix[i] = 255
		}
		for i, v := range thumbnail(white, size.X, size.Y).Pix {
			if v != 255 {
				t.Fatalf("%v: the byte %d of the thumbnail is %d", size, i, v)
			}
		}
	}
	rings := image.NewRGBA(image.Rect(0, 0, 2880, 240))
	for y := range 240 {
		for x := range 2880 {
			v := byte(128 + 127*math.Cos(float64((x-1440)*(x-1440)+(y-120)*(y-120))/1080))
			rings.SetRGBA(x, y, color.RGBA{v, v, v, 255})
		}
	}
	want := image.NewRGBA(image.Rect(0, 0, 720, 60))
	scale.CatmullRom.Scale(want, want.Rect, rings, rings.Rect, scale.Src, nil)
	got := thumbnail(rings, 2880, 240)
	sum := 0.0
	for i := range got.Pix {
		d := float64(got.Pix[i]) - float64(want.Pix[i])
		sum += d * d
	}
	if rms := math.Sqrt(sum / float64(len(got.Pix))); rms > 9 {
		t.Errorf("it differs by %.1f from the filter alone, want at most 9", rms)
	}
}

// The thumbnail is upright, too.
func TestThumbnailUpright(t *testing.T) {
	photo := corners(736, 240)
	for o := orientation(1); o <= 8; o++ {
		m := mustMake(t, "JPEG", jpegOf(t, photo, 85, segment(markAPP1, exifMark, exifWith(orders[0], uint16(o), ""))))
		width, height := m.Thumbnail.Width, m.Thumbnail.Height
		if (width > height) != (o < 5) || max(width, height) != thumbnailSide {
			t.Fatalf("%d: %+v", o, m.Thumbnail)
		}
		x, y := seen(o, m.Picture.Width/4, m.Picture.Height/4, 736, 240)
		if got, want := pixel(t, m.thumbnail, width/4, height/4), color.NRGBA(photo.RGBAAt(x, y)); !near(got, want, 15) {
			t.Errorf("%d: the upper left quarter is %v, want %v", o, got, want)
		}
	}
}

// An animation has a still one however small it is: its first frame, where that lies on the
// canvas.
func TestThumbnailOfAnAnimation(t *testing.T) {
	palette := color.Palette{color.RGBA{200, 30, 30, 255}, color.RGBA{30, 30, 200, 255}}
	for _, size := range []int{40, 740} {
		first := image.NewPaletted(image.Rect(size/4, size/4, size*3/4, size*3/4), palette)
		second := image.NewPaletted(image.Rect(0, 0, size, size), palette)
		for i := range second.Pix {
			second.Pix[i] = 1
		}
		var b bytes.Buffer
		if err := gif.EncodeAll(&b, &gif.GIF{
			Image: []*image.Paletted{first, second}, Delay: []int{5, 5},
			Config: image.Config{Width: size, Height: size, ColorModel: palette},
		}); err != nil {
			t.Fatal(err)
		}
		m := mustMake(t, "GIF", b.Bytes())
		side := min(size, thumbnailSide)
		if m.Thumbnail.Type != PNG || m.Thumbnail.Width != side || m.Thumbnail.Height != side {
			t.Fatalf("%d: got %+v", size, m.Thumbnail)
		}
		for _, at := range []image.Point{{side / 8, side / 2}, {side * 7 / 8, side / 2}, {side / 2, side / 8}, {side / 2, side * 7 / 8}} {
			if got := pixel(t, m.thumbnail, at.X, at.Y); got.A != 0 {
				t.Errorf("%d: outside of the frame, at %v, it is %v", size, at, got)
			}
		}
		if got, want := pixel(t, m.thumbnail, side/2, side/2), (color.NRGBA{200, 30, 30, 255}); got != want {
			t.Errorf("%d: in the frame it is %v, want %v", size, got, want)
		}
		if still := mustMake(t, "GIF", gifOf(t, size, size, 1)); (still.Thumbnail != Rendition{}) != (size > thumbnailSide) {
			t.Errorf("%d: without a second frame: %+v", size, still.Thumbnail)
		}
	}
}
