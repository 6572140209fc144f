// Package pebbletest has only tests.
package pebbletest
