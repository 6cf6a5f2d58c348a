package index

import (
	"regexp"
	"slices"
	"strings"
)

// NetworkTrouble reads from uv's and pip's complaints why the index could not be
// asked; it is "" when it was. pip gives up by saying that there is no version of
// a package, as if it had asked.
func NetworkTrouble(output string) string {
	flat := strings.Join(strings.Fields(output), " ")
	if strings.Contains(flat, "the network was disabled") {
		return "UV_OFFLINE switches its network off"
	}
	if uv := regexp.MustCompile(`(?i)failed to fetch: .* cause(?:d by)?: (.+)$`).FindStringSubmatch(flat); uv != nil {
		return uv[1]
	}
	broken := regexp.MustCompile(`(?i)total=0,[^)]*\)\) after connection broken by ['"](\w+)\(.*?(?:\[Errno -?\d+\] ([^'")]+)|(timed out)|['"]\)+['"])|could not fetch url (\S+?): .*?(certificate verify failed[^()'"]*)`).FindStringSubmatch(flat)
	if broken == nil || !strings.Contains(flat, "versions: none") {
		return ""
	}
	for _, text := range []string{broken[2], broken[3], broken[5], broken[1]} {
		if text = strings.TrimSpace(text); text != "" {
			return text
		}
	}
	return ""
}

// Missing is a requirement without a wheel, and the versions that have one.
type Missing struct{ Name, Versions string }

// MissingWheels reads uv's and pip's complaints.
func MissingWheels(output string) []Missing {
	var found []Missing
	add := func(name, versions string) {
		name = strings.TrimRight(strings.TrimSpace(name), ".,")
		if !slices.ContainsFunc(found, func(w Missing) bool { return w.Name == name }) {
			found = append(found, Missing{name, versions})
		}
	}
	flat := strings.Join(strings.Fields(output), " ") // uv wraps its lines
	pip := regexp.MustCompile(`Could not find a version that satisfies the requirement (.+?) \(from (?:.+? )?versions: ([^)]*)\)|Could not find a version that satisfies the requirement (\S+)`)
	for _, m := range pip.FindAllStringSubmatch(flat, -1) {
		name, versions := m[1]+m[3], strings.Split(m[2], ", ")
		if i := strings.Index(name, " (from "); i >= 0 {
			name = name[:i]
		}
		if m[2] == "none" {
			versions = nil
		}
		add(name, strings.Join(versions[max(0, len(versions)-5):], ", "))
	}
	for _, pattern := range []string{
		`Because (?:only )?(\S+?) has no (?:usable |source distribution or |)wheels`,
		`(?:Because|and) (\S+) has no wheels with a matching`,
		`Because (\S+) was not found in`,
		`Because there is no version of (\S+)`,
		"Wheels are required for `([^`]+)`",
	} {
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(flat, -1) {
			bare, _, _ := strings.Cut(m[1], "=")
			if !slices.ContainsFunc(found, func(w Missing) bool { return w.Name == bare || strings.HasPrefix(w.Name, bare+"=") }) {
				add(m[1], "")
			}
		}
	}
	return found
}

// LastLines returns the last n lines of a text, without empty ones at its ends.
func LastLines(s string, n int) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
