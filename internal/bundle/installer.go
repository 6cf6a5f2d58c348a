package bundle

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

//go:embed pip_for_target.py
var pipForTarget string

// installer is the user's uv, or pip by one of the user's Pythons.
type installer struct {
	uv     string // executable, or empty
	python string // executable
	name   string // for a person: "uv 0.9.1", "pip 23.2.1"
}

// findInstaller prefers uv, which knows the target's markers by itself, then the
// pip of the target's own version of Python.
func findInstaller(ctx context.Context, env []string, target Target) (installer, error) {
	if uv := LookPath(env, "uv"); uv != "" {
		if text, err := ask(ctx, env, uv, "--version"); err == nil {
			return installer{uv: uv, name: firstWords(text, 2)}, nil
		}
	}
	for _, name := range []string{"python" + minor(target.Version), "python3", "python", "py"} {
		for _, python := range lookPaths(env, name) {
			if text, err := ask(ctx, env, python, "-m", "pip", "--version"); err == nil {
				return installer{python: python, name: firstWords(text, 2)}, nil
			}
		}
	}
	fix := "Install uv (https://docs.astral.sh/uv/), or pip: python3 -m ensurepip --user"
	if runtime.GOOS == "linux" && LookPath(env, "apt-get") != "" {
		fix = "Install pip: sudo apt-get install python3-pip   (or uv: https://docs.astral.sh/uv/)"
	}
	return installer{}, problem(fix, "neither uv nor pip is on your PATH to fetch the dependencies")
}

// localPython returns the version of the Python on the PATH, such as 3.12, or "".
func localPython(ctx context.Context, env []string) string {
	for _, name := range []string{"python3", "python", "py"} {
		if exe := LookPath(env, name); exe != "" {
			if text, err := ask(ctx, env, exe, "-I", "-S", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"); err == nil {
				return strings.TrimSpace(text)
			}
		}
	}
	return ""
}

// ask runs a program briefly.
func ask(ctx context.Context, env []string, exe string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, exe, args...)
	cmd.Env = env
	cmd.Dir = filepath.Dir(exe) // not the agent's folder, whose modules would be imported
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("run %s: %w", exe, err)
	}
	return string(out), nil
}

func firstWords(s string, n int) string {
	words := strings.Fields(s)
	return strings.Join(words[:min(n, len(words))], " ")
}

// LookPath finds a program by the PATH in env, or returns "".
func LookPath(env []string, name string) string {
	if all := lookPaths(env, name); len(all) > 0 {
		return all[0]
	}
	return ""
}

func lookPaths(env []string, name string) []string {
	var found []string
	for _, dir := range filepath.SplitList(getenv(env, "PATH")) {
		if !filepath.IsAbs(dir) {
			continue // a program in the current folder is never meant
		}
		file := filepath.Join(dir, name)
		if runtime.GOOS == "windows" {
			file += ".exe"
		}
		info, err := os.Stat(file)
		if err == nil && info.Mode().IsRegular() && (runtime.GOOS == "windows" || info.Mode()&0o111 != 0) {
			found = append(found, file)
		}
	}
	return found
}

// getenv returns the last value of name, as the system would.
func getenv(env []string, name string) string {
	for _, e := range slices.Backward(env) {
		key, value, _ := strings.Cut(e, "=")
		if key == name || runtime.GOOS == "windows" && strings.EqualFold(key, name) {
			return value
		}
	}
	return ""
}

