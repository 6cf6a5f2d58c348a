package runtime_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	imagetypes "github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/outcrop/outcrop/internal/garbage"
	"github.com/outcrop/outcrop/internal/runtime/runtimetest"
)

func container(uri string) *types.AgentRuntimeArtifactMemberContainerConfiguration {
	return &types.AgentRuntimeArtifactMemberContainerConfiguration{Value: types.ContainerConfiguration{ContainerUri: &uri}}
}

// images is a registry that can be out of order.
type images struct {
	t      *testing.T
	host   string
	broken atomic.Bool
	// holds keeps who fetches content until free is closed; pulling counts them.
	holds   atomic.Bool
	free    chan struct{}
	pulling atomic.Int32
}

func newImages(t *testing.T) *images {
	t.Helper()
	i := &images{t: t, free: make(chan struct{})}
	h := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if i.broken.Load() {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		if i.holds.Load() && r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") {
			i.pulling.Add(1)
			<-i.free
			i.pulling.Add(-1)
		}
		h.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	i.host = strings.TrimPrefix(srv.URL, "http://")
	return i
}

// push makes an image with one file and the command that the configuration names, and
// returns its reference.
func (i *images) push(path, file string, config v1.Config) string {
	i.t.Helper()
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	files := map[string]string{file: file}
	if command := slices.Concat(config.Entrypoint, config.Cmd); len(command) > 0 {
		files[strings.TrimPrefix(command[0], "/")] = "#!" + command[0] + "\n"
	}
	var err error
	for name, text := range files {
		err = errors.Join(err, w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o755, Size: int64(len(text))}))
		if err == nil {
			_, err = io.WriteString(w, text)
		}
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		i.t.Fatal(err)
	}
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, imagetypes.OCIManifestSchema1), imagetypes.OCIConfigJSON)
	img, err = mutate.AppendLayers(img, static.NewLayer(layer.Bytes(), imagetypes.OCIUncompressedLayer))
	if err != nil {
		i.t.Fatal(err)
	}
	about, err := img.ConfigFile()
	if err != nil {
		i.t.Fatal(err)
	}
	about = about.DeepCopy()
	about.OS, about.Architecture, about.Config = "linux", goruntime.GOARCH, config
	if img, err = mutate.ConfigFile(img, about); err != nil {
		i.t.Fatal(err)
	}
	ref, err := name.ParseReference(i.host + "/" + path)
	if err == nil {
		err = remote.Write(ref, img)
	}
	if err != nil {
		i.t.Fatal(err)
	}
	return ref.String()
}

// contained makes a runtime of an image and waits until it has settled.
func (k kit) contained(name, uri string) *control.GetAgentRuntimeOutput {
	k.Helper()
	in := create(name)
	in.AgentRuntimeArtifact = container(uri)
	out, err := k.Control.CreateAgentRuntime(k.Context(), in)
	if err != nil {
		k.Fatal(err)
	}
	return k.settled(*out.AgentRuntimeId)
}

// TestPullsLeaveRoom: registries that do not answer hold up nobody but those whose
// images they have.
func TestPullsLeaveRoom(t *testing.T) {
	k, i := newKit(t, runtimetest.Options{Idle: true}), newImages(t)
	var slow []string
	for n := range 20 { // more than work items run at a time
		slow = append(slow, i.push(fmt.Sprintf("slow:%d", n), fmt.Sprintf("file%d", n), v1.Config{Cmd: []string{"/file"}}))
	}
	free := sync.OnceFunc(func() { close(i.free) })
	t.Cleanup(free)
	var ids []string
	for n, uri := range slow {
		in := create(fmt.Sprintf("slow%d", n))
		in.AgentRuntimeArtifact = container(uri)
		out, err := k.Control.CreateAgentRuntime(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, *out.AgentRuntimeId)
	}
	i.holds.Store(true)
	k.Work()
	for i.pulling.Load() < 8 {
		k.wait(nil)
	}
	k.created("quick")
	if n := i.pulling.Load(); n != 8 {
		t.Errorf("%d images are pulled at a time, want 8", n)
	}
	free()
	for _, id := range ids {
		if got := k.settled(id); got.Status != types.AgentRuntimeStatusReady {
			t.Errorf("%s is %s: %s", id, got.Status, aws.ToString(got.FailureReason))
		}
	}
}

