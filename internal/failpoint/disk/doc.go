// Package disk is the disk below a store: the few operations on files that durability
// depends on. In builds with the tag failpoint it fails, also below SQLite, as configured
// by KABAN_FAULT_DISK, a list of
//
//	lose         track unsynced writes and names. Before the process dies, at a
//	             failpoint or with SIGUSR1, undo them like a power loss: none, some
//	             or all of the writes to a file since its last sync remain, torn at
//	             sectors, and so do the names in a directory
//	seed=N       the seed of these choices
//	failsync=N   the Nth sync reports an I/O error
//	full=BYTES   no file grows beyond that size, until SIGUSR2
//	nosync       syncs of files and directories by Go code do nothing
//
// It passes the failpoint checkpoint.write at each write to the database file,
// which in WAL mode is in the middle of a checkpoint.
package disk
