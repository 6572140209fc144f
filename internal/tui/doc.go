// Package tui is the full-screen client for terminals, on the SDK of package
// client.
//
// A Session maps calls to the SDK and collects its reports as batches of events.
// The Model, a Bubble Tea model, takes one batch, key or change of the terminal at
// a time and updates its state. View renders the state and nothing else, so that
// tests compare screens without a terminal.
//
// Guarantees: text from others is cleaned before it is shown or copied, and the only
// control sequences that reach the terminal are the program's own. The memory for a
// room is bounded, however busy it is. A message is sent once and in order, or comes
// back with a reason.
package tui
