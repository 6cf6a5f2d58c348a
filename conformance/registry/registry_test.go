// Package registry holds the program's image registry to what its unmodified
// clients do: boto3, the AWS CLI, skopeo and go-containerregistry, against a real
// server that is killed, and the specification's own suite.
package registry

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sync/errgroup"

	"github.com/outcrop/outcrop/conformance/pinned"
	"github.com/outcrop/outcrop/conformance/server"
)

// kit is a server, and a login to its registry.
type kit struct {
	*server.Server
	t        *testing.T
	password string
}

// start runs a server with some repositories.
func start(t *testing.T, repositories ...string) *kit {
	t.Helper()
	k := &kit{Server: server.Start(t, server.Options{}), t: t}
	for _, r := range repositories {
		k.run("aws", "ecr", "create-repository", "--repository-name", r)
	}
	k.password = strings.TrimSpace(k.run("aws", "ecr", "get-login-password"))
	return k
}

// run runs a client in the environment of `outcrop env`.
func (k *kit) run(program string, args ...string) string {
	k.t.Helper()
	if program != "skopeo" {
		program = pinned.Program(k.t, program)
	}
	cmd := exec.CommandContext(k.t.Context(), program, args...)
	cmd.Env = append(k.Env(), "AWS_CONFIG_FILE=/nonexistent", "AWS_PAGER=", "HOME="+k.t.TempDir())
	out, err := cmd.CombinedOutput()
	if err != nil {
		k.t.Fatalf("%s %s: %v\n%s\nserver:\n%s", filepath.Base(program), strings.ReplaceAll(strings.Join(args, " "), k.password, "PASSWORD"), err, out, k.Log())
	}
	return string(out)
}

func (k *kit) host() string { return strings.TrimPrefix(k.URL, "http://") }

func (k *kit) reference(text string) name.Reference {
	k.t.Helper()
	ref, err := name.ParseReference(k.host() + "/" + text)
	if err != nil {
		k.t.Fatal(err)
	}
	return ref
}

func (k *kit) options() []remote.Option {
	return []remote.Option{remote.WithContext(k.t.Context()), remote.WithAuth(&authn.Basic{Username: "AWS", Password: k.password}), remote.WithJobs(2)}
}

// files lists what the registry has on the disk.
func (k *kit) files() (paths []string, size int64) {
	k.t.Helper()
	err := filepath.WalkDir(filepath.Join(k.DataDir, "registry"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			paths, size = append(paths, path), size+info.Size()
		}
		return err
	})
	if err != nil {
		k.t.Fatal(err)
	}
	return paths, size
}

// layer is an incompressible one, in a file.
type layer struct {
	path   string
	size   int64
	digest v1.Hash
}

func newLayer(t *testing.T, size int64, seed uint64) *layer {
	t.Helper()
	l := &layer{path: filepath.Join(t.TempDir(), "layer"), size: size}
	f, err := os.Create(l.path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var key [32]byte
	key[0] = byte(seed)
	h := sha256.New()
	if _, err := io.CopyN(io.MultiWriter(f, h), rand.NewChaCha8(key), size); err != nil {
		t.Fatal(err)
	}
	l.digest = v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(h.Sum(nil))}
	return l
}

func (l *layer) Digest() (v1.Hash, error)             { return l.digest, nil }
func (l *layer) DiffID() (v1.Hash, error)             { return l.digest, nil }
func (l *layer) Compressed() (io.ReadCloser, error)   { return os.Open(l.path) }
func (l *layer) Uncompressed() (io.ReadCloser, error) { return os.Open(l.path) }
func (l *layer) Size() (int64, error)                 { return l.size, nil }
func (l *layer) MediaType() (types.MediaType, error)  { return types.OCIUncompressedLayer, nil }

func imageOf(t *testing.T, layers ...v1.Layer) v1.Image {
	t.Helper()
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	img, err := mutate.AppendLayers(img, layers...)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func digestOf(t *testing.T, i interface{ Digest() (v1.Hash, error) }) string {
	t.Helper()
	d, err := i.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return d.String()
}

// peak watches the server's memory until stop is called.
func (k *kit) peak() (stop func() int64) {
	end, peak := make(chan struct{}), make(chan int64)
	go func() {
		var most int64
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				most = max(most, k.RSS())
			case <-end:
				peak <- most
				return
			}
		}
	}()
	return func() int64 { close(end); return <-peak }
}

// grows is what a push may add to the server's memory.
const grows = 64 << 20

