package browser

import (
	"fmt"
	"strings"
	"testing"
)

// rgb is JavaScript for the channels of a colour of CSS as it is drawn, from 0 to 1, without gamma,
// and for the contrast of two of them as WCAG has it.
const rgb = `
const drawn = (() => {
	const context = new OffscreenCanvas(1, 1).getContext('2d', {willReadFrequently: true})
	return (colour) => {
		context.fillStyle = colour
		context.fillRect(0, 0, 1, 1)
		return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3).map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
	}
})()
const light = ([r, g, b]) => 0.2126 * r + 0.7152 * g + 0.0722 * b
const contrast = (one, two) => (Math.max(light(drawn(one)), light(drawn(two))) + 0.05) / (Math.min(light(drawn(one)), light(drawn(two))) + 0.05)
`

// TestColoursOfNames checks the contrast of every colour that a name can have, in both themes: the
// letters of its face, and the name above a message, whatever is behind that.
func TestColoursOfNames(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	s.say("ben", "lobby", "hello")
	for _, how := range []screen{{width: 1280, height: 800}, {width: 1280, height: 800, dark: true}} {
		p := newPage(t, how)
		p.join(s.url, map[bool]string{false: "alice", true: "anna"}[how.dark])
		p.sees("hello")
		found := value[struct {
			Colours int
			Poor    []string
		}](p, `(() => {`+rgb+`
			const poor = [], colours = new Set()
			const style = (text) => {
				const e = document.createElement('span')
				e.className = text
				document.querySelector('.row').append(e)
				const {color, backgroundColor} = getComputedStyle(e)
				e.remove()
				return {color, backgroundColor}
			}
			const behind = ['--ground', '--hover', '--mention', '--marked'].map((name) => getComputedStyle(document.documentElement).getPropertyValue(name))
			for (let c = 0; c < 6; c++) for (let f = 0; f < 6; f++) for (let v = 0; v < 4; v++) {
				const name = 'c' + c + ' f' + f + ' v' + v
				const face = style('avatar ' + name), author = style('author ' + name)
				colours.add(drawn(face.backgroundColor).join())
				if (contrast(face.backgroundColor, face.color) < 4.5) poor.push('the face ' + name)
				for (const ground of behind) if (contrast(author.color, ground) < 4.5) poor.push('the name ' + name + ' on ' + ground)
			}
			return {colours: colours.size, poor}
		})()`)
		if len(found.Poor) > 0 {
			t.Errorf("dark %t: poor contrast: %s", how.dark, strings.Join(found.Poor, ", "))
		}
		if found.Colours < 130 {
			t.Errorf("dark %t: there are %d colours, want 144, all but a few of them different", how.dark, found.Colours)
		}
	}
}

// TestFacesLookDifferent counts pairs of names whose faces look alike: those with a distance in
// Oklab of less than 0.04, which people see only side by side.
func TestFacesLookDifferent(t *testing.T) {
	t.Parallel()
	s := startServer(t, ":memory:")
	names := strings.Fields("ada alice anna ben bob carla carol cid dora erin grace jonas ken kim lena linus max mila olga paul priya tom uwe zora")
	for _, name := range names {
		s.say(name, "lobby", "hello")
	}
	p := newPage(t, screen{width: 1280, height: 4000})
	p.join(s.url, "zed")
	p.until(fmt.Sprintf(`document.querySelectorAll('.row').length === %d`, len(names)))
	alike := p.number(`(() => {` + rgb + `
		const lab = ([r, g, b]) => {
			const l = Math.cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b)
			const m = Math.cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b)
			const s = Math.cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b)
			return [0.2104542553 * l + 0.793617785 * m - 0.0040720468 * s, 1.9779984951 * l - 2.428592205 * m + 0.4505937099 * s, 0.0259040371 * l + 0.7827717662 * m - 0.8086757660 * s]
		}
		const faces = [...document.querySelectorAll('.row .avatar')].map((e) => lab(drawn(getComputedStyle(e).backgroundColor)))
		return faces.flatMap((one, i) => faces.slice(i + 1).filter((two) => Math.hypot(...one.map((v, k) => v - two[k])) < 0.04)).length
	})()`)
	t.Logf("%v of %d pairs look alike", alike, len(names)*(len(names)-1)/2)
	// By chance it would be about one pair in fifty.
	if alike > 8 {
		t.Errorf("the faces of %v pairs look alike, want at most 8", alike)
	}
}
