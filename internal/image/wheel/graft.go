package wheel

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
)

// graft makes one tree of another.
type graft struct {
	base    string
	root    *os.Root        // of the new tree, which nobody else sees
	gone    map[string]bool // files that are not taken over
	infos   map[string]bool // nor are these directories
	written int64
	files   int
}

// copyDir takes one directory of base over. One that loses all it had is left out.
func (g *graft) copyDir(ctx context.Context, dir string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	entries, err := os.ReadDir(filepath.Join(g.base, filepath.FromSlash(dir)))
	if err != nil {
		return err
	}
	if dir != "." {
		if err := g.mkdir(dir); err != nil {
			return err
		}
	}
	lost := 0
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		switch {
		case g.infos[name], g.gone[name], path.Base(dir) == "__pycache__" && g.gone[source(name)]:
			lost++
		case e.IsDir():
			if err := g.copyDir(ctx, name); err != nil {
				return err
			}
		default:
			if err := g.copyFile(name, e.Type()); err != nil {
				return err
			}
		}
	}
	if lost > 0 && dir != "." {
		// Not empty is the ordinary case.
		if err := g.root.Remove(dir); err != nil && !errors.Is(err, syscall.ENOTEMPTY) && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}

// source is what a file of __pycache__ was compiled from.
func source(compiled string) string {
	stem, _, _ := strings.Cut(path.Base(compiled), ".")
	return path.Join(path.Dir(path.Dir(compiled)), stem+".py")
}

func (g *graft) mkdir(dir string) error {
	if err := g.root.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return g.root.Chmod(dir, 0o755) // whatever the umask
}

// copyFile takes a file over as another name of it, or as a copy where the file
// system has no hard links.
func (g *graft) copyFile(name string, kind fs.FileMode) error {
	from, to := filepath.Join(g.base, filepath.FromSlash(name)), filepath.Join(g.root.Name(), filepath.FromSlash(name))
	g.files++
	if kind&fs.ModeSymlink != 0 {
		target, err := os.Readlink(from)
		if err != nil {
			return err
		}
		return g.root.Symlink(target, name)
	}
	err := os.Link(from, to) // no link lies on the way: this directory was made by copyDir
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EMLINK) || errors.Is(err, syscall.ENOTSUP) || errors.Is(err, syscall.EXDEV) {
		return g.write(from, name)
	}
	return err
}

// write copies a file's content into a new one. An old one is never written: it may be
// another tree's too.
func (g *graft) write(from, name string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	mode := os.FileMode(0o444)
	if info.Mode()&0o111 != 0 {
		mode = 0o555
	}
	out, err := g.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	n, err := io.Copy(out, in)
	g.written += n
	return errors.Join(err, out.Chmod(mode), out.Close())
}

// put adds a fetched distribution to the directory site. What is there already is
// somebody else's and stays; of bin native programs alone are taken, since scripts
// name the interpreter that they were installed by.
func (g *graft) put(ctx context.Context, tree, site string) error {
	return filepath.WalkDir(tree, func(name string, d fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil || name == tree {
			return err
		}
		rel := filepath.ToSlash(strings.TrimPrefix(name, tree+string(filepath.Separator)))
		if d.IsDir() {
			if d.Name() == "__pycache__" {
				return fs.SkipDir
			}
			return nil
		}
		if strings.HasPrefix(rel, "bin/") {
			platform, err := platformOfFile(name, make([]byte, headerSize))
			if err != nil || platform == "" {
				return err
			}
		}
		target := path.Join(site, rel)
		if _, err := g.root.Lstat(target); err == nil {
			return nil
		}
		if dir := path.Dir(target); dir != "." {
			if err := g.makeAll(dir); err != nil {
				return err
			}
		}
		g.files++
		return g.write(name, target)
	})
}

// makeAll makes a directory and those above it that are missing.
func (g *graft) makeAll(dir string) error {
	if info, err := g.root.Stat(dir); err == nil && info.IsDir() {
		return nil
	}
	if parent := path.Dir(dir); parent != "." {
		if err := g.makeAll(parent); err != nil {
			return err
		}
	}
	return g.mkdir(dir)
}
