package picture

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"image"
	"image/color"
	"math"
	"testing"
)

// icc returns a profile with tags.
func icc(space string, names []string, tags map[string][]byte) []byte {
	b := make([]byte, profileHeader)
	copy(b[colourSpaceAt:], space)
	copy(b[connectionAt:], "XYZ ")
	copy(b[profileMagicAt:], profileMagic)
	b = binary.BigEndian.AppendUint32(b, uint32(len(names)))
	at := len(b) + profileTag*len(names)
	for _, name := range names {
		b = append(b, name...)
		b = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(b, uint32(at)), uint32(len(tags[name])))
		at += len(tags[name])
	}
	for _, name := range names {
		b = append(b, tags[name]...)
	}
	return b
}

func fixedNumbers(b []byte, numbers ...float64) []byte {
	for _, n := range numbers {
		b = binary.BigEndian.AppendUint32(b, uint32(int32(math.Round(n*fixedPoint))))
	}
	return b
}

var allTags = []string{"rXYZ", "gXYZ", "bXYZ", "rTRC", "gTRC", "bTRC"}

// matrixProfile returns a profile of three colorants and one curve.
func matrixProfile(colorants [3][3]float64, curve []byte) []byte {
	tags := map[string][]byte{"rTRC": curve, "gTRC": curve, "bTRC": curve}
	for i, name := range []string{"rXYZ", "gXYZ", "bXYZ"} {
		tags[name] = fixedNumbers([]byte("XYZ \x00\x00\x00\x00"), colorants[i][:]...)
	}
	return icc("RGB ", allTags, tags)
}

func parametric(kind uint16, numbers ...float64) []byte {
	b := binary.BigEndian.AppendUint16([]byte("para\x00\x00\x00\x00"), kind)
	return fixedNumbers(append(b, 0, 0), numbers...)
}

func sampled(values ...uint16) []byte {
	b := binary.BigEndian.AppendUint32([]byte("curv\x00\x00\x00\x00"), uint32(len(values)))
	for _, v := range values {
		b = binary.BigEndian.AppendUint16(b, v)
	}
	return b
}

var (
	p3Colorants    = [3][3]float64{{0.51512, 0.24120, -0.00105}, {0.29198, 0.69225, 0.04189}, {0.15710, 0.06657, 0.78407}}
	adobeColorants = [3][3]float64{{0.60974, 0.31111, 0.01947}, {0.20528, 0.62567, 0.06087}, {0.14919, 0.06322, 0.74457}}
	srgbColorants  = [3][3]float64{{0.43607, 0.22249, 0.01392}, {0.38515, 0.71687, 0.09708}, {0.14307, 0.06061, 0.71410}}
	srgbCurve      = parametric(3, 2.4, 1/1.055, 0.055/1.055, 1/12.92, 0.04045)
)

func displayP3() []byte { return matrixProfile(p3Colorants, srgbCurve) }

