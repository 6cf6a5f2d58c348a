package container

import (
	"archive/tar"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"
	"github.com/google/go-containerregistry/pkg/authn"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/outcrop/outcrop/conformance/server"
)

// app is an image's configuration as builders write it.
func app(version string) v1.Config {
	return v1.Config{
		Entrypoint: []string{"agent"}, Cmd: []string{version}, User: "app", WorkingDir: "/home/app/work",
		Env: []string{"PATH=/usr/bin", "FROM=image", "BOTH=image", "AWS_REGION=mars-1", "AWS_DEFAULT_REGION=mars-1"},
	}
}

func TestStory(t *testing.T) { story(t, start(t, server.Options{}, nil)) }

// TestStoryOfNobody is the same with a server of an ordinary user.
func TestStoryOfNobody(t *testing.T) { story(t, start(t, server.AsNobody(t), nil)) }

// story is an image's whole life.
func story(t *testing.T, k *kit) {
	uri := k.push(k.image(app("one")), k.host+"/team/app:latest")
	in := k.input("app", uri)
	in.EnvironmentVariables = map[string]string{"BOTH": "runtime", "AWS_REGION": "venus-1"}
	r := k.create(in)
	one := k.must(r, "first", `{"Write":"/home/app/note","Text":"mine"}`)
	if got := fmt.Sprintf("%d:%d in %s: %v %s", one.UID, one.GID, one.Dir, one.Arguments, one.Error); got != "1000:1001 in /home/app/work: [agent one] " {
		t.Errorf("the agent finds itself as %s", got)
	}
	for name, want := range map[string]string{
		"PATH": "/usr/bin", "HOME": "/home/app", "FROM": "image", "BOTH": "runtime", "DOCKER_CONTAINER": "1", "AWS_REGION": k.Region, "AWS_DEFAULT_REGION": k.Region,
	} {
		if got := one.Env[name]; got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	for deed, want := range map[string]string{
		`{"Write":"/etc/note"}`: "permission denied", `{"Stat":"/var/task"}`: "no such file", `{"Stat":"/home/app/note"}`: "", `{"Stat":"/usr/bin/agent"}`: "", `{"Stat":"/usr/bin/python3"}`: "no such file",
	} {
		if got := k.must(r, "first", deed); want == "" && got.Error != "" || !strings.Contains(got.Error, want) {
			t.Errorf("%s: %q, want %q", deed, got.Error, want)
		}
	}
	if got := k.must(r, "second", `{"Stat":"/home/app/note"}`); got.Error == "" {
		t.Error("a session finds another's file")
	}

	// The tag moves: nothing changes until somebody says so.
	k.push(k.image(app("two"), layer(t, tar.Header{Name: "two", Mode: 0o644})), k.host+"/team/app:latest")
	if got := k.must(r, "third", `{}`); got.Arguments[1] != "one" {
		t.Errorf("version 1 runs %v", got.Arguments)
	}
	k.update(r, uri)
	if got := k.must(r, "fourth", `{}`); got.Arguments[1] != "two" {
		t.Errorf("version 2 runs %v", got.Arguments)
	}
	if got := k.must(r, "first", `{}`); got.Arguments[1] != "one" {
		t.Errorf("a session of version 1 runs %v", got.Arguments)
	}
	k.logged("app", "is here: ")

	// A static program cannot be told that it is a copy: the log says why it starts cold.
	k.logged("app", "no snapshot, sessions start cold: ")

	// Killed, and its images lost: they are pulled again.
	k.Kill()
	if err := os.RemoveAll(filepath.Join(k.DataDir, "images")); err != nil {
		t.Fatal(err)
	}
	k.Restart()
	if got := k.must(r, "fifth", `{}`); got.Arguments[1] != "two" || k.kept() != 1 {
		t.Errorf("after the loss it runs %v, with %d images", got.Arguments, k.kept())
	}

	// Deleted, nothing is left of it.
	if _, _, err := k.CLI(t.Context(), "delete", "app"); err != nil {
		t.Fatal(err)
	}
	k.Until("its images are gone", func() bool { return k.kept() == 0 })
}

// TestRefused: what cannot be run is refused, in AWS's words where it has some.
func TestRefused(t *testing.T) {
	k := start(t, server.Options{}, nil)
	other := "arm64"
	if runtime.GOARCH == other {
		other = "amd64"
	}
	wrong := k.push(k.configured(other, app("x"), layer(t, tar.Header{Name: "x"})), k.host+"/wrong:1")
	nobody := app("x")
	nobody.User = "builder"
	for uri, want := range map[string]string{
		k.host + "/gone:1": "There is no image " + k.host + "/gone:1. Push it first",
		k.Account + ".dkr.ecr." + k.Region + ".amazonaws.com/team/agent:latest": "The image with identifier 'ImageIdentifier(ImageTag=latest)' does not exist in the repository with name 'team/agent' in registry with id '" + k.Account + "'.",
		wrong:                         "Architecture incompatible for uri '" + wrong + "'. Supported architectures: [" + runtime.GOARCH + "]. The image " + wrong + " is built for linux/" + other,
		"10.255.255.1:5000/agent:1":   "is at a private address. Have the operator list it: outcrop serve --private-registry 10.255.255.1:5000",
		"no/such/UPPER:case":          "is no image's name",
		"registry.invalid/agent:1":    "There is no registry registry.invalid",
		k.host + "/a@sha256:12":       "is no image's name",
		"169.254.169.254/latest:meta": "is at a private address",
	} {
		_, err := k.Agents().Create(t.Context(), k.input("refused", uri))
		if err == nil || !strings.Contains(err.Error(), "ValidationException") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v\nwant %q", uri, err, want)
		}
	}
	for name, tt := range map[string]struct {
		config v1.Config
		want   string
	}{
		"unknown": {nobody, `CREATE_FAILED: The image runs as user "builder", which its /etc/passwd does not have. Add the user, or give a number.`},
		"silent":  {v1.Config{}, "CREATE_FAILED: The image " + k.host + "/silent@sha256:"},
		"nope":    {v1.Config{Entrypoint: []string{"/not/there"}}, `cannot be started: its command "/not/there" is not in it. Correct its ENTRYPOINT or CMD`},
	} {
		_, err := k.Agents().Create(t.Context(), k.input(name, k.push(k.image(tt.config), k.host+"/"+name)))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v\nwant %q", name, err, tt.want)
		}
	}
	// A number needs no /etc/passwd, and neither does a program without a slash of PATH.
	numbered := app("x")
	numbered.User = "4711:4712"
	if got := k.must(k.create(k.input("numbered", k.push(k.image(numbered), k.host+"/numbered"))), "one", `{}`); got.UID != 4711 || got.GID != 4712 {
		t.Errorf("the agent runs as %d:%d", got.UID, got.GID)
	}
	// What is not known before the guest runs is told to who invokes.
	late := v1.Config{Entrypoint: []string{"/tmp/not/there"}}
	if _, err := k.ask(k.create(k.input("late", k.push(k.image(late), k.host+"/late"))), "one", `{}`); err == nil || !strings.Contains(err.Error(), "RuntimeClientError: The agent cannot be started: /tmp/not/there: not found in the guest") {
		t.Errorf("an entry point that is not there: %v", err)
	}
}

