// Package disk is the disk below a store: the few operations on files that durability
// depends on. In builds with the tag failpoint it fails, also below SQLite, as configured
// by KABAN_FAULT_DISK, a list of
//
//	lose         track unsynced writes and names. Before the process dies, at a
//	             failpoint or with SIGUSR1, undo them like a power loss: of the
//	             writes to a file since its last sync none, all or some remain,
//	             torn at sectors, and of the changes to the names in a directory
//	             the first few
//	keep=FILE    with lose: lose nothing yet. What is unsynced is noted in a file, as if
//	             the process were killed, also at a failed sync of Go code, and
//	kept=FILE    the next process may lose it, until it syncs it
//	seed=N       the seed of these choices
//	failsync=N   the Nth sync of a file or directory reports an I/O error. What it
//	             should have written to a file of Go code is only written later if
//	             the same is written again
//	of=PATTERN   only syncs of files and directories whose names match count, such
//	             as *.db-wal
//	full=BYTES   no file grows beyond that size
//	space=BYTES  the files of Go code together grow by no more than that
//	create=N     Go code creates no more than N files
//	later        the faults from failsync to create begin with SIGUSR2
//	nosync       syncs of files and directories by Go code do nothing
//
// SIGUSR2 ends the faults from failsync to create, if they did not begin with it, and
// prints a line on standard error when it has.
//
// The names of SQLite's files and the creation of directories are never lost.
//
// It passes the failpoint checkpoint.write at each write to the database file,
// which in WAL mode is in the middle of a checkpoint.
package disk
