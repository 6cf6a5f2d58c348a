package builder

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// The beginnings of programs that stand for the tools; each notes how it is called.
const (
	digest      = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	noDaemon    = "echo 'Docker version 28.2.2, build e6534b4'; case $1 in version) echo 'Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?' >&2; exit 1;; esac\n"
	goodDocker  = "case $1 in --version) echo 'Docker version 28.2.2, build e6534b4';; version) echo linux;; build) echo '#5 [1/2] FROM scratch'; echo '#5 0.1 a line' >&2;; push) cp \"$DOCKER_CONFIG/config.json\" \"$NOTES/config.json\"; ls \"$DOCKER_CONFIG\" > \"$NOTES/listing\"; echo 'latest: digest: " + digest + " size: 528';; esac\n"
	goodBuildah = "case $1 in --version) echo 'buildah version 1.28.2 (image-spec 1.1.0-rc2)';; build) echo 'STEP 1/2: FROM scratch';; push) while [ $# -gt 0 ]; do case $1 in --authfile) cp $2 $NOTES/auth.json;; --digestfile) printf " + digest + " > $2;; esac; shift; done;; esac\n"
	goodPodman  = "case $1 in --version) echo 'podman version 4.3.1';; info) echo linux;; build) ;; push) while [ $# -gt 0 ]; do case $1 in --authfile) cp $2 $NOTES/auth.json;; --digestfile) printf " + digest + " > $2;; esac; shift; done;; esac\n"
)

// desk is a machine with tools.
type desk struct {
	Options
	t     *testing.T
	notes string
	lines []string
}

func newDesk(t *testing.T, tools map[string]string) *desk {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the tools are shell scripts here")
	}
	d := &desk{t: t, notes: t.TempDir()}
	bin, home, folder := t.TempDir(), t.TempDir(), t.TempDir()
	for name, script := range tools {
		text := "#!/bin/sh\necho \"" + name + " $*\" >> \"$NOTES/calls\"\n" + script
		if err := os.WriteFile(filepath.Join(bin, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	d.Options = Options{
		Folder: folder, File: filepath.Join(folder, "Dockerfile"), Platform: "linux/arm64", Reference: "127.0.0.1:8642/outcrop-deploy/x:latest",
		Login: Login{Host: "127.0.0.1:8642", User: "AWS", Password: "secret", Plain: true}, TempDir: t.TempDir(), Patience: 10 * time.Second,
		Env: []string{"PATH=" + bin + ":/usr/bin:/bin", "HOME=" + home, "NOTES=" + d.notes},
		Progress: func(line string, lasting bool) {
			if lasting {
				line = "* " + line
			}
			d.lines = append(d.lines, line)
		},
	}
	// The machine's own tools are not those of the test.
	for _, name := range Tools() {
		if _, fake := tools[name]; !fake {
			d.Env[0] = "PATH=" + bin
			for _, program := range []string{"cp", "ls", "sleep", "cat"} {
				for _, dir := range []string{"/usr/bin/", "/bin/"} {
					if _, err := os.Stat(dir + program); err == nil {
						_ = os.Symlink(dir+program, filepath.Join(bin, program)) // the second time it is there
					}
				}
			}
		}
	}
	return d
}

func (d *desk) note(name string) string {
	d.t.Helper()
	b, err := os.ReadFile(filepath.Join(d.notes, name))
	if err != nil {
		d.t.Fatal(err)
	}
	return string(b)
}

func (d *desk) build() (Image, error) {
	image, err := Build(d.t.Context(), d.Options)
	if left, readErr := os.ReadDir(d.TempDir); readErr != nil || len(left) > 0 {
		d.t.Errorf("left behind: %v, %v", left, readErr)
	}
	return image, err
}

// TestChooses the first that answers, not the first that is there.
func TestChooses(t *testing.T) {
	hangs := "sleep 600\n"
	shim := "echo 'podman version 4.3.1'\n"
	for name, tt := range map[string]struct {
		tools map[string]string
		asked string
		want  string
	}{
		"all":                   {map[string]string{"docker": goodDocker, "buildah": goodBuildah, "podman": goodPodman}, "", "docker 28.2.2"},
		"no daemon":             {map[string]string{"docker": noDaemon, "buildah": goodBuildah, "podman": goodPodman}, "", "buildah 1.28.2"},
		"hangs":                 {map[string]string{"docker": hangs, "podman": goodPodman}, "", "podman 4.3.1"},
		"podman's shim":         {map[string]string{"docker": shim, "podman": goodPodman}, "", "podman 4.3.1"},
		"Windows's":             {map[string]string{"docker": strings.Replace(goodDocker, "echo linux", "echo windows", 1), "buildah": goodBuildah}, "", "buildah 1.28.2"},
		"no namespaces":         {map[string]string{"buildah": "case $1 in from) echo 'cannot clone: Operation not permitted' >&2; exit 125;; esac\n" + goodBuildah, "podman": goodPodman}, "", "podman 4.3.1"},
		"the one that is named": {map[string]string{"docker": goodDocker, "podman": goodPodman}, "podman", "podman 4.3.1"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t, tt.tools)
			d.Tool = tt.asked
			if name == "hangs" {
				d.Patience = time.Second
			}
			image, err := d.build()
			if err != nil || image.Tool != tt.want || image.Digest != digest {
				t.Errorf("%+v, %v, want %s", image, err, tt.want)
			}
		})
	}
}