// TestStrict holds AWS's own rules.
func TestStrict(t *testing.T) {
	k := start(t, server.Options{Args: []string{"--strict"}}, nil)
	_, err := k.Agents().Create(t.Context(), k.input("other", k.push(k.image(app("x")), k.host+"/x:1")))
	if err == nil || !strings.Contains(err.Error(), "must name an image of Amazon ECR") {
		t.Errorf("another registry: %v", err)
	}
	k.own("agent:1", app("x"))
	uri := k.Account + ".dkr.ecr." + k.Region + ".amazonaws.com/agent:1"
	_, err = k.Agents().Create(t.Context(), k.input("own", uri))
	if want := "Architecture incompatible for uri '" + uri + "'. Supported architectures: [arm64]."; runtime.GOARCH != "arm64" && (err == nil || !strings.Contains(err.Error(), want)) {
		t.Errorf("this machine's image: %v\nwant %q", err, want)
	}
}

// own pushes an image to the server's registry, into a new repository.
func (k *kit) own(image string, config v1.Config) {
	k.t.Helper()
	repository, _, _ := strings.Cut(image, ":")
	k.aws("ecr", "create-repository", "--repository-name", repository)
	password := k.aws("ecr", "get-login-password")
	k.push(k.image(config), strings.TrimPrefix(k.URL, "http://")+"/"+image, remote.WithAuth(&authn.Basic{Username: "AWS", Password: password}))
}

