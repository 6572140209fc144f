package picture

import (
	"encoding/binary"
	"math"
)

// profile converts colours of another space to sRGB. It is a matrix and three curves, as
// screens and cameras have them (ICC.1:2022, 8.3.3). Tables, which printers and scanners
// have, are not read.
type profile struct {
	linear [3][256]float32 // light for each value of red, green and blue
	matrix [3][3]float32   // from that light to the light of sRGB
}

// Layout of a profile, ICC.1:2022, 7.
const (
	profileHeader   = 128
	profileTag      = 12 // bytes in the table of tags
	maxProfileTags  = 100
	colourSpaceAt   = 16
	connectionAt    = 20
	profileMagicAt  = 36
	profileMagic    = "acsp"
	curveHeader     = 12
	fixedPoint      = 1 << 16 // of s15Fixed16Number
	maxCurveEntries = 4096
)

// srgbFromXYZ converts light of the connection space (XYZ at D50) to that of sRGB: the
// inverse of the colorants in the profile of sRGB, IEC 61966-2-1.
var srgbFromXYZ = [3][3]float64{
	{3.1338561, -1.6168667, -0.4906146},
	{-0.9787684, 1.9161415, 0.0334540},
	{0.0719453, -0.2289914, 1.4052427},
}

const (
	// encodeSteps is how fine the light of sRGB is before it becomes a value. A step is less
	// than one value, where values are closest.
	encodeSteps = 8192
	// Below these differences a profile is that of sRGB: half a value of 255, and what
	// rounding makes of the colorants.
	sameCurve  = 0.5 / 255
	sameMatrix = 0.005
)

// srgbValue has the value of sRGB for each step of light.
var srgbValue = func() (values [encodeSteps + 1]uint8) {
	for i := range values {
		values[i] = uint8(math.Round(255 * srgbEncode(float64(i)/encodeSteps)))
	}
	return values
}()

func srgbEncode(light float64) float64 {
	if light <= 0.0031308 {
		return 12.92 * light
	}
	return 1.055*math.Pow(light, 1/2.4) - 0.055
}

func srgbDecode(value float64) float64 {
	if value <= 0.04045 {
		return value / 12.92
	}
	return math.Pow((value+0.055)/1.055, 2.4)
}

// parseProfile returns how to convert the colours of an ICC profile. It returns nil if they
// are those of sRGB, or are to be seen as such because the profile is of another kind or
// makes no sense.
func parseProfile(icc []byte) *profile {
	if len(icc) < profileHeader+4 || string(icc[profileMagicAt:profileMagicAt+4]) != profileMagic ||
		string(icc[colourSpaceAt:colourSpaceAt+4]) != "RGB " || string(icc[connectionAt:connectionAt+4]) != "XYZ " {
		return nil
	}
	var colorants [3][3]float64 // a row for each of red, green and blue
	var p profile
	for i, name := range []string{"r", "g", "b"} {
		xyz, ok := parseXYZ(tagOf(icc, name+"XYZ"))
		curve := parseCurve(tagOf(icc, name+"TRC"))
		if !ok || curve == nil {
			return nil
		}
		colorants[i] = xyz
		for v := range p.linear[i] {
			p.linear[i][v] = float32(clamp(curve(float64(v) / 255)))
		}
	}
	for to := range 3 {
		for from := range 3 {
			sum := 0.0
			for k := range 3 {
				sum += srgbFromXYZ[to][k] * colorants[from][k]
			}
			p.matrix[to][from] = float32(sum)
		}
	}
	if p.isSRGB() {
		return nil
	}
	return &p
}

// isSRGB reports whether nobody would see the conversion.
func (p *profile) isSRGB() bool {
	for to := range 3 {
		for from := range 3 {
			want := float32(0)
			if to == from {
				want = 1
			}
			if d := p.matrix[to][from] - want; d > sameMatrix || d < -sameMatrix {
				return false
			}
		}
	}
	for _, curve := range p.linear {
		for v, light := range curve {
			if math.Abs(srgbEncode(float64(light))-float64(v)/255) > sameCurve {
				return false
			}
		}
	}
	return true
}