// TestPushKillPull pushes 500 MB, kills the server as soon as it has answered, and
// pulls by tag and by digest what is equal to the byte.
func TestPushKillPull(t *testing.T) {
	k := start(t, "agent")
	img := imageOf(t, newLayer(t, 400<<20, 1), newLayer(t, 100<<20, 2))
	tag, digest := k.reference("agent:v1"), k.reference("agent@"+digestOf(t, img))
	before, stop, begin := k.RSS(), k.peak(), time.Now()
	if err := remote.Write(tag, img, k.options()...); err != nil {
		t.Fatal(err)
	}
	pushed := time.Since(begin)
	grown := stop() - before
	k.Kill()
	k.Restart()
	begin = time.Now()
	for _, ref := range []name.Reference{tag, digest} {
		got, err := remote.Image(ref, k.options()...)
		if err != nil {
			t.Fatal(err)
		}
		same(t, img, got)
	}
	t.Logf("pushed in %v, the server grew by %d MiB, pulled twice in %v", pushed.Round(time.Millisecond), grown>>20, time.Since(begin).Round(time.Millisecond))
	if grown > grows {
		t.Errorf("the server grew by %d MiB", grown>>20)
	}
}

// same compares manifests, and reads all layers; who reads compares their digests.
func same(t *testing.T, want, got v1.Image) {
	t.Helper()
	wantRaw, err := want.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	if raw, err := got.RawManifest(); err != nil || string(raw) != string(wantRaw) {
		t.Errorf("the manifest is %s, %v", raw, err)
	}
	layers, err := got.Layers()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range layers {
		r, err := l.Compressed()
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, r)
		if size, _ := l.Size(); err != nil || n != size || r.Close() != nil {
			t.Errorf("%d bytes of a layer came, %v", n, err)
		}
	}
}

// TestTwoPushesAtOnce: the same layers in one repository and another are kept once.
func TestTwoPushesAtOnce(t *testing.T) {
	k := start(t, "agent", "other")
	img := imageOf(t, newLayer(t, 100<<20, 3))
	before, stop := k.RSS(), k.peak()
	var pushes errgroup.Group
	for _, ref := range []string{"agent:v1", "agent:v2", "other:v1"} {
		pushes.Go(func() error { return remote.Write(k.reference(ref), img, k.options()...) })
	}
	if err := pushes.Wait(); err != nil {
		t.Fatal(err)
	}
	if grown := stop() - before; grown > 2*grows {
		t.Errorf("the server grew by %d MiB", grown>>20)
	}
	for _, ref := range []string{"agent:v1", "agent:v2", "other:v1"} {
		got, err := remote.Image(k.reference(ref), k.options()...)
		if err != nil {
			t.Fatal(err)
		}
		same(t, img, got)
	}
	k.Kill() // which leaves what it was about to remove
	k.Restart()
	k.settled(2) // the layer and the configuration
}

