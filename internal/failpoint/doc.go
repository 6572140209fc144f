// Package failpoint lets a test end the process at a named place of the code.
// Only builds with the tag failpoint do so; in all others Point is empty and
// costs nothing.
//
// Such a build reads from its environment
//
//	KABAN_FAILPOINT=NAME:N        ends the process, as SIGKILL does, when it
//	                              passes the place for the Nth time
//	KABAN_FAULT_SYNCHRONOUS=off   gives up what SQLite does for durability
//	KABAN_FAULT_CLOCK=DURATION    moves the clock that messages get their time from
//
// and what package disk reads.
package failpoint
