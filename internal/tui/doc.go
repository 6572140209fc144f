// Package tui is the full-screen client for terminals, on the SDK of package
// client.
//
// How it is built: a Session talks with the server and gathers what happens in
// batches of events. The Model, a Bubble Tea model, takes a batch, a key or a
// change of the terminal, one at a time, and changes its state; View makes the
// screen of the state and nothing else, so that tests compare screens without a
// terminal.
//
// What it guarantees: whatever others wrote is cleaned before it is shown or
// copied, and the only control sequences that reach the terminal are the
// program's own. What it holds of a room is bounded, however much is said.
// What was typed is sent once and in order, or comes back with a reason.
package tui