// settled waits until the registry has so many files.
func (k *kit) settled(want int) {
	k.t.Helper()
	deadline := time.After(server.Wait)
	for {
		paths, _ := k.files()
		if len(paths) == want {
			return
		}
		select {
		case <-deadline:
			k.t.Fatalf("there are %d files and not %d: %q", len(paths), want, paths)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// TestKilledDuringPush: what a push had not been told it has is gone, and what it
// had is there.
func TestKilledDuringPush(t *testing.T) {
	k := start(t, "agent")
	do := func(method, path string, body io.Reader) *http.Response {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, k.URL+path, body)
		if err != nil {
			t.Fatal(err)
		}
		r.SetBasicAuth("AWS", k.password)
		w, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		w.Body.Close()
		return w
	}
	upload := do("POST", "/v2/agent/blobs/uploads/", nil).Header.Get("Location")
	first := strings.Repeat("first", 1000)
	if w := do("PATCH", upload, strings.NewReader(first)); w.StatusCode != http.StatusAccepted {
		t.Fatal(w.Status)
	}
	body, write := io.Pipe()
	go func() {
		chunk := make([]byte, 1<<20)
		for {
			if _, err := write.Write(chunk); err != nil {
				return
			}
		}
	}()
	killed := make(chan struct{})
	go func() {
		defer close(killed)
		for deadline := time.Now().Add(server.Wait); time.Now().Before(deadline); {
			if _, size := k.files(); size > 32<<20 {
				break
			}
		}
		k.Kill()
	}()
	r, err := http.NewRequestWithContext(t.Context(), "PATCH", k.URL+upload, body)
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth("AWS", k.password)
	if w, err := http.DefaultClient.Do(r); err == nil {
		t.Fatalf("the push ended with %s", w.Status)
	}
	<-killed
	body.CloseWithError(io.ErrClosedPipe)
	k.Restart()
	if w := do("GET", upload, nil); w.StatusCode != http.StatusNoContent || w.Header.Get("Range") != fmt.Sprintf("0-%d", len(first)-1) {
		t.Errorf("%s %v", w.Status, w.Header)
	}
	whole := first + "last"
	if w := do("PUT", upload+fmt.Sprintf("?digest=sha256:%x", sha256.Sum256([]byte(whole))), strings.NewReader("last")); w.StatusCode != http.StatusCreated {
		t.Errorf("%s", w.Status)
	}
	if paths, size := k.files(); len(paths) != 1 || size != int64(len(whole)) {
		t.Errorf("%d bytes in %q", size, paths)
	}
}

// TestBoto3 runs testdata/story.py, which asserts for itself.
func TestBoto3(t *testing.T) {
	if out := start(t).run("python", "testdata/story.py"); !strings.HasSuffix(out, "done\n") {
		t.Errorf("the script did not come to its end:\n%s", out)
	}
}

// TestSkopeo copies an image of two platforms in and out, by both names.
func TestSkopeo(t *testing.T) {
	pinned.System(t, "skopeo")
	k := start(t, "agent")
	var index v1.ImageIndex = mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for i, arch := range []string{"amd64", "arm64"} {
		img := imageOf(t, newLayer(t, 1<<20, uint64(10+i)))
		file, err := img.ConfigFile()
		if err == nil {
			file = file.DeepCopy()
			file.OS, file.Architecture = "linux", arch
			img, err = mutate.ConfigFile(img, file)
		}
		if err != nil {
			t.Fatal(err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}}})
	}
	dir := t.TempDir()
	path, err := layout.Write(filepath.Join(dir, "in"), empty.Index)
	if err == nil {
		err = path.AppendIndex(index, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": "v1"}))
	}
	if err != nil {
		t.Fatal(err)
	}
	aws := k.Account + ".dkr.ecr." + k.Region + ".amazonaws.com/"
	skopeo := func(args ...string) string {
		t.Helper()
		return k.run("skopeo", append([]string{"--insecure-policy"}, args...)...)
	}
	in, out := []string{"--dest-tls-verify=false", "--dest-creds=AWS:" + k.password}, []string{"--src-tls-verify=false", "--src-creds=AWS:" + k.password}
	skopeo(append(append([]string{"copy", "--all"}, in...), "oci:"+filepath.Join(dir, "in")+":v1", "docker://"+k.host()+"/agent:v1")...)
	skopeo(append(append([]string{"copy", "--all"}, out...), "docker://"+k.host()+"/"+aws+"agent:v1", "oci:"+filepath.Join(dir, "out")+":v1")...)
	// It writes manifests anew as it copies in, and so compares what it copied out.
	want := skopeo("inspect", "--raw", "--tls-verify=false", "--creds=AWS:"+k.password, "docker://"+k.host()+"/agent:v1")
	if got := skopeo("inspect", "--raw", "oci:"+filepath.Join(dir, "out")+":v1"); got != want || strings.Count(want, `"architecture"`) != 2 {
		t.Errorf("the index is\n%s\nand not\n%s", got, want)
	}
	// As Docker's own forms.
	skopeo(append(append([]string{"copy", "--format=v2s2", "--override-arch=arm64", "--override-os=linux"}, append(in, out...)...), "docker://"+k.host()+"/agent:v1", "docker://"+k.host()+"/agent:docker")...)
	var listed struct{ Tags []string }
	tags := skopeo("list-tags", "--tls-verify=false", "--creds=AWS:"+k.password, "docker://"+k.host()+"/agent")
	if err := json.Unmarshal([]byte(tags), &listed); err != nil || strings.Join(listed.Tags, " ") != "docker v1" {
		t.Errorf("%s, %v", tags, err)
	}
	skopeo("delete", "--tls-verify=false", "--creds=AWS:"+k.password, "docker://"+k.host()+"/agent:docker")
	if tags = skopeo("list-tags", "--tls-verify=false", "--creds=AWS:"+k.password, "docker://"+k.host()+"/agent"); strings.Contains(tags, "docker\"") {
		t.Errorf("%s", tags)
	}
}

// TestSpecification runs the specification's own suite.
func TestSpecification(t *testing.T) {
	suite := os.Getenv("OCI_CONFORMANCE")
	if suite == "" {
		t.Skip("set OCI_CONFORMANCE to the program that `go build` makes of github.com/opencontainers/distribution-spec/conformance (newer than v1.1.1)")
	}
	k := start(t, "conformance/one", "conformance/two")
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), suite)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(),
		"OCI_REGISTRY="+k.host(), "OCI_TLS=disabled", "OCI_REPO1=conformance/one", "OCI_REPO2=conformance/two", "OCI_USERNAME=AWS", "OCI_PASSWORD="+k.password,
		"OCI_RESULTS_DIR="+dir, "OCI_VERSION=1.1", "OCI_API_BLOBS_UPLOAD_CANCEL=true", "OCI_API_BLOBS_DIGEST_HEADER=true", "OCI_API_MANIFESTS_DIGEST_HEADER=true")
	out, err := cmd.CombinedOutput()
	_, summary, _ := strings.Cut(string(out), "OCI Conformance Result:")
	t.Logf("%s", summary)
	if err != nil || !strings.HasPrefix(strings.TrimSpace(summary), "Pass") {
		t.Errorf("%v\n%s", err, out)
	}
}