func (k kit) keptImages(want int) {
	k.Helper()
	entries, err := os.ReadDir(filepath.Join(k.Dir, "images", "images"))
	if err != nil || len(entries) != want {
		k.Errorf("%d images are kept, %v, want %d", len(entries), err, want)
	}
}

// TestContainer: an image runs as it says, and as it was when its version was made.
func TestContainer(t *testing.T) {
	k, reg := newKit(t, runtimetest.Options{}), newImages(t)
	config := v1.Config{Entrypoint: []string{"/bin/agent"}, Cmd: []string{"x"}, User: "7:8", WorkingDir: "/w", Env: []string{"A=image", "AWS_REGION=mars"}}
	uri := reg.push("agent:1", "one", config)
	got := k.contained("agent", uri)
	if got.Status != types.AgentRuntimeStatusReady || *got.AgentRuntimeArtifact.(*types.AgentRuntimeArtifactMemberContainerConfiguration).Value.ContainerUri != uri {
		t.Fatalf("%+v: %s", got, aws.ToString(got.FailureReason))
	}
	id := *got.AgentRuntimeId
	reg.push("agent:1", "two", config)
	if _, err := k.invoke(arn(id), "one", "hi"); err != nil {
		t.Fatal(err)
	}
	specs := k.Engine.Specs()
	spec := specs[len(specs)-1]
	if _, err := os.Stat(filepath.Join(spec.Root, "one")); err != nil || spec.Code != "" || spec.User != 7 || spec.Group != 8 || spec.Dir != "/w" || !slices.Equal(spec.Args, []string{"/bin/agent", "x"}) {
		t.Errorf("%+v, %v", spec, err)
	}
	for _, v := range []string{"A=image", "AWS_REGION=us-west-2", "DOCKER_CONTAINER=1", "HOME=/"} {
		if !slices.Contains(spec.Env, v) {
			t.Errorf("%s is not in %q", v, spec.Env)
		}
	}
	if logs := strings.Join(k.Logs("/aws/bedrock-agentcore/runtimes/"+id+"-DEFAULT"), "\n"); !strings.Contains(logs, "outcrop: image "+reg.host+"/agent@sha256:") || !strings.Contains(logs, " is here: ") {
		t.Errorf("the log is %s", logs)
	}

	// Lost, it is pulled again; while its registry does not give it, that is why no session starts.
	k.stop(id, "one")
	report, err := k.Service.PruneImages(t.Context(), garbage.Options{All: true})
	if err != nil || report.Taken.Items != 0 || report.Left.Items != 1 {
		t.Errorf("PruneImages() = %+v, %v, though an endpoint runs it", report, err)
	}
	lost := filepath.Join(k.Dir, "images", "images")
	if err := errors.Join(os.RemoveAll(lost), os.Mkdir(lost, 0o700)); err != nil {
		t.Fatal(err)
	}
	reg.broken.Store(true)
	_, err = k.invoke(arn(id), "two", "hi")
	k.refused(err, "RuntimeClientError", "does not let us have "+reg.host+"/agent@sha256:")
	reg.broken.Store(false)
	if _, err := k.invoke(arn(id), "three", "hi"); err != nil {
		t.Error(err)
	}
	k.keptImages(1)

	// The last version that has it takes it along.
	if _, err := k.Control.DeleteAgentRuntime(t.Context(), &control.DeleteAgentRuntimeInput{AgentRuntimeId: &id}); err != nil {
		t.Fatal(err)
	}
	k.gone(id)
	for {
		if entries, err := os.ReadDir(lost); err != nil || len(entries) == 0 {
			break
		}
		k.wait(k.Store.Changed("document/runtime"))
	}
}

