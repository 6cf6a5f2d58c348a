package image

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// candidate is an executable that may be an interpreter.
type candidate struct {
	path   string
	source string
}

// searchPlace is a pattern of directories that hold interpreters.
type searchPlace struct{ source, pattern string }

// pythonPlaces and nodePlaces are in the order of preference; ~ is the home
// directory. Version managers' shims are not among them, only what they installed.
func pythonPlaces() []searchPlace {
	return []searchPlace{
		{"host", "/usr/bin"},
		{"local", "/usr/local/bin"},
		{"uv", "~/.local/share/uv/python/*/bin"},
		{"pyenv", "~/.pyenv/versions/*/bin"},
		{"mise", "~/.local/share/mise/installs/python/*/bin"},
		{"asdf", "~/.asdf/installs/python/*/bin"},
		{"opt", "/opt/*/bin"},
		{"opt", "/opt/python/*/bin"},
	}
}

func nodePlaces() []searchPlace {
	return []searchPlace{
		{"host", "/usr/bin"},
		{"local", "/usr/local/bin"},
		{"nvm", "~/.nvm/versions/node/*/bin"},
		{"fnm", "~/.local/share/fnm/node-versions/*/installation/bin"},
		{"volta", "~/.volta/tools/image/node/*/bin"},
		{"mise", "~/.local/share/mise/installs/node/*/bin"},
		{"asdf", "~/.asdf/installs/nodejs/*/bin"},
		{"opt", "/opt/*/bin"},
	}
}

// candidates lists what may be the interpreter of one version, best first. It only
// looks at names.
func (f *finder) candidates(l Language, version string) []candidate {
	places, exact, loose := pythonPlaces(), "python"+version, []string{"python3", "python"}
	if l == Node {
		places, exact, loose = nodePlaces(), "node", []string{"nodejs"}
	}
	all, path := append([]string{exact}, loose...), f.search.Path
	var list []candidate
	for _, d := range f.search.Declared {
		list = append(list, candidate{d, "declared"})
		for _, name := range all {
			list = append(list, candidate{filepath.Join(d, "bin", name), "declared"})
		}
	}
	if f.declared {
		places, path = nil, ""
	}
	for _, p := range places {
		pattern, inHome := strings.CutPrefix(p.pattern, "~")
		if inHome && f.search.Home == "" {
			continue
		}
		base := f.root
		if inHome {
			base = f.search.Home
		}
		matches := under(base, filepath.Join(pattern, exact))
		slices.SortFunc(matches, newestFirst)
		for _, m := range matches {
			list = append(list, candidate{m, p.source})
		}
	}
	for _, dir := range filepath.SplitList(path) {
		for _, name := range all {
			if filepath.IsAbs(dir) {
				list = append(list, candidate{filepath.Join(dir, name), "path"})
			}
		}
	}
	return slices.DeleteFunc(list, func(c candidate) bool {
		info, err := os.Stat(c.path)
		return err != nil || !info.Mode().IsRegular()
	})
}

// under lists the paths that match one of the constant patterns beneath base,
// whose own name may look like a pattern.
func under(base, pattern string) []string {
	matches, err := fs.Glob(os.DirFS(base), strings.TrimPrefix(pattern, "/"))
	if err != nil {
		return nil // path.ErrBadPattern, which no constant is
	}
	for i, m := range matches {
		matches[i] = filepath.Join(base, m)
	}
	return matches
}

// newestFirst orders paths by the numbers in them, so that 3.11.10 comes before
// 3.11.9.
func newestFirst(a, b string) int { return -compareNumbers(a, b) }

func compareNumbers(a, b string) int {
	for a != "" && b != "" {
		if isDigit(a[0]) && isDigit(b[0]) {
			var x, y string
			x, a = cutDigits(a)
			y, b = cutDigits(b)
			if len(x) != len(y) {
				return len(x) - len(y)
			}
			if c := strings.Compare(x, y); c != 0 {
				return c
			}
			continue
		}
		if a[0] != b[0] {
			return int(a[0]) - int(b[0])
		}
		a, b = a[1:], b[1:]
	}
	return len(a) - len(b)
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// cutDigits splits leading digits off, without their leading zeros.
func cutDigits(s string) (digits, rest string) {
	i := 0
	for i < len(s) && isDigit(s[i]) {
		i++
	}
	return strings.TrimLeft(s[:i], "0"), s[i:]
}

// errNotOurs marks candidates to be passed over in silence.
var errNotOurs = errors.New("not an interpreter to run")

// resolve follows links to the real executable, and refuses what must not be run:
// scripts, such as pyenv's shims, and files that another user could change.
func (f *finder) resolve(c candidate) (string, error) {
	path, err := filepath.Abs(c.path)
	if err != nil {
		return "", err
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return "", err
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if info.Mode()&0o111 == 0 {
		return "", errNotOurs
	}
	elf, err := isELF(path)
	if err != nil {
		return "", err
	}
	if !elf {
		if c.source == "declared" {
			return "", errors.New("it is a script, not an interpreter; declare the prefix it stands for")
		}
		return "", errNotOurs
	}
	if c.source != "declared" {
		if uid, safe := trusted(path, info); !safe {
			return "", fmt.Errorf("user %d or others can change it; declare it to use it all the same", uid)
		}
	}
	return path, nil
}

// Trusted reports whether nobody but root and us can change the program at path,
// which is resolved: a server may be root.
func Trusted(path string) bool {
	info, err := os.Stat(path)
	if err != nil {
		return false
	}
	_, ok := trusted(path, info)
	return ok
}

func isELF(path string) (bool, error) {
	file, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer file.Close()
	magic := make([]byte, 4)
	if _, err := io.ReadFull(file, magic); err != nil {
		return false, nil // shorter than any program
	}
	return string(magic) == "\x7fELF", nil
}

// hostSites lists the package directories of the host's interpreters that exist:
// this one's and those of every version in the host layer, which a guest could
// run too.
func hostSites(root string, own []string) []string {
	sites := slices.Clone(own)
	for _, pattern := range []string{
		"usr/lib/python3*/dist-packages", "usr/lib/python3*/site-packages", "usr/lib64/python3*/site-packages",
		"usr/local/lib/python3*/dist-packages", "usr/local/lib/python3*/site-packages", "usr/local/lib64/python3*/site-packages",
	} {
		sites = append(sites, under(root, pattern)...)
	}
	var real []string
	for _, s := range sites {
		if r, err := filepath.EvalSymlinks(s); err == nil && isDir(r) {
			real = append(real, r)
		}
	}
	slices.Sort(real)
	return slices.Compact(real)
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
