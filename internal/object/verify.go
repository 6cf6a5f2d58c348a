package object

import (
	"context"
	"errors"
	"fmt"

	"github.com/outcrop/outcrop/internal/object/segment"
	"github.com/outcrop/outcrop/internal/store"
)

// Lost is what Verify found.
type Lost struct {
	// Unnamed are files that nothing names; they were removed.
	Unnamed []segment.ID
	// Missing are contents whose file is gone: damage from outside.
	Missing []segment.ID
}

// Verify compares all files with all rows. It reads the whole index and is for
// tests and for an operator's check, beside writes if need be.
func (s *Storage) Verify(ctx context.Context) (Lost, error) {
	var lost Lost
	files := map[segment.ID]bool{}
	incoming := map[segment.ID]bool{}
	if err := s.segments.Each(func(id segment.ID) error { files[id] = true; return nil }); err != nil {
		return lost, fmt.Errorf("verify objects: %w", err)
	}
	// After the files: a segment that was incoming before them and is not now
	// has its row by now.
	ids, err := s.segments.Incoming()
	if err != nil {
		return lost, fmt.Errorf("verify objects: %w", err)
	}
	for _, id := range ids {
		incoming[id] = true
	}
	err = s.store.View(ctx, func(r store.Reader) error {
		lost = Lost{}
		named := map[segment.ID]bool{}
		for row, err := range r.Rows(tableContent, store.Range{}) {
			if err != nil {
				return err
			}
			if len(row.Key) != len(segment.ID{}) {
				continue // a chunk of a list
			}
			c, err := decodeContent(row.Value)
			if err != nil {
				return err
			}
			if c.kind == kindFile {
				id := segment.ID(row.Key)
				named[id] = true
				if !files[id] {
					lost.Missing = append(lost.Missing, id)
				}
			}
		}
		for row, err := range r.Rows(tableGarbage, store.Prefix([]byte{garbageFile})) {
			if err != nil {
				return err
			}
			named[segment.ID(row.Key[1:])] = true
		}
		for id := range files {
			if !named[id] && !incoming[id] {
				lost.Unnamed = append(lost.Unnamed, id)
			}
		}
		return nil
	})
	if err != nil {
		return lost, fmt.Errorf("verify objects: %w", err)
	}
	if lost.Missing, err = s.reallyMissing(ctx, lost.Missing); err != nil {
		return lost, fmt.Errorf("verify objects: %w", err)
	}
	for _, id := range lost.Unnamed {
		err = errors.Join(err, s.segments.Remove(id))
	}
	return lost, err
}

// reallyMissing leaves out contents that were written after the files were
// listed, or given up since.
func (s *Storage) reallyMissing(ctx context.Context, ids []segment.ID) ([]segment.ID, error) {
	var missing []segment.ID
	for _, id := range ids {
		f, err := s.segments.Open(id)
		if err == nil {
			f.Close()
			continue
		}
		still, err := s.named(ctx, id)
		if err != nil {
			return nil, err
		}
		if still {
			missing = append(missing, id)
		}
	}
	return missing, nil
}
