// Package tcp bounds and reads what the system keeps of a TCP connection. A write
// only says that the system has taken something: a slow peer may have megabytes
// still to come. Front ends use it to see whether a slow peer makes progress and
// to keep what is under way small.
//
// Nothing here fails: where a system cannot tell, callers know less and judge by
// what their writes return.
package tcp
