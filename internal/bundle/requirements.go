package bundle

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// requirements is a list of dependencies, with what it includes.
type requirements struct {
	file  string   // relative to the folder, for messages
	lines []string // requirements alone, without options, comments and hashes
	text  []string // whole files, for the cache's key
	local bool     // names files of this machine, whose changes no key sees
}

// readRequirements reads a requirements file and those that it includes by -r and
// -c, as pip's documentation of the format describes.
func readRequirements(folder, name string) (*requirements, error) {
	r := &requirements{file: name}
	return r, r.read(folder, name, nil)
}

const maxIncludes = 20 // files deep

func (r *requirements) read(folder, name string, stack []string) error {
	file := name
	if !filepath.IsAbs(file) {
		file = filepath.Join(folder, file)
	}
	if slices.Contains(stack, file) || len(stack) == maxIncludes {
		return problem("Break the circle of -r lines.", "%s includes itself", name)
	}
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return problem("Write it, or remove the line that names it.", "%s is not there", file)
	}
	if err != nil {
		return fmt.Errorf("read requirements %s: %w", file, err)
	}
	r.text = append(r.text, string(text))
	joined := strings.ReplaceAll(strings.ReplaceAll(string(text), "\r\n", "\n"), "\\\n", " ")
	for line := range strings.Lines(strings.TrimPrefix(joined, "\ufeff")) {
		line = stripComment(line)
		if line == "" {
			continue
		}
		if !strings.HasPrefix(line, "-") {
			r.add(line)
			continue
		}
		option, value := splitOption(line)
		switch option {
		case "-e", "--editable":
			return problem("Write it without -e, or list what it needs and leave its source in the folder.", "%s has the editable requirement %q, which cannot be put in a zip", name, value)
		case "-r", "--requirement", "-c", "--constraint":
			if strings.Contains(value, "://") {
				r.local = true // its content is not ours to read
				continue
			}
			if !filepath.IsAbs(value) {
				value = filepath.Join(filepath.Dir(file), value)
			}
			constraint := &requirements{}
			into := r
			if option[1] == 'c' || option == "--constraint" {
				into = constraint
			}
			if err := into.read(folder, value, append(stack, file)); err != nil {
				return err
			}
			r.text = append(r.text, constraint.text...)
		}
	}
	return nil
}

// add notes one requirement line.
func (r *requirements) add(line string) {
	if i := strings.Index(line, " --"); i >= 0 {
		line = strings.TrimSpace(line[:i]) // --hash and other options of the line
	}
	r.lines = append(r.lines, line)
	// A path, a URL or a repository: what it leads to can change under its name.
	if strings.ContainsAny(line[:1], "./~\\") || strings.Contains(line, "://") || strings.HasSuffix(line, ".whl") {
		r.local = true
	}
}

// stripComment removes what follows a # at the start or after white space.
func stripComment(line string) string {
	line = strings.TrimSpace(line)
	if strings.HasPrefix(line, "#") {
		return ""
	}
	for _, mark := range []string{" #", "\t#"} {
		if i := strings.Index(line, mark); i >= 0 {
			line = line[:i]
		}
	}
	return strings.TrimSpace(line)
}

// splitOption splits "-r x", "-rx", "--requirement x" and "--requirement=x".
func splitOption(line string) (option, value string) {
	if !strings.HasPrefix(line, "--") && len(line) > 2 {
		return line[:2], strings.TrimSpace(line[2:])
	}
	i := strings.IndexAny(line, " \t=")
	if i < 0 {
		return line, ""
	}
	return line[:i], strings.TrimSpace(line[i+1:])
}
