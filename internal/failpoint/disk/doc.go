// Package disk gives SQLite a disk that fails. It does something only in builds
// with the tag failpoint, and then what KABAN_FAULT_DISK says, a list of
//
//	lose         remember what was not synced. When the process is to die, at a
//	             failpoint or with SIGUSR1, first undo it as a loss of power
//	             does: of what was written to a file since its last sync nothing
//	             is there, or some writes and others not, or all
//	seed=N       what chooses among these
//	failsync=N   the Nth sync reports an I/O error
//	full=BYTES   no file grows beyond that size, until SIGUSR2
//
// It passes the failpoint checkpoint.write at each write to the database file,
// which in WAL mode is in the middle of a checkpoint.
package disk
