package crash

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// files are what a data directory holds, in the groups that tests can tell from
// outside.
type files struct {
	// Segments counts the files of large objects and parts.
	Segments int
	// Incoming and Spool are writes under way.
	Incoming, Spool []string
	// Code are the digests of unpacked zips.
	Code []string
	// Fitted are the digests of zips that something is known or kept of how they fit
	// this machine.
	Fitted []string
	// Others are all other files. Those that any server may or may not have at
	// the moment (SQLite's log, the sandbox executable, snapshots, what agents store)
	// are left out.
	Others []string
}

var passing = regexp.MustCompile(`^(.*\.db-(wal|shm|journal)|sandbox/outcrop-sandbox-[0-9a-f]{16}|code/python/[0-9a-f]{16}/.*|snapshots/(versions|sessions)/[0-9a-f]{32}-[0-9a-f]{32}-[0-9a-f]{32}\.sealed|session-storage/[0-9a-f]+/.*)$`)

func inventory(t *testing.T, dataDir string) files {
	t.Helper()
	var f files
	err := filepath.WalkDir(dataDir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dataDir, path)
		if err != nil {
			return err
		}
		if rest, ok := strings.CutPrefix(name, "code/sha256/"); ok && e.IsDir() {
			f.Code = append(f.Code, rest)
			return fs.SkipDir
		}
		switch {
		case e.IsDir() && !strings.HasPrefix(e.Name(), "tmp-"):
		case strings.HasPrefix(name, "objects/content/"):
			f.Segments++
		case strings.HasPrefix(name, "objects/incoming/"):
			f.Incoming = append(f.Incoming, name)
		case strings.HasPrefix(name, "spool/"):
			f.Spool = append(f.Spool, name)
		case strings.HasPrefix(name, "code/fitted/") && !strings.Contains(name, "/tmp-"):
			digest, _, _ := strings.Cut(strings.TrimPrefix(name, "code/fitted/"), "/")
			f.Fitted = append(f.Fitted, digest)
		case !passing.MatchString(name):
			f.Others = append(f.Others, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// same tells how two differ.
func (f files) same(want files) error {
	if f.Segments == want.Segments && len(f.Incoming) == 0 && len(f.Spool) == 0 &&
		slices.Equal(f.Code, want.Code) && !slices.ContainsFunc(f.Fitted, func(digest string) bool { return !slices.Contains(f.Code, digest) }) && slices.Equal(f.Others, want.Others) {
		return nil
	}
	return fmt.Errorf("the data directory holds %+v, want %+v", f, want)
}
