package gvisor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// Leftover is a file of an engine's directory that its engine does not need.
type Leftover struct {
	Path  string
	Bytes int64
	// Half: it was never unpacked to its end. Else it is an executable that
	// another version unpacked.
	Half bool
}

// Files is what the directory of an engine holds.
type Files struct {
	Leftovers []Leftover
	// Used is the size of what is in use, in bytes; 0 for one in memory.
	Used int64
}

const (
	executablePrefix = "outcrop-sandbox-"
	unpackPrefix     = ".unpack-"
)

// FilesOf looks at an engine's directory. What is younger than before belongs to
// somebody who is unpacking, or about to run what was unpacked, such as another
// version's self-test.
func FilesOf(cfg Config, before time.Time) (Files, error) { return filesOf(embedded, cfg, before) }

func filesOf(files fs.FS, cfg Config, before time.Time) (Files, error) {
	var found Files
	used := ""
	switch digest, err := packedDigest(files, runtime.GOARCH); {
	case err == nil:
		used = unpackedName(digest)
	case !errors.Is(err, fs.ErrNotExist): // a build without it
		return found, fmt.Errorf("look at sandbox executables: %w", err)
	}
	configured, _ := os.Stat(cfg.Executable) // nil: it lies nowhere
	entries, err := os.ReadDir(cfg.Dir)
	if err != nil {
		return found, fmt.Errorf("look at sandbox executables: %w", err)
	}
	for _, e := range entries {
		half := strings.HasPrefix(e.Name(), unpackPrefix)
		if !half && !strings.HasPrefix(e.Name(), executablePrefix) {
			continue
		}
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		switch {
		case e.Name() == used || configured != nil && os.SameFile(info, configured):
			found.Used += info.Size()
		case info.ModTime().Before(before):
			found.Leftovers = append(found.Leftovers, Leftover{Path: filepath.Join(cfg.Dir, e.Name()), Bytes: info.Size(), Half: half})
		}
	}
	return found, nil
}

// unpackedName is the file that an executable is unpacked to.
func unpackedName(digest string) string { return executablePrefix + digest[:16] }
