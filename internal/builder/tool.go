package builder

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/bundle"
)

// kind is a tool by its program's name.
type kind string

const (
	docker  kind = "docker"
	buildah kind = "buildah"
	podman  kind = "podman"
)

// Tools are the names of the tools, in the order in which they are tried.
func Tools() []string { return []string{string(docker), string(buildah), string(podman)} }

// tool is one that answers.
type tool struct {
	kind kind
	path string
	name string // for a person: "buildah 1.28.2"
}

// choose takes the first tool that answers: one that is on the PATH may have no
// daemon, or not be allowed to do anything.
func choose(ctx context.Context, o Options) (tool, error) {
	names := Tools()
	if o.Tool != "" {
		names = []string{o.Tool}
	}
	var said []string
	for _, name := range names {
		t := tool{kind: kind(name), path: bundle.LookPath(o.Env, name)}
		if t.path == "" {
			said = append(said, name+": it is not on your PATH")
			continue
		}
		text, err := t.answers(ctx, o)
		if err == nil {
			t.name = text
			return t, nil
		}
		if ctx.Err() != nil {
			return t, fmt.Errorf("ask %s: %w", name, ctx.Err())
		}
		said = append(said, name+": "+err.Error())
	}
	reason := "nothing on this machine can build " + o.File
	if o.Tool != "" {
		reason = o.Tool + " cannot build " + o.File
	}
	reason += ":\n  " + strings.Join(said, "\n  ")
	if o.Tool != "" { // another may
		o.Tool = ""
		if t, err := choose(ctx, o); err == nil {
			return tool{}, &Error{Reason: reason, Fix: t.name + " can build it: leave out --builder"}
		} else if ctx.Err() != nil {
			return tool{}, err
		}
	}
	return tool{}, &Error{
		Reason: reason,
		Fix: "Start docker, or install one that needs no daemon, such as: sudo apt-get install buildah\n" +
			"Or build the image elsewhere and name it: outcrop deploy --image REGISTRY/REPOSITORY:TAG",
	}
}

var version = regexp.MustCompile(`\d+(\.\d+)+`)

// answers asks a tool to do something that needs all that a build needs, and
// returns its name and version.
func (t tool) answers(ctx context.Context, o Options) (string, error) {
	text, err := t.ask(ctx, o, "--version")
	if err != nil {
		return "", err
	}
	if t.kind == docker && strings.Contains(strings.ToLower(text), "podman") {
		return "", errors.New("it is podman by another name")
	}
	switch t.kind {
	case docker: // the server's side: the client alone is always there
		var server string
		if server, err = t.ask(ctx, o, "version", "--format", "{{.Server.Os}}"); err == nil && strings.TrimSpace(server) != "linux" {
			err = fmt.Errorf("its containers are of %s", strings.TrimSpace(server))
		}
	case podman:
		_, err = t.ask(ctx, o, "info", "--format", "{{.Host.Os}}")
	case buildah: // its storage, and for an ordinary user the user namespace
		trial := "outcrop-trial-" + strings.ToLower(rand.Text()[:8])
		if _, err = t.ask(ctx, o, "from", "--name", trial, "scratch"); err == nil {
			_, err = t.ask(ctx, o, "rm", trial)
		}
	}
	return string(t.kind) + " " + version.FindString(text), err
}

// ask runs a tool briefly. The error is what it says.
func (t tool) ask(ctx context.Context, o Options, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, o.Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, t.path, args...)
	cmd.Env, cmd.WaitDelay = o.Env, time.Second
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return "", fmt.Errorf("it did not answer within %v", o.Patience)
	case err != nil:
		said := strings.TrimSpace(stderr.String())
		said = said[strings.LastIndexByte(said, '\n')+1:] // the last line is the reason
		if said == "" {
			said = err.Error()
		}
		return "", errors.New(said[:min(len(said), 300)])
	}
	return string(out), nil
}

// run runs a tool to its end and passes its lines on as they come.
func (t tool) run(ctx context.Context, o Options, env []string, args ...string) (output string, err error) {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env, cmd.Dir, cmd.WaitDelay = append(slices.Clone(o.Env), env...), o.Folder, 10*time.Second
	cmd.Cancel = func() error { // it has containers to tidy up
		if runtime.GOOS == "windows" {
			return cmd.Process.Kill()
		}
		return cmd.Process.Signal(os.Interrupt)
	}
	lines := &lineWriter{each: func(line string) { o.Progress(line, isStep(line)) }}
	cmd.Stdout, cmd.Stderr = lines, lines // one writer: exec serialises it
	err = cmd.Run()
	lines.flush()
	return strings.Join(lines.kept, "\n"), err
}

// step is how the tools begin the lines of a Dockerfile's instructions: "STEP 2/3: COPY",
// "Step 2/3 : COPY", "#6 [2/3] COPY".
var step = regexp.MustCompile(`^(?i:step )\d+|^#\d+ \[[^\]]*\d+/\d+\] `)

func isStep(line string) bool { return step.MatchString(line) }

// lineWriter cuts what is written into lines and keeps the last of them.
type lineWriter struct {
	each func(string)
	rest []byte
	kept []string
}

const (
	keptLines = 200
	maxLine   = 4 << 10
)

