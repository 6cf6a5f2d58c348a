package object

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/outcrop/outcrop/internal/object/segment"
	"github.com/outcrop/outcrop/internal/store"
)

// kind tells what a content is.
type kind byte

const (
	// kindSmall has its bytes in its own row.
	kindSmall kind = 's'
	// kindFile is the segment of the same id.
	kindFile kind = 'f'
	// kindList is a list of contents of kindFile that belong to it alone: the parts of a multipart object, in chunks of listChunk.
	kindList kind = 'l'
)

// smallSize is the largest content that is kept in a row: there it costs one
// fsync, shared with other transactions, instead of three of its own.
const smallSize = 16 << 10

// alwaysFile is for the parts of uploads: what a list holds are files, so that
// its reader needs nothing but them.
const alwaysFile = -1

// listChunk is how many members of a list are in one row, and how many contents
// a transaction of the collector gives up.
const listChunk = 1000

// content is the row of a content. Its bytes never change; refs counts the
// versions and parts that need it.
type content struct {
	kind  kind
	refs  uint64
	size  int64
	bytes []byte // of kindSmall
	parts uint64 // of kindList
}

// contentVersion is the first byte of a row, should another form come.
const contentVersion = 1

func (c content) encode() []byte {
	b := []byte{contentVersion, byte(c.kind)}
	b = binary.AppendUvarint(b, c.refs)
	b = binary.AppendUvarint(b, uint64(c.size))
	switch c.kind {
	case kindSmall:
		b = append(b, c.bytes...)
	case kindList:
		b = binary.AppendUvarint(b, c.parts)
	}
	return b
}

var errDamaged = errors.New("row is damaged")

func decodeContent(b []byte) (content, error) {
	if len(b) < 2 || b[0] != contentVersion {
		return content{}, fmt.Errorf("decode content: %w", errDamaged)
	}
	c := content{kind: kind(b[1])}
	r := rowBytes{rest: b[2:]}
	c.refs = r.uvarint()
	c.size = r.size()
	switch c.kind {
	case kindSmall:
		c.bytes = r.rest
		r.bad = r.bad || int64(len(c.bytes)) != c.size
	case kindList:
		c.parts = r.uvarint()
		r.bad = r.bad || len(r.rest) > 0 || c.parts > MaxParts
	case kindFile:
		r.bad = r.bad || len(r.rest) > 0
	default:
		r.bad = true
	}
	if r.bad {
		return content{}, fmt.Errorf("decode content: %w", errDamaged)
	}
	return c, nil
}

// member is one part of a list.
type member struct {
	id     segment.ID
	size   int64
	number int
	sum    []byte // the checksum of the part, in the object's algorithm
}

func encodeMembers(members []member) []byte {
	b := []byte{contentVersion}
	for _, m := range members {
		b = append(b, m.id[:]...)
		b = binary.AppendUvarint(b, uint64(m.size))
		b = binary.AppendUvarint(b, uint64(m.number))
		b = append(b, byte(len(m.sum)))
		b = append(b, m.sum...)
	}
	return b
}

func decodeMembers(b []byte) ([]member, error) {
	if len(b) == 0 || b[0] != contentVersion {
		return nil, fmt.Errorf("decode members of content: %w", errDamaged)
	}
	r := rowBytes{rest: b[1:]}
	var members []member
	for len(r.rest) > 0 && !r.bad {
		var m member
		copy(m.id[:], r.take(len(m.id)))
		m.size = r.size()
		number := r.uvarint()
		r.bad = r.bad || number > MaxParts
		m.number = int(number)
		if n := r.take(1); len(n) == 1 {
			m.sum = r.take(int(n[0]))
		}
		members = append(members, m)
	}
	if r.bad {
		return nil, fmt.Errorf("decode members of content: %w", errDamaged)
	}
	return members, nil
}

// rowBytes reads the pieces of a row; bad is set by the first that is not there.
type rowBytes struct {
	rest []byte
	bad  bool
}

func (r *rowBytes) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.bad, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *rowBytes) size() int64 {
	v := r.uvarint()
	if v > MaxObjectSize {
		r.bad = true
		return 0
	}
	return int64(v)
}

func (r *rowBytes) take(n int) []byte {
	if len(r.rest) < n {
		r.bad, r.rest = true, nil
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func readContent(r store.Reader, id segment.ID) (content, error) {
	row, err := r.Row(tableContent, id[:])
	if err != nil {
		return content{}, fmt.Errorf("read content %s: %w", id, err)
	}
	c, err := decodeContent(row)
	if err != nil {
		return c, fmt.Errorf("read content %s: %w", id, err)
	}
	return c, nil
}

func writeContent(tx store.Tx, id segment.ID, c content) error {
	return tx.PutRow(tableContent, id[:], c.encode())
}

// readMembers returns the parts of a list.
func readMembers(r store.Reader, id segment.ID, c content) ([]member, error) {
	members := make([]member, 0, c.parts)
	for chunk := range int(c.parts+listChunk-1) / listChunk {
		row, err := r.Row(tableContent, chunkKey(id, chunk))
		if err != nil {
			return nil, fmt.Errorf("read members of content %s: %w", id, err)
		}
		some, err := decodeMembers(row)
		if err != nil {
			return nil, fmt.Errorf("read members of content %s: %w", id, err)
		}
		members = append(members, some...)
	}
	return members, nil
}

// writeList writes a list whose members are counted already, for its first user.
func writeList(tx store.Tx, id segment.ID, members []member) error {
	c := content{kind: kindList, refs: 1, parts: uint64(len(members))}
	for _, m := range members {
		c.size += m.size
	}
	for chunk := 0; len(members) > 0; chunk++ {
		n := min(listChunk, len(members))
		if err := tx.PutRow(tableContent, chunkKey(id, chunk), encodeMembers(members[:n])); err != nil {
			return err
		}
		members = members[n:]
	}
	return writeContent(tx, id, c)
}

// retain counts one more user of a content.
func retain(tx store.Tx, id segment.ID) error {
	c, err := readContent(tx, id)
	if err != nil {
		return err
	}
	c.refs++
	return writeContent(tx, id, c)
}

// release counts one user of a content less. What nobody needs any more is
// garbage from the end of the transaction on; that costs the same however many
// parts it has.
func release(tx store.Tx, id segment.ID) error {
	c, err := readContent(tx, id)
	if err != nil {
		return err
	}
	c.refs--
	if c.refs > 0 {
		return writeContent(tx, id, c)
	}
	switch c.kind {
	case kindSmall:
		return tx.DeleteRow(tableContent, id[:])
	case kindFile:
		if err := tx.DeleteRow(tableContent, id[:]); err != nil {
			return err
		}
		return addGarbage(tx, garbageFile, id[:])
	default:
		if err := writeContent(tx, id, c); err != nil {
			return err
		}
		return addGarbage(tx, garbageList, id[:])
	}
}
