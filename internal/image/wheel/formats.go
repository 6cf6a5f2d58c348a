package wheel

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"path"
	"regexp"
	"strings"
	"unicode/utf8"
)

// Bounds of the files that describe a distribution, in bytes; the largest that we
// know have a hundredth of them.
const (
	maxWheel    = 64 << 10
	maxMetadata = 1 << 20
	maxRecord   = 16 << 20
	// maxText bounds what is read of all distributions of a tree together.
	maxText = 128 << 20
	// maxTags bounds the tags of one distribution.
	maxTags = 1000
)

// A field of WHEEL or METADATA is "Name: value", as in mail (PEP 427, core
// metadata). Continuation lines and the text after the first empty line are
// nobody's name, version or tag.
func fields(text []byte, each func(name, value string)) {
	for line := range bytes.Lines(text) {
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			return
		}
		name, value, ok := bytes.Cut(line, []byte(":"))
		if ok && line[0] != ' ' && line[0] != '\t' && utf8.Valid(value) {
			each(string(name), strings.TrimSpace(string(value)))
		}
	}
}

// platformsOf returns the platforms of WHEEL's tags, such as any and
// manylinux2014_aarch64.
func platformsOf(text []byte) (platforms []string) {
	fields(text, func(name, value string) {
		// A tag is PYTHON-ABI-PLATFORM; each part may be several, joined by dots.
		parts := strings.Split(value, "-")
		if !strings.EqualFold(name, "Tag") || len(parts) != 3 {
			return
		}
		for p := range strings.SplitSeq(parts[2], ".") {
			if p != "" && len(platforms) < maxTags {
				platforms = append(platforms, strings.ToLower(p))
			}
		}
	})
	return platforms
}

var (
	namePattern    = regexp.MustCompile(`^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9])?$`)
	versionPattern = regexp.MustCompile(`^[0-9][0-9A-Za-z.!+_-]{0,127}$`)
	separators     = regexp.MustCompile(`[-_.]+`)
)

// identityOf returns the name and version that METADATA gives, or "" for what is
// missing or could not be written into a requirement.
func identityOf(text []byte) (name, version string) {
	fields(text, func(field, value string) {
		switch {
		case strings.EqualFold(field, "Name") && name == "" && namePattern.MatchString(value):
			name = value
		case strings.EqualFold(field, "Version") && version == "" && versionPattern.MatchString(value):
			version = value
		}
	})
	return name, version
}

// aboutOf is what METADATA says of who made a distribution and what it is. It is the
// same in the wheels of one release, and another in a package that somebody else
// has given the same name.
func aboutOf(text []byte) string {
	said := map[string]string{}
	fields(text, func(field, value string) {
		field = strings.ToLower(field)
		if _, again := said[field]; !again {
			said[field] = value
		}
	})
	return strings.Join([]string{said["summary"], said["author"], said["author-email"], said["maintainer"], said["maintainer-email"]}, "\n")
}

// Normal is a distribution's name as packages are told apart (PEP 503).
func Normal(name string) string {
	return separators.ReplaceAllString(strings.ToLower(name), "-")
}

// pathsOf returns the paths of RECORD, relative to the root of the zip, of a
// distribution whose packages lie in site, a directory relative to that root: those
// that are there, each once. What leads out of the root names nothing that is ours.
func pathsOf(text []byte, site string, there func(path string) bool) ([]string, error) {
	r := csv.NewReader(bytes.NewReader(text))
	r.FieldsPerRecord, r.LazyQuotes, r.ReuseRecord = -1, true, true
	var paths []string
	seen := map[string]bool{}
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			return paths, nil
		}
		if err != nil {
			return nil, err
		}
		if p, ok := inside(site, row[0]); ok && !seen[p] && there(p) {
			seen[p] = true
			paths = append(paths, p)
		}
	}
}

// inside joins a path of RECORD to site. pip writes the scripts of what it installs
// by --target as ../../bin/NAME, as if the packages lay in lib/python, and puts
// them at bin/NAME.
func inside(site, name string) (string, bool) {
	if name == "" || path.IsAbs(name) || strings.ContainsAny(name, "\\\x00") || !utf8.ValidString(name) {
		return "", false
	}
	clean := path.Clean(name)
	if rest, ok := strings.CutPrefix(clean, "../../"); ok {
		clean = rest
	}
	if clean == "." || clean == ".." || strings.HasPrefix(clean, "../") {
		return "", false
	}
	return path.Join(site, clean), true
}

// runsOn reports whether wheels of one of the platforms are for linux on machine,
// or for every machine. Which glibc they want is the installer's to look at.
func runsOn(platforms []string, machine string) bool {
	for _, p := range platforms {
		if p == "any" {
			return true
		}
		kind, rest, _ := strings.Cut(p, "_")
		if !strings.HasPrefix(kind, "manylinux") && kind != "linux" {
			continue
		}
		if rest == machine || strings.HasSuffix(rest, "_"+machine) && kind != "linux" {
			return true
		}
	}
	return false
}
