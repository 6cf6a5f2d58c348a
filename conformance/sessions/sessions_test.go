// Package sessions holds the life of sessions to its word with the real program:
// snapshots, hibernation, room and storage, with agents in real sandboxes.
package sessions

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"

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
	to := f.Agents()
	if err := to.Store(t.Context(), bucket, agent.Key, code(t, "")); err != nil {
		t.Fatal(err)
	}
	in := to.Input(bucket, "rememberer", f.Python())
	if change != nil {
		change(in)
	}
	got, err := to.Create(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	f.arn = *got.AgentRuntimeArn
	f.Until("there is a snapshot", func() bool { return len(f.sealed("versions")) == 1 })
	return f
}

// code is the zip of testdata, with something at the end of its file.
func code(t *testing.T, more string) []byte {
	t.Helper()
	main, err := os.ReadFile("testdata/main.py")
	if err != nil {
		t.Fatal(err)
	}
	packed, err := agent.Pack(map[string][]byte{"main.py": append(main, more...)})
	if err != nil {
		t.Fatal(err)
	}
	return packed
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

// answer is what the agent says.
type answer struct {
	Memory []string
	Random float64
	UUID   string
	Stored *string
	Key    string
	Is     *string
}

func (f *fixture) ask(id string, request map[string]any) answer {
	f.Helper()
	body, err := json.Marshal(request)
	if err != nil {
		f.Fatal(err)
	}
	out, err := bedrockagentcore.NewFromConfig(f.AWS()).InvokeAgentRuntime(f.Context(), &bedrockagentcore.InvokeAgentRuntimeInput{
		AgentRuntimeArn: &f.arn, RuntimeSessionId: aws.String(server.SessionID(id)), Payload: body,
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
	f.Until("the first hibernates", func() bool { return f.sessions()["one"].Status == "HIBERNATED" })
	if s := f.sessions()["one"]; s.Snapshot == 0 || len(f.sealed("sessions")) != 1 {
		t.Errorf("%+v, files %v", s, f.sealed("sessions"))
	}
	f.Until("the busy one counts as active", func() bool { return f.sessions()["busy"].Status == "ACTIVE" })
	if a := f.ask("one", map[string]any{"say": "red"}); fmt.Sprint(a.Memory) != "[blue red]" {
		t.Errorf("it remembers %v", a.Memory)
	}
	if s := f.sessions()["one"]; s.Origin != "WOKEN" {
		t.Errorf("%+v", s)
	}
	f.Until("the first hibernates again", func() bool { return f.sessions()["one"].Status == "HIBERNATED" })
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
		AgentRuntimeArn: &f.arn, RuntimeSessionId: aws.String(server.SessionID("one")),
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
