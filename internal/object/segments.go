package object

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
	return store.EachRow(ctx, s, tableContent, func(row store.Row) error {
		var id segment.ID
		if len(row.Key) != len(id) {
			return nil // the members of a list
		}
		c, err := decodeContent(row.Value)
		if err != nil {
			return fmt.Errorf("list segments of objects: content %x: %w", row.Key, err)
		}
		if c.kind != kindFile {
			return nil
		}
		copy(id[:], row.Key)
		return fn(id)
	})
}
