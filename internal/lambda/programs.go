package lambda

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"

	"github.com/outcrop/outcrop/internal/durable"
	"github.com/outcrop/outcrop/internal/image"
	"github.com/outcrop/outcrop/internal/sandbox"
)

//go:embed bootstrap
var bootstraps embed.FS

// runtimePath is where a guest finds the program that loads its function, and sdkPath
// where AWS's SDK, if it is given one. Node.js looks for packages in every directory
// above that of who asks.
const (
	runtimePath = "/var/runtime"
	pythonSDK   = "/var/python-sdk"
	nodeSDK     = "/var/node_modules"
)

// programs are the files that load functions, on this machine.
type programs struct{ python, node string }

// writePrograms writes them under names that follow from their content: snapshots hold
// what they were made with.
func writePrograms(dir string) (p programs, err error) {
	for name, at := range map[string]*string{"bootstrap.py": &p.python, "bootstrap.cjs": &p.node} {
		text, err := bootstraps.ReadFile("bootstrap/" + name)
		if err != nil {
			return p, err
		}
		sum := sha256.Sum256(text)
		*at = filepath.Join(dir, hex.EncodeToString(sum[:8]), name)
		if have, err := os.ReadFile(*at); err == nil && string(have) == string(text) {
			continue
		}
		if err := writeProgram(*at, text); err != nil {
			return p, fmt.Errorf("write %s: %w", name, err)
		}
	}
	return p, nil
}

// writeProgram writes what the guest, another user, must be able to read.
func writeProgram(path string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	tmp := path + ".tmp"
	if err := os.WriteFile(tmp, text, 0o644); err != nil {
		return err
	}
	if err := os.Chmod(tmp, 0o644); err != nil { // whatever the umask
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	return durable.Dir(filepath.Dir(path))
}

// of is the program for a language, and where a guest finds it.
func (p programs) of(l image.Language) (sandbox.Mount, string) {
	file := p.python
	if l == image.Node {
		file = p.node
	}
	target := runtimePath + "/" + filepath.Base(file)
	return sandbox.Mount{Source: file, Target: target}, target
}
