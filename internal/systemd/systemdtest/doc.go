// Package systemdtest plays the service manager in tests on Linux.
package systemdtest
