package picture

import (
	"bytes"
)

// kinds of items of a picture that say more than pixels.
const (
	itemExif = "Exif"
	itemMIME = "mime"
	typeXMP  = "application/rdf+xml"
)

// metadataItems overwrites the items of a picture that are Exif or XMP.
func (b *boxes) metadataItems(m metaBoxes, depth int) error {
	if m.items.kind == "" || m.locations.kind == "" || m.items.size > maxTable || m.locations.size > maxTable {
		return nil
	}
	kinds, err := b.itemKinds(m.items, depth)
	if err != nil || len(kinds) == 0 {
		return err
	}
	table, err := b.read(m.locations, maxTable)
	if err != nil {
		return err
	}
	l := locations{fields: fields{b: table}, data: m.data}
	return l.each(func(item uint64, begins int64, extents []extent) error {
		kind, is := kinds[item]
		if !is {
			return nil
		}
		for i, e := range extents {
			p := patch{at: begins + e.at, size: e.size, fill: ' '}
			if kind == itemExif {
				p.fill = 0
			}
			if kind == itemExif && i == 0 && e.size >= int64(len(noTags)) {
				p.text = noTags
			}
			if err := b.overwrite(p); err != nil {
				return err
			}
		}
		return nil
	})
}

// itemKinds returns the items that are Exif or XMP, ISO/IEC 14496-12, 8.11.6.
func (b *boxes) itemKinds(items box, depth int) (map[uint64]string, error) {
	head, err := b.read(items, 8)
	if err != nil || len(head) < 8 {
		return nil, err
	}
	at := items.at + 6 // a version, flags, and how many there are
	if head[0] > 0 {
		at += 2
	}
	kinds := make(map[uint64]string)
	err = b.walk(at, items.at+items.size, depth+1, func(entry box) error {
		body, err := b.read(entry, 512)
		if err != nil || entry.kind != "infe" || len(body) < 4 || body[0] < 2 {
			return err
		}
		f, wide := fields{b: body[4:]}, 2
		if body[0] > 2 {
			wide = 4
		}
		id := f.number(wide)
		f.number(2) // how it is protected
		switch kind := f.text(4); {
		case f.short:
		case kind == itemExif:
			kinds[id] = itemExif
		case kind == itemMIME:
			_, rest, _ := bytes.Cut(f.b, []byte{0}) // behind the name
			if contentType, _, _ := bytes.Cut(rest, []byte{0}); string(contentType) == typeXMP {
				kinds[id] = itemMIME
			}
		}
		return nil
	})
	return kinds, err
}

// fields reads numbers from bytes. When they are too short, all are 0.
type fields struct {
	b     []byte
	short bool
}

// number reads a number of up to 8 bytes.
func (f *fields) number(size int) (n uint64) {
	for _, b := range []byte(f.text(size)) {
		n = n<<8 | uint64(b)
	}
	return n
}

func (f *fields) text(size int) string {
	if len(f.b) < size {
		f.b, f.short = nil, true
		return ""
	}
	text := string(f.b[:size])
	f.b = f.b[size:]
	return text
}

// extent is a part of an item.
type extent struct{ at, size int64 }

// locations is where the items are, ISO/IEC 14496-12, 8.11.3.
type locations struct {
	fields
	data box // which may have items in it
}

// each calls a function for each item whose extents are in the file.
func (l *locations) each(visit func(item uint64, begins int64, extents []extent) error) error {
	version := l.number(1)
	l.number(3)
	sizes := l.number(2)
	offset, length, base, index := int(sizes>>12), int(sizes>>8&15), int(sizes>>4&15), int(sizes&15)
	if version > 2 || max(offset, length, base, index) > 8 || length == 0 { // an extent takes a byte at least
		return nil
	}
	wide := 2
	if version == 2 {
		wide = 4
	}
	if version == 0 {
		index = 0
	}
	for range l.number(wide) {
		item, method := l.number(wide), uint64(0)
		if version > 0 {
			method = l.number(2) & 15
		}
		reference, begins := l.number(2), int64(l.number(base))
		var extents []extent
		for range l.number(2) {
			l.number(index)
			extents = append(extents, extent{int64(l.number(offset)), int64(l.number(length))})
			if l.short {
				return nil
			}
		}
		switch {
		case l.short:
			return nil
		case reference != 0 || method > 1 || method == 1 && l.data.kind == "":
			continue // it is elsewhere, or made of other items
		case method == 1:
			begins += l.data.at
		}
		if err := visit(item, begins, extents); err != nil {
			return err
		}
	}
	return nil
}
