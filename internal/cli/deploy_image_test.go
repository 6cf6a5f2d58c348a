package cli

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// registry answers ECR's two operations that deploy calls.
func (f *fake) registry(w http.ResponseWriter, r *http.Request) {
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, operation)
	switch operation {
	case "GetAuthorizationToken":
		token := base64.StdEncoding.EncodeToString([]byte("AWS:password"))
		fmt.Fprintf(w, `{"authorizationData":[{"authorizationToken":%q,"proxyEndpoint":"http://%s","expiresAt":1}]}`, token, r.Host)
	case "CreateRepository":
		var in struct{ RepositoryName string }
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			f.t.Error(err)
		}
		if f.buckets[in.RepositoryName] {
			refuse(w, 400, "RepositoryAlreadyExistsException", "The repository already exists")
			return
		}
		f.buckets[in.RepositoryName] = true
		fmt.Fprint(w, `{"repository":{}}`)
	case "ListUserPools", "CreateUserPool":
		f.userPools(w, r, operation)
	default:
		refuse(w, 400, "UnknownOperationException", operation)
	}
}

// tool puts a program that stands for a builder on the user's PATH.
func (u *account) tool(name, script string) {
	u.t.Helper()
	if runtime.GOOS == "windows" {
		u.t.Skip("the tools are shell scripts here")
	}
	bin := filepath.Join(u.home, "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		u.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		u.t.Fatal(err)
	}
	u.environ[1] = "PATH=" + bin
}

// buildahScript builds everything and pushes it as one digest.
var buildahScript = `case $1 in
--version) echo 'buildah version 1.28.2 (image-spec 1.1.0)';;
build) echo 'STEP 1/2: FROM scratch'; echo 'a line between'; echo 'STEP 2/2: COPY . /';;
push) while [ $# -gt 0 ]; do case $1 in --digestfile) printf 'sha256:` + strings.Repeat("0a", 32) + `' > $2;; esac; shift; done;;
esac
`

// dockerFolder is agentFolder with a Dockerfile.
func dockerFolder(t *testing.T, u *account, name string) string {
	t.Helper()
	dir := agentFolder(t, u, name)
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte("FROM scratch\nCOPY . /\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestDeployDockerfile(t *testing.T) {
	u, f := withServer(t)
	u.tool("docker", "echo 'Cannot connect to the Docker daemon. Is it running?' >&2; exit 1\n")
	u.tool("buildah", buildahScript)
	dir := dockerFolder(t, u, "My_Agent")
	u.golden("deploy/dockerfile", u.run("deploy", dir))
	artifact, err := json.Marshal(f.runtimes["My_Agent-0123456789"]["agentRuntimeArtifact"])
	want := `{"containerConfiguration":{"containerUri":"123456789012.dkr.ecr.us-east-1.amazonaws.com/outcrop-deploy/my-agent@sha256:` + strings.Repeat("0a", 32) + `"}}`
	if err != nil || string(artifact) != want {
		t.Errorf("%s, %v, want %s", artifact, err, want)
	}
	if len(f.objects) > 0 || !f.buckets["outcrop-deploy/my-agent"] {
		t.Errorf("objects %v, repositories %v", f.objects, f.buckets)
	}
	// The repository is there now, and the image is the same.
	u.golden("deploy/dockerfile-again", u.run("deploy", dir, "--builder", "buildah", "--dockerfile", "Dockerfile"))
}

// TestDeployAsZip: who says what to start wants the folder, not its Dockerfile.
func TestDeployAsZip(t *testing.T) {
	u, f := withServer(t)
	if r := u.run("deploy", dockerFolder(t, u, "hello"), "--entry", "main.py"); r.code != 0 || len(f.objects) != 1 {
		t.Errorf("%s, objects %v", r, f.objects)
	}
}

func TestDeployDockerfileFailures(t *testing.T) {
	for name, tt := range map[string]struct {
		prepare func(*account)
		args    []string
	}{
		"no-builder": {func(u *account) {
			u.tool("docker", "echo 'Cannot connect to the Docker daemon. Is it running?' >&2; exit 1\n")
		}, nil},
		"build-fails": {func(u *account) {
			u.tool("buildah", "case $1 in build) echo 'STEP 1/2: FROM nowhere'; echo 'no such image: nowhere' >&2; exit 125;; esac\n"+buildahScript)
		}, []string{"--fresh"}},
	} {
		t.Run(name, func(t *testing.T) {
			u, f := withServer(t)
			dir := dockerFolder(t, u, "hello")
			tt.prepare(u)
			u.golden("deploy/"+name, u.run(append([]string{"deploy", dir}, tt.args...)...))
			if len(f.runtimes) > 0 {
				t.Errorf("made %v", f.runtimes)
			}
		})
	}
}

func TestDeployDockerfileMisuse(t *testing.T) {
	u, _ := withServer(t)
	dir, plain := dockerFolder(t, u, "hello"), agentFolder(t, u, "plain")
	for _, args := range [][]string{
		{dir, "--dockerfile", "nowhere"}, {dir, "--dockerfile", "Dockerfile", "--entry", "main.py"}, {dir, "--builder", "kaniko"}, {plain, "--builder", "podman"},
		{"--image", "a:1", "--builder", "podman"}, {"--image", "a:1", "--dockerfile", "Dockerfile"}, {dir, "--entry", "main.py", "--builder", "docker"},
	} {
		if r := u.run(append([]string{"deploy"}, args...)...); r.code != exitUsage || r.stdout != "" || !strings.HasPrefix(r.stderr, "outcrop: ") {
			t.Errorf("%v: %s", args, r)
		}
	}
}
