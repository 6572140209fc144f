package server

// The limits that tests check.
const NameRooms = nameRooms
