// Package sdk brings AWS's SDKs for functions whose zips have none: boto3 for Python, the
// clients of the SDK for JavaScript v3 that the code names. On AWS both are part of the
// runtime.
//
// What was fetched is kept by its versions and shared by all functions, read-only.
package sdk

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/outcrop/outcrop/internal/durable"
	"github.com/outcrop/outcrop/internal/image"
	"github.com/outcrop/outcrop/internal/image/flight"
	"github.com/outcrop/outcrop/internal/image/npm"
	"github.com/outcrop/outcrop/internal/image/wheel"
)

// Registry installs packages of Node.js.
type Registry interface {
	Install(ctx context.Context, dir string, packages []string) error
}

// Config is what SDKs are built from.
type Config struct {
	// Dir keeps what was fetched.
	Dir string
	// Wheels and Packages fetch; nil asks nobody.
	Wheels   image.Fetcher
	Packages Registry
	// Pythons are interpreters whose pip may do where that of a function's has none.
	Pythons func(context.Context) []string
	Log     *slog.Logger
	Now     func() time.Time
}

// SDKs fetches and keeps. It is safe for concurrent use.
type SDKs struct {
	cfg     Config
	flights flight.Group

	mu     sync.Mutex
	failed map[string]failure // by key
}

// failure is why something could not be had.
type failure struct {
	why string
	at  time.Time
}

const (
	// failedFor is how long nobody asks again for what could not be had.
	failedFor = 2 * time.Minute
	// patience is how long a function waits for its SDK.
	patience = 3 * time.Minute
	// maxPackages bounds the clients of one function.
	maxPackages = 60
	maxBytes    = 512 << 20
	maxFiles    = 100_000
	// maxSource bounds what is read of a file of code, in bytes.
	maxSource = 8 << 20
)

// boto3Pins are boto3 and what it depends on, which is the same for all versions of
// Python that run functions.
func boto3Pins() []wheel.Pin {
	return []wheel.Pin{
		{Name: "boto3", Version: "1.44.5"}, {Name: "botocore", Version: "1.44.5"}, {Name: "s3transfer", Version: "0.19.3"},
		{Name: "jmespath", Version: "1.1.0"}, {Name: "python-dateutil", Version: "2.9.0.post0"}, {Name: "six", Version: "1.17.0"},
		{Name: "urllib3", Version: "2.8.0"},
	}
}

// javascriptMajor is the major version of AWS's SDK for JavaScript.
const javascriptMajor = "3"

// New returns SDKs that keep what they fetch in a directory.
func New(cfg Config) (*SDKs, error) {
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make directory of SDKs: %w", err)
	}
	return &SDKs{cfg: cfg, failed: map[string]failure{}}, nil
}

