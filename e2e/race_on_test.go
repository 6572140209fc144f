//go:build race

package e2e

// raceEnabled reports whether the stories use a build with the race detector.
const raceEnabled = true
