//go:build race

package conn_test

// raceEnabled: everything takes ten times as long.
const raceEnabled = true
