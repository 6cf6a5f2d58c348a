// Package sessions holds the life of sessions to its word with the real program:
// snapshots, hibernation, room and storage, with agents in real sandboxes.
package sessions

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/outcrop/outcrop/conformance/agent"
	"github.com/outcrop/outcrop/conformance/server"
)

const bucket = "agents"

// fixture is a server with the agent of testdata in its storage.
type fixture struct {
	*testing.T
	*server.Server
	arn string
}

// start runs a server, deploys the agent and waits for its snapshot.
func start(t *testing.T, change func(*control.CreateAgentRuntimeInput), args ...string) *fixture {
	t.Helper()
	f := &fixture{T: t, Server: server.Start(t, server.Options{Args: args})}
	objects := s3.NewFromConfig(f.AWS(), func(o *s3.Options) { o.UsePathStyle = true })
	if _, err := objects.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String(bucket)}); err != nil {
		t.Fatal(err)
	}
	if _, err := objects.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String(bucket), Key: aws.String(agent.Key), Body: bytes.NewReader(code(t, ""))}); err != nil {
		t.Fatal(err)
	}
	in := agent.Account{ID: f.Account, Config: f.AWS()}.Input(bucket, "rememberer", types.AgentManagedRuntimeType(f.python()))
	if change != nil {
		change(in)
	}
	out, err := control.NewFromConfig(f.AWS()).CreateAgentRuntime(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	f.arn = *out.AgentRuntimeArn
	f.until("there is a snapshot", func() bool { return len(f.sealed("versions")) == 1 })
	return f
}

// python is the newest that the host has.
func (f *fixture) python() string {
	f.Helper()
	targets := f.Targets()
	for i := len(targets) - 1; i >= 0; i-- {
		if strings.HasPrefix(targets[i].Runtime, "PYTHON_") {
			return targets[i].Runtime
		}
	}
	f.Skip("this host has no Python")
	return ""
}

// code is the zip of testdata, with something at the end of its file.
func code(t *testing.T, more string) []byte {
	t.Helper()
	main, err := os.ReadFile("testdata/main.py")
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	file, err := w.Create("main.py")
	if err == nil {
		_, err = file.Write(append(main, more...))
	}
	if err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// sealed are the files of a kind of snapshots.
func (f *fixture) sealed(kind string) []string {
	f.Helper()
	found, err := filepath.Glob(filepath.Join(f.DataDir, "snapshots", kind, "*.sealed"))
	if err != nil {
		f.Fatal(err)
	}
	return found
}

// until waits for something that happens in the background.
func (f *fixture) until(what string, is func() bool) {
	f.Helper()
	for end := time.Now().Add(time.Minute); !is(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			f.Fatalf("after a minute it is not so that %s; sessions %+v\n%s", what, f.sessions(), f.Log())
		}
	}
}

// answer is what the agent says.
type answer struct {
	Memory []string
	Random float64
	UUID   string
	Stored *string
	Key    string
}

func (f *fixture) ask(id string, request map[string]any) answer {
	f.Helper()
	body, err := json.Marshal(request)
	if err != nil {
		f.Fatal(err)
	}
	out, err := bedrockagentcore.NewFromConfig(f.AWS()).InvokeAgentRuntime(f.Context(), &bedrockagentcore.InvokeAgentRuntimeInput{
		AgentRuntimeArn: &f.arn, RuntimeSessionId: aws.String(long(id)), Payload: body,
	})
	if err != nil {
		f.Fatalf("invoke %s: %v\n%s", id, err, f.Log())
	}
	defer out.Response.Close()
	raw, err := io.ReadAll(out.Response)
	if err != nil {
		f.Fatal(err)
	}
	var a answer
	if err := json.Unmarshal(raw, &a); err != nil {
		f.Fatalf("%s: %v", raw, err)
	}
	return a
}

func long(id string) string { return id + strings.Repeat("-", 40-len(id)) }

// state is what `outcrop sessions` says of one.
type state struct {
	SessionID string `json:"sessionId"`
	Status    string `json:"status"`
	Origin    string `json:"origin"`
	Memory    int64  `json:"memoryBytes"`
	Snapshot  int64  `json:"snapshotBytes"`
}

func (f *fixture) sessions() map[string]state {
	f.Helper()
	out, _, err := f.CLI(f.Context(), "sessions", "--json")
	if err != nil {
		f.Fatal(err)
	}
	var list []state
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		f.Fatal(err)
	}
	all := map[string]state{}
	for _, s := range list {
		all[strings.TrimRight(s.SessionID, "-")] = s
	}
	return all
}

