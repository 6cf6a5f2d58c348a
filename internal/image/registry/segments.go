package registry

import (
	"context"
	"fmt"

	"github.com/outcrop/outcrop/internal/object/segment"
	"github.com/outcrop/outcrop/internal/store"
)

// segmentPage is how many rows are read at a time.
const segmentPage = 1000

// Segments calls fn with every segment that the store of a Storage names: those
// whose files must be there. It reads page by page, so the store is one that
// nobody writes to, such as a copy.
func Segments(ctx context.Context, s store.Store, fn func(segment.ID) error) error {
	var from []byte
	for {
		var page []segment.ID
		next := from
		err := s.View(ctx, func(r store.Reader) error {
			page = nil
			for row, err := range r.Rows(tableSegment, store.Range{From: from, Limit: segmentPage}) {
				if err != nil {
					return err
				}
				var id segment.ID
				if len(row.Key) != len(id) {
					return fmt.Errorf("%q is no segment", row.Key)
				}
				copy(id[:], row.Key)
				page = append(page, id)
				next = append(append([]byte(nil), row.Key...), 0)
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("list segments of images: %w", err)
		}
		from = next
		for _, id := range page {
			if err := fn(id); err != nil {
				return err
			}
		}
		if len(page) < segmentPage {
			return nil
		}
	}
}
