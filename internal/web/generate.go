package web

// The page is built from TypeScript into page/dist, which is committed: neither
// a user nor "go build" needs Node. Building needs npm. So it is with the list of the
// package emoji.
//
//go:generate go -C page/build run .
