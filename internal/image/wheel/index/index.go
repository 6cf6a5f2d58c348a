// Package index asks the package index that this machine is configured with for
// wheels, by its pip or its uv.
//
// Nothing is built and nothing of a package is executed: wheels alone are taken
// (--only-binary), without what they depend on. The installer gets the operator's
// settings of indexes, proxies and certificates, and nothing else of the server's
// environment; it has no shell, and its time, memory, files and output are bounded.
package index

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/image/wheel"
)

// Config says whose settings and which installer.
type Config struct {
	// Env is the environment of the server, NAME=VALUE.
	Env []string
	// Home is the home directory of its user, where pip.conf and uv.toml are; empty
	// for none.
	Home string
	// Trusted reports whether nobody but root and the server's user can change a
	// program; nil trusts all.
	Trusted func(path string) bool
	// Timeout bounds one request; 0 is DefaultTimeout.
	Timeout time.Duration
}

// DefaultTimeout is what a hundred megabytes of wheels need on a slow line, well
// within the time of a work item.
const DefaultTimeout = 8 * time.Minute

// Index fetches wheels. It is safe for concurrent use.
type Index struct{ cfg Config }

// New returns an Index; it runs nothing yet.
func New(cfg Config) *Index {
	if cfg.Timeout == 0 {
		cfg.Timeout = DefaultTimeout
	}
	return &Index{cfg: cfg}
}

// Fetch fetches what is wanted, each distribution into a directory of its own below
// r.Dir. An error that matches *wheel.Unavailable or wheel.ErrBad is for who asked;
// any other is this machine's.
func (x *Index) Fetch(ctx context.Context, r wheel.Request) ([]wheel.Fetched, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, x.cfg.Timeout, errLate)
	defer cancel()
	t, err := x.tool(ctx, r)
	if err != nil {
		return nil, err
	}
	r.Note(fmt.Sprintf("fetching %s by %s", text(r.Wanted), t.name))
	fetched, err := x.fetch(ctx, t, r)
	if err != nil {
		return nil, late(ctx, err)
	}
	for _, f := range fetched {
		r.Note(fmt.Sprintf("fetched %s: %s %s", f.Pin, f.File, f.Hash))
	}
	return fetched, nil
}

var errLate = errors.New("it took too long")

// late words the end of the time that there is.
func late(ctx context.Context, err error) error {
	if errors.Is(context.Cause(ctx), errLate) {
		return &wheel.Unavailable{Reason: "the package index did not answer in time", Err: errLate}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

func text(pins []wheel.Pin) string {
	names := make([]string, len(pins))
	for i, p := range pins {
		names[i] = p.String()
	}
	return strings.Join(names, ", ")
}

func (x *Index) fetch(ctx context.Context, t tool, r wheel.Request) ([]wheel.Fetched, error) {
	if output, err := t.run(ctx, x, r, r.Wanted, filepath.Join(r.Dir, "all")); err != nil {
		return nil, x.explain(ctx, t, r, output, err)
	}
	if t.wheels {
		return collect(ctx, r, t.name, filepath.Join(r.Dir, "all"))
	}
	return trees(ctx, r, t.name, filepath.Join(r.Dir, "all"))
}

// collect unpacks the wheels of a directory, one for each that is wanted.
func collect(ctx context.Context, r wheel.Request, by, dir string) ([]wheel.Fetched, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var fetched []wheel.Fetched
	for i, want := range r.Wanted {
		at := slices.IndexFunc(entries, func(e fs.DirEntry) bool {
			name, _, _ := strings.Cut(e.Name(), "-")
			return e.Type().IsRegular() && strings.HasSuffix(e.Name(), ".whl") && wheel.Normal(name) == wheel.Normal(want.Name)
		})
		if at < 0 {
			return nil, fmt.Errorf("fetch %s: %s left no wheel of it", want, by)
		}
		f := wheel.Fetched{Pin: want, Tree: filepath.Join(r.Dir, fmt.Sprintf("tree-%d", i))}
		f.File, f.By = entries[at].Name(), by
		file := filepath.Join(dir, f.File)
		if f.Hash, err = hashFile(file); err != nil {
			return nil, err
		}
		if err := unpack(ctx, file, f.Tree, r.Limits); errors.Is(err, wheel.ErrBad) {
			return nil, wheel.Bad("%s: %s", f.File, wheel.Text(err))
		} else if err != nil {
			return nil, fmt.Errorf("unpack %s: %w", f.File, err)
		}
		if err := os.Remove(file); err != nil {
			return nil, err
		}
		fetched = append(fetched, f)
	}
	return fetched, nil
}

func unpack(ctx context.Context, file, dir string, limits wheel.Limits) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	return wheel.Unpack(ctx, f, info.Size(), dir, limits)
}

func hashFile(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil)), nil
}

// trees takes what was installed, each in a directory called by its number.
func trees(ctx context.Context, r wheel.Request, by, dir string) ([]wheel.Fetched, error) {
	var fetched []wheel.Fetched
	for i, want := range r.Wanted {
		f := wheel.Fetched{Pin: want, Tree: filepath.Join(dir, fmt.Sprint(i))}
		f.By = by
		err := os.Remove(filepath.Join(f.Tree, ".lock")) // uv's own
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if f.Hash, err = hashTree(ctx, f.Tree, r.Limits); err != nil {
			return nil, err
		}
		fetched = append(fetched, f)
	}
	return fetched, nil
}

// hashTree names the content of an installed distribution, apart from what the
// installer writes of itself.
func hashTree(ctx context.Context, dir string, limits wheel.Limits) (string, error) {
	h := sha256.New()
	left := limits.Bytes
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil || d.IsDir() {
			return err
		}
		rel := strings.TrimPrefix(name, dir+"/")
		if strings.Contains(filepath.Dir(rel), ".dist-info") && slices.Contains([]string{"RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json", "uv_build.json"}, d.Name()) ||
			strings.HasPrefix(rel, "bin/") {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if left -= info.Size(); left < 0 || !info.Mode().IsRegular() {
			return wheel.Bad("%s is no regular file, or too large", rel)
		}
		sum, err := hashFile(name)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(h, "%s\x00%s\n", rel, sum)
		return err
	})
	return "tree-sha256:" + hex.EncodeToString(h.Sum(nil)), err
}