// command returns the command that installs what the arguments name into dir, for
// target. Which index is asked is the user's configuration.
func (in installer) command(target Target, dir string, args ...string) (argv, env []string, err error) {
	if in.uv != "" {
		argv = []string{
			in.uv, "pip", "install", "--target", dir, "--python-version", target.Version,
			"--python-platform", uvPlatform(target), "--only-binary", ":all:", "--link-mode", "copy", "--no-progress",
		}
		return append(argv, args...), nil, nil
	}
	markers, err := json.Marshal(map[string]string{
		"python_version": minor(target.Version), "python_full_version": target.Version,
		"implementation_name": "cpython", "implementation_version": target.Version, "platform_python_implementation": "CPython",
		"os_name": "posix", "sys_platform": "linux", "platform_system": "Linux", "platform_machine": target.Machine,
		"platform_release": "", "platform_version": "",
	})
	if err != nil {
		return nil, nil, err
	}
	argv = []string{
		in.python, "-c", pipForTarget, string(markers), "install", "--target", dir,
		"--python-version", target.Version, "--implementation", "cp", "--only-binary=:all:",
		"--no-compile", "--no-input", "--no-warn-conflicts", "--progress-bar", "off",
	}
	for _, tag := range platformTags(target) {
		argv = append(argv, "--platform", tag)
	}
	// These would make pip refuse --target, or say what does not matter here.
	env = []string{"PIP_USER=0", "PIP_REQUIRE_VIRTUALENV=0", "PIP_DISABLE_PIP_VERSION_CHECK=1", "PIP_ROOT_USER_ACTION=ignore", "PYTHONUNBUFFERED=1"}
	return append(argv, args...), env, nil
}

// run runs the installer and passes its lines on as they come. On failure it
// returns all it wrote.
func (in installer) run(ctx context.Context, o Options, argv, extra []string) (output string, err error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = append(slices.Clone(o.Env), extra...)
	cmd.Dir = o.Folder // relative paths in requirements are relative to it
	cmd.WaitDelay = 5 * time.Second
	lines := &lineWriter{each: func(line string) {
		o.Progress(Event{Step: StepDependencies, Text: line, Transient: true})
	}}
	cmd.Stdout, cmd.Stderr = lines, lines // one writer: exec serialises it
	err = cmd.Run()
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return lines.all.String(), err
}

// lineWriter cuts what is written into lines and keeps it all, up to a bound.
type lineWriter struct {
	each func(string)
	rest []byte
	all  bytes.Buffer
}

const maxOutput = 1 << 20

func (w *lineWriter) Write(p []byte) (int, error) {
	if w.all.Len() < maxOutput {
		w.all.Write(p)
	}
	w.rest = append(w.rest, p...)
	for {
		line, rest, ok := bytes.Cut(w.rest, []byte("\n"))
		if !ok {
			w.rest = w.rest[max(0, len(w.rest)-maxOutput):]
			return len(p), nil
		}
		w.rest = rest
		if text := strings.TrimSpace(string(line)); text != "" {
			w.each(text)
		}
	}
}

// assumedGlibc is the minor version of glibc 2 that the wheels of today ask for at
// most; every distribution since 2019 has it.
const assumedGlibc = 28

// platformTags lists the wheels' platform tags that run on target, newest first
// (PEP 600, PEP 656). A server that does not tell its libc is taken to have
// assumedGlibc.
func platformTags(t Target) []string {
	libc, version, _ := strings.Cut(t.Libc, " ")
	major, minorText, _ := strings.Cut(version, ".")
	newest, err := strconv.Atoi(strings.SplitN(minorText, ".", 2)[0])
	if libc == "musl" {
		if err != nil || major != "1" {
			newest = 1
		}
		var tags []string
		for v := newest; v >= 1; v-- {
			tags = append(tags, fmt.Sprintf("musllinux_1_%d_%s", v, t.Machine))
		}
		return tags
	}
	if err != nil || major != "2" {
		newest = assumedGlibc
	}
	oldest := 17
	legacy := map[int]string{17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
	if t.Machine == "x86_64" {
		oldest = 5
	}
	var tags []string
	for v := newest; v >= oldest; v-- {
		tags = append(tags, fmt.Sprintf("manylinux_2_%d_%s", v, t.Machine))
		if alias := legacy[v]; alias != "" {
			tags = append(tags, alias+"_"+t.Machine)
		}
	}
	return append(tags, "linux_"+t.Machine)
}

// uvPlatform names target as uv does; it knows some versions of glibc only.
func uvPlatform(t Target) string {
	libc, version, _ := strings.Cut(t.Libc, " ")
	if libc == "musl" {
		return t.Machine + "-unknown-linux-musl"
	}
	best := 17
	if version == "" {
		version = "2." + strconv.Itoa(assumedGlibc)
	}
	for _, known := range []int{28, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40} {
		if compareVersions(version, "2."+strconv.Itoa(known)) >= 0 {
			best = known
		}
	}
	return fmt.Sprintf("%s-manylinux_2_%d", t.Machine, best)
}
