package image

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/image/wheel"
)

// maxNamed is how many files or packages a refusal names.
const maxNamed = 6

// maxFetched is more packages with native code than any agent has.
const maxFetched = 300

// wanted lists what is to be fetched, or refuses what cannot be.
func (f *fitting) wanted(report wheel.Report) ([]wheel.Pin, error) {
	if language, _, err := ParseRuntime(f.in.Runtime); err == nil && language != Python {
		for _, d := range report.Foreign { // nobody imports these
			report.Strays = append(report.Strays, d.Foreign...)
		}
	}
	if len(report.Strays) > 0 {
		return nil, f.strays(report.Strays)
	}
	if f.o.Fetch == nil {
		return nil, f.refuse(report.Foreign, "The same versions for this server would come from a package index, and it asks none (outcrop serve --no-index).")
	}
	if len(report.Foreign) > maxFetched {
		return nil, f.refuse(report.Foreign, fmt.Sprintf("More than %d packages at once are not fetched.", maxFetched))
	}
	seen := map[string]string{}
	var wanted []wheel.Pin
	for _, d := range report.Foreign {
		if d.Name == "" || d.Version == "" {
			return nil, f.refuse([]wheel.Distribution{d}, fmt.Sprintf("Which package that is cannot be told: %s has no usable METADATA.", quote(d.Info)))
		}
		name := wheel.Normal(d.Name)
		if other, twice := seen[name]; twice {
			return nil, f.refuse([]wheel.Distribution{d}, fmt.Sprintf("It is in the zip twice, as %s and %s.", quote(other), quote(d.Info)))
		}
		seen[name] = d.Info
		pin := wheel.Pin{Name: d.Name, Version: d.Version}
		if p := f.o.Pinned; p != nil && p.Target == f.target {
			if i := slices.IndexFunc(p.Wheels, func(w wheel.Pin) bool { return wheel.Normal(w.Name) == name }); i >= 0 {
				pin.Hash = p.Wheels[i].Hash
			}
		}
		wanted = append(wanted, pin)
	}
	return wanted, nil
}

// strays words native code that no package of the zip answers for.
func (f *fitting) strays(files []wheel.File) error {
	language, _, err := ParseRuntime(f.in.Runtime)
	if err != nil {
		return err
	}
	whose, wayOut := "belongs to no Python package of the zip", "Put files for this machine in their place, or leave them out if the agent does not need them."
	if language == Node {
		whose = "no package of the zip has for this machine"
		cpu := map[string]string{"x86_64": "x64", "aarch64": "arm64"}[f.machine]
		wayOut = fmt.Sprintf("Install the packages for linux %s and zip again: npm ci --omit=dev --os=linux --cpu=%s, or on such a machine npm rebuild; two platforms may lie side by side.", cpu, cpu)
	}
	return fault.Validation("The code zip has native code that this server, linux %s, cannot run and that %s: %s. %s", f.machine, whose, filesText(files), wayOut)
}

// refuse words native code of packages that cannot be replaced.
func (f *fitting) refuse(foreign []wheel.Distribution, why string) error {
	return fault.Validation("The code zip has native code that this server, linux %s, cannot run: %s. %s %s", f.machine, distributionsText(foreign), why, f.wayOut())
}

// wayOut is how to make a zip that runs here.
func (f *fitting) wayOut() string {
	_, version, err := ParseRuntime(f.in.Runtime)
	if err != nil {
		version = f.in.Version
	}
	libc := "manylinux2014"
	if strings.HasPrefix(f.in.Libc, "musl") {
		libc = "unknown-linux-musl"
	}
	return fmt.Sprintf("Vendor the packages for this machine and zip again: uv pip install --target FOLDER --python-version %s --python-platform %s-%s --only-binary :all: -r requirements.txt; or let outcrop deploy package the folder.",
		version, f.machine, libc)
}

// unavailable words what the index did not answer with.
func (f *fitting) unavailable(report wheel.Report, err error) error {
	var u *wheel.Unavailable
	switch {
	case errors.As(err, &u) && len(u.Missing) > 0:
		_, version, _ := ParseRuntime(f.in.Runtime) // checked where it was found
		missing := slices.DeleteFunc(slices.Clone(report.Foreign), func(d wheel.Distribution) bool {
			return !slices.ContainsFunc(u.Missing, func(p wheel.Pin) bool { return wheel.Normal(p.Name) == wheel.Normal(d.Name) })
		})
		return fault.Validation("The code zip has native code that this server, linux %s, cannot run: %s. The package index has no wheel of that version for Python %s on it. Choose a version that has one, or configure the pip of the server's user with an index that has it.",
			f.machine, distributionsText(missing), version).Because(err)
	case errors.As(err, &u):
		return f.refuseBecause(err, report.Foreign, "The same versions for this server could not be fetched: "+strings.TrimRight(u.Reason, ".")+".")
	case errors.Is(err, wheel.ErrBad):
		return f.refuseBecause(err, report.Foreign, "What the package index answered with is refused: "+wheel.Text(err)+".")
	}
	return err
}

func (f *fitting) refuseBecause(cause error, foreign []wheel.Distribution, why string) error {
	return fault.From(f.refuse(foreign, why)).Because(cause)
}

// changed words an index that has other files than those that a version was made
// with.
func (f *fitting) changed(was, now []wheel.Pin) error {
	var names []string
	for i := range now {
		if i >= len(was) || was[i].Hash != now[i].Hash {
			names = append(names, now[i].String())
		}
	}
	return fault.Validation("The Python packages that this version was made with are gone from this server, and the package index has other files of %s now. Create a new version.", strings.Join(names, ", "))
}

func platforms(report wheel.Report) string {
	var all []string
	for _, d := range report.Foreign {
		for _, f := range d.Foreign {
			if !slices.Contains(all, f.Platform) {
				all = append(all, f.Platform)
			}
		}
	}
	return strings.Join(all, " and ")
}

// distributionsText names packages, each with a file of it.
func distributionsText(foreign []wheel.Distribution) string {
	var parts []string
	for _, d := range foreign[:min(maxNamed, len(foreign))] {
		name := strings.TrimSpace(d.Name + " " + d.Version)
		if name == "" {
			name = quote(d.Info)
		}
		parts = append(parts, name+" ("+filesText(d.Foreign[:1])+")")
	}
	if more := len(foreign) - maxNamed; more > 0 {
		parts = append(parts, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(parts, ", ")
}

func filesText(files []wheel.File) string {
	var parts []string
	for _, n := range files[:min(maxNamed, len(files))] {
		parts = append(parts, quote(n.Path)+" for "+n.Platform)
	}
	if more := len(files) - maxNamed; more > 0 {
		parts = append(parts, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(parts, ", ")
}
