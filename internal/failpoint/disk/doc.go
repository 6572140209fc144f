// Package disk gives SQLite a disk that fails. It works only in builds with the
// tag failpoint, as configured by KABAN_FAULT_DISK, a list of
//
//	lose         track unsynced writes. Before the process dies, at a failpoint
//	             or with SIGUSR1, undo them like a power loss: none, some or all
//	             of the writes to a file since its last sync remain
//	seed=N       the seed of these choices
//	failsync=N   the Nth sync reports an I/O error
//	full=BYTES   no file grows beyond that size, until SIGUSR2
//
// It passes the failpoint checkpoint.write at each write to the database file,
// which in WAL mode is in the middle of a checkpoint.
package disk