// TestOwn runs an image of the server's registry by each of its names, as an MCP
// server, and by the command line.
func TestOwn(t *testing.T) {
	k := start(t, server.Options{}, nil)
	config := app("own")
	config.Env = append(config.Env, "PORT=8000")
	k.own("my-agent:v1", config)
	uri := k.Account + ".dkr.ecr." + k.Region + ".amazonaws.com/my-agent:v1"
	in := k.input("own", uri)
	in.ProtocolConfiguration = &types.ProtocolConfiguration{ServerProtocol: types.ServerProtocolMcp}
	in.FilesystemConfigurations = []types.FilesystemConfiguration{&types.FilesystemConfigurationMemberSessionStorage{Value: types.SessionStorageConfiguration{MountPath: aws.String("/mnt/work")}}}
	in.EnvironmentVariables = map[string]string{"OUTCROP_SNAPSHOT": "safe"}
	r := k.create(in)
	if got := k.must(r, "one", `{"Write":"/mnt/work/note","Text":"kept"}`); got.Arguments[1] != "own" || got.Error != "" {
		t.Errorf("%+v", got)
	}
	if a, ok := r.AgentRuntimeArtifact.(*types.AgentRuntimeArtifactMemberContainerConfiguration); !ok || *a.Value.ContainerUri != uri {
		t.Errorf("it is told as %+v", r.AgentRuntimeArtifact)
	}
	_, err := k.Agents().Create(t.Context(), k.input("gone", uri+"2"))
	if want := "The image with identifier 'ImageIdentifier(ImageTag=v12)' does not exist in the repository with name 'my-agent' in registry with id '" + k.Account + "'."; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v\nwant %q", err, want)
	}
	k.own("web:v1", app("web"))
	image := strings.TrimPrefix(k.URL, "http://") + "/web:v1"
	out, _, err := k.CLI(t.Context(), "deploy", "--image", image)
	if err != nil || !strings.Contains(out, ":runtime/web-") {
		t.Fatalf("%s, %v", out, err)
	}
	if out, _, err = k.CLI(t.Context(), "invoke", "web", `{}`); err != nil || !strings.Contains(out, `"web"`) {
		t.Errorf("%s, %v", out, err)
	}
	if out, _, err = k.CLI(t.Context(), "ls", "web"); err != nil || !strings.Contains(out, image) {
		t.Errorf("%s, %v", out, err)
	}
	// An image that is deleted from the registry goes on running.
	k.aws("ecr", "batch-delete-image", "--repository-name", "my-agent", "--image-ids", "imageTag=v1")
	if got := k.must(r, "two", `{}`); got.Arguments[1] != "own" {
		t.Errorf("%+v", got)
	}
}

