package store

import (
	"bytes"
	"fmt"
	"iter"
)

// Row is one entry of an ordered table, for data whose natural key is a path:
// the index of objects in a bucket, the parts of an upload.
type Row struct {
	Key, Value []byte
}

// Range selects rows by key, compared byte by byte.
type Range struct {
	// From is the smallest key; nil starts at the first row.
	From []byte
	// To is the first key that is left out; nil goes to the last row.
	To []byte
	// Reverse yields the largest key first.
	Reverse bool
	// Limit is the largest number of rows, 0 for all.
	Limit int
}

// Prefix is the range of all keys that begin with prefix.
func Prefix(prefix []byte) Range {
	return Range{From: prefix, To: PrefixEnd(prefix)}
}

// PrefixEnd is the smallest key after all that begin with prefix, or nil when
// there is none.
func PrefixEnd(prefix []byte) []byte {
	for n := len(prefix); n > 0; n-- {
		if prefix[n-1] != 0xff {
			end := bytes.Clone(prefix[:n])
			end[n-1]++
			return end
		}
	}
	return nil
}

// RowReader reads ordered rows. A table exists by being named.
type RowReader interface {
	// Row returns the value of a key, or ErrNotFound.
	Row(table string, key []byte) ([]byte, error)
	// Rows yields the rows of a range in order. Writing while it runs is
	// allowed: a row before the position is not seen again, one after it may
	// be. After an error it stops. The slices are the caller's.
	Rows(table string, r Range) iter.Seq2[Row, error]
}

// RowWriter writes ordered rows. Each write touches RowTopic(table). A key is
// 1 to 4096 bytes, a value at most 1 MiB.
type RowWriter interface {
	// PutRow stores a value under a key, in place of an older one.
	PutRow(table string, key, value []byte) error
	// DeleteRow removes a key; one that is not there is no error.
	DeleteRow(table string, key []byte) error
	// DeleteRows removes at most r.Limit rows of a range (0 for all) and
	// returns how many. Reverse is not regarded.
	DeleteRows(table string, r Range) (int64, error)
}

// The bounds of a row.
const (
	MaxRowKey   = 4096
	MaxRowValue = 1 << 20
)

// CheckRow validates the arguments of PutRow.
func CheckRow(table string, key, value []byte) error {
	if table == "" || len(key) == 0 || len(key) > MaxRowKey || len(value) > MaxRowValue {
		return fmt.Errorf("check row of %q with a key of %d and a value of %d bytes: %w", table, len(key), len(value), ErrInvalid)
	}
	return CheckText(table)
}
