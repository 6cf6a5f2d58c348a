package bundle

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/image/wheel/index"
)

// maxProbes bounds how many requirements are asked about one by one.
const maxProbes = 60

// explain turns a failed installation into the names of the packages at fault.
// pip stops at the first; so every requirement is then asked about by itself.
func (in installer) explain(ctx context.Context, o Options, p project, target Target, output string, cause error) error {
	if reason := index.NetworkTrouble(output); reason != "" {
		return &Error{
			Reason: fmt.Sprintf("%s could not ask the package index: %s", in.name, reason),
			Fix: "Check the network, the proxy (HTTPS_PROXY), and the index that your uv or pip is configured with.\n" +
				"Without a network wheels in a folder do: PIP_NO_INDEX=1 PIP_FIND_LINKS=FOLDER for pip, UV_NO_INDEX=1 UV_FIND_LINKS=FOLDER for uv.",
			Err: cause,
		}
	}
	missing := index.MissingWheels(output)
	if len(missing) == 0 {
		return &Error{
			Reason: fmt.Sprintf("%s could not install %s:\n%s", in.name, p.needs.file, index.LastLines(output, 12)),
			Fix:    "Correct " + p.needs.file + "; if the network is at fault, check the index and proxy that your uv or pip is configured with.",
			Err:    cause,
		}
	}
	if in.uv == "" {
		for _, line := range p.needs.lines[:min(maxProbes, len(p.needs.lines))] {
			for _, m := range in.probe(ctx, o, target, line) {
				if !slices.ContainsFunc(missing, func(k index.Missing) bool { return k.Name == m.Name }) {
					missing = append(missing, m)
				}
			}
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "no binary wheel for Python %s on linux %s:", minor(target.Version), target.Machine)
	for _, m := range missing {
		fmt.Fprintf(&b, "\n  %s", m.Name)
		if m.Versions != "" {
			fmt.Fprintf(&b, "   (there are wheels of %s)", m.Versions)
		}
	}
	return &Error{
		Reason: b.String(),
		Fix:    "Check the names and versions, choose versions that have wheels, or another runtime with --runtime. Packages are never built from source here: what is built on one machine need not run on another.",
		Err:    cause,
	}
}

// probe asks whether one requirement has a wheel, without what it depends on.
func (in installer) probe(ctx context.Context, o Options, target Target, line string) []index.Missing {
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
	return index.MissingWheels(output)
}
