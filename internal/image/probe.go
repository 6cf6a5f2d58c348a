package image

import (
	"bytes"
	"context"
	"debug/elf"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

//go:embed probe.py
var probeScript string

// answer is what an interpreter says of itself.
type answer struct {
	Implementation string   `json:"implementation"`
	Version        string   `json:"version"`
	Final          bool     `json:"final"`
	FreeThreaded   bool     `json:"free_threaded"`
	Prefix         string   `json:"prefix"`
	ExecPrefix     string   `json:"exec_prefix"`
	BaseExecutable string   `json:"base_executable"`
	Stdlib         string   `json:"stdlib"`
	Sites          []string `json:"sites"`
	Machine        string   `json:"machine"`
	Libc           string   `json:"libc"`
	Libraries      []string `json:"libraries"` // shared objects loaded
	Missing        []string `json:"missing"`   // modules an agent cannot do without

	err error
}

const nodeProbe = `
const maps = require("fs").readFileSync("/proc/self/maps", "utf8").split("\n");
const libraries = maps.map(l => l.split(/\s+/).slice(5).join(" ")).filter(p => p.startsWith("/") && p.includes(".so"));
process.stdout.write(JSON.stringify({
  version: process.versions.node,
  machine: { x64: "x86_64", arm64: "aarch64" }[process.arch] || process.arch,
  libraries: [...new Set(libraries)],
}));`

// errLate says that nothing is known of an executable.
var errLate = errors.New("it did not answer in time")

// ask runs one executable with nothing of our environment.
func ask(ctx context.Context, l Language, executable string) (answer, error) {
	var a answer
	args := []string{"-I", "-S", "-B", "-c", probeScript}
	if l == Node {
		args = []string{"-e", nodeProbe}
	}
	cmd := exec.CommandContext(ctx, executable, args...)
	cmd.Env = []string{"LC_ALL=C.UTF-8", "PATH=/usr/bin:/bin"}
	cmd.Dir = "/"
	cmd.WaitDelay = time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return a, errLate
		}
		return a, fmt.Errorf("it does not run: %w: %s", err, lastLine(stderr.String()))
	}
	if err := json.Unmarshal(stdout.Bytes(), &a); err != nil {
		return a, fmt.Errorf("it does not answer as an interpreter does: %w", err)
	}
	if l == Node {
		// A node installation is one program; what it needs besides is found below.
		a.Prefix = filepath.Dir(filepath.Dir(executable))
	}
	return a, nil
}

func lastLine(s string) string {
	s = strings.TrimSpace(s)
	return s[strings.LastIndexByte(s, '\n')+1:]
}

// libraryDirs returns the directories of the libraries that executable itself
// needs and that a loader without a cache (ld.so(8)) would not find by its run
// path or in the usual directories. loaded are the objects of a running one.
func libraryDirs(executable string, loaded []string) ([]string, error) {
	if len(loaded) == 0 {
		return nil, nil
	}
	file, err := elf.Open(executable)
	if err != nil {
		return nil, fmt.Errorf("it cannot be read: %w", err)
	}
	defer file.Close()
	needed, err := file.ImportedLibraries()
	if err != nil {
		return nil, fmt.Errorf("its libraries cannot be read: %w", err)
	}
	triplet := "x86_64-linux-gnu"
	if file.Machine == elf.EM_AARCH64 {
		triplet = "aarch64-linux-gnu"
	}
	search := []string{"/lib/" + triplet, "/usr/lib/" + triplet, "/lib64", "/usr/lib64", "/lib", "/usr/lib"}
	for _, tag := range []elf.DynTag{elf.DT_RPATH, elf.DT_RUNPATH} {
		paths, err := file.DynString(tag)
		if err != nil {
			continue // a static executable has none
		}
		for _, dir := range filepath.SplitList(strings.Join(paths, ":")) {
			dir = strings.NewReplacer("$ORIGIN", filepath.Dir(executable), "${ORIGIN}", filepath.Dir(executable)).Replace(dir)
			search = append(search, filepath.Clean(dir))
		}
	}
	return unfound(needed, search, loaded), nil
}

// unfound returns the directories of those loaded libraries that are needed and in
// no directory of search.
func unfound(needed, search, loaded []string) []string {
	var dirs []string
	for _, lib := range needed {
		stem, _, _ := strings.Cut(lib, ".so")
		i := slices.IndexFunc(loaded, func(l string) bool { return strings.HasPrefix(filepath.Base(l), stem+".so") })
		if i < 0 || slices.ContainsFunc(search, func(d string) bool { return exists(filepath.Join(d, lib)) }) {
			continue
		}
		if dir := filepath.Dir(loaded[i]); !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}
