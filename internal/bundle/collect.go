package bundle

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/outcrop/outcrop/internal/image"
)

// file is one entry of the zip to be.
type file struct {
	name   string // in the zip
	source string // on disk
	size   int64
	exec   bool
	target string // of a symbolic link
}

// collect lists what goes into the zip, sorted by name: the vendored packages, and
// the folder over them.
func collect(o Options, vendored string) ([]file, error) {
	files := map[string]file{}
	if vendored != "" {
		bytecode, err := parseRules("__pycache__/\n*.pyc\n") // of another interpreter, or soon stale
		if err != nil {
			return nil, err
		}
		if err := walk(vendored, bytecode, nil, func(f file) error { files[f.name] = f; return nil }); err != nil {
			return nil, err
		}
	}
	rs, err := readRules(o.Folder)
	if err != nil {
		return nil, err
	}
	var over int
	err = walk(o.Folder, rs, append(slices.Clone(o.Exclude), o.CacheDir, o.TempDir), func(f file) error {
		if _, ok := files[f.name]; ok {
			over++
		}
		files[f.name] = f
		return nil
	})
	if err != nil {
		return nil, err
	}
	switch {
	case over == 1:
		o.tell(StepPackage, "one of your files stands in for a file of the packages with the same name")
	case over > 1:
		o.tell(StepPackage, "%d of your files stand in for files of the packages with the same name", over)
	}
	sorted := slices.Collect(maps.Values(files))
	slices.SortFunc(sorted, func(a, b file) int { return cmp.Compare(a.name, b.name) })
	return sorted, check(sorted)
}

// walk tells add of every file and link under dir that the rules and exclude
// leave in.
func walk(dir string, rs rules, exclude []string, add func(file) error) error {
	var out []string
	for _, e := range exclude {
		if e == "" {
			continue
		}
		if real, err := filepath.EvalSymlinks(e); err == nil {
			e = real
		}
		out = append(out, e)
	}
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return fmt.Errorf("read folder %s: %w", dir, err)
	}
	return filepath.WalkDir(real, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("read folder %s: %w", dir, err)
		}
		if p == real {
			return nil
		}
		rel, err := filepath.Rel(real, p)
		if err != nil {
			return fmt.Errorf("read folder %s: %w", dir, err)
		}
		name := filepath.ToSlash(rel)
		if rs.leaveOut(name, d.IsDir()) || slices.Contains(out, p) || d.IsDir() && isFile(filepath.Join(p, "pyvenv.cfg")) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if d.IsDir() || d.Type()&(fs.ModeSocket|fs.ModeNamedPipe|fs.ModeDevice|fs.ModeIrregular) != 0 {
			return nil // an empty directory cannot be meant, nor a socket
		}
		f, err := describe(real, p, name, d)
		if err != nil {
			return err
		}
		return add(f)
	})
}

// describe reads what the zip says of one file.
func describe(root, p, name string, d fs.DirEntry) (file, error) {
	info, err := d.Info()
	if err != nil {
		return file{}, fmt.Errorf("read %s: %w", p, err)
	}
	f := file{name: name, source: p, size: info.Size(), exec: info.Mode()&0o111 != 0}
	if d.Type()&fs.ModeSymlink != 0 {
		target, err := os.Readlink(p)
		if err != nil {
			return file{}, fmt.Errorf("read %s: %w", p, err)
		}
		f.target = filepath.ToSlash(target)
		f.size = int64(len(f.target))
		inside := path.Join(path.Dir(name), f.target)
		if filepath.IsAbs(target) || path.IsAbs(f.target) || inside == ".." || strings.HasPrefix(inside, "../") {
			return file{}, problem("Put the file itself there, or leave the link out by a line in "+ignoreFile+".", "%s is a symbolic link to %s, outside of the folder", name, target)
		}
		if _, err := os.Stat(p); errors.Is(err, syscall.ELOOP) {
			return file{}, problem("Correct it, or leave it out by a line in "+ignoreFile+".", "%s is a symbolic link to %s, which leads back to it", name, target)
		}
		if _, err := filepath.EvalSymlinks(p); err != nil {
			return file{}, problem("Correct it, or leave it out by a line in "+ignoreFile+".", "%s is a symbolic link to %s, which is not there", name, target)
		}
		return f, nil
	}
	if runtime.GOOS == "windows" { // which has no such mode
		f.exec, err = isScript(p)
	}
	return f, err
}

func isScript(p string) (bool, error) {
	r, err := os.Open(p)
	if err != nil {
		return false, fmt.Errorf("read %s: %w", p, err)
	}
	defer r.Close()
	head := make([]byte, 2)
	if _, err := io.ReadFull(r, head); err != nil {
		return false, nil //nolint:nilerr // shorter than #!
	}
	return string(head) == "#!", nil
}

// check refuses what the server would refuse, before anything is written.
func check(files []file) error {
	limits := image.DefaultLimits()
	var total int64
	for _, f := range files {
		total += f.size
		if !utf8.ValidString(f.name) || strings.ContainsFunc(f.name, func(r rune) bool { return r < 0x20 || r == 0x7f || r == '\\' }) {
			return problem("Rename it, or leave it out by a line in "+ignoreFile+".", "the file name %q has characters that a code zip cannot hold", f.name)
		}
	}
	fix := "Leave out what the agent does not need at run time: packages in requirements.txt, files by lines in " + ignoreFile + "."
	if total > limits.Unzipped {
		return problem(fix, "the files are %s together; the limit is %s. The largest:\n%s", sizeText(total), sizeText(limits.Unzipped), largest(files))
	}
	if len(files) > limits.Entries {
		return problem(fix, "there are %d files; the limit is %d", len(files), limits.Entries)
	}
	return nil
}

// largest lists the five largest entries at the top, directories by all they hold.
func largest(files []file) string {
	sizes := map[string]int64{}
	for _, f := range files {
		top, _, inDir := strings.Cut(f.name, "/")
		if inDir {
			top += "/"
		}
		sizes[top] += f.size
	}
	names := make([]string, 0, len(sizes))
	for name := range sizes {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(sizes[b], sizes[a]), cmp.Compare(a, b))
	})
	var lines []string
	for _, name := range names[:min(5, len(names))] {
		lines = append(lines, fmt.Sprintf("  %10s  %s", sizeText(sizes[name]), name))
	}
	return strings.Join(lines, "\n")
}