// TestRights: of the server's registry an agent has what its execution role may pull, and
// nobody learns more of it; what it has it keeps when the role loses that right.
func TestRights(t *testing.T) {
	k := start(t, server.Options{}, nil)
	k.own("secret:v1", app("secret"))
	k.own("ours:v1", app("ours"))
	uri := func(image string) string { return k.Account + ".dkr.ecr." + k.Region + ".amazonaws.com/" + image }
	k.aws("iam", "create-role", "--role-name", "agent", "--assume-role-policy-document",
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"bedrock-agentcore.amazonaws.com"},"Action":"sts:AssumeRole"}]}`)
	role := "arn:aws:iam::" + k.Account + ":role/agent"
	k.aws("iam", "put-role-policy", "--role-name", "agent", "--policy-name", "pull", "--policy-document", // as the toolkit writes it for one repository
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["ecr:BatchGetImage","ecr:GetDownloadUrlForLayer"],"Resource":"arn:aws:ecr:`+k.Region+":"+k.Account+`:repository/ours"},
		{"Effect":"Allow","Action":"ecr:GetAuthorizationToken","Resource":"*"}]}`)
	in := k.input("ours", uri("ours:v1"))
	in.RoleArn = &role
	r := k.create(in)
	loopback := strings.TrimPrefix(k.URL, "http://") + "/secret:v1"
	for _, image := range []string{uri("secret:v1"), uri("absent:v1"), loopback} {
		other := k.input("other", image)
		other.RoleArn = &role
		_, err := k.Agents().Create(t.Context(), other)
		want := "ValidationException: Access denied while validating ECR URI '" + image + "'. The execution role requires permissions for ecr:GetAuthorizationToken, ecr:BatchGetImage, and ecr:GetDownloadUrlForLayer operations."
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), role+" may not ecr:BatchGetImage on arn:aws:ecr:") {
			t.Errorf("%s: %v\nwant %q", image, err, want)
		}
	}
	k.aws("iam", "delete-role-policy", "--role-name", "agent", "--policy-name", "pull")
	if got := k.must(r, "one", `{}`); got.Arguments[1] != "ours" {
		t.Errorf("%+v", got)
	}
	_, err := control.NewFromConfig(k.AWS()).UpdateAgentRuntime(t.Context(), &control.UpdateAgentRuntimeInput{
		AgentRuntimeId: r.AgentRuntimeId, RoleArn: &role, NetworkConfiguration: r.NetworkConfiguration, AgentRuntimeArtifact: containerOf(uri("ours:v1")),
	})
	if err == nil || !strings.Contains(err.Error(), "may not ecr:GetAuthorizationToken on *") {
		t.Errorf("a new version without the right: %v", err)
	}
}

// TestKilledPull: a server that is killed while it pulls goes on where it was.
func TestKilledPull(t *testing.T) {
	var mu sync.Mutex
	asked := map[string]int{}
	stop, stopped := make(chan struct{}), make(chan struct{}, 16)
	var last string // the layer that stops
	k := start(t, server.Options{}, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			at := filepath.Base(r.URL.Path)
			if r.Method == http.MethodGet {
				asked[at]++
			}
			hangs := r.Method == http.MethodGet && at == last
			mu.Unlock()
			if hangs {
				stopped <- struct{}{}
				select {
				case <-stop:
				case <-r.Context().Done():
					return
				}
			}
			h.ServeHTTP(w, r)
		})
	})
	img := k.image(app("one"), layer(t, tar.Header{Name: "last", Mode: 0o644, Linkname: "last"}))
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	first, _ := layers[0].Digest()
	hang, _ := layers[1].Digest()
	uri := k.push(img, k.host+"/app:1")
	mu.Lock()
	last = hang.String()
	clear(asked)
	mu.Unlock()
	out, err := control.NewFromConfig(k.AWS()).CreateAgentRuntime(t.Context(), k.input("app", uri))
	if err != nil {
		t.Fatal(err)
	}
	<-stopped
	k.Until("the first layer is unpacked", func() bool {
		_, err := os.Stat(filepath.Join(k.DataDir, "images", "layers", strings.Replace(first.String(), ":", "-", 1)))
		return err == nil
	})
	k.Kill()
	close(stop)
	k.Restart()
	r, err := k.Agents().Settle(t.Context(), *out.AgentRuntimeId)
	if err != nil {
		t.Fatalf("%v\n%s", err, k.Log())
	}
	if got := k.must(r, "one", `{}`); got.Arguments[1] != "one" {
		t.Errorf("it runs %v", got.Arguments)
	}
	mu.Lock()
	defer mu.Unlock()
	if asked[first.String()] != 1 || asked[last] < 2 {
		t.Errorf("the first layer was fetched %d times, the last %d", asked[first.String()], asked[last])
	}
}
