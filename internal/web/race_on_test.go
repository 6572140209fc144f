//go:build race

package web_test

// raceEnabled: everything takes ten times as long.
const raceEnabled = true
