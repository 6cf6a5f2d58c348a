package wheel

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// File is native code.
type File struct {
	Path     string // relative, with forward slashes
	Platform string // as PlatformOf names it
}

// Distribution is an installed package that describes itself in a dist-info
// directory.
type Distribution struct {
	// Name and Version are METADATA's; either is empty where it has none that is
	// usable.
	Name, Version string
	// Site is the directory that its packages lie in, and Info its dist-info
	// directory, both relative to the root.
	Site, Info string
	// Files are those that its RECORD names.
	Files []string
	// Foreign are those of them that this machine cannot run.
	Foreign []File

	about     string // as aboutOf tells
	platforms []string
	fits      bool // some native code of it runs here
}

// Report is what a tree holds that the machine cannot run.
type Report struct {
	// Foreign are the distributions to be replaced, by name.
	Foreign []Distribution
	// Others are all other distributions, where there is anything foreign.
	Others []Distribution
	// Strays is foreign code that belongs to no distribution, and of which no
	// version for this machine lies beside it.
	Strays []File
}

// Clean reports whether everything can run here.
func (r Report) Clean() bool { return len(r.Foreign) == 0 && len(r.Strays) == 0 }

// Scan looks for native code below dir that linux on machine (uname(2)'s name)
// cannot run. Where there is none it has read the first bytes of libraries and
// executables, and nothing else. dir is a tree of ours that nobody changes.
func Scan(ctx context.Context, dir, machine string) (Report, error) {
	s := scan{dir: dir, here: "linux " + machine, machine: machine, buf: make([]byte, headerSize)}
	if err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		return s.visit(name, d)
	}); err != nil {
		return Report{}, fmt.Errorf("scan code: %w", err)
	}
	if len(s.foreign) == 0 {
		return Report{}, nil
	}
	r, err := s.assign()
	if err != nil {
		return Report{}, fmt.Errorf("scan code: %w", err)
	}
	return r, nil
}

// scan is one walk of a tree.
type scan struct {
	dir, here, machine string
	buf                []byte
	foreign, native    []File
	infos              []string
	files              map[string]bool // all that are there; filled where something is foreign
	read               int64           // bytes of what describes distributions
}

func (s *scan) visit(name string, d fs.DirEntry) error {
	if d.IsDir() {
		if strings.HasSuffix(d.Name(), ".dist-info") {
			s.infos = append(s.infos, s.relative(name))
		}
		return nil
	}
	if !d.Type().IsRegular() {
		return nil
	}
	if !loadable(name) {
		if plain(name) {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if info.Mode()&0o111 == 0 || info.Size() < headerSize {
			return nil
		}
	}
	platform, err := platformOfFile(name, s.buf)
	if err != nil || platform == "" {
		return err
	}
	found := File{Path: s.relative(name), Platform: platform}
	switch {
	case platform == s.here:
		s.native = append(s.native, found)
	case strings.HasPrefix(platform, "linux ") || loadable(name):
		s.foreign = append(s.foreign, found)
	} // a program for Windows is what some packages carry for those who use it there
	return nil
}

func (s *scan) relative(name string) string {
	rel := strings.TrimPrefix(strings.TrimPrefix(name, s.dir), string(filepath.Separator))
	return filepath.ToSlash(rel)
}

// assign finds out whose the foreign code is.
func (s *scan) assign() (Report, error) {
	if err := s.list(); err != nil {
		return Report{}, err
	}
	var all []*Distribution
	owners := map[string][]*Distribution{}
	for _, info := range s.infos {
		d, err := s.describe(info)
		if err != nil {
			return Report{}, err
		}
		all = append(all, d)
		for _, f := range d.Files {
			owners[f] = append(owners[f], d)
		}
	}
	for _, f := range s.native {
		for _, d := range owners[f.Path] {
			d.fits = true
		}
	}
	var r Report
	beside := map[string]bool{}
	for _, f := range s.native {
		beside[sibling(f.Path)] = true
	}
	for _, f := range s.foreign {
		owned := false
		for _, d := range owners[f.Path] {
			owned = true
			d.Foreign = append(d.Foreign, f)
		}
		if !owned && !beside[sibling(f.Path)] {
			r.Strays = append(r.Strays, f)
		}
	}
	for _, d := range all {
		if s.replaceable(d) {
			r.Foreign = append(r.Foreign, *d)
		} else {
			r.Others = append(r.Others, *d)
		}
	}
	slices.SortFunc(r.Foreign, func(a, b Distribution) int {
		return strings.Compare(Normal(a.Name)+" "+a.Info, Normal(b.Name)+" "+b.Info)
	})
	return r, nil
}

// replaceable reports whether a distribution was built for another machine. One
// whose wheel is for every machine, or for this one, carries foreign code on
// purpose: debuggers do, for the processes that they are attached to.
func (s *scan) replaceable(d *Distribution) bool {
	if len(d.Foreign) == 0 || slices.Contains(d.platforms, "any") {
		return false
	}
	return !runsOn(d.platforms, s.machine) || !d.fits
}

// list notes all files: what a RECORD names besides is nothing.
func (s *scan) list() error {
	s.files = map[string]bool{}
	return filepath.WalkDir(s.dir, func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			s.files[s.relative(name)] = true
		}
		return err
	})
}

