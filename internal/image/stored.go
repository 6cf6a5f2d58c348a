package image

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Stored is an unpacked code zip of the cache.
type Stored struct {
	Digest string
	// Size and Files are those of Code; Size has what is fitted of it besides.
	Size  int64
	Files int
	Used  time.Time // when it was last opened or released
	Held  bool
}

// List looks at all that the cache has, in the order of digests.
func (c *Cache) List() ([]Stored, error) {
	hashes := map[string]bool{}
	for _, parent := range []string{"sha256", fittedName} { // one may have lost the other
		entries, err := os.ReadDir(filepath.Join(c.dir, parent))
		if err != nil {
			return nil, fmt.Errorf("list code cache: %w", err)
		}
		for _, e := range entries {
			hashes[e.Name()] = true
		}
	}
	var out []Stored
	for _, hash := range slices.Sorted(maps.Keys(hashes)) {
		digest := digestPrefix + hash
		if _, err := parseDigest(digest); err != nil {
			continue // it is being unpacked or removed
		}
		one, err := c.stored(digest, hash)
		if errors.Is(err, fs.ErrNotExist) { // pruned meanwhile
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("list code cache: %s: %w", digest, err)
		}
		out = append(out, one)
	}
	return out, nil
}

// stored looks at one entry. One without a manifest that we can read is of another
// version of ours, or damaged: Unpack replaces it.
func (c *Cache) stored(digest, hash string) (Stored, error) {
	c.mu.Lock()
	m, err := c.readManifest(digest, hash)
	s := Stored{Digest: digest, Size: m.Size, Files: m.Files, Held: c.holds[digest] > 0}
	c.mu.Unlock()
	path := c.manifestPath(hash)
	if err != nil {
		path = filepath.Dir(path)
		s.Size, s.Files = treeSize(path), 0
	}
	s.Size += c.fittedSize(hash)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		info, err = os.Stat(filepath.Join(c.dir, fittedName, hash))
	}
	if err != nil {
		return s, err
	}
	s.Used = info.ModTime()
	return s, nil
}

func (c *Cache) manifestPath(hash string) string {
	return filepath.Join(c.dir, "sha256", hash, manifestName)
}

// touch remembers a use: List tells of it. Where that fails an entry looks older
// than it is, which nobody suffers from who holds it.
func (c *Cache) touch(hash string) {
	now := time.Now()
	_ = os.Chtimes(c.manifestPath(hash), now, now)
}

// Abandoned is what PruneAbandoned removed, or would have.
type Abandoned struct {
	Trees int
	Bytes int64
}

// PruneAbandoned removes what was half-unpacked or half-removed and was begun
// before a time, which lies further back than any unpacking takes. A start of the
// process removes it all.
func (c *Cache) PruneAbandoned(before time.Time, dryRun bool) (Abandoned, error) {
	var done Abandoned
	for _, parent := range []string{filepath.Join(c.dir, "sha256"), filepath.Join(c.dir, fittedName), filepath.Join(c.dir, "python")} {
		entries, err := os.ReadDir(parent)
		if err != nil {
			return done, fmt.Errorf("prune code cache: %w", err)
		}
		for _, e := range entries {
			info, err := e.Info()
			if err != nil || !strings.HasPrefix(e.Name(), tmpPrefix) || !info.ModTime().Before(before) {
				continue // it has its name by now, or is being worked on
			}
			path := filepath.Join(parent, e.Name())
			size := treeSize(path)
			if !dryRun {
				if err := os.RemoveAll(path); err != nil {
					return done, fmt.Errorf("prune code cache: %w", err)
				}
			}
			done.Trees++
			done.Bytes += size
		}
	}
	return done, nil
}

// treeSize is what the files of a tree have, in bytes, as far as they are there.
func treeSize(root string) int64 {
	var sum int64
	_ = filepath.WalkDir(root, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		if i, err := d.Info(); err == nil && i.Mode().IsRegular() {
			sum += i.Size()
		}
		return nil
	})
	return sum
}
