package index

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/image/wheel"
)

// tool is an installer that answers.
type tool struct {
	name   string // for a person: "pip 23.0.1"
	argv   []string
	wheels bool // it leaves wheels, else what it installed
}

// tool finds the pip of the interpreter that is to run the packages, else uv, else the
// pip of another interpreter, which takes that one's place (pip --python).
func (x *Index) tool(ctx context.Context, r wheel.Request) (tool, error) {
	var tried []string
	ask := func(argv ...string) (string, bool) {
		ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		out, err := x.command(ctx, r.Dir, 0, append(slices.Clone(argv), "--version"))
		words := strings.Fields(out)
		if err != nil || len(words) < 2 {
			tried = append(tried, strings.Join(argv, " "))
			return "", false
		}
		return words[0] + " " + words[1], true
	}
	own := []string{r.Python, "-I", "-m", "pip"}
	if name, ok := ask(own...); ok {
		return tool{name: name, argv: own, wheels: true}, nil
	}
	for _, uv := range x.programs("uv") {
		if name, ok := ask(uv); ok {
			return tool{name: name, argv: []string{uv, "pip", "install", "--python", r.Python}}, nil
		}
	}
	for _, python := range r.Pythons {
		// A pip that is too old for --python says so here.
		other := []string{python, "-I", "-m", "pip", "--python", r.Python}
		if name, ok := ask(other...); ok {
			return tool{name: name, argv: other, wheels: true}, nil
		}
	}
	if ctx.Err() != nil {
		return tool{}, late(ctx, ctx.Err())
	}
	return tool{}, &wheel.Unavailable{
		Reason: "this host has neither a pip nor uv that works (tried: " + strings.Join(tried, "; ") + "); install one, such as by apt-get install python3-pip",
		Err:    exec.ErrNotFound,
	}
}

// programs finds a program by the server's PATH, and where uv installs itself.
func (x *Index) programs(name string) (found []string) {
	dirs := filepath.SplitList(x.env("PATH"))
	if x.cfg.Home != "" {
		dirs = append(dirs, filepath.Join(x.cfg.Home, ".local", "bin"))
	}
	for _, dir := range dirs {
		path := filepath.Join(dir, name)
		if !filepath.IsAbs(dir) {
			continue
		}
		real, err := filepath.EvalSymlinks(path)
		if err != nil || x.cfg.Trusted != nil && !x.cfg.Trusted(real) {
			continue
		}
		if info, err := os.Stat(real); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 && !slices.Contains(found, path) {
			found = append(found, path)
		}
	}
	return found
}

func (x *Index) env(name string) string {
	for _, e := range slices.Backward(x.cfg.Env) {
		if key, value, _ := strings.Cut(e, "="); key == name {
			return value
		}
	}
	return ""
}

// run fetches distributions into dir: by pip as wheels, by uv installed, each into a
// directory called by its number.
func (t tool) run(ctx context.Context, x *Index, r wheel.Request, wanted []wheel.Pin, dir string) (output string, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	if t.wheels {
		return t.pip(ctx, x, r, wanted, dir)
	}
	for i, want := range wanted {
		argv := append(slices.Clone(t.argv), "--target", filepath.Join(dir, fmt.Sprint(i)), "--no-deps", "--only-binary", ":all:", "--link-mode", "copy", "--no-progress")
		if output, err = x.command(ctx, r.Dir, r.Limits.Bytes, append(argv, want.Name+"=="+want.Version)); err != nil {
			return output, err
		}
	}
	return "", nil
}

// pip downloads wheels. The requirements are in a file, where each can have its hash.
func (t tool) pip(ctx context.Context, x *Index, r wheel.Request, wanted []wheel.Pin, dir string) (string, error) {
	var lines strings.Builder
	hashed := true
	for _, want := range wanted {
		hashed = hashed && strings.HasPrefix(want.Hash, "sha256:")
	}
	for _, want := range wanted {
		fmt.Fprintf(&lines, "%s==%s", want.Name, want.Version)
		if hashed { // pip wants hashes of all or none
			fmt.Fprintf(&lines, " --hash=%s", want.Hash)
		}
		lines.WriteByte('\n')
	}
	file := filepath.Join(r.Dir, "wanted.txt")
	if err := os.WriteFile(file, []byte(lines.String()), 0o600); err != nil {
		return "", err
	}
	argv := append(slices.Clone(t.argv), "download", "--dest", dir, "--no-deps", "--only-binary=:all:", "--no-input", "--disable-pip-version-check",
		"--progress-bar", "off", "--requirement", file)
	return x.command(ctx, r.Dir, r.Limits.Bytes, argv)
}