// TestNoneAnswers: each is named with what it said, and the way out.
func TestNoneAnswers(t *testing.T) {
	d := newDesk(t, map[string]string{"docker": noDaemon, "podman": "sleep 600\n"})
	d.Patience = time.Second
	_, err := d.build()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatal(err)
	}
	want := "nothing on this machine can build " + d.File + ":\n" +
		"  docker: Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?\n" +
		"  buildah: it is not on your PATH\n" +
		"  podman: it did not answer within 1s"
	if e.Reason != want || !strings.Contains(e.Fix, "apt-get install buildah") || !strings.Contains(e.Fix, "outcrop deploy --image") {
		t.Errorf("%s\n%s", e.Reason, e.Fix)
	}
	d.Tool = "buildah"
	if _, err := d.build(); !errors.As(err, &e) || !strings.HasPrefix(e.Reason, "buildah cannot build ") || !strings.Contains(e.Fix, "apt-get install buildah") {
		t.Errorf("%v", err)
	}
}

// TestAnotherAnswers: who asked for one that does not is told of one that does.
func TestAnotherAnswers(t *testing.T) {
	d := newDesk(t, map[string]string{"buildah": goodBuildah})
	d.Tool = "podman"
	_, err := d.build()
	var e *Error
	if !errors.As(err, &e) || e.Reason != "podman cannot build "+d.File+":\n  podman: it is not on your PATH" || e.Fix != "buildah 1.28.2 can build it: leave out --builder" {
		t.Errorf("%+v", err)
	}
}

func TestBuildah(t *testing.T) {
	d := newDesk(t, map[string]string{"buildah": goodBuildah})
	d.Fresh = true
	if image, err := d.build(); err != nil || image.Digest != digest {
		t.Fatalf("%+v, %v", image, err)
	}
	calls := d.note("calls")
	for _, want := range []string{
		"buildah from --name outcrop-trial-", "buildah rm outcrop-trial-",
		"buildah build --platform linux/arm64 --tag 127.0.0.1:8642/outcrop-deploy/x:latest --file " + d.File + " --layers --no-cache " + d.Folder + "\n",
		" --tls-verify=false 127.0.0.1:8642/outcrop-deploy/x:latest docker://127.0.0.1:8642/outcrop-deploy/x:latest\n",
	} {
		if !strings.Contains(calls, want) {
			t.Errorf("no %q in\n%s", want, calls)
		}
	}
	if strings.Contains(calls, "secret") {
		t.Errorf("the password is in the arguments:\n%s", calls)
	}
	if auth := d.note("auth.json"); auth != `{"auths":{"127.0.0.1:8642":{"auth":"QVdTOnNlY3JldA=="}}}` {
		t.Error(auth)
	}
	if got := strings.Join(d.lines, "\n"); got != "* building Dockerfile by buildah 1.28.2 for linux/arm64\n* STEP 1/2: FROM scratch\n* pushing 127.0.0.1:8642/outcrop-deploy/x:latest" {
		t.Errorf("%s", got)
	}
	d.Login.Plain = false
	if _, err := d.build(); err != nil {
		t.Fatal(err)
	}
	if calls := d.note("calls"); strings.Count(calls, "--tls-verify=false") != 1 {
		t.Errorf("TLS is not verified:\n%s", calls)
	}
}

