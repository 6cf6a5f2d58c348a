package image

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/outcrop/outcrop/internal/durable"
	"github.com/outcrop/outcrop/internal/sandbox"
)

// LangPath is where a guest finds its Python. A virtual environment of our own
// lies there, whose base is the host's interpreter: so nothing of the host's
// packages is on sys.path, in the agent, in what it starts by sys.executable and
// in scripts that ask env for python, and yet PYTHONPATH, sitecustomize and
// wrappers such as opentelemetry-instrument work, which the switches -I and -S
// would forbid.
const LangPath = "/var/lang"

// Launch is how code is started in a sandbox; it fills a sandbox.Spec.
type Launch struct {
	Args []string
	// Env are our defaults, each NAME=VALUE; the runtime's own variables win.
	Env    []string
	Dir    string
	Mounts []sandbox.Mount
}

// Launch says how to start code's entry point with in. The entry point is one file
// of the zip, or a program of the zip's packages and that file, as in
// ["opentelemetry-instrument", "main.py"] (spec/runtime.md 2.3). A refusal is a
// fault.Error that says what is missing.
//
// On sys.path come /var/task, the standard library, and nothing else; the
// host's package directories are covered by an empty one besides, so that
// /usr/bin/python3 called by its name finds none either.
func (c *Cache) Launch(code *Code, in Interpreter, entryPoint []string) (Launch, error) {
	l, language, executable, err := c.environment(code, in)
	if err != nil {
		return Launch{}, err
	}
	l.Args, err = entryArgs(code.Dir, language, executable, entryPoint)
	return l, err
}

// LaunchProgram is Launch for a program of ours that the guest finds at a path of its
// own, and that loads code itself.
func (c *Cache) LaunchProgram(code *Code, in Interpreter, path string) (Launch, error) {
	l, _, executable, err := c.environment(code, in)
	l.Args = []string{executable, path}
	return l, err
}

// environment is what code finds around it, and the executable that runs it.
func (c *Cache) environment(code *Code, in Interpreter) (l Launch, language Language, executable string, err error) {
	language, version, err := ParseRuntime(in.Runtime)
	if err != nil {
		return Launch{}, "", "", fmt.Errorf("launch code %s: %w", code.Digest, err)
	}
	l = Launch{Dir: sandbox.CodePath}
	for _, m := range in.Mounts {
		l.Mounts = append(l.Mounts, sandbox.Mount{Source: m, Target: m})
	}
	executable = in.Executable
	bin := filepath.Dir(executable)
	if language == Python {
		bin = LangPath + "/bin"
		executable = bin + "/python" + version
		mounts, err := c.pythonMounts(in, version)
		if err != nil {
			return Launch{}, "", "", fmt.Errorf("launch code %s: %w", code.Digest, err)
		}
		l.Mounts = append(l.Mounts, mounts...)
		l.Env = []string{
			"PYTHONPATH=" + sandbox.CodePath,
			"PYTHONUNBUFFERED=1", // a log line is seen when it is written
			"PYTHONNOUSERSITE=1",
		}
	}
	search := []string{bin, sandbox.CodePath + "/bin", "/usr/local/bin", "/usr/bin", "/bin"}
	if language == Node {
		search[1] = sandbox.CodePath + "/node_modules/.bin"
	}
	l.Env = append(l.Env, "PATH="+strings.Join(search, ":"))
	if len(in.Libraries) > 0 {
		l.Env = append(l.Env, "LD_LIBRARY_PATH="+strings.Join(in.Libraries, ":"))
	}
	return l, language, executable, nil
}

// pythonMounts are the virtual environment and the covers.
func (c *Cache) pythonMounts(in Interpreter, version string) ([]sandbox.Mount, error) {
	dir, err := c.prefix(in, version)
	if err != nil {
		return nil, err
	}
	mounts := []sandbox.Mount{{Source: dir, Target: LangPath}}
	for _, site := range in.Sites {
		if isDir(site) { // one that has gone since it was found cannot be covered, and need not
			mounts = append(mounts, sandbox.Mount{Source: filepath.Join(dir, "empty"), Target: site})
		}
	}
	return mounts, nil
}

// prefix makes the virtual environment for an interpreter, once. Its name is that
// of its content, so that two servers' versions never share one.
func (c *Cache) prefix(in Interpreter, version string) (string, error) {
	lib := path.Join("lib", "python"+version, "site-packages")
	files := [][2]string{
		{"pyvenv.cfg", "home = " + filepath.Dir(in.Executable) + "\ninclude-system-site-packages = false\nversion = " + in.Version + "\n"},
		// A user's own PYTHONPATH replaces ours; the code stays importable.
		{path.Join(lib, "task.pth"), sandbox.CodePath + "\n"},
	}
	links := [][2]string{
		{"bin/python" + version, in.Executable},
		{"bin/python3", "python" + version},
		{"bin/python", "python" + version},
		{"lib64", "lib"},
	}
	sum := sha256.Sum256(fmt.Append(nil, files, links))
	final := filepath.Join(c.dir, "python", hex.EncodeToString(sum[:8]))
	if exists(final) {
		return final, nil
	}
	tmp, err := os.MkdirTemp(filepath.Dir(final), tmpPrefix)
	if err != nil {
		return "", fmt.Errorf("make python prefix: %w", err)
	}
	defer os.RemoveAll(tmp)
	if err := fillPrefix(tmp, files, links); err != nil {
		return "", fmt.Errorf("make python prefix: %w", err)
	}
	if err := durable.Tree(tmp); err != nil {
		return "", fmt.Errorf("make python prefix: %w", err)
	}
	if err := os.Rename(tmp, final); err != nil && !exists(final) { // another call may have been first
		return "", fmt.Errorf("make python prefix: %w", err)
	}
	return final, durable.Dir(filepath.Dir(final))
}

// fillPrefix writes what the guest, another user, must be able to read.
func fillPrefix(root string, files, links [][2]string) error {
	if err := os.Chmod(root, 0o755); err != nil {
		return err
	}
	for _, d := range []string{"bin", "empty", "lib", filepath.Dir(filepath.Dir(files[1][0])), filepath.Dir(files[1][0])} {
		dir := filepath.Join(root, d)
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
		if err := os.Chmod(dir, 0o755); err != nil { // whatever the umask
			return err
		}
	}
	for _, f := range files {
		name := filepath.Join(root, f[0])
		if err := os.WriteFile(name, []byte(f[1]), 0o644); err != nil {
			return err
		}
		if err := os.Chmod(name, 0o644); err != nil {
			return err
		}
	}
	for _, l := range links {
		if err := os.Symlink(l[1], filepath.Join(root, l[0])); err != nil {
			return err
		}
	}
	return nil
}

// exists reports whether path is there; a dangling link is not.
func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}
