package durable_test

import (
	"errors"
	"io/fs"
	"path/filepath"
	"testing"

	"github.com/outcrop/outcrop/internal/durable"
)

// A crash cannot be had in a test; that the calls name what is wrong can.
func TestErrors(t *testing.T) {
	dir := t.TempDir()
	for name, sync := range map[string]func(string) error{"Dir": durable.Dir, "Tree": durable.Tree} {
		if err := sync(dir); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		var missing *fs.PathError
		if err := sync(filepath.Join(dir, "none")); !errors.As(err, &missing) || !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s of what is not there = %v", name, err)
		}
	}
}
