// Package builder builds container images of a folder with what the user's machine
// has for it, docker, buildah or podman, and pushes them to a registry.
package builder

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/image/wheel/index"
)

// Options say what to build and where it goes. The caller passes what comes from
// the environment.
type Options struct {
	// Folder is the build's context, and File its Dockerfile, a path.
	Folder, File string
	// Platform is OS/ARCHITECTURE as the builders write it, such as linux/amd64.
	Platform string
	// Reference is the image's name: HOST/REPOSITORY:TAG.
	Reference string
	Login     Login
	// Tool is the one to use, docker, buildah or podman; empty takes the first that
	// answers.
	Tool string
	// Fresh builds every step anew.
	Fresh bool
	// Env is the user's environment, NAME=VALUE: the tools are found by its PATH and
	// configured by it.
	Env []string
	// TempDir holds the login while it is needed; empty is the system's.
	TempDir string
	// Patience bounds how long a tool may take to answer; 0 is 15 s.
	Patience time.Duration
	// Progress is told the lines of the build; nil tells nobody. Lasting ones are steps.
	Progress func(line string, lasting bool)
}

// Login is a registry's.
type Login struct {
	Host           string // HOST:PORT
	User, Password string
	Plain          bool // it is spoken to without TLS
}

// Image is what was built and pushed.
type Image struct {
	Digest string // "sha256:" and 64 hexadecimal digits, of what the registry has
	Tool   string // "buildah 1.28.2"
}

// Error is what the user can put right.
type Error struct {
	Reason, Fix string
	Err         error
}

// Error returns the reason and the fix.
func (e *Error) Error() string { return e.Reason + "\n" + e.Fix }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// FindFile is the Dockerfile of a folder, or "" where it has none.
func FindFile(folder string) string {
	for _, name := range []string{"Dockerfile", "Containerfile"} {
		path := filepath.Join(folder, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path
		}
	}
	return ""
}

// Build builds and pushes an image. An *Error is the user's to put right.
func Build(ctx context.Context, o Options) (Image, error) {
	o.Patience = cmp.Or(o.Patience, 15*time.Second)
	if o.Progress == nil {
		o.Progress = func(string, bool) {}
	}
	tmp, err := os.MkdirTemp(o.TempDir, "outcrop-build-") // mode 0700
	if err != nil {
		return Image{}, fmt.Errorf("make build directory: %w", err)
	}
	image, err := buildWith(ctx, o, tmp)
	if removeErr := os.RemoveAll(tmp); removeErr != nil { // it holds a password
		err = errors.Join(err, removeErr)
	}
	return image, err
}

func buildWith(ctx context.Context, o Options, tmp string) (Image, error) {
	var err error
	if o.Env, err = withLogins(o.Env, tmp); err != nil {
		return Image{}, err
	}
	t, err := choose(ctx, o)
	if err != nil {
		return Image{}, err
	}
	o.Progress(fmt.Sprintf("building %s by %s for %s", filepath.Base(o.File), t.name, o.Platform), true)
	digest, err := t.buildAndPush(ctx, o, tmp)
	if ctx.Err() != nil {
		return Image{}, fmt.Errorf("build image: %w", ctx.Err())
	}
	return Image{Digest: digest, Tool: t.name}, err
}

func (t tool) buildAndPush(ctx context.Context, o Options, tmp string) (string, error) {
	argv := []string{t.path, "build", "--platform", o.Platform, "--tag", o.Reference, "--file", o.File}
	if t.kind == buildah {
		argv = append(argv, "--layers") // the others keep the layers of steps by themselves
	}
	if o.Fresh {
		argv = append(argv, "--no-cache")
	}
	// Docker's newer builder draws pictures otherwise.
	output, err := t.run(ctx, o, []string{"BUILDKIT_PROGRESS=plain"}, append(argv, o.Folder)...)
	if err != nil {
		return "", &Error{
			Reason: fmt.Sprintf("%s could not build %s:\n%s", t.name, o.File, index.LastLines(output, 20)),
			Fix:    "Correct what it complains of, or deploy an image that was built elsewhere: outcrop deploy --image REGISTRY/REPOSITORY:TAG", Err: err,
		}
	}
	o.Progress("pushing "+o.Reference, true)
	digest, output, err := t.push(ctx, o, tmp)
	if err != nil {
		return "", explainPush(t, o, output, err)
	}
	return digest, nil
}

// explainPush says what to do where a tool does not reach the registry as we do.
func explainPush(t tool, o Options, output string, err error) error {
	e := &Error{
		Reason: fmt.Sprintf("%s could not push %s:\n%s", t.name, o.Reference, index.LastLines(output, 8)),
		Fix:    "Push it yourself and deploy it by its name: outcrop deploy --image " + o.Reference, Err: err,
	}
	switch {
	case strings.Contains(output, "HTTP response to HTTPS client"):
		e.Fix = fmt.Sprintf(`docker speaks to this machine alone without TLS. Add "insecure-registries": [%q] to its daemon.json, or build with another tool: --builder buildah`, o.Login.Host)
	case t.kind == docker && strings.Contains(output, "connection refused"):
		e.Fix = "Docker runs on another machine than the server, perhaps a virtual one, where " + o.Login.Host + " is nobody. Reach the server by an address that both have (--endpoint), or build with another tool: --builder buildah"
	case strings.Contains(output, "x509"):
		e.Fix = "The tool does not trust the server's certificate: SSL_CERT_FILE names the CA (outcrop ca), or for docker /etc/docker/certs.d/" + o.Login.Host + "/ca.crt"
	}
	return e
}
