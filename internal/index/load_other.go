//go:build !linux

package index

import "time"

// threadTime returns what passes: this system does not tell the time of a thread.
func threadTime() time.Duration { return time.Since(started) }

// idleTime returns ever less: this system does not tell.
func idleTime() time.Duration { return unknown() }

// lowerPriority does nothing: on this system a priority is that of a process.
func lowerPriority() {}
