package bundle

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/outcrop/outcrop/internal/image"
)

// choose picks the runtime: what was asked for, what .python-version says, what
// the user has, or what comes closest to it. local is the version of the Python on
// the user's PATH, such as 3.12, or empty.
func choose(targets []Target, asked string, p project, local string) (Target, string, error) {
	able := func(t Target) bool {
		l, _, err := image.ParseRuntime(t.Runtime)
		return err == nil && string(l) == string(p.language)
	}
	if asked != "" {
		return chooseAsked(targets, asked, p, able)
	}
	var fit, all []Target
	for _, t := range targets {
		if !able(t) {
			continue
		}
		all = append(all, t)
		if satisfies(t.Version, p.requires) {
			fit = append(fit, t)
		}
	}
	switch {
	case len(all) == 0:
		return Target{}, "", problem("Install one on the server's machine: outcrop doctor says how.", "the server has no %s to run %s with; it can run %s", p.language, p.entry, list(targets))
	case len(fit) == 0:
		return Target{}, "", problem("Widen requires-python, or install a fitting Python on the server's machine: outcrop doctor says how.", "pyproject.toml requires Python %s; the server can run %s", p.requires, list(all))
	}
	slices.SortFunc(fit, func(a, b Target) int { return compareVersions(a.Version, b.Version) })
	newest := fit[len(fit)-1]
	if p.language == node {
		return newest, "it is what the server runs JavaScript with", nil
	}
	want, whose := p.prefer, ".python-version says "+p.prefer
	if want == "" {
		want, whose = local, "the Python on your PATH is "+local
	}
	if want == "" {
		return newest, "it is the newest that the server can run", nil
	}
	best := fit[0]
	for _, t := range fit {
		if minor(t.Version) == want {
			return t, whose, nil
		}
		if compareVersions(t.Version, want) < 0 {
			best = t
		}
	}
	return best, fmt.Sprintf("%s, which the server cannot run here; this is the closest of %s", whose, list(fit)), nil
}

// shortRuntime is how people write runtimes, in lower case: 3.11, python3.11,
// py311, python_3_11, node22, nodejs22.x.
var shortRuntime = regexp.MustCompile(`^(python|py|node|nodejs)?[-_ ]?(\d+)(?:[._]?(\d+|x))?$`)

// runtimeNamed is the runtime that asked means, or asked itself.
func runtimeNamed(asked string) string {
	m := shortRuntime.FindStringSubmatch(strings.ToLower(strings.TrimSpace(asked)))
	if m == nil {
		return asked
	}
	major, sub := m[2], m[3]
	if sub == "" && len(major) > 2 { // py311
		major, sub = major[:1], major[1:]
	}
	name := "PYTHON_" + major + "_" + sub
	if strings.HasPrefix(m[1], "node") {
		name = "NODE_" + major
	}
	if slices.Contains(image.Runtimes(), name) {
		return name
	}
	return asked
}

func chooseAsked(targets []Target, asked string, p project, able func(Target) bool) (Target, string, error) {
	asked = runtimeNamed(asked)
	if !slices.Contains(image.Runtimes(), asked) && !slices.ContainsFunc(targets, func(t Target) bool { return t.Runtime == asked }) {
		return Target{}, "", problem("Write one of them with --runtime, or leave it out to have one chosen.", "%q is no runtime; the server can run %s", asked, list(targets))
	}
	i := slices.IndexFunc(targets, func(t Target) bool { return t.Runtime == asked })
	if i < 0 {
		return Target{}, "", problem("Choose one of them with --runtime, or install it on the server's machine: outcrop doctor says how.", "the server cannot run %s; it can run %s", asked, list(targets))
	}
	if !able(targets[i]) {
		return Target{}, "", problem("Choose another runtime or entry point.", "%s does not run %s", asked, p.entry)
	}
	if !satisfies(targets[i].Version, p.requires) {
		return Target{}, "", problem("Widen requires-python or choose another runtime.", "pyproject.toml requires Python %s; %s is %s on the server", p.requires, asked, targets[i].Version)
	}
	return targets[i], "asked for", nil
}

func list(targets []Target) string {
	if len(targets) == 0 {
		return "no runtime"
	}
	var names []string
	for _, t := range targets {
		names = append(names, t.Runtime)
	}
	return strings.Join(names, ", ")
}

// minor cuts 3.11.2 to 3.11.
func minor(version string) string {
	parts := strings.SplitN(version, ".", 3)
	return strings.Join(parts[:min(2, len(parts))], ".")
}

// compareVersions compares as many numbers as both have: 3.11.2 equals 3.11.
func compareVersions(a, b string) int {
	x, y := numbers(a), numbers(b)
	n := min(len(x), len(y))
	return slices.Compare(x[:n], y[:n])
}

func numbers(version string) []int {
	var ns []int
	for part := range strings.SplitSeq(version, ".") {
		n, err := strconv.Atoi(part)
		if err != nil {
			break // a suffix such as 0rc1, or *
		}
		ns = append(ns, n)
	}
	return ns
}

// satisfies evaluates requires-python (PEP 440) as far as versions of released
// interpreters need it. What it does not know, it lets pass: pip decides again.
func satisfies(version, specifiers string) bool {
	for s := range strings.SplitSeq(specifiers, ",") {
		s = strings.TrimSpace(s)
		i := strings.IndexAny(s, "0123456789")
		if i < 0 {
			continue
		}
		bound := strings.TrimSpace(s[i:])
		full := compareFull(version, bound)
		ok := true
		switch strings.TrimSpace(s[:i]) {
		case ">=":
			ok = full >= 0
		case ">":
			ok = full > 0 && compareVersions(version, bound) > 0
		case "<=":
			ok = full <= 0
		case "<":
			ok = full < 0
		case "==":
			if strings.HasSuffix(bound, ".*") {
				ok = compareVersions(version, bound) == 0
			} else {
				ok = full == 0
			}
		case "!=":
			if strings.HasSuffix(bound, ".*") {
				ok = compareVersions(version, bound) != 0
			} else {
				ok = full != 0
			}
		case "~=":
			ns := numbers(bound)
			ok = full >= 0 && len(ns) > 1 && slices.Equal(numbers(version)[:min(len(ns)-1, len(numbers(version)))], ns[:len(ns)-1])
		case "^": // poetry's: the same major version
			major, _, _ := strings.Cut(bound, ".")
			ok = full >= 0 && compareVersions(version, major) == 0
		}
		if !ok {
			return false
		}
	}
	return true
}

// compareFull compares with missing numbers as zero: 3.11.2 is greater than 3.11.
func compareFull(a, b string) int {
	x, y := numbers(a), numbers(b)
	for len(x) < len(y) {
		x = append(x, 0)
	}
	for len(y) < len(x) {
		y = append(y, 0)
	}
	return slices.Compare(x, y)
}
