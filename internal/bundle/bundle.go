package bundle

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Target is a runtime that the server can run, with the machine it runs on.
type Target struct {
	Runtime string // PYTHON_3_11
	Version string // 3.11.2
	Machine string // x86_64 or aarch64
	Libc    string // "glibc 2.36", "musl 1.2"; empty is taken for glibc 2.28
}

// Options say what to bundle and how. The caller passes what comes from the
// environment.
type Options struct {
	// Folder is the agent's folder.
	Folder string
	// Entry is the file to run, relative to Folder; empty finds it.
	Entry string
	// Runtime is the runtime asked for; empty chooses one.
	Runtime string
	// Targets are the runtimes the server can run.
	Targets []Target
	// Exclude are paths that are never taken, such as the data directory.
	Exclude []string
	// CacheDir keeps vendored packages between deployments; empty keeps none.
	CacheDir string
	// TempDir receives the zip; empty is the system's.
	TempDir string
	// Env is the user's environment, NAME=VALUE: uv and pip are found by its
	// PATH and configured by it.
	Env []string
	// Fresh installs the packages again even if they are cached.
	Fresh bool
	// Progress is told what happens; nil tells nobody. It is called from one
	// goroutine at a time.
	Progress func(Event)
}

// Step is a part of the work.
type Step string

// The steps, in their order.
const (
	StepPlan         Step = "plan"         // what is found and chosen
	StepDependencies Step = "dependencies" // uv or pip at work
	StepPackage      Step = "package"      // the zip is written
)

// Event is one thing to tell the user.
type Event struct {
	Step Step
	// Text is a line for a person, without a final full stop.
	Text string
	// Done and Total are bytes of the files packaged; Total is zero when there
	// is no measure.
	Done, Total int64
	// Transient marks lines that the next one may overwrite.
	Transient bool
}

// Bundle is a finished code zip.
type Bundle struct {
	Path       string   // of the temporary file; Close removes it
	Digest     string   // "sha256:" and 64 hexadecimal digits
	Size       int64    // bytes zipped
	Unzipped   int64    // bytes
	Files      int      // files and links
	Runtime    string   // PYTHON_3_11
	Reason     string   // why that runtime
	EntryPoint []string // for codeConfiguration.entryPoint
	Name       string   // agentRuntimeName suggested by the folder's name
}

// Close removes the zip. It is idempotent.
func (b *Bundle) Close() error {
	if err := os.Remove(b.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove code zip: %w", err)
	}
	return nil
}

// Error is what the user can put right.
type Error struct {
	Reason string // what is wrong
	Fix    string // what to do, commands included
	Err    error  // the cause, if there is one
}

// Error returns the reason and the fix.
func (e *Error) Error() string { return e.Reason + "\n" + e.Fix }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

func problem(fix, reason string, args ...any) *Error {
	return &Error{Reason: fmt.Sprintf(reason, args...), Fix: fix}
}

// Build bundles o.Folder. An *Error is the user's to put right; any other error is
// the machine's. The caller closes the Bundle.
func Build(ctx context.Context, o Options) (*Bundle, error) {
	if o.Progress == nil {
		o.Progress = func(Event) {}
	}
	folder, err := filepath.Abs(o.Folder)
	if err != nil {
		return nil, fmt.Errorf("find folder %s: %w", o.Folder, err)
	}
	o.Folder = folder
	if err := ctx.Err(); err != nil {
		return nil, err // before anything is told
	}
	p, err := inspect(o.Folder, o.Entry)
	if err != nil {
		return nil, err
	}
	o.tell(StepPlan, "entry point %s", p.entry)
	local := ""
	if p.language == python && o.Runtime == "" && p.prefer == "" {
		local = localPython(ctx, o.Env)
	}
	target, reason, err := choose(o.Targets, o.Runtime, p, local)
	if err != nil {
		return nil, err
	}
	o.tell(StepPlan, "runtime %s (%s on the server): %s", target.Runtime, target.Version, reason)
	vendored, err := vendor(ctx, o, p, target)
	if err != nil {
		return nil, err
	}
	defer vendored.release()
	files, err := collect(o, vendored.dir)
	if err != nil {
		return nil, err
	}
	b, err := writeZip(ctx, o, files)
	if err != nil {
		return nil, err
	}
	b.Runtime, b.Reason, b.EntryPoint, b.Name = target.Runtime, reason, []string{p.entry}, Name(o.Folder)
	o.tell(StepPackage, "%s in %s, %s zipped", sizeText(b.Unzipped), filesText(b.Files), sizeText(b.Size))
	return b, nil
}

func (o *Options) tell(step Step, text string, args ...any) {
	o.Progress(Event{Step: step, Text: fmt.Sprintf(text, args...)})
}

// Name makes a folder's name an agentRuntimeName: a letter, then up to 47 letters,
// digits and underscores.
func Name(folder string) string {
	var b strings.Builder
	for _, r := range filepath.Base(folder) {
		switch {
		case r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || b.Len() > 0 && (r >= '0' && r <= '9' || r == '_'):
			b.WriteRune(r)
		case b.Len() > 0:
			b.WriteByte('_')
		}
		if b.Len() == 48 {
			break
		}
	}
	if name := strings.TrimRight(b.String(), "_"); name != "" {
		return name
	}
	return "agent"
}

func filesText(n int) string {
	if n == 1 {
		return "1 file"
	}
	return fmt.Sprintf("%d files", n)
}

// sizeText writes a size for a person, in units of 1024.
func sizeText(n int64) string {
	switch {
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.1f kB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%d bytes", n)
}