// describe reads a dist-info directory. What is missing or damaged in it is left empty.
func (s *scan) describe(info string) (*Distribution, error) {
	d := &Distribution{Site: path.Dir(info), Info: info}
	text, err := s.text(info, "METADATA", maxMetadata)
	if err != nil {
		return nil, err
	}
	d.Name, d.Version = identityOf(text)
	d.about = aboutOf(text)
	if text, err = s.text(info, "WHEEL", maxWheel); err != nil {
		return nil, err
	}
	d.platforms = platformsOf(text)
	if text, err = s.text(info, "RECORD", maxRecord); err != nil {
		return nil, err
	}
	if paths, err := pathsOf(text, d.Site, func(p string) bool { return s.files[p] }); err == nil {
		d.Files = paths
	}
	return d, nil
}

// text is the content of a regular file of a dist-info directory, or nothing where
// there is none, or more than limit bytes.
func (s *scan) text(info, name string, limit int64) ([]byte, error) {
	file := filepath.Join(s.dir, filepath.FromSlash(info), name)
	st, err := os.Lstat(file)
	if err != nil || !st.Mode().IsRegular() || st.Size() > limit {
		return nil, nil //nolint:nilerr // what is not there describes nothing
	}
	if s.read += st.Size(); s.read > maxText {
		return nil, Bad("what describes its packages has more than %d MB", maxText>>20)
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, limit))
}

// platformWords are the parts of names by which packages tell apart what they carry
// for several platforms.
func platformWords() []string {
	return []string{
		"aarch64", "arm64", "armv8", "armv7", "armv6", "armhf", "arm", "x86_64", "x86-64", "amd64", "x64", "x86", "i686", "i386", "ia32", "ppc64le", "ppc64",
		"s390x", "riscv64", "loong64", "loongarch64", "mips64el", "darwin", "macos", "osx", "win32", "windows", "linux", "freebsd", "android",
	}
}

// sibling is equal for files that a package carries for several platforms side by
// side: prebuilds/linux-arm64/x.node and prebuilds/linux-x64/x.node, or
// libx-aarch64.so and libx-x86_64.so. Which one is loaded is decided when it runs.
func sibling(name string) string {
	dir, base := path.Split(name)
	var parts []string
	several := false
	for part := range strings.SplitSeq(dir, "/") {
		if blank(part) != strings.ToLower(part) {
			part, several = "*", true
		}
		parts = append(parts, part)
	}
	if base = blank(base); several {
		base = "*" // what lies in a directory of a platform is called after its ABI besides
	}
	return strings.Join(parts, "/") + base
}

// blank takes the words of platforms out of a name.
func blank(name string) string {
	name = strings.ToLower(name)
	for _, word := range platformWords() {
		name = replaceWord(name, word)
	}
	return name
}

// replaceWord replaces word by * where it stands by itself.
func replaceWord(name, word string) string {
	letter := func(b byte) bool { return b >= 'a' && b <= 'z' || b >= '0' && b <= '9' }
	for from := 0; ; {
		i := strings.Index(name[from:], word)
		if i < 0 {
			return name
		}
		at := from + i
		end := at + len(word)
		if (at > 0 && letter(name[at-1])) || (end < len(name) && letter(name[end])) {
			from = at + 1
			continue
		}
		name = name[:at] + "*" + name[end:]
		from = at + 1
	}
}
