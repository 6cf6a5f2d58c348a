package image

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/outcrop/outcrop/internal/fault"
)

// What Linux allows for a name and a path, in bytes, and how many links a
// resolution follows (path_resolution(7)).
const (
	maxName = 255
	maxPath = 4096
	maxHops = 40
)

// Bounds of our own, far beyond what packages have, that keep a hostile archive
// from costing more than its size.
const (
	maxDepth     = 100     // components of a path
	maxLinkBytes = 1 << 20 // targets of all links together
	maxSteps     = 1 << 20 // components looked at to follow all links
)

// refuse says why an entry is not taken and what to do about it.
func refuse(name, rule, wayOut string) error {
	return fault.Validation("The code zip is refused: entry %s %s. %s", quote(name), rule, wayOut)
}

// quote makes a hostile name fit for a message.
func quote(name string) string {
	const limit = 120
	if len(name) > limit {
		return fmt.Sprintf("%q...", name[:limit])
	}
	return fmt.Sprintf("%q", name)
}

// cleanName checks a name of the archive and returns it without the slash that
// marks a directory and without components that say nothing: "./a//b/" is a/b. The
// archive's root, "./", is an empty path.
func cleanName(name string) (path string, slash bool, err error) {
	path, slash = strings.CutSuffix(name, "/")
	const again = "Make the zip again from inside the agent's folder."
	switch {
	case path == "":
		return "", false, refuse(name, "has no name", again)
	case len(path) >= maxPath:
		return "", false, refuse(name, fmt.Sprintf("has a path of %d bytes; the limit is %d", len(path), maxPath-1), "Shorten it.")
	case !utf8.ValidString(name):
		return "", false, refuse(name, "has a name that is not UTF-8", "Rename it, or use a tool that writes UTF-8 names.")
	case strings.ContainsRune(name, '\\'):
		return "", false, refuse(name, "has a backslash in its name", "Use a tool that separates directories by forward slashes.")
	case strings.ContainsFunc(name, func(r rune) bool { return r < 0x20 || r == 0x7f }):
		return "", false, refuse(name, "has a control character in its name", "Rename it.")
	case path[0] == '/':
		return "", false, refuse(name, "has an absolute path", again)
	}
	if depth := strings.Count(path, "/") + 1; depth > maxDepth {
		return "", false, refuse(name, fmt.Sprintf("lies %d directories deep; the limit is %d", depth, maxDepth), "Flatten it.")
	}
	parts := strings.Split(path, "/")
	for _, part := range parts {
		switch {
		case part == "..":
			return "", false, refuse(name, "leaves the archive's root by ..", again)
		case len(part) > maxName:
			return "", false, refuse(name, fmt.Sprintf("has a name of %d bytes; the limit is %d", len(part), maxName), "Shorten it.")
		}
	}
	path = strings.Join(slices.DeleteFunc(parts, func(part string) bool { return part == "" || part == "." }), "/")
	if path == "" && !slash {
		return "", false, refuse(name, "has no name", again)
	}
	return path, slash, nil
}
