package store

import (
	"bytes"
	"context"
	"fmt"
)

// The bounds of what EachRow reads in one transaction: rows, and bytes of them.
const (
	pageRows  = 1000
	pageBytes = 1 << 20
)

// EachRow calls fn with every row of a table, in the order of their keys, outside
// of any transaction, so that fn may take its time. It reads page by page: of a
// store that is written to meanwhile, a row that comes or goes may be seen or not,
// and none is seen twice. The slices are fn's. An error of fn ends it and is
// returned as it is; others are those of View.
func EachRow(ctx context.Context, s Store, table string, fn func(Row) error) error {
	var from []byte
	for more := true; more; {
		var page []Row
		err := s.View(ctx, func(r Reader) error {
			page, more = nil, false
			size := 0
			for row, err := range r.Rows(table, Range{From: from}) {
				if err != nil {
					return err
				}
				page = append(page, row)
				size += len(row.Key) + len(row.Value)
				if len(page) == pageRows || size >= pageBytes {
					more = true
					return nil
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("list rows of %s: %w", table, err)
		}
		if more {
			from = append(bytes.Clone(page[len(page)-1].Key), 0) // the smallest key after it
		}
		for _, row := range page {
			if err := fn(row); err != nil {
				return err
			}
		}
	}
	return nil
}
