package wheel

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Pin is one distribution, and the very build of it once it was fetched.
type Pin struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	// File is the wheel's name, where the installer tells it.
	File string `json:"file,omitempty"`
	// Hash is "sha256:" and that of the wheel in hexadecimal, or "tree-sha256:" and
	// that of the installed files where no wheel was seen; empty before it is known.
	Hash string `json:"hash,omitempty"`
	// By is the installer.
	By string `json:"by,omitempty"`
}

// String is the distribution for a person.
func (p Pin) String() string { return p.Name + " " + p.Version }

// Request is what to fetch for which machine.
type Request struct {
	// Python is the interpreter that is to run it, and Pythons are others of this
	// host whose pip may do.
	Python  string
	Pythons []string
	// Wanted are the distributions; one whose Hash is given must be that build.
	Wanted []Pin
	// Dir is an empty directory that the answer may fill.
	Dir    string
	Limits Limits
	// Note is told in a line what happens.
	Note func(text string)
}

// Fetched is one distribution, laid out as by --target in a directory of its own.
type Fetched struct {
	Pin
	Tree string
}

// Unavailable says that an index did not answer with what was wanted.
type Unavailable struct {
	// Missing have no wheel for this machine; empty where that is not the reason.
	Missing []Pin
	// Reason is a sentence for a person without a final full stop.
	Reason string
	Err    error
}

func (u *Unavailable) Error() string { return u.Reason }

// Unwrap returns the cause.
func (u *Unavailable) Unwrap() error { return u.Err }

// Verify holds a fetched tree to what was wanted: regular files alone, within the
// limits, the distribution asked for and no other, by the same makers as the one that it
// replaces, and nothing in it that machine cannot run.
func Verify(ctx context.Context, f Fetched, old Distribution, machine string, limits Limits) error {
	files, bytes := 0, int64(0)
	err := filepath.WalkDir(f.Tree, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		files, bytes = files+1, bytes+info.Size()
		switch {
		case !d.Type().IsRegular():
			return Bad("%s has %q, which is no regular file", f.Pin, filepath.Base(name))
		case files > limits.Files || bytes > limits.Bytes:
			return Bad("%s has more than %d files or %d MB", f.Pin, limits.Files, limits.Bytes>>20)
		}
		return nil
	})
	if err != nil {
		return err
	}
	infos, err := filepath.Glob(filepath.Join(escape(f.Tree), "*.dist-info"))
	if err != nil {
		return err
	}
	if len(infos) != 1 {
		return Bad("%s has %d dist-info directories", f.Pin, len(infos))
	}
	s := scan{dir: f.Tree, machine: machine, here: "linux " + machine}
	d, err := s.describe(filepath.Base(infos[0]))
	if err != nil {
		return err
	}
	if Normal(d.Name) != Normal(f.Name) || !strings.EqualFold(d.Version, f.Version) {
		return Bad("it is %s %s, and %s was asked for", d.Name, d.Version, f.Pin)
	}
	if d.about != old.about {
		return Bad("the %s of the index has another summary or author than that of the zip: it may be another package of that name", f.Pin)
	}
	r, err := Scan(ctx, f.Tree, machine)
	if err != nil {
		return err
	}
	if !r.Clean() {
		return Bad("%s has native code for another machine than linux %s", f.Pin, machine)
	}
	return nil
}

// escape makes a path match itself in filepath.Glob.
func escape(name string) string {
	return strings.NewReplacer(`\`, `\\`, `[`, `\[`, `*`, `\*`, `?`, `\?`).Replace(name)
}

// Graft copies the tree base to out, an empty directory, with the distributions
// old left out and fetched put where they were: files of base that are kept are hard links,
// so that they cost no room. Others are distributions whose files stay. It returns
// how many bytes it wrote and how many files out has.
func Graft(ctx context.Context, base, out string, r Report, fetched []Fetched) (written int64, files int, err error) {
	g := graft{base: base, gone: map[string]bool{}, infos: map[string]bool{}}
	kept := map[string]bool{}
	for _, d := range r.Others {
		for _, f := range d.Files {
			kept[f] = true
		}
	}
	for _, d := range r.Foreign {
		g.infos[d.Info] = true
		for _, f := range d.Files {
			// Scripts that pip made of entry points run everywhere, and no wheel has them.
			if script := strings.HasPrefix(f, path.Join(d.Site, "bin")+"/") && !slices.ContainsFunc(d.Foreign, func(n File) bool { return n.Path == f }); !script && !kept[f] {
				g.gone[f] = true
			}
		}
		for _, f := range d.Foreign {
			g.gone[f.Path] = true
		}
	}
	if g.root, err = os.OpenRoot(out); err != nil {
		return 0, 0, err
	}
	defer g.root.Close()
	if err := g.copyDir(ctx, "."); err != nil {
		return 0, 0, fmt.Errorf("copy code: %w", err)
	}
	for _, f := range fetched {
		i := slices.IndexFunc(r.Foreign, func(d Distribution) bool { return Normal(d.Name) == Normal(f.Name) })
		if i < 0 {
			return 0, 0, fmt.Errorf("put %s in: it replaces nothing", f.Pin)
		}
		if err := g.put(ctx, f.Tree, r.Foreign[i].Site); err != nil {
			return 0, 0, fmt.Errorf("put %s in: %w", f.Pin, err)
		}
	}
	return g.written, g.files, nil
}
