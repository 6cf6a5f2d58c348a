package bundle

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
)

// maxProbes bounds how many requirements are asked about one by one.
const maxProbes = 60

// explain turns a failed installation into the names of the packages at fault.
// pip stops at the first; so every requirement is then asked about by itself.
func (in installer) explain(ctx context.Context, o Options, p project, target Target, output string, cause error) error {
	if reason := networkTrouble(output); reason != "" {
		return &Error{
			Reason: fmt.Sprintf("%s could not ask the package index: %s", in.name, reason),
			Fix: "Check the network, the proxy (HTTPS_PROXY), and the index that your uv or pip is configured with.\n" +
				"Without a network wheels in a folder do: PIP_NO_INDEX=1 PIP_FIND_LINKS=FOLDER for pip, UV_NO_INDEX=1 UV_FIND_LINKS=FOLDER for uv.",
			Err: cause,
		}
	}
	missing := missingWheels(output)
	if len(missing) == 0 {
		return &Error{
			Reason: fmt.Sprintf("%s could not install %s:\n%s", in.name, p.needs.file, lastLines(output, 12)),
			Fix:    "Correct " + p.needs.file + "; if the network is at fault, check the index and proxy that your uv or pip is configured with.",
			Err:    cause,
		}
	}
	if in.uv == "" {
		for _, line := range p.needs.lines[:min(maxProbes, len(p.needs.lines))] {
			for _, m := range in.probe(ctx, o, target, line) {
				if !slices.ContainsFunc(missing, func(k wheel) bool { return k.name == m.name }) {
					missing = append(missing, m)
				}
			}
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "no binary wheel for Python %s on linux %s:", minor(target.Version), target.Machine)
	for _, m := range missing {
		fmt.Fprintf(&b, "\n  %s", m.name)
		if m.versions != "" {
			fmt.Fprintf(&b, "   (there are wheels of %s)", m.versions)
		}
	}
	return &Error{
		Reason: b.String(),
		Fix:    "Check the names and versions, choose versions that have wheels, or another runtime with --runtime. Packages are never built from source here: what is built on one machine need not run on another.",
		Err:    cause,
	}
}

// networkTrouble reads from uv's and pip's complaints why the index could not be
// asked; it is "" when it was. pip gives up by saying that there is no version of
// a package, as if it had asked.
func networkTrouble(output string) string {
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

// probe asks whether one requirement has a wheel, without what it depends on.
func (in installer) probe(ctx context.Context, o Options, target Target, line string) []wheel {
	dir, err := os.MkdirTemp(o.TempDir, "outcrop-probe-")
	if err != nil {
		return nil // the first failure is named already
	}
	defer os.RemoveAll(dir)
	argv, env, err := in.command(target, dir, "--dry-run", "--no-deps", "--quiet", line)
	if err != nil {
		return nil
	}
	o.Progress = func(Event) {}
	output, err := in.run(ctx, o, argv, env)
	if err == nil {
		return nil
	}
	return missingWheels(output)
}

// wheel is a requirement without a wheel, and the versions that have one.
type wheel struct{ name, versions string }

// missingWheels reads uv's and pip's complaints.
func missingWheels(output string) []wheel {
	var found []wheel
	add := func(name, versions string) {
		name = strings.TrimRight(strings.TrimSpace(name), ".,")
		if !slices.ContainsFunc(found, func(w wheel) bool { return w.name == name }) {
			found = append(found, wheel{name, versions})
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
			if !slices.ContainsFunc(found, func(w wheel) bool { return w.name == bare || strings.HasPrefix(w.name, bare+"=") }) {
				add(m[1], "")
			}
		}
	}
	return found
}

func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
