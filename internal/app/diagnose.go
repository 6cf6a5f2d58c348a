package app

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/image"
	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/sandbox/gvisor"
)

// Finding is one thing that Diagnose looked at.
type Finding struct {
	Name, Detail, Fix string
	OK                bool
}

// Diagnose says what this host allows a server with this configuration to do.
// It changes nothing that lasts.
func Diagnose(ctx context.Context, cfg Config) []Finding {
	var out []Finding
	engine := gvisor.Config{Dir: filepath.Join(cfg.DataDir, "sandbox"), Executable: cfg.Sandbox, Log: cfg.Log}
	findings := gvisor.Probe(ctx, engine)
	if !slices.ContainsFunc(findings, func(f gvisor.Finding) bool { return !f.OK }) {
		findings = append(findings, gvisor.Rehearse(ctx, engine)) // else it would fail for the same reason
	}
	for _, f := range findings {
		out = append(out, Finding{Name: f.Name, OK: f.OK, Detail: f.Detail, Fix: f.Fix})
	}
	places := searchPlaces(cfg)
	found, problems, err := image.Interpreters(ctx, places)
	if err != nil && !errors.Is(err, image.ErrIncomplete) {
		return append(out, Finding{Name: "interpreters", Detail: err.Error()})
	}
	out = append(out, Finding{Name: "interpreters", OK: true, Detail: fmt.Sprintf("%d of %d runtimes can be served here; looked in %s", len(found), len(image.Runtimes()), image.Places(places))})
	for _, runtime := range image.Runtimes() {
		out = append(out, interpreterFinding(runtime, found))
	}
	for _, p := range problems {
		out = append(out, Finding{Name: "interpreter " + p.Path, OK: true, Detail: "not used: " + p.Reason})
	}
	return out
}

// interpreterFinding is fine even when there is none: nobody needs all of them.
func interpreterFinding(runtime string, found []image.Interpreter) Finding {
	for _, in := range found {
		if in.Runtime == runtime {
			return Finding{Name: runtime, OK: true, Detail: fmt.Sprintf("served by %s (version %s, source %s)", in.Executable, in.Version, in.Source)}
		}
	}
	reason, fix := image.Absence(runtime)
	return Finding{Name: runtime, OK: true, Detail: "not served: " + reason, Fix: fix}
}

// CheckInterpreter says why nothing at path, an absolute directory or executable, can
// run agents of a server with this data directory. It is empty where something can, and
// where an interpreter takes too long to answer.
func CheckInterpreter(ctx context.Context, path, dataDir string) string {
	found, problems, err := image.Declared(ctx, searchPlaces(Config{DataDir: dataDir, InterpreterPrefixes: []string{path}}))
	if err != nil || len(found) > 0 {
		return ""
	}
	for _, p := range problems {
		return fmt.Sprintf("%s cannot be used: %s", p.Path, p.Reason)
	}
	runtimes := image.Runtimes()
	return fmt.Sprintf("there is no interpreter in it that agents can have, from %s to %s", runtimes[0], runtimes[len(runtimes)-1])
}

// sandboxState is why sandboxes cannot run here, or empty.
func sandboxState(ctx context.Context, engine sandbox.Engine, cfg gvisor.Config) (name, reason, fix string) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	c := engine.Capabilities()
	cfg.Log = nil // the server's own engine has said it once, and clients ask again and again
	name = strings.TrimSpace(c.Engine + " " + c.Version)
	for _, f := range gvisor.Probe(ctx, cfg) {
		if !f.OK {
			return name, f.Detail, f.Fix
		}
	}
	return name, "", ""
}
