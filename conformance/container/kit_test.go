// Package container holds the program to what runtimes of container images are
// promised, with images that the tests make, in registries of theirs and in the
// program's own.
package container

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
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

	"github.com/outcrop/outcrop/conformance/agent"
	"github.com/outcrop/outcrop/conformance/pinned"
	"github.com/outcrop/outcrop/conformance/server"
)

// kit is a server and a registry of somebody else's on the loopback.
type kit struct {
	*server.Server
	t       *testing.T
	host    string // of the registry
	program []byte // the agent
}

// start runs both. wrap may stand before the registry.
func start(t *testing.T, o server.Options, wrap func(http.Handler) http.Handler) *kit {
	t.Helper()
	h := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	if wrap != nil {
		h = wrap(h)
	}
	images := httptest.NewServer(h)
	t.Cleanup(images.Close)
	path := filepath.Join(t.TempDir(), "agent")
	if err := agent.Build(t.Context(), path, "./testdata/agent"); err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return &kit{Server: server.Start(t, o), t: t, host: strings.TrimPrefix(images.URL, "http://"), program: program}
}

// layer is an archive of the headers; a file's content is its Linkname.
func layer(t *testing.T, headers ...tar.Header) v1.Layer {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, h := range headers {
		body := ""
		if h.Typeflag == 0 {
			h.Typeflag, body, h.Linkname = tar.TypeReg, h.Linkname, ""
			h.Size = int64(len(body))
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, body); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return static.NewLayer(out.Bytes(), imagetypes.OCIUncompressedLayer)
}

// image has the agent, a user of its own, and what a configuration says.
func (k *kit) image(config v1.Config, more ...v1.Layer) v1.Image {
	k.t.Helper()
	base := layer(k.t,
		tar.Header{Name: "usr/bin/agent", Mode: 0o755, Linkname: string(k.program)},
		tar.Header{Name: "etc/passwd", Mode: 0o644, Linkname: "root:x:0:0::/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n"},
		tar.Header{Name: "home/app/", Typeflag: tar.TypeDir, Mode: 0o755, Uid: 1000, Gid: 1001},
	)
	return k.configured(runtime.GOARCH, config, append([]v1.Layer{base}, more...)...)
}

func (k *kit) configured(architecture string, config v1.Config, layers ...v1.Layer) v1.Image {
	k.t.Helper()
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, imagetypes.OCIManifestSchema1), imagetypes.OCIConfigJSON)
	img, err := mutate.AppendLayers(img, layers...)
	if err != nil {
		k.t.Fatal(err)
	}
	file, err := img.ConfigFile()
	if err != nil {
		k.t.Fatal(err)
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Config = "linux", architecture, config
	if img, err = mutate.ConfigFile(img, file); err != nil {
		k.t.Fatal(err)
	}
	return img
}

// push puts an image into a registry and returns its reference.
func (k *kit) push(img v1.Image, reference string, options ...remote.Option) string {
	k.t.Helper()
	ref, err := name.ParseReference(reference)
	if err == nil {
		err = remote.Write(ref, img, options...)
	}
	if err != nil {
		k.t.Fatal(err)
	}
	return reference
}

func containerOf(uri string) types.AgentRuntimeArtifact {
	return &types.AgentRuntimeArtifactMemberContainerConfiguration{Value: types.ContainerConfiguration{ContainerUri: &uri}}
}

// input creates a runtime of an image.
func (k *kit) input(name, uri string) *control.CreateAgentRuntimeInput {
	return &control.CreateAgentRuntimeInput{
		AgentRuntimeName: &name, RoleArn: aws.String("arn:aws:iam::" + k.Account + ":role/outcrop-default"), AgentRuntimeArtifact: containerOf(uri),
		NetworkConfiguration: &types.NetworkConfiguration{NetworkMode: types.NetworkModePublic},
	}
}

// create makes one that is READY.
func (k *kit) create(in *control.CreateAgentRuntimeInput) *control.GetAgentRuntimeOutput {
	k.t.Helper()
	out, err := k.Agents().Create(k.t.Context(), in)
	if err != nil {
		k.t.Fatalf("%v\n%s", err, k.Log())
	}
	return out
}

// update has it run an image from now on.
func (k *kit) update(r *control.GetAgentRuntimeOutput, uri string) {
	k.t.Helper()
	_, err := control.NewFromConfig(k.AWS()).UpdateAgentRuntime(k.t.Context(), &control.UpdateAgentRuntimeInput{
		AgentRuntimeId: r.AgentRuntimeId, RoleArn: r.RoleArn, NetworkConfiguration: r.NetworkConfiguration, AgentRuntimeArtifact: containerOf(uri),
		EnvironmentVariables: r.EnvironmentVariables,
	})
	if err == nil {
		_, err = k.Agents().Settle(k.t.Context(), *r.AgentRuntimeId)
	}
	if err != nil {
		k.t.Fatalf("%v\n%s", err, k.Log())
	}
}

// found is what the agent says.
type found struct {
	UID, GID  int
	Dir       string
	Arguments []string
	Env       map[string]string
	Error     string
}

// ask has a session's agent do something.
func (k *kit) ask(r *control.GetAgentRuntimeOutput, session, deed string) (found, error) {
	var f found
	out, err := bedrockagentcore.NewFromConfig(k.AWS()).InvokeAgentRuntime(k.t.Context(), &bedrockagentcore.InvokeAgentRuntimeInput{
		AgentRuntimeArn: r.AgentRuntimeArn, RuntimeSessionId: aws.String(server.SessionID(session)), Payload: []byte(deed),
		ContentType: aws.String("application/json"), Accept: aws.String("application/json, text/event-stream"), // an MCP server wants to hear it
	})
	if err != nil {
		return f, err
	}
	defer out.Response.Close()
	return f, json.NewDecoder(out.Response).Decode(&f)
}

// must is ask where nothing may go wrong.
func (k *kit) must(r *control.GetAgentRuntimeOutput, session, deed string) found {
	k.t.Helper()
	f, err := k.ask(r, session, deed)
	if err != nil {
		logs, _, _ := k.CLI(k.t.Context(), "logs", *r.AgentRuntimeName)
		k.t.Fatalf("%v\n%s\n%s", err, logs, k.Log())
	}
	return f
}

// logged waits until the agent's log has a text.
func (k *kit) logged(agent, text string) {
	k.t.Helper()
	var out string
	for end := time.Now().Add(server.Wait); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		var err error
		if out, _, err = k.CLI(k.t.Context(), "logs", agent); err == nil && strings.Contains(out, text) {
			return
		}
	}
	k.t.Errorf("the log of %s lacks %q:\n%s", agent, text, out)
}

// aws runs the AWS CLI.
func (k *kit) aws(args ...string) string {
	k.t.Helper()
	cmd := exec.CommandContext(k.t.Context(), pinned.Program(k.t, "aws"), args...)
	cmd.Env = append(k.Env(), "AWS_CONFIG_FILE=/nonexistent", "AWS_PAGER=", "HOME="+k.t.TempDir())
	out, err := cmd.CombinedOutput()
	if err != nil {
		k.t.Fatalf("aws %s: %v\n%s", args[0], err, out)
	}
	return strings.TrimSpace(string(out))
}

// kept are the images that the server has unpacked.
func (k *kit) kept() int {
	k.t.Helper()
	entries, err := os.ReadDir(filepath.Join(k.DataDir, "images", "images"))
	if err != nil {
		k.t.Fatal(err)
	}
	return len(entries)
}