func deflate(t testing.TB, zeros int) []byte {
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	for range zeros >> 16 {
		if _, err := z.Write(make([]byte, 1<<16)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// iccp returns the body of the chunk of PNG.
func iccp(t testing.TB, profile []byte) []byte {
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	if _, err := z.Write(profile); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return append([]byte("a profile\x00\x00"), b.Bytes()...)
}

// The light of sRGB from that of other spaces, as their standards give it for D65. The
// package computes it by way of D50.
var (
	p3Light    = [3][3]float64{{1.2249401763, -0.2249401763, 0}, {-0.0420569547, 1.0420569547, 0}, {-0.0196375546, -0.0786360456, 1.0982736001}}
	adobeLight = [3][3]float64{{1.3983557, -0.3983557, 0}, {0, 1, 0}, {0, -0.0429290, 1.0429290}}
)

func converted(c color.NRGBA, light [3][3]float64, decode func(float64) float64) color.NRGBA {
	in := [3]float64{decode(float64(c.R) / 255), decode(float64(c.G) / 255), decode(float64(c.B) / 255)}
	var out [3]uint8
	for i, m := range light {
		out[i] = uint8(math.Round(255 * srgbEncode(clamp(m[0]*in[0]+m[1]*in[1]+m[2]*in[2]))))
	}
	return color.NRGBA{out[0], out[1], out[2], c.A}
}

var tried = []color.NRGBA{
	{255, 0, 0, 255},
	{0, 255, 0, 255},
	{0, 0, 255, 255},
	{255, 255, 255, 255},
	{0, 0, 0, 255},
	{128, 128, 128, 255},
	{200, 100, 50, 255},
	{30, 60, 90, 128},
	{180, 140, 120, 7},
	{3, 2, 1, 255},
}

func TestProfiles(t *testing.T) {
	gamma := func(v float64) float64 { return math.Pow(v, 563.0/256) }
	table := make([]uint16, 1024)
	for i := range table {
		table[i] = uint16(math.Round(65535 * srgbDecode(float64(i)/1023)))
	}
	for _, c := range []struct {
		name   string
		icc    []byte
		light  [3][3]float64
		decode func(float64) float64
	}{
		{"Display P3", displayP3(), p3Light, srgbDecode},
		{"Display P3 with a table", matrixProfile(p3Colorants, sampled(table...)), p3Light, srgbDecode},
		{"Adobe RGB", matrixProfile(adobeColorants, sampled(563)), adobeLight, gamma},
		{"Adobe RGB, parametric", matrixProfile(adobeColorants, parametric(0, 563.0/256)), adobeLight, gamma},
	} {
		p := parseProfile(c.icc)
		if p == nil {
			t.Errorf("%s: no profile", c.name)
			continue
		}
		for _, from := range tried {
			pix := []byte{from.R, from.G, from.B, from.A}
			p.convert(pix)
			got := color.NRGBA{pix[0], pix[1], pix[2], pix[3]}
			if want := converted(from, c.light, c.decode); !near(got, want, 1) {
				t.Errorf("%s: %v becomes %v, want %v", c.name, from, got, want)
			}
		}
	}
	if got := parseProfile(matrixProfile(srgbColorants, srgbCurve)); got != nil {
		t.Error("sRGB is converted")
	}
	if got := parseProfile(matrixProfile(srgbColorants, sampled(table...))); got != nil {
		t.Error("sRGB with a table is converted")
	}
}

// All types of curves, at both ends and at the bend.
func TestParametricCurves(t *testing.T) {
	for _, c := range []struct {
		curve   []byte
		v, want float64
	}{
		{parametric(0, 2), 0.5, 0.25},
		{parametric(1, 2, 2, -0.5), 0.75, 1},
		{parametric(1, 2, 2, -0.5), 0.2, 0},
		{parametric(2, 2, 2, -0.5, 0.125), 0.5, 0.375},
		{parametric(2, 2, 2, -0.5, 0.125), 0.2, 0.125},
		{parametric(3, 2, 1, 0.25, 0.5, 0.5), 0.25, 0.125},
		{parametric(3, 2, 1, 0.25, 0.5, 0.5), 0.75, 1},
		{parametric(4, 2, 1, 0.25, 0.5, 0.5, 0.125, 0.25), 0.25, 0.375},
		{parametric(4, 2, 1, 0.25, 0.5, 0.5, 0.125, 0.25), 0.5, 0.6875},
		{sampled(), 0.3, 0.3},
		{sampled(512), 0.5, 0.25},
		{sampled(0, 65535), 0.25, 0.25},
		{sampled(0, 65535), 1, 1},
	} {
		curve := parseCurve(c.curve)
		if curve == nil {
			t.Errorf("% x: no curve", c.curve)
			continue
		}
		if got := curve(c.v); math.Abs(got-c.want) > 0.001 {
			t.Errorf("% x: %g becomes %g, want %g", c.curve, c.v, got, c.want)
		}
	}
}

// A profile that makes no sense or is of another kind is none.
func TestBrokenProfiles(t *testing.T) {
	good := displayP3()
	for name, change := range map[string]func(b []byte){
		"another mark":       func(b []byte) { b[profileMagicAt]++ },
		"gray":               func(b []byte) { copy(b[colourSpaceAt:], "GRAY") },
		"CMYK":               func(b []byte) { copy(b[colourSpaceAt:], "CMYK") },
		"tables":             func(b []byte) { copy(b[connectionAt:], "Lab ") },
		"no tags":            func(b []byte) { b[profileHeader+3] = 0 },
		"one tag less":       func(b []byte) { b[profileHeader+3]-- },
		"beyond the end":     func(b []byte) { b[profileHeader+4+4] = 0xff },
		"too long":           func(b []byte) { b[profileHeader+4+8] = 0xff },
		"no XYZ":             func(b []byte) { b[profileHeader+4+6*profileTag]++ },
		"another curve":      func(b []byte) { copy(b[len(b)-len(srgbCurve):], "qara") },
		"an unknown type":    func(b []byte) { b[len(b)-len(srgbCurve)+9] = 5 },
		"too many arguments": func(b []byte) { b[len(b)-len(srgbCurve)+9] = 4 },
	} {
		b := bytes.Clone(good)
		change(b)
		if p := parseProfile(b); p != nil {
			t.Errorf("%s: it is a profile", name)
		}
	}
	for n := range len(good) {
		if parseProfile(good[:n:n]) != nil {
			t.Errorf("%d of %d bytes are a profile", n, len(good))
		}
	}
	if parseCurve(sampled(make([]uint16, maxCurveEntries+1)...)) != nil {
		t.Error("a curve is too long")
	}
}

func FuzzProfile(f *testing.F) {
	f.Add(displayP3())
	f.Add(matrixProfile(adobeColorants, sampled(563)))
	f.Add(matrixProfile(adobeColorants, sampled(0, 100, 65535)))
	f.Add(matrixProfile(adobeColorants, parametric(4, 2, 1, 0.25, 0.5, 0.5, 0.125, 0.25)))
	f.Fuzz(func(t *testing.T, icc []byte) {
		if p := parseProfile(icc); p != nil {
			p.convert([]byte{1, 20, 200, 5, 255, 0, 3, 255})
		}
	})
}

// A photo of a phone with a wide gamut looks the same in sRGB, whatever the format and the
// pixels are.
func TestWideGamut(t *testing.T) {
	from := color.NRGBA{200, 100, 50, 255}
	want := converted(from, p3Light, srgbDecode)
	uniform := image.NewNRGBA(image.Rect(0, 0, 16, 12))
	half := image.NewNRGBA(uniform.Rect)
	paletted := image.NewPaletted(uniform.Rect, color.Palette{from})
	deep := image.NewNRGBA64(uniform.Rect)
	deepOpaque := image.NewRGBA64(uniform.Rect)
	for y := range 12 {
		for x := range 16 {
			uniform.Set(x, y, from)
			half.Set(x, y, color.NRGBA{from.R, from.G, from.B, 100})
			deep.Set(x, y, color.NRGBA{from.R, from.G, from.B, 100})
			deepOpaque.Set(x, y, from)
		}
	}
	p := displayP3()
	iCCP := chunk("iCCP", iccp(t, p))
	for name, file := range map[string][]byte{
		"JPEG":                          jpegOf(t, uniform, 95, segment(markAPP2, profileMark, p)),
		"JPEG with another before":      jpegOf(t, uniform, 95, segment(markAPP2, []byte("MPF\x00")), segment(markAPP2, profileMark, p)),
		"PNG":                           pngOf(t, uniform, iCCP),
		"PNG with alpha":                pngOf(t, half, iCCP),
		"PNG with a palette":            pngOf(t, paletted, iCCP),
		"PNG of 16 bits":                pngOf(t, deepOpaque, iCCP),
		"PNG of 16 bits with alpha":     pngOf(t, deep, iCCP),
		"WebP":                          riff(vp8x(0x20, 16, 12), riffChunkOf("ICCP", p), vp8l(16, 12, from)),
		"JPEG with a large profile":     jpegOf(t, uniform, 95, segment(markAPP2, profileMark, append(bytes.Clone(p), make([]byte, 40_000)...))),
		"PNG with a large profile":      pngOf(t, uniform, chunk("iCCP", iccp(t, append(bytes.Clone(p), make([]byte, 60_000)...)))),
		"JPEG, upright, with a profile": jpegOf(t, uniform, 95, segment(markAPP1, exifMark, exifWith(binary.BigEndian, 6, "")), segment(markAPP2, profileMark, p)),
	} {
		m := mustMake(t, name, file)
		got := pixel(t, m.picture, 3, 3)
		want.A = got.A
		if !near(got, want, 3) {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
	// Without a profile, with that of sRGB, and with one behind the pixels nothing changes.
	p = matrixProfile(srgbColorants, srgbCurve)
	late := pngOf(t, uniform)
	late = append(late[:len(late)-12:len(late)-12], append(iCCP, chunk("IEND", nil)...)...)
	for name, file := range map[string][]byte{
		"none": pngOf(t, uniform), "sRGB": pngOf(t, uniform, chunk("iCCP", iccp(t, p))), "too late": late,
		"sRGB in a JPEG": jpegOf(t, uniform, 95, segment(markAPP2, profileMark, p)),
	} {
		if got := pixel(t, mustMake(t, name, file).picture, 3, 3); !near(got, from, 2) {
			t.Errorf("%s: got %v, want %v", name, got, from)
		}
	}
}

// The colours of printers are those that browsers show without a profile, and never
// negative.
func TestCMYK(t *testing.T) {
	for _, c := range []struct {
		name string
		file flat
		want color.NRGBA
	}{
		// As Adobe stores them: 255 is no ink.
		{"CMYK", flat{20, 12, false, 0, []flatComponent{{0x11, 255}, {0x11, 100}, {0x11, 50}, {0x11, 255}}}, color.NRGBA{255, 100, 50, 255}},
		{"CMYK with black", flat{20, 12, false, 0, []flatComponent{{0x11, 255}, {0x11, 255}, {0x11, 255}, {0x11, 60}}}, color.NRGBA{60, 60, 60, 255}},
		{"YCCK", flat{20, 12, false, 2, []flatComponent{{0x22, 150}, {0x11, 128}, {0x11, 128}, {0x22, 255}}}, color.NRGBA{105, 105, 105, 255}},
		{"RGB", flat{20, 12, false, 0, []flatComponent{{0x11, 200}, {0x11, 100}, {0x11, 50}}}, color.NRGBA{200, 100, 50, 255}},
		{"4:1:0", flat{20, 12, false, -1, ycbcr(0x42, 150, 128, 128)}, color.NRGBA{150, 150, 150, 255}},
	} {
		m := mustMake(t, c.name, c.file.file())
		if got := pixel(t, m.picture, 3, 3); !near(got, c.want, 4) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}