// For returns the directory of what the code in dir needs and does not have, run by an
// interpreter; empty for nothing. A warning says what it could not get and why.
func (s *SDKs) For(ctx context.Context, dir string, in image.Interpreter) (sdk, warning string) {
	language, _, err := image.ParseRuntime(in.Runtime)
	if err != nil {
		return "", ""
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if language == image.Python {
		return s.python(ctx, dir, in)
	}
	return s.javascript(ctx, dir)
}

func (s *SDKs) python(ctx context.Context, dir string, in image.Interpreter) (sdk, warning string) {
	if exists(filepath.Join(dir, "boto3")) || !mentions(dir, []string{".py"}, regexp.MustCompile(`\bboto(?:3|core)\b`), nil) {
		return "", ""
	}
	pins := boto3Pins()
	const end = " is not importable: "
	what := pins[0].String()
	if s.cfg.Wheels == nil {
		return "", what + end + "the server asks no package index (--no-index). Put it into the zip."
	}
	sdk, why := s.have(ctx, "python-boto3-"+pins[0].Version, func(ctx context.Context, tmp string) error { return s.wheels(ctx, tmp, pins, in) })
	if why != "" {
		warning = what + end + why + ". Put it into the zip, or change the function when that is mended."
	}
	return sdk, warning
}

// wheels puts distributions into one directory.
func (s *SDKs) wheels(ctx context.Context, tmp string, pins []wheel.Pin, in image.Interpreter) error {
	scratch, out := filepath.Join(tmp, "scratch"), filepath.Join(tmp, "sdk")
	for _, d := range []string{scratch, out} {
		if err := os.Mkdir(d, 0o700); err != nil {
			return err
		}
	}
	var pythons []string
	if s.cfg.Pythons != nil {
		pythons = s.cfg.Pythons(ctx)
	}
	fetched, err := s.cfg.Wheels.Fetch(ctx, wheel.Request{
		Python: in.Executable, Pythons: pythons, Wanted: pins, Dir: scratch, Limits: wheel.Limits{Bytes: maxBytes, Files: maxFiles},
		Note: func(text string) { s.cfg.Log.Debug(text) },
	})
	if err != nil {
		return err
	}
	for _, f := range fetched {
		entries, err := os.ReadDir(f.Tree)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if e.Name() == "bin" { // scripts of no use to a function
				continue
			}
			if err := os.Rename(filepath.Join(f.Tree, e.Name()), filepath.Join(out, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// clients are the packages of AWS's SDK for JavaScript that code may name.
var clients = regexp.MustCompile(`["'` + "`" + `](@(?:aws-sdk|smithy)/[a-z0-9-]{1,80})["'` + "`" + `/]`)

func (s *SDKs) javascript(ctx context.Context, dir string) (sdk, warning string) {
	named := map[string]bool{}
	mentions(dir, []string{".js", ".mjs", ".cjs"}, clients, func(name string) { named[name] = true })
	var wanted []string
	for name := range named {
		if !exists(filepath.Join(dir, "node_modules", filepath.FromSlash(name))) {
			wanted = append(wanted, name)
		}
	}
	if len(wanted) == 0 {
		return "", ""
	}
	slices.Sort(wanted)
	wanted = wanted[:min(len(wanted), maxPackages)]
	what := strings.Join(wanted, ", ") + " cannot be loaded: "
	if s.cfg.Packages == nil {
		return "", what + "the server asks no package registry (--no-index). Put it into the zip."
	}
	var ranges []string
	for _, name := range wanted {
		if strings.HasPrefix(name, "@aws-sdk/") {
			name += "@" + javascriptMajor
		}
		ranges = append(ranges, name)
	}
	sum := sha256.Sum256([]byte(strings.Join(ranges, " ")))
	sdk, why := s.have(ctx, "node-"+hex.EncodeToString(sum[:8]), func(ctx context.Context, tmp string) error {
		if err := s.cfg.Packages.Install(ctx, tmp, ranges); err != nil {
			return err
		}
		return os.Rename(filepath.Join(tmp, "node_modules"), filepath.Join(tmp, "sdk"))
	})
	if why != "" {
		warning = what + why + ". Put it into the zip, or change the function when that is mended."
	}
	return sdk, warning
}

// have returns the directory of a key, which fetch fills as tmp/sdk where there is none,
// or why there is none.
func (s *SDKs) have(ctx context.Context, key string, fetch func(ctx context.Context, tmp string) error) (dir, why string) {
	final := filepath.Join(s.cfg.Dir, key)
	land, err := s.flights.TakeOff(ctx, key)
	if err != nil {
		return "", "it did not come in time"
	}
	defer land()
	if exists(final) {
		return final, ""
	}
	s.mu.Lock()
	before, ok := s.failed[key]
	s.mu.Unlock()
	if ok && s.cfg.Now().Sub(before.at) < failedFor {
		return "", before.why
	}
	if err := s.publish(ctx, final, fetch); err != nil {
		why = reason(err)
		s.cfg.Log.Warn("fetch AWS's SDK for a function", "what", key, "error", err)
		s.mu.Lock()
		s.failed[key] = failure{why, s.cfg.Now()}
		s.mu.Unlock()
		return "", why
	}
	return final, ""
}

// publish fetches under another name, so that what has its name is whole.
func (s *SDKs) publish(ctx context.Context, final string, fetch func(ctx context.Context, tmp string) error) error {
	tmp, err := os.MkdirTemp(s.cfg.Dir, ".tmp-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if err := fetch(ctx, tmp); err != nil {
		return err
	}
	tree := filepath.Join(tmp, "sdk")
	if err := readable(tree); err != nil {
		return err
	}
	if err := durable.Tree(tree); err != nil {
		return err
	}
	if err := os.Rename(tree, final); err != nil {
		return err
	}
	return durable.Dir(s.cfg.Dir)
}

// readable lets the guest, another user, read a tree, and holds it to the limits.
func readable(tree string) error {
	var size int64
	files := 0
	return filepath.WalkDir(tree, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.Chmod(path, 0o755)
		}
		if !d.Type().IsRegular() {
			return nil // npm's links to programs
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if size, files = size+info.Size(), files+1; size > maxBytes || files > maxFiles {
			return &npm.Unavailable{Reason: fmt.Sprintf("it has more than %d files or %d MB", maxFiles, maxBytes>>20)}
		}
		return os.Chmod(path, 0o644|info.Mode().Perm()&0o111)
	})
}

// reason is why something could not be had, for who made the function.
func reason(err error) string {
	var wheels *wheel.Unavailable
	var packages *npm.Unavailable
	switch {
	case errors.As(err, &wheels):
		return wheels.Reason
	case errors.As(err, &packages):
		return packages.Reason
	case errors.Is(err, wheel.ErrBad):
		return wheel.Text(err)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return "it did not come in time"
	}
	return "an internal error occurred"
}

// mentions reports whether code of some kinds has a pattern, and calls each, if it is not
// nil, with the first group of every place.
func mentions(dir string, kinds []string, pattern *regexp.Regexp, each func(string)) (found bool) {
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return nil //nolint:nilerr // what cannot be read names nothing
		case d.IsDir() && each != nil && d.Name() == "node_modules":
			return fs.SkipDir
		case !d.Type().IsRegular() || !slices.Contains(kinds, filepath.Ext(path)):
			return nil
		}
		text, err := read(path)
		if err != nil {
			return nil //nolint:nilerr // as above
		}
		if each == nil {
			if found = pattern.Match(text); found {
				return fs.SkipAll
			}
			return nil
		}
		for _, m := range pattern.FindAllSubmatch(text, -1) {
			found = true
			each(string(m[1]))
		}
		return nil
	})
	return found
}

func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var b bytes.Buffer
	_, err = b.ReadFrom(io.LimitReader(f, maxSource))
	return b.Bytes(), err
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
