// Package hooks holds what runs inside savable guests so that copies of them
// become unique again (spec/sandbox.md 3).
//
// A guest that is resumed from a snapshot has the environment and every seeded
// generator of the one that was saved. Python finds a sitecustomize of ours first
// on its path, Node a module to preload. Both wait, without a thread of the
// program's own noticing, for gVisor's /proc/gvisor/checkpoint to say that the
// process was saved or resumed. Then they take over the new environment, reseed
// what they know and tell the engine, by a line over TCP to Address.
package hooks

import (
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

const (
	// Dir is where a guest finds the hooks.
	Dir = "/run/outcrop"

	pythonPath  = Dir + "/python"
	nodeRequire = "--require=" + Dir + "/node/hook.cjs"
)

// files are the scripts.
//
//go:embed files
var files embed.FS

// Write puts the hooks into an existing directory, readable by all.
func Write(dir string) error {
	root, err := fs.Sub(files, "files")
	if err != nil {
		return fmt.Errorf("write hooks: %w", err)
	}
	if err := os.CopyFS(dir, root); err != nil {
		return fmt.Errorf("write hooks: %w", err)
	}
	object, err := reseeder(runtime.GOARCH)
	if err != nil {
		return fmt.Errorf("write hooks: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "node", "reseed.node"), object, 0o644); err != nil {
		return fmt.Errorf("write hooks: %w", err)
	}
	return nil
}

// Environment returns env with the hooks first in what tells Python and Node what
// to load.
func Environment(env []string) []string {
	env = prepend(env, "PYTHONPATH", pythonPath, ":")
	return prepend(env, "NODE_OPTIONS", nodeRequire, " ")
}

// prepend returns env with a value before the one that the variable has. Of
// several the last counts, as everywhere.
func prepend(env []string, name, value, separator string) []string {
	var all []string
	var old string
	for _, v := range env {
		if text, is := strings.CutPrefix(v, name+"="); is {
			old = text
			continue
		}
		all = append(all, v)
	}
	if old != "" {
		value += separator + old
	}
	return append(all, name+"="+value)
}