// TestRestored: sessions are copies of one guest and share nothing that must be
// unique, and no file holds what they know.
func TestRestored(t *testing.T) {
	const canary = "canary-91c4e7"
	f := start(t, func(in *control.CreateAgentRuntimeInput) {
		in.EnvironmentVariables = map[string]string{"API_KEY": canary}
	})
	a, b := f.ask("one", map[string]any{"say": "secret-" + canary}), f.ask("two", map[string]any{})
	if a.Random == b.Random || a.UUID == b.UUID || a.Key != canary || len(b.Memory) != 0 {
		t.Errorf("%+v\n%+v", a, b)
	}
	for id, s := range f.sessions() {
		if s.Origin != "RESTORED" || s.Memory == 0 {
			t.Errorf("%s: %+v", id, s)
		}
	}
	f.Kill()
	err := filepath.WalkDir(f.DataDir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		body, err := os.ReadFile(path)
		if bytes.Contains(body, []byte(canary)) {
			t.Errorf("%s holds it in the clear", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestHibernates, not while it is busy, and comes back as it was, also from a
// server that was killed; what ran then is lost.
func TestHibernates(t *testing.T) {
	f := start(t, nil, "--hibernate-after", "3s")
	f.ask("one", map[string]any{"say": "blue"})
	f.ask("busy", map[string]any{"say": "green", "busy": 600})
	f.until("the first hibernates", func() bool { return f.sessions()["one"].Status == "HIBERNATED" })
	if s := f.sessions()["one"]; s.Snapshot == 0 || len(f.sealed("sessions")) != 1 {
		t.Errorf("%+v, files %v", s, f.sealed("sessions"))
	}
	f.until("the busy one counts as active", func() bool { return f.sessions()["busy"].Status == "ACTIVE" })
	if a := f.ask("one", map[string]any{"say": "red"}); fmt.Sprint(a.Memory) != "[blue red]" {
		t.Errorf("it remembers %v", a.Memory)
	}
	if s := f.sessions()["one"]; s.Origin != "WOKEN" {
		t.Errorf("%+v", s)
	}
	f.until("the first hibernates again", func() bool { return f.sessions()["one"].Status == "HIBERNATED" })
	if s := f.sessions()["busy"]; s.Status != "ACTIVE" {
		t.Errorf("a busy one is %s", s.Status)
	}
	f.Kill()
	f.Restart()
	if all := f.sessions(); len(all) != 1 || all["one"].Status != "HIBERNATED" {
		t.Errorf("after the kill: %+v", all)
	}
	if a := f.ask("one", map[string]any{}); fmt.Sprint(a.Memory) != "[blue red]" {
		t.Errorf("it remembers %v", a.Memory)
	}
	if a := f.ask("busy", map[string]any{}); len(a.Memory) != 0 {
		t.Errorf("the lost one remembers %v", a.Memory)
	}
	f.Kill() // both run
	f.Restart()
	if a := f.ask("one", map[string]any{}); len(a.Memory) != 0 {
		t.Errorf("it was resumed twice, and remembers %v", a.Memory)
	}
}

// TestMakesRoom: three sessions share two places and lose nothing.
func TestMakesRoom(t *testing.T) {
	f := start(t, nil, "--max-sessions", "2")
	for round := range 2 {
		for _, id := range []string{"a", "b", "c"} {
			if a := f.ask(id, map[string]any{"say": id}); fmt.Sprint(a.Memory) != fmt.Sprint([]string{id, id}[:round+1]) {
				t.Errorf("%s remembers %v in round %d", id, a.Memory, round)
			}
		}
	}
	hibernated := 0
	for _, s := range f.sessions() {
		if s.Status == "HIBERNATED" {
			hibernated++
		}
	}
	if hibernated != 1 {
		t.Errorf("%+v", f.sessions())
	}
}

// TestStorage survives the session, and is its own.
func TestStorage(t *testing.T) {
	f := start(t, func(in *control.CreateAgentRuntimeInput) {
		in.FilesystemConfigurations = []types.FilesystemConfiguration{
			&types.FilesystemConfigurationMemberSessionStorage{Value: types.SessionStorageConfiguration{MountPath: aws.String("/mnt/work")}},
		}
	})
	f.ask("one", map[string]any{"write": "kept "})
	_, err := bedrockagentcore.NewFromConfig(f.AWS()).StopRuntimeSession(t.Context(), &bedrockagentcore.StopRuntimeSessionInput{
		AgentRuntimeArn: &f.arn, RuntimeSessionId: aws.String(long("one")),
	})
	if err != nil {
		t.Fatal(err)
	}
	if a := f.ask("one", map[string]any{"write": "on"}); aws.ToString(a.Stored) != "kept on" || len(a.Memory) != 0 {
		t.Errorf("%+v: %q", a, aws.ToString(a.Stored))
	}
	if a := f.ask("two", map[string]any{}); a.Stored != nil {
		t.Errorf("another finds %q", *a.Stored)
	}
}
