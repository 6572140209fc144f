//go:build !race

package e2e

// raceEnabled says that the stories test the race detector's build too.
const raceEnabled = false