// tagOf returns the data of a tag, or nil.
func tagOf(icc []byte, name string) []byte {
	tags := icc[profileHeader+4:]
	for range min(binary.BigEndian.Uint32(icc[profileHeader:]), maxProfileTags) {
		if len(tags) < profileTag {
			return nil
		}
		if string(tags[:4]) == name {
			at, size := uint64(binary.BigEndian.Uint32(tags[4:])), uint64(binary.BigEndian.Uint32(tags[8:]))
			if at+size > uint64(len(icc)) {
				return nil
			}
			return icc[at : at+size]
		}
		tags = tags[profileTag:]
	}
	return nil
}

// parseXYZ reads an XYZType, ICC.1:2022, 10.31.
func parseXYZ(data []byte) (xyz [3]float64, ok bool) {
	if len(data) < 20 || string(data[:4]) != "XYZ " {
		return xyz, false
	}
	for i := range xyz {
		xyz[i] = fixed(data[8+4*i:])
	}
	return xyz, true
}

func fixed(b []byte) float64 { return float64(int32(binary.BigEndian.Uint32(b))) / fixedPoint }

// parseCurve reads a curveType or a parametricCurveType, ICC.1:2022, 10.6 and 10.18, or
// returns nil.
func parseCurve(data []byte) func(float64) float64 {
	if len(data) < curveHeader {
		return nil
	}
	switch string(data[:4]) {
	case "curv":
		return sampledCurve(binary.BigEndian.Uint32(data[8:]), data[curveHeader:])
	case "para":
		return parametricCurve(binary.BigEndian.Uint16(data[8:]), data[curveHeader:])
	}
	return nil
}

func sampledCurve(count uint32, data []byte) func(float64) float64 {
	if count > maxCurveEntries || len(data) < 2*int(count) {
		return nil
	}
	switch count {
	case 0:
		return func(v float64) float64 { return v }
	case 1:
		gamma := float64(binary.BigEndian.Uint16(data)) / 256
		return func(v float64) float64 { return math.Pow(v, gamma) }
	}
	sample := func(i int) float64 { return float64(binary.BigEndian.Uint16(data[2*i:])) / math.MaxUint16 }
	return func(v float64) float64 {
		at := v * float64(count-1)
		i := min(int(at), int(count)-2)
		return sample(i) + (at-float64(i))*(sample(i+1)-sample(i))
	}
}

// parameters has how many each type of a parametric curve has.
var parameters = []int{1, 3, 4, 5, 7}

// parametricCurve returns (a*v + b)^gamma + e where v is at least d, and c*v + f below.
func parametricCurve(kind uint16, data []byte) func(float64) float64 {
	if int(kind) >= len(parameters) || len(data) < 4*parameters[kind] {
		return nil
	}
	var n [7]float64
	for i := range parameters[kind] {
		n[i] = fixed(data[4*i:])
	}
	gamma, a, b, c, d, e, f := n[0], n[1], n[2], n[3], n[4], n[5], n[6]
	switch kind {
	case 0:
		a = 1
	case 1: // 0 below -b/a
		c, d = 0, -b/a
	case 2: // c is an offset of all
		c, d, e, f = 0, -b/a, c, c
	}
	return func(v float64) float64 {
		if v >= d {
			return math.Pow(a*v+b, gamma) + e
		}
		return c*v + f
	}
}

// clamp returns a number from 0 to 1, also for what is none.
func clamp(v float64) float64 {
	if !(v > 0) {
		return 0
	}
	return min(v, 1)
}

// convert changes pixels of four bytes, of which the last is alpha and stays. The
// colours are not multiplied by it.
func (p *profile) convert(pix []byte) {
	for ; len(pix) >= 4; pix = pix[4:] {
		r, g, b := p.linear[0][pix[0]], p.linear[1][pix[1]], p.linear[2][pix[2]]
		for i, m := range p.matrix {
			light := m[0]*r + m[1]*g + m[2]*b
			pix[i] = srgbValue[int(min(max(light, 0), 1)*encodeSteps+0.5)]
		}
	}
}
