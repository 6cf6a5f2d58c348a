package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/outcrop/outcrop/internal/durable"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/image/wheel"
)

// Fit says how code was made to run on a machine of one kind. It is kept with what
// the code belongs to, so that it stays the same whatever the cache loses and the
// package index has later.
type Fit struct {
	// Target is the interpreter and the machine, such as PYTHON_3_11-x86_64.
	Target string `json:"target"`
	// ID names the fitted content; empty where the code runs as it is.
	ID string `json:"id,omitempty"`
	// Wheels replaced those of the zip.
	Wheels []wheel.Pin `json:"wheels,omitempty"`
}

// Fetcher brings wheels from a package index, in the order in which they are wanted. An error that matches
// *wheel.Unavailable or wheel.ErrBad is worded for who made the zip.
type Fetcher interface {
	Fetch(ctx context.Context, r wheel.Request) ([]wheel.Fetched, error)
}

// FitOptions say how to fit.
type FitOptions struct {
	// Pinned is what was returned for the same code before, or nil.
	Pinned *Fit
	// Fetch is nil on a server that asks no index.
	Fetch Fetcher
	// Pythons are interpreters of this host whose pip may do where that of the runtime's
	// has none.
	Pythons []string
	// Note is told in a line what happens; nil tells nobody.
	Note func(text string)
}

// verdict is what the cache remembers of code and a target.
type verdict struct {
	Format int `json:"format"`
	Fit
	Size int64 `json:"size,omitempty"` // bytes that the fitted tree has beyond the code
}

const (
	fittedName    = "fitted"
	verdictFormat = 1
)

// Fit returns code as in can run it: itself, or a tree in which the Python packages
// that were built for another machine are replaced by the same versions for this one.
// Each zip is looked at once for a target, and fetched for once: later calls are
// answered from the disk. The code that it is given is released with the one that it returns.
//
// A refusal is a fault.Error that names the files and the way out.
func (c *Cache) Fit(ctx context.Context, code *Code, in Interpreter, o FitOptions) (*Code, error) {
	if o.Note == nil {
		o.Note = func(string) {}
	}
	f := fitting{c: c, code: code, in: in, o: o, machine: machineOf(in), target: targetOf(in)}
	f.dir = filepath.Join(c.dir, fittedName, strings.TrimPrefix(code.Digest, digestPrefix))
	if fit, ok := f.known(); ok {
		return f.opened(fit)
	}
	land, err := c.flights.TakeOff(ctx, "fit "+code.Digest+" "+f.target)
	if err != nil {
		return nil, fmt.Errorf("fit code %s: %w", code.Digest, err)
	}
	defer land()
	if fit, ok := f.known(); ok {
		return f.opened(fit)
	}
	fit, err := f.make(ctx)
	if err != nil {
		return nil, fmt.Errorf("fit code %s: %w", code.Digest, err)
	}
	return f.opened(fit)
}

// Fitted is what Fit returned for code of that digest and in, or will return from
// pinned; the zero Fit where nobody has asked.
func (c *Cache) Fitted(digest string, in Interpreter, pinned *Fit) Fit {
	target := targetOf(in)
	if pinned != nil && pinned.Target == target {
		return *pinned
	}
	v, err := readVerdict(filepath.Join(c.dir, fittedName, strings.TrimPrefix(digest, digestPrefix), target+".json"), target)
	if err != nil {
		return Fit{}
	}
	return v.Fit
}

// fitting is one call of Fit.
type fitting struct {
	c               *Cache
	code            *Code
	in              Interpreter
	o               FitOptions
	machine, target string
	dir             string // of what is fitted of this code
}

// targetOf names what code must fit. Of glibc an update only ever adds.
func targetOf(in Interpreter) string { return in.Runtime + "-" + machineOf(in) }

func machineOf(in Interpreter) string {
	if in.Machine != "" {
		return in.Machine
	}
	return wheel.ThisMachine()
}

// known is the answer that is on the disk.
func (f *fitting) known() (Fit, bool) {
	fit := f.c.Fitted(f.code.Digest, f.in, f.o.Pinned)
	if fit.Target == "" || fit.ID != "" && !exists(f.manifest(fit.ID)) {
		return Fit{}, false
	}
	return fit, true
}

func (f *fitting) manifest(id string) string { return filepath.Join(f.dir, id, manifestName) }

func readVerdict(path, target string) (verdict, error) {
	var v verdict
	text, err := os.ReadFile(path)
	if err != nil {
		return v, err
	}
	if err := json.Unmarshal(text, &v); err != nil {
		return v, err
	}
	if v.Format != verdictFormat || v.Target != target {
		return v, fmt.Errorf("verdict is of format %d and target %s: %w", v.Format, v.Target, fs.ErrNotExist)
	}
	return v, nil
}

// opened is the code to run.
func (f *fitting) opened(fit Fit) (*Code, error) {
	if fit.ID == "" {
		f.code.Fit = &fit
		return f.code, nil
	}
	var m manifest
	text, err := os.ReadFile(f.manifest(fit.ID))
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	if err != nil {
		return nil, fmt.Errorf("open fitted code %s: %w", f.code.Digest, err)
	}
	return &Code{Dir: filepath.Join(f.dir, fit.ID, taskName), Digest: f.code.Digest, Size: m.Size, Files: m.Files, Fit: &fit, release: f.code.release}, nil
}