// TestContainerRefused: in AWS's words where there are some, and never half made.
func TestContainerRefused(t *testing.T) {
	k, reg := newKit(t, runtimetest.Options{}), newImages(t)
	there := reg.push("there:1", "x", v1.Config{})
	in := create("refused")
	for uri, want := range map[string]string{
		reg.host + "/gone:1":       "There is no image " + reg.host + "/gone:1",
		"10.255.255.1/agent":       "outcrop serve --private-registry 10.255.255.1",
		"no/SUCH/name:x":           "is no image's name",
		there + "@sha256:0123":     "is no image's name",
		"registry.invalid/agent:1": "registry.invalid",
	} {
		in.AgentRuntimeArtifact = container(uri)
		_, err := k.Control.CreateAgentRuntime(t.Context(), in)
		k.refused(err, "ValidationException", want)
	}
	reg.broken.Store(true)
	in.AgentRuntimeArtifact = container(there)
	_, err := k.Control.CreateAgentRuntime(t.Context(), in)
	k.refused(err, "ValidationException", "does not let us have "+there)
	reg.broken.Store(false)
	if got := k.contained("silent", there); got.Status != types.AgentRuntimeStatusCreateFailed || !strings.Contains(aws.ToString(got.FailureReason), "says no command to run") {
		t.Errorf("%s: %s", got.Status, aws.ToString(got.FailureReason))
	}

	// A command that could not be executed, in the environment of the version.
	pathless := container(reg.push("command:1", "agent", v1.Config{Entrypoint: []string{"agent"}, Env: []string{"PATH=/"}}))
	for name, tt := range map[string]struct {
		path   string
		status types.AgentRuntimeStatus
		reason string
	}{
		"found": {"/bin:/", types.AgentRuntimeStatusReady, ""},
		"lost":  {"/bin:/usr/bin", types.AgentRuntimeStatusCreateFailed, `its command "agent" is in none of the directories of its PATH (/bin:/usr/bin)`},
	} {
		in := create(name)
		in.AgentRuntimeArtifact, in.EnvironmentVariables = pathless, map[string]string{"PATH": tt.path}
		out, err := k.Control.CreateAgentRuntime(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		if got := k.settled(*out.AgentRuntimeId); got.Status != tt.status || !strings.Contains(aws.ToString(got.FailureReason), tt.reason) {
			t.Errorf("%s: %s: %s", name, got.Status, aws.ToString(got.FailureReason))
		}
	}

	strict := kit{runtimetest.New(t, runtimetest.Options{Strict: true, Idle: true}), t}
	_, err = strict.Control.CreateAgentRuntime(t.Context(), in)
	strict.refused(err, "ValidationException", "must name an image of Amazon ECR")
}

// TestPruneImages: what no endpoint runs goes if it can be had again.
func TestPruneImages(t *testing.T) {
	k, reg := newKit(t, runtimetest.Options{}), newImages(t)
	config := v1.Config{Cmd: []string{"/agent"}}
	id := *k.contained("agent", reg.push("agent:1", "first", config)).AgentRuntimeId
	next := change(id)
	next.AgentRuntimeArtifact = container(reg.push("agent:2", "second, longer", config))
	if _, err := k.Control.UpdateAgentRuntime(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	k.settled(id)
	prune := func(o garbage.Options, taken, left int64) {
		t.Helper()
		r, err := k.Service.PruneImages(t.Context(), o)
		if err != nil || r.Taken.Items != taken || r.Left.Items != left || (r.Taken.Bytes > 0) != (taken > 0) || (r.Left.Bytes > 0) != (left > 0) {
			t.Errorf("PruneImages(%+v) = %+v, %v; want %d taken and %d left", o, r, err, taken, left)
		}
	}
	prune(garbage.Options{}, 0, 2)
	reg.broken.Store(true)
	prune(garbage.Options{All: true}, 0, 2)
	reg.broken.Store(false)
	prune(garbage.Options{All: true, DryRun: true}, 1, 1)
	k.keptImages(2)
	prune(garbage.Options{All: true}, 1, 1)
	k.keptImages(1)
}
