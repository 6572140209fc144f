// Package failpoint lets a test end the process at a named point in the code. It
// works only in builds with the tag failpoint; in all others Point is empty and
// costs nothing.
//
// Such a build reads these environment variables:
//
//	KABAN_FAILPOINT=NAME:N       ends the process, like SIGKILL, when it passes
//	                             the point for the Nth time
//	KABAN_FAULT_SYNCHRONOUS=off  disables SQLite's measures for durability
//	KABAN_FAULT_CLOCK=DURATION   shifts the clock of message times
//	KABAN_FAULT_SPLIT=PREFIX     writes documents whose keys begin with PREFIX in a
//	                             second transaction, right after the one they belong to
//	KABAN_FAULT_HEAP=FILE        writes the heap to the file with SIGWINCH, and then a line
//
// and those of package disk.
package failpoint
