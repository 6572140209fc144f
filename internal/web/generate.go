package web

// The page is built from TypeScript into page/dist, which is committed: neither
// a user nor "go build" needs Node. Building needs npm.
//
//go:generate go -C page/build run .
