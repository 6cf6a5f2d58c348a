// Package npm asks the package registry that this machine's npm is configured with for
// packages of Node.js.
//
// Nothing of a package is executed (--ignore-scripts). npm gets the operator's settings
// of registries, proxies and certificates, and nothing else of the server's environment;
// its time, memory, files and output are bounded.
package npm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/image/wheel/index"
)

// Config says whose settings.
type Config struct {
	// Env is the environment of the server, NAME=VALUE.
	Env []string
	// Home is the home directory of its user, where .npmrc is; empty for none.
	Home string
	// Trusted reports whether nobody but root and the server's user can change a
	// program; nil trusts all.
	Trusted func(path string) bool
	// Timeout bounds one call; 0 is DefaultTimeout.
	Timeout time.Duration
}

// DefaultTimeout is what some megabytes of packages need on a slow line.
const DefaultTimeout = 4 * time.Minute

// maxFile bounds a file that npm writes, in bytes.
const maxFile = 256 << 20

// Registry installs packages. It is safe for concurrent use.
type Registry struct{ cfg Config }

// New returns a Registry; it runs nothing yet.
func New(cfg Config) *Registry {
	if cfg.Timeout == 0 {
		cfg.Timeout = DefaultTimeout
	}
	return &Registry{cfg}
}

// Unavailable says that the registry did not answer with what was wanted.
type Unavailable struct {
	// Reason is a sentence for a person without a final full stop.
	Reason string
	Err    error
}

func (u *Unavailable) Error() string { return u.Reason }

// Unwrap returns the cause.
func (u *Unavailable) Unwrap() error { return u.Err }

// Install puts packages, each NAME@RANGE, and what they depend on into
// dir/node_modules. An *Unavailable is for who asked; any other error is this machine's.
func (r *Registry) Install(ctx context.Context, dir string, packages []string) error {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Timeout)
	defer cancel()
	npm, err := r.program()
	if err != nil {
		return err
	}
	argv := append([]string{"install", "--prefix", dir, "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock", "--omit=dev", "--no-progress", "--loglevel=error", "--"}, packages...)
	cmd := exec.CommandContext(ctx, npm, argv...)
	cmd.Env, cmd.Dir, cmd.WaitDelay = r.settings(dir), dir, 5*time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out // one writer: exec serialises it
	err = index.Bounded(cmd, maxFile)
	switch {
	case err == nil:
		return nil
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return &Unavailable{Reason: "the package registry did not answer in time", Err: err}
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return &Unavailable{Reason: "npm failed: " + last(out.String(), dir), Err: fmt.Errorf("run npm: %w", err)}
}

// last is the end of npm's output for a person, whom the place of our files does not
// concern.
func last(output, dir string) string {
	text := strings.ReplaceAll(index.LastLines(output, 3), dir, "")
	return strings.Join(strings.Fields(strings.ToValidUTF8(text[max(0, len(text)-500):], "")), " ")
}

func (r *Registry) program() (string, error) {
	for _, dir := range filepath.SplitList(r.env("PATH")) {
		path := filepath.Join(dir, "npm")
		if !filepath.IsAbs(dir) {
			continue
		}
		real, err := filepath.EvalSymlinks(path)
		if err != nil || r.cfg.Trusted != nil && !r.cfg.Trusted(real) {
			continue
		}
		if info, err := os.Stat(real); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return "", &Unavailable{Reason: "this host has no npm; install it, such as by apt-get install npm", Err: exec.ErrNotFound}
}

func (r *Registry) env(name string) string {
	for _, e := range r.cfg.Env {
		if key, value, _ := strings.Cut(e, "="); key == name {
			return value
		}
	}
	return ""
}

// settings are npm's variables: npm takes its settings from npm_config_ in any case.
func (r *Registry) settings(dir string) []string {
	env := []string{"LC_ALL=C.UTF-8", "TMPDIR=" + dir, "CI=1", "PATH=" + r.env("PATH")}
	if r.cfg.Home != "" {
		env = append(env, "HOME="+r.cfg.Home)
	}
	for _, e := range r.cfg.Env {
		name, _, _ := strings.Cut(e, "=")
		switch upper := strings.ToUpper(name); {
		case strings.HasPrefix(upper, "NPM_CONFIG_"):
			env = append(env, e)
		case upper == "HTTP_PROXY", upper == "HTTPS_PROXY", upper == "ALL_PROXY", upper == "NO_PROXY", upper == "SSL_CERT_FILE", upper == "NODE_EXTRA_CA_CERTS":
			env = append(env, e)
		}
	}
	return env
}
