package postgres

import "encoding/binary"

// Bytes of an array in front of its elements, and of an element in front of its value.
const (
	arrayHeader = 20
	lengthSize  = 4
)

// array is a one-dimensional array without NULLs, in the binary format of PostgreSQL (array_send in
// src/backend/utils/adt/arrayfuncs.c). Messages are encoded like that at once, since pgx takes each element through
// interfaces and grows its buffer by doubling.
type array struct {
	data     []byte
	elements uint32
}

// newArray returns an empty array of elements of a type, with room for some bytes of elements.
func newArray(oid uint32, size int) array {
	data := make([]byte, arrayHeader, arrayHeader+size)
	binary.BigEndian.PutUint32(data, 1) // dimension
	binary.BigEndian.PutUint32(data[8:], oid)
	binary.BigEndian.PutUint32(data[16:], 1) // the index of the first element
	return array{data: data}
}

func (a *array) text(s string) {
	a.data = append(binary.BigEndian.AppendUint32(a.data, uint32(len(s))), s...)
	a.elements++
}

func (a *array) int64(n int64) {
	a.data = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(a.data, 8), uint64(n))
	a.elements++
}

func (a *array) int32(n int32) {
	a.data = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(a.data, 4), uint32(n))
	a.elements++
}

func (a *array) int16(n int16) {
	a.data = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint32(a.data, 2), uint16(n))
	a.elements++
}

// clear takes all elements out.
func (a *array) clear() { a.data, a.elements = a.data[:arrayHeader], 0 }

// encoded returns the array, for one parameter of a statement.
func (a *array) encoded() []byte {
	binary.BigEndian.PutUint32(a.data[12:], a.elements)
	return a.data
}