// TestBuildahWithoutLogins: a DOCKER_CONFIG with no config.json is no logins, which
// buildah says is an error.
func TestBuildahWithoutLogins(t *testing.T) {
	const asBuildahDoes = `auth=${REGISTRY_AUTH_FILE:-$DOCKER_CONFIG/config.json}
if [ "$1" = from ] && [ ! -e "$auth" ]; then echo "checking authfile: stat $auth: no such file or directory" >&2; exit 125; fi
if [ "$1" = build ]; then cat "$auth" > "$NOTES/logins"; fi
`
	mine := filepath.Join(t.TempDir(), "mine.json")
	if err := os.WriteFile(mine, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct{ config, auth, want string }{
		"none":       {"", "", "{}"},
		"its own":    {"docker", "", "docker"},
		"named file": {"", mine, "mine"},
	} {
		d := newDesk(t, map[string]string{"buildah": asBuildahDoes + goodBuildah})
		dir := t.TempDir()
		d.Env = append(d.Env, "DOCKER_CONFIG="+dir)
		if test.config != "" {
			if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(test.config), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if test.auth != "" {
			d.Env = append(d.Env, "REGISTRY_AUTH_FILE="+test.auth)
		}
		if image, err := d.build(); err != nil || image.Digest != digest {
			t.Fatalf("%s: %+v, %v", name, image, err)
		}
		if got := d.note("logins"); got != test.want {
			t.Errorf("%s: its logins are %q, want %q", name, got, test.want)
		}
		if left, err := os.ReadDir(dir); err != nil || (len(left) > 0) != (test.config != "") {
			t.Errorf("%s: the user's own directory has %v, %v", name, left, err)
		}
	}
}

// TestDocker: the user's configuration counts at the build, and at the push with our login
// over it, and is left as it is.
func TestDocker(t *testing.T) {
	d := newDesk(t, map[string]string{"docker": goodDocker})
	own := filepath.Join(strings.TrimPrefix(d.Env[1], "HOME="), ".docker")
	if err := os.MkdirAll(filepath.Join(own, "contexts", "meta"), 0o700); err != nil {
		t.Fatal(err)
	}
	const mine = `{"auths":{"ghcr.io":{"auth":"eA=="}},"credsStore":"desktop","currentContext":"rootless"}`
	if err := os.WriteFile(filepath.Join(own, "config.json"), []byte(mine), 0o600); err != nil {
		t.Fatal(err)
	}
	image, err := d.build()
	if err != nil || image.Digest != digest || image.Tool != "docker 28.2.2" {
		t.Fatalf("%+v, %v", image, err)
	}
	var config struct {
		Auths          map[string]struct{ Auth string }
		CredsStore     string
		CurrentContext string
		CredHelpers    map[string]string
	}
	if err := json.Unmarshal([]byte(d.note("config.json")), &config); err != nil {
		t.Fatal(err)
	}
	helper, helped := config.CredHelpers["127.0.0.1:8642"]
	if config.Auths["127.0.0.1:8642"].Auth != "QVdTOnNlY3JldA==" || config.Auths["ghcr.io"].Auth != "eA==" || config.CurrentContext != "rootless" || !helped || helper != "" {
		t.Errorf("%+v", config)
	}
	if listing := d.note("listing"); !strings.Contains(listing, "contexts") {
		t.Errorf("its contexts are out of reach: %s", listing)
	}
	if b, err := os.ReadFile(filepath.Join(own, "config.json")); err != nil || string(b) != mine {
		t.Errorf("the user's own is %s, %v", b, err)
	}
	if _, err := os.Stat(filepath.Join(own, "contexts", "meta")); err != nil {
		t.Errorf("the user's contexts are gone: %v", err)
	}
	if got := strings.Join(d.lines, "\n"); !strings.Contains(got, "* #5 [1/2] FROM scratch\n#5 0.1 a line\n* pushing") {
		t.Errorf("%s", got)
	}
}

func TestFailures(t *testing.T) {
	const broken = "case $1 in build) echo 'STEP 2/2: COPY nothing /'; echo 'no such file: nothing' >&2; exit 125;; esac\n"
	push := func(text string) string {
		return "case $1 in push) echo '" + text + "' >&2; exit 1;; esac\n"
	}
	for name, tt := range map[string]struct {
		tool, script, reason, fix string
	}{
		"build":      {"buildah", broken + goodBuildah, "buildah 1.28.2 could not build ", "--image"},
		"no TLS":     {"docker", push("http: server gave HTTP response to HTTPS client") + goodDocker, "could not push", "insecure-registries"},
		"elsewhere":  {"docker", push("dial tcp 127.0.0.1:8642: connect: connection refused") + goodDocker, "could not push", "Docker runs on another machine"},
		"own CA":     {"podman", push("x509: certificate signed by unknown authority") + goodPodman, "could not push", "SSL_CERT_FILE"},
		"any":        {"podman", push("boom") + goodPodman, "boom", "Push it yourself"},
		"no digest":  {"docker", "case $1 in push) exit 0;; esac\n" + goodDocker, "could not push", "Push it yourself"},
		"no digest2": {"buildah", "case $1 in push) exit 0;; esac\n" + goodBuildah, "could not push", "Push it yourself"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := newDesk(t, map[string]string{tt.tool: tt.script}).build()
			var e *Error
			if !errors.As(err, &e) || !strings.Contains(e.Reason, tt.reason) || !strings.Contains(e.Fix, tt.fix) {
				t.Errorf("%v", err)
			}
			if name == "build" && !strings.HasSuffix(e.Reason, "STEP 2/2: COPY nothing /\nno such file: nothing") {
				t.Errorf("%s", e.Reason)
			}
		})
	}
}

func TestInterrupted(t *testing.T) {
	d := newDesk(t, map[string]string{"buildah": "case $1 in build) trap 'exit 130' INT; echo begun; while :; do sleep 1; done;; esac\n" + goodBuildah})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	d.Progress = func(line string, _ bool) {
		if line == "begun" {
			cancel()
		}
	}
	if _, err := Build(ctx, d.Options); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestFindFile(t *testing.T) {
	dir := t.TempDir()
	if got := FindFile(dir); got != "" {
		t.Errorf("%q", got)
	}
	for _, name := range []string{"Containerfile", "Dockerfile"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if got := FindFile(dir); filepath.Base(got) != name {
			t.Errorf("%q", got)
		}
	}
}
