package object

import (
	"bytes"
	"context"
	"strings"

	"github.com/outcrop/outcrop/internal/store"
)

// view takes a page of what a bucket of the account holds, called what.
func view[Query, Page any](ctx context.Context, s *Storage, account, bucket, what string, q Query,
	list func(store.Reader, string, Query) (Page, error)) (page Page, err error) {
	err = s.store.View(ctx, func(r store.Reader) (err error) {
		if _, err := readBucket(r, account, bucket); err != nil {
			return err
		}
		page, err = list(r, bucket, q)
		return err
	})
	if err != nil {
		var none Page
		return none, failed(err, "list %s of %s", what, bucket)
	}
	return page, nil
}

// scan walks the rows of a bucket in the order of their keys and rolls those up
// whose key holds the delimiter after the prefix. It is the one engine of the
// three listings.
type scan struct {
	table     string
	bucket    string
	prefix    string
	delimiter string
	limit     int
	// escaped says that something follows the key in the row keys.
	escaped bool
	// under is a key whose own common prefix was listed before and is passed
	// over, as S3 does for a marker but not for start-after; empty is none.
	under string
	// item is told each row that is not rolled up.
	item func(key string, rest, value []byte) error
	// roll is told each common prefix.
	roll func(prefix string)
}

func (s *scan) row(key string) []byte {
	if s.escaped {
		key = escapeKey(key)
	}
	return []byte(s.bucket + "\x00" + key)
}

func (s *scan) split(row []byte) (key string, rest []byte, err error) {
	row = row[len(s.bucket)+1:]
	if !s.escaped {
		return string(row), nil, nil
	}
	key, rest, ok := cutKey(row)
	if !ok {
		return "", nil, errDamaged
	}
	return key, rest, nil
}

// common is the common prefix that a key is rolled up into, or empty.
func (s *scan) common(key string) string {
	if s.delimiter == "" || len(key) < len(s.prefix) {
		return ""
	}
	i := strings.Index(key[len(s.prefix):], s.delimiter)
	if i < 0 {
		return ""
	}
	return key[:len(s.prefix)+i+len(s.delimiter)]
}

const (
	// passBy is how many rows below a common prefix are read before it is
	// cheaper to look for its end.
	passBy = 8
	// firstRows is how many rows are read at once with a delimiter, where a
	// jump may follow; each reading that needs no jump doubles it.
	firstRows = 16
)

// run lists from the row key from on and reports whether there was more than
// limit allows; where it allows nothing it says that there was not.
func (s *scan) run(r store.Reader, from []byte) (more bool, err error) {
	if s.limit <= 0 {
		return false, nil
	}
	begin := s.row(s.prefix)
	within := store.Range{From: begin, To: store.PrefixEnd(begin)}
	if bytes.Compare(from, begin) > 0 {
		within.From = from
	}
	within.Limit = s.limit + 1
	if s.delimiter != "" {
		within.Limit = firstRows
	}
	count := 0
	for {
		next, full, err := s.read(r, within, &count)
		if err != nil || full {
			return full, err
		}
		if next.from == nil {
			return false, nil
		}
		within.From = next.from
		within.Limit = min(2*within.Limit, MaxPage+1)
		if next.jump {
			within.Limit = firstRows
		}
	}
}

// position is where to read on; a nil from is the end.
type position struct {
	from []byte
	jump bool
}

func (s *scan) read(r store.Reader, within store.Range, count *int) (next position, full bool, err error) {
	var passing []byte // what the rows of the common prefix begin with
	passed, seen := 0, 0
	var last []byte
	for row, err := range r.Rows(s.table, within) {
		if err != nil {
			return next, false, err
		}
		seen++
		last = row.Key
		if passing != nil && bytes.HasPrefix(row.Key, passing) {
			if passed++; passed >= passBy {
				return position{from: store.PrefixEnd(passing), jump: true}, false, nil
			}
			continue
		}
		passing = nil
		key, rest, err := s.split(row.Key)
		if err != nil {
			return next, false, err
		}
		common := s.common(key)
		listed := common != "" && s.under != "" && strings.HasPrefix(s.under, common)
		if !listed {
			if *count == s.limit {
				return next, true, nil
			}
			*count++
		}
		switch {
		case common == "":
			if err := s.item(key, rest, row.Value); err != nil {
				return next, false, err
			}
		default:
			if !listed {
				s.roll(common)
			}
			passing, passed = s.row(common), 0
		}
	}
	if seen < within.Limit {
		return position{}, false, nil
	}
	if passing != nil {
		return position{from: store.PrefixEnd(passing), jump: true}, false, nil
	}
	return position{from: append(last, 0)}, false, nil
}