// make looks at the code, and fits it.
func (f *fitting) make(ctx context.Context) (Fit, error) {
	report, err := wheel.Scan(ctx, f.code.Dir, f.machine)
	if errors.Is(err, wheel.ErrBad) {
		return Fit{}, fault.Validation("The code zip is refused: %s. Make the zip again.", wheel.Text(err)).Because(err)
	}
	if err != nil {
		return Fit{}, err
	}
	fit, written := Fit{Target: f.target}, int64(0)
	if !report.Clean() {
		if fit, written, err = f.replace(ctx, report); err != nil {
			return Fit{}, err
		}
	}
	text, err := json.Marshal(verdict{Format: verdictFormat, Fit: fit, Size: written})
	if err != nil {
		return Fit{}, err
	}
	if err := os.MkdirAll(f.dir, 0o755); err != nil {
		return Fit{}, err
	}
	return fit, durable.File(filepath.Join(f.dir, f.target+".json"), append(text, '\n'))
}

// replace fetches what is foreign and makes the fitted tree.
func (f *fitting) replace(ctx context.Context, report wheel.Report) (fit Fit, written int64, err error) {
	wanted, err := f.wanted(report)
	if err != nil {
		return fit, 0, err
	}
	tmp, err := os.MkdirTemp(filepath.Join(f.c.dir, fittedName), tmpPrefix)
	if err != nil {
		return fit, 0, err
	}
	defer os.RemoveAll(tmp) // what is published has another name by then
	fetched, err := f.fetch(ctx, report, wanted, filepath.Join(tmp, "fetched"))
	if err != nil {
		return fit, 0, err
	}
	fit = Fit{Target: f.target}
	for _, w := range fetched {
		fit.Wheels = append(fit.Wheels, w.Pin)
	}
	fit.ID = f.id(fit)
	if p := f.o.Pinned; p != nil && p.Target == fit.Target && p.ID != fit.ID {
		return fit, 0, f.changed(p.Wheels, fit.Wheels)
	}
	if exists(f.manifest(fit.ID)) { // the verdict alone was lost
		return fit, 0, nil
	}
	written, err = f.publish(ctx, report, fetched, filepath.Join(tmp, "made"), fit.ID)
	return fit, written, err
}

// id names content by what it is made of.
func (f *fitting) id(fit Fit) string {
	h := sha256.New()
	fmt.Fprintf(h, "%d %s %s\n", verdictFormat, f.code.Digest, f.target)
	for _, w := range fit.Wheels {
		fmt.Fprintf(h, "%s %s %s\n", wheel.Normal(w.Name), w.Version, w.Hash)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// fetch asks the index and looks at what it answers with.
func (f *fitting) fetch(ctx context.Context, report wheel.Report, wanted []wheel.Pin, dir string) ([]wheel.Fetched, error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	f.o.Note(fmt.Sprintf("the zip has Python packages for %s, and this server is linux %s", platforms(report), f.machine))
	limits := wheel.Limits{Bytes: f.c.limits.Unzipped, Files: f.c.limits.Entries}
	fetched, err := f.o.Fetch.Fetch(ctx, wheel.Request{
		Python: f.in.Executable, Pythons: f.o.Pythons, Wanted: wanted, Dir: dir, Limits: limits, Note: f.o.Note,
	})
	if err == nil && len(fetched) != len(wanted) {
		err = fmt.Errorf("fetch packages: %d came of %d", len(fetched), len(wanted))
	}
	for i, w := range fetched {
		if err == nil {
			err = wheel.Verify(ctx, w, report.Foreign[i], f.machine, limits)
		}
	}
	if err != nil {
		return nil, f.unavailable(report, err)
	}
	return fetched, nil
}

// publish makes the fitted tree in tmp and gives it its name.
func (f *fitting) publish(ctx context.Context, report wheel.Report, fetched []wheel.Fetched, tmp, id string) (int64, error) {
	task := filepath.Join(tmp, taskName)
	for _, dir := range []string{tmp, task} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return 0, err
		}
		if err := os.Chmod(dir, 0o755); err != nil { // whatever the umask
			return 0, err
		}
	}
	written, files, err := wheel.Graft(ctx, f.code.Dir, task, report, fetched)
	if err != nil {
		return 0, err
	}
	if written > f.c.limits.Unzipped {
		return 0, fault.Validation("The Python packages for this server have %s; the limit is %s. Leave out what the agent does not need at run time.", bytesText(written), bytesText(f.c.limits.Unzipped))
	}
	text, err := json.Marshal(manifest{Format: manifestFormat, Digest: f.code.Digest, Size: f.code.Size + written, Files: files})
	if err != nil {
		return 0, err
	}
	if err := os.WriteFile(filepath.Join(tmp, manifestName), append(text, '\n'), 0o444); err != nil {
		return 0, err
	}
	if err := os.MkdirAll(f.dir, 0o755); err != nil {
		return 0, err
	}
	f.o.Note(fmt.Sprintf("the packages are replaced: %d files, %s written", files, bytesText(written)))
	return written, publish(tmp, filepath.Join(f.dir, id))
}

// fittedSize is what is fitted of a zip, in bytes that its code does not have.
func (c *Cache) fittedSize(hash string) (sum int64) {
	files, err := os.ReadDir(filepath.Join(c.dir, fittedName, hash))
	if err != nil {
		return 0 // nothing is
	}
	for _, e := range files {
		target, ok := strings.CutSuffix(e.Name(), ".json")
		if v, err := readVerdict(filepath.Join(c.dir, fittedName, hash, e.Name()), target); ok && err == nil {
			sum += v.Size
		}
	}
	return sum
}

// discardFitted moves what is fitted of a zip out of sight, if there is any.
func (c *Cache) discardFitted(hash, gone string) (moved bool, err error) {
	err = os.Rename(filepath.Join(c.dir, fittedName, hash), filepath.Join(gone, fittedName+"-"+hash))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