// explain names those that the index has no wheel of: installers stop at the first.
func (x *Index) explain(ctx context.Context, t tool, r wheel.Request, output string, cause error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var exit *exec.ExitError
	if !errors.As(cause, &exit) {
		return fmt.Errorf("run %s: %w", t.name, cause)
	}
	if reason := NetworkTrouble(output); reason != "" {
		return &wheel.Unavailable{Reason: "the package index could not be asked: " + reason, Err: cause}
	}
	failed := t.name + " failed: " + scrubbed(output, r.Dir)
	if len(MissingWheels(output)) == 0 {
		return &wheel.Unavailable{Reason: failed, Err: cause}
	}
	u := &wheel.Unavailable{Reason: "the package index has no wheel of it for this host", Err: cause}
	for i, want := range r.Wanted {
		out, err := t.run(ctx, x, r, []wheel.Pin{want}, filepath.Join(r.Dir, fmt.Sprintf("probe-%d", i)))
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil && len(MissingWheels(out)) > 0 {
			u.Missing = append(u.Missing, want)
		}
	}
	if len(u.Missing) == 0 { // the index has changed its mind meanwhile
		u.Reason = failed
	}
	return u
}

// scrubbed is the end of an installer's output for who made the zip, whom the place
// of our files does not concern.
func scrubbed(output, dir string) string {
	text := strings.ReplaceAll(LastLines(output, 5), dir+"/", "")
	return strings.ToValidUTF8(text[max(0, len(text)-1000):], "")
}

// maxOutput bounds what is kept of an installer's output, in bytes, of its end.
const maxOutput = 64 << 10

// tail keeps the end of what is written.
type tail struct{ b bytes.Buffer }

func (t *tail) Write(p []byte) (int, error) {
	t.b.Write(p)
	if over := t.b.Len() - 2*maxOutput; over > 0 {
		t.b.Next(over + maxOutput)
	}
	return len(p), nil
}

// command runs an installer in dir and returns the end of its output. No file that
// it writes may have more than size bytes; 0 leaves it at that of its caches.
func (x *Index) command(ctx context.Context, dir string, size int64, argv []string) (string, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env, cmd.Dir, cmd.WaitDelay = x.settings(dir), dir, 5*time.Second
	var out tail
	cmd.Stdout, cmd.Stderr = &out, &out // one writer: exec serialises it
	err := Bounded(cmd, size)
	return out.b.String(), err
}

// settings are the environment of an installer.
func (x *Index) settings(dir string) []string {
	env := []string{
		"LC_ALL=C.UTF-8", "PATH=/usr/local/bin:/usr/bin:/bin", "TMPDIR=" + dir, "PYTHONDONTWRITEBYTECODE=1",
		// These would make pip refuse, ask, or say what does not matter here.
		"PIP_REQUIRE_VIRTUALENV=0", "PIP_USER=0", "PIP_DISABLE_PIP_VERSION_CHECK=1", "PIP_ROOT_USER_ACTION=ignore", "PIP_NO_INPUT=1",
		"UV_PYTHON_DOWNLOADS=never", "UV_NO_PROGRESS=1",
	}
	if x.cfg.Home != "" {
		env = append(env, "HOME="+x.cfg.Home)
	}
	for _, e := range x.cfg.Env {
		if name, _, _ := strings.Cut(e, "="); passed(name) {
			env = append(env, e)
		}
	}
	return env
}

// passed reports whether a variable says where packages come from.
func passed(name string) bool {
	upper := strings.ToUpper(name)
	if strings.HasPrefix(upper, "UV_INDEX_") { // credentials of named indexes
		return true
	}
	return slices.Contains([]string{
		"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NETRC",
		"XDG_CONFIG_HOME", "XDG_CONFIG_DIRS", "XDG_CACHE_HOME",
	}, upper) || slices.Contains([]string{
		"PIP_CONFIG_FILE", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_NO_INDEX", "PIP_FIND_LINKS", "PIP_TRUSTED_HOST", "PIP_CERT", "PIP_CLIENT_CERT",
		"PIP_PROXY", "PIP_TIMEOUT", "PIP_DEFAULT_TIMEOUT", "PIP_RETRIES", "PIP_CACHE_DIR", "PIP_NO_CACHE_DIR", "PIP_KEYRING_PROVIDER",
		"UV_CONFIG_FILE", "UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_INDEX_STRATEGY", "UV_NO_INDEX", "UV_FIND_LINKS",
		"UV_OFFLINE", "UV_NATIVE_TLS", "UV_SYSTEM_CERTS", "UV_INSECURE_HOST", "UV_HTTP_TIMEOUT", "UV_HTTP_RETRIES", "UV_CACHE_DIR", "UV_NO_CACHE", "UV_KEYRING_PROVIDER",
	}, name)
}
