package bundle

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// tree is a directory of vendored packages, or none.
type tree struct {
	dir     string // empty when there is nothing to vendor
	release func()
}

// keepTrees is how many vendored trees the cache keeps.
const keepTrees = 10

// vendor installs the project's dependencies for target, or takes them from the
// cache. The cache's key is what was asked for, by whom and for which machine; as
// open ranges resolve to something newer every day, Options.Fresh asks again.
func vendor(ctx context.Context, o Options, p project, target Target) (tree, error) {
	none := tree{release: func() {}}
	if p.needs == nil || len(p.needs.lines) == 0 && !p.needs.local {
		return none, nil
	}
	in, err := findInstaller(ctx, o.Env, target)
	if err != nil {
		return none, err
	}
	keep := o.CacheDir != "" && !p.needs.local
	base, final := o.TempDir, ""
	if keep {
		base = filepath.Join(o.CacheDir, "packages")
		final = filepath.Join(base, p.needs.key(in, o.Env, target))
		if err := os.MkdirAll(base, 0o700); err != nil {
			return none, fmt.Errorf("make package cache: %w", err)
		}
	}
	if keep && !o.Fresh && isReady(final) {
		now := time.Now()
		if err := os.Chtimes(final, now, now); err != nil { // the oldest is pruned first
			return none, fmt.Errorf("use package cache: %w", err)
		}
		o.tell(StepDependencies, "%s is unchanged: packages from the last deployment (--fresh installs them again)", p.needs.file)
		return tree{dir: final, release: func() {}}, nil
	}
	tmp, err := os.MkdirTemp(base, tmpPrefix)
	if err != nil {
		return none, fmt.Errorf("make package cache: %w", err)
	}
	discard := func() { os.RemoveAll(tmp) } //nolint:errcheck // what is left is removed by the next prune
	o.tell(StepDependencies, "installing %s by %s for Python %s on linux %s", p.needs.file, in.name, minor(target.Version), target.Machine)
	if err := in.install(ctx, o, p, target, tmp); err != nil {
		discard()
		return none, err
	}
	if !keep {
		return tree{dir: tmp, release: discard}, nil
	}
	if err := os.RemoveAll(final); err != nil {
		discard()
		return none, fmt.Errorf("replace cached packages: %w", err)
	}
	if err := os.Rename(tmp, final); err != nil {
		discard()
		if isReady(final) { // another deployment was first
			return tree{dir: final, release: func() {}}, nil
		}
		return none, fmt.Errorf("cache packages: %w", err)
	}
	return tree{dir: final, release: func() {}}, prune(base)
}

const tmpPrefix = "tmp-outcrop-"

func isReady(dir string) bool {
	info, err := os.Stat(dir)
	return err == nil && info.IsDir()
}

// prune removes the trees used longest ago, and what interrupted deployments left
// a day ago.
func prune(base string) error {
	entries, err := os.ReadDir(base)
	if err != nil {
		return fmt.Errorf("prune package cache: %w", err)
	}
	var trees []fs.FileInfo
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			continue // another deployment has removed it
		}
		if !strings.HasPrefix(e.Name(), tmpPrefix) {
			trees = append(trees, info)
		} else if time.Since(info.ModTime()) > 24*time.Hour {
			if err := os.RemoveAll(filepath.Join(base, e.Name())); err != nil {
				return fmt.Errorf("prune package cache: %w", err)
			}
		}
	}
	slices.SortFunc(trees, func(a, b fs.FileInfo) int { return b.ModTime().Compare(a.ModTime()) })
	for _, t := range trees[min(keepTrees, len(trees)):] {
		if err := os.RemoveAll(filepath.Join(base, t.Name())); err != nil {
			return fmt.Errorf("prune package cache: %w", err)
		}
	}
	return nil
}

// key names a vendored tree. The user's settings for uv and pip are part of it:
// another index may answer with other packages. They enter by hash alone, since
// they can hold passwords.
func (r *requirements) key(in installer, env []string, target Target) string {
	var settings []string
	for _, e := range env {
		if strings.HasPrefix(e, "PIP_") || strings.HasPrefix(e, "UV_") {
			settings = append(settings, e)
		}
	}
	slices.Sort(settings)
	text, err := json.Marshal([]any{"2", r.lines, r.text, in.uv != "", in.name, target, settings})
	if err != nil {
		return "" // strings and structs of strings always marshal
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16])
}

// install runs uv or pip, and explains what failed.
func (in installer) install(ctx context.Context, o Options, p project, target Target, dir string) error {
	args := []string{"-r", p.needs.file}
	if p.needs.file == "pyproject.toml" && in.uv == "" {
		args = p.needs.lines
	}
	argv, env, err := in.command(target, dir, args...)
	if err != nil {
		return fmt.Errorf("install packages: %w", err)
	}
	output, err := in.run(ctx, o, argv, env)
	if ctx.Err() != nil {
		return fmt.Errorf("install packages: %w", ctx.Err())
	}
	if err != nil {
		return in.explain(ctx, o, p, target, output, err)
	}
	if err := tidy(dir); err != nil {
		return fmt.Errorf("tidy packages: %w", err)
	}
	return nil
}