func (w *lineWriter) Write(p []byte) (int, error) {
	for _, b := range p {
		if b != '\n' && b != '\r' {
			if len(w.rest) < maxLine {
				w.rest = append(w.rest, b)
			}
			continue
		}
		w.flush()
	}
	return len(p), nil
}

func (w *lineWriter) flush() {
	text := strings.TrimRight(string(w.rest), " \t")
	w.rest = w.rest[:0]
	if text == "" {
		return
	}
	w.each(text)
	w.kept = append(w.kept, text)
	if len(w.kept) > 2*keptLines {
		w.kept = slices.Clone(w.kept[keptLines:])
	}
}

var digestLine = regexp.MustCompile(`digest: (sha256:[0-9a-f]{64})`)

// push pushes what was built and returns the digest of its manifest. The login is in
// a file of its own, which no other process's arguments show, and the user's is left alone.
func (t tool) push(ctx context.Context, o Options, tmp string) (digest, output string, err error) {
	if t.kind == docker {
		if err := dockerConfig(o, tmp); err != nil {
			return "", "", err
		}
		output, err = t.run(ctx, o, []string{"DOCKER_CONFIG=" + tmp}, t.path, "push", o.Reference)
		if m := digestLine.FindAllStringSubmatch(output, -1); err == nil && len(m) > 0 {
			return m[len(m)-1][1], output, nil
		}
		if err == nil {
			err = errors.New("it does not say what digest the image has")
		}
		return "", output, err
	}
	auth, digestFile := filepath.Join(tmp, "auth.json"), filepath.Join(tmp, "digest")
	text, err := json.Marshal(map[string]any{"auths": map[string]any{o.Login.Host: map[string]string{"auth": o.Login.basic()}}})
	if err != nil {
		return "", "", err
	}
	if err := os.WriteFile(auth, text, 0o600); err != nil {
		return "", "", err
	}
	argv := []string{t.path, "push", "--authfile", auth, "--digestfile", digestFile}
	if o.Login.Plain {
		argv = append(argv, "--tls-verify=false")
	}
	if output, err = t.run(ctx, o, nil, append(argv, o.Reference, "docker://"+o.Reference)...); err != nil {
		return "", output, err
	}
	written, err := os.ReadFile(digestFile)
	if m := digestLine.FindStringSubmatch("digest: " + strings.TrimSpace(string(written))); err == nil && m != nil {
		return m[1], output, nil
	}
	return "", output, fmt.Errorf("read digest: %w", cmp.Or(err, fs.ErrNotExist))
}

// withLogins adds a file without logins to env where DOCKER_CONFIG names a directory
// that has none, as of a CI job that never logged in: docker takes that for no logins,
// buildah for a file that is missing, and does nothing.
func withLogins(env []string, tmp string) ([]string, error) {
	dir := getenv(env, "DOCKER_CONFIG")
	if dir == "" || getenv(env, "REGISTRY_AUTH_FILE") != "" { // which goes first
		return env, nil
	}
	if _, err := os.Stat(filepath.Join(dir, "config.json")); !errors.Is(err, fs.ErrNotExist) {
		return env, nil
	}
	none := filepath.Join(tmp, "none.json")
	if err := os.WriteFile(none, []byte("{}"), 0o600); err != nil {
		return nil, err
	}
	return append(slices.Clone(env), "REGISTRY_AUTH_FILE="+none), nil
}

func (l Login) basic() string {
	return base64.StdEncoding.EncodeToString([]byte(l.User + ":" + l.Password))
}

// dockerConfig writes docker's configuration of the user with one login more into
// tmp. What it names by its place, contexts and plug-ins, is reached by links.
func dockerConfig(o Options, tmp string) error {
	own := getenv(o.Env, "DOCKER_CONFIG")
	if home := getenv(o.Env, "HOME"); own == "" && home != "" {
		own = filepath.Join(home, ".docker")
	}
	config := map[string]any{}
	if text, err := os.ReadFile(filepath.Join(own, "config.json")); err == nil && own != "" {
		if err := json.Unmarshal(text, &config); err != nil || config == nil {
			config = map[string]any{} // docker complains of a damaged one itself
		}
	}
	put := func(section string, value any) {
		entries, ok := config[section].(map[string]any)
		if !ok {
			entries = map[string]any{}
			config[section] = entries
		}
		entries[o.Login.Host] = value
	}
	put("auths", map[string]string{"auth": o.Login.basic()})
	put("credHelpers", "") // this file, whatever credsStore says of the others
	text, err := json.Marshal(config)
	if err != nil {
		return err
	}
	for _, name := range []string{"contexts", "cli-plugins"} {
		if _, err := os.Stat(filepath.Join(own, name)); err == nil && own != "" {
			if err := os.Symlink(filepath.Join(own, name), filepath.Join(tmp, name)); err != nil {
				return err
			}
		}
	}
	return os.WriteFile(filepath.Join(tmp, "config.json"), text, 0o600)
}

// getenv returns the last value of name.
func getenv(env []string, name string) string {
	for _, e := range slices.Backward(env) {
		if key, value, _ := strings.Cut(e, "="); key == name {
			return value
		}
	}
	return ""
}
