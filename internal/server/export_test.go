package server

// NameRooms is how many rooms one name may make in a row, as package chat has it:
// as many as its connection may be in.
const NameRooms = maxRooms
