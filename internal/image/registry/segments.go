package registry

import (
	"context"
	"fmt"

	"github.com/outcrop/outcrop/internal/object/segment"
	"github.com/outcrop/outcrop/internal/store"
)

// Segments calls fn with every segment that the store of a Storage names: those
// whose files must be there. It reads page by page, so the store is one that
// nobody writes to, such as a copy.
func Segments(ctx context.Context, s store.Store, fn func(segment.ID) error) error {
	return store.EachRow(ctx, s, tableSegment, func(row store.Row) error {
		var id segment.ID
		if len(row.Key) != len(id) {
			return fmt.Errorf("list segments of images: %q is no segment", row.Key)
		}
		copy(id[:], row.Key)
		return fn(id)
	})
}
