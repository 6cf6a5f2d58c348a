package object

import (
	"context"
	"fmt"

	"github.com/outcrop/outcrop/internal/object/segment"
	"github.com/outcrop/outcrop/internal/store"
)

// segmentPage is how many contents are read at a time.
const segmentPage = 1000

// Segments calls fn with every segment that the store of a Storage names: those
// whose files must be there. It reads page by page, so the store is one that
// nobody writes to, such as a copy.
func Segments(ctx context.Context, s store.Store, fn func(segment.ID) error) error {
	var from []byte
	for {
		var page []segment.ID
		var read int
		next := from
		err := s.View(ctx, func(r store.Reader) error {
			page, read = nil, 0
			for row, err := range r.Rows(tableContent, store.Range{From: from, Limit: segmentPage}) {
				if err != nil {
					return err
				}
				read++
				next = append(append([]byte(nil), row.Key...), 0)
				var id segment.ID
				if len(row.Key) != len(id) {
					continue // the members of a list
				}
				c, err := decodeContent(row.Value)
				if err != nil {
					return fmt.Errorf("content %x: %w", row.Key, err)
				}
				if c.kind == kindFile {
					copy(id[:], row.Key)
					page = append(page, id)
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("list segments of objects: %w", err)
		}
		from = next
		for _, id := range page {
			if err := fn(id); err != nil {
				return err
			}
		}
		if read < segmentPage {
			return nil
		}
	}
}
