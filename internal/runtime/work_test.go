package runtime_test

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"

	"github.com/outcrop/outcrop/internal/object"
	"github.com/outcrop/outcrop/internal/runtime/runtimetest"
	"github.com/outcrop/outcrop/internal/work"
)

// TestCreateFails: code that cannot be prepared gives CREATE_FAILED, the reason
// in words, and a runtime that can be updated or deleted.
func TestCreateFails(t *testing.T) {
	tests := []struct {
		name, reason string
		zip          []byte
	}{
		{"no_zip", "zip", []byte("this is plain text")},
		{"empty", "zip", nil},
		{"hostile", "../../etc/cron.d/x", runtimetest.Zip(t, "main.py", "x", "../../etc/cron.d/x", "boo")},
		{"absolute", "/etc/passwd", runtimetest.Zip(t, "/etc/passwd", "boo")},
		{"no_main", "\"main.py\" is not in the code zip, which holds \"agent\" at its top", runtimetest.Zip(t, "agent/main.py", "x")},
		{"cut_off", "zip", runtimetest.Zip(t, "main.py", strings.Repeat("x", 1000))[:100]},
	}
	k := newKit(t, runtimetest.Options{})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			k := kit{k.Kit, t}
			k.Put(tt.name, tt.zip)
			in := create(tt.name)
			in.AgentRuntimeArtifact = code(tt.name, "")
			out, err := k.Control.CreateAgentRuntime(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			id := *out.AgentRuntimeId
			got := k.settled(id)
			if got.Status != types.AgentRuntimeStatusCreateFailed || !strings.Contains(aws.ToString(got.FailureReason), tt.reason) {
				t.Errorf("%s: %q", got.Status, aws.ToString(got.FailureReason))
			}
			if strings.Contains(aws.ToString(got.FailureReason), k.Dir) || strings.Contains(aws.ToString(got.FailureReason), "internal error") {
				t.Errorf("the reason is not for people: %q", *got.FailureReason)
			}
			_, err = k.invoke(arn(id), "one", "hi")
			k.refused(err, "ConflictException", "CREATE_FAILED")
			if _, err := k.Control.UpdateAgentRuntime(t.Context(), change(id)); err != nil {
				t.Fatal(err)
			}
			if got := k.settled(id); got.Status != types.AgentRuntimeStatusReady || got.FailureReason != nil {
				t.Errorf("after an update with good code: %+v", got)
			}
			if old := k.get(id, "1"); old.Status != types.AgentRuntimeStatusCreateFailed || old.FailureReason == nil {
				t.Errorf("version 1 is %s", old.Status)
			}
		})
	}
}

// TestZipVanishes: it was there when the call was accepted.
func TestZipVanishes(t *testing.T) {
	k := newKit(t, runtimetest.Options{Idle: true})
	out, err := k.Control.CreateAgentRuntime(t.Context(), create("vanishing"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Objects.Delete(t.Context(), runtimetest.Account, runtimetest.Bucket, object.Deletion{Key: "agent.zip"}); err != nil {
		t.Fatal(err)
	}
	k.Work()
	got := k.settled(*out.AgentRuntimeId)
	if got.Status != types.AgentRuntimeStatusCreateFailed || !strings.Contains(aws.ToString(got.FailureReason), "s3://code-zips/agent.zip cannot be read") {
		t.Errorf("%s: %q", got.Status, aws.ToString(got.FailureReason))
	}
	if _, err := k.Control.DeleteAgentRuntime(t.Context(), &control.DeleteAgentRuntimeInput{AgentRuntimeId: out.AgentRuntimeId}); err != nil {
		t.Fatal(err)
	}
	k.gone(*out.AgentRuntimeId)
}

// TestUpdateFails: DEFAULT stays with the version it had.
func TestUpdateFails(t *testing.T) {
	k := newKit(t, runtimetest.Options{})
	id := k.created("steady")
	k.Put("bad.zip", []byte("no zip"))
	bad := change(id)
	bad.AgentRuntimeArtifact = code("bad.zip", "")
	if _, err := k.Control.UpdateAgentRuntime(t.Context(), bad); err != nil {
		t.Fatal(err)
	}
	got := k.settled(id)
	if got.Status != types.AgentRuntimeStatusUpdateFailed || *got.AgentRuntimeVersion != "2" || aws.ToString(got.FailureReason) == "" {
		t.Errorf("%+v", got)
	}
	if answer, err := k.invoke(arn(id), "one", "still here"); err != nil || answer != "still here" {
		t.Errorf("%q, %v", answer, err)
	}
	if got := k.Sessions.List(everything); len(got) != 1 || got[0].Version != "1" {
		t.Errorf("sessions %+v, want one of version 1", got)
	}
	if _, err := k.Control.UpdateAgentRuntime(t.Context(), change(id)); err != nil {
		t.Fatal(err)
	}
	if got := k.settled(id); got.Status != types.AgentRuntimeStatusReady || *got.AgentRuntimeVersion != "3" || got.FailureReason != nil {
		t.Errorf("%+v", got)
	}
	// A session keeps its version; a new one gets the newest.
	for _, session := range []string{"one", "two"} {
		if _, err := k.invoke(arn(id), session, "hi"); err != nil {
			t.Fatal(err)
		}
	}
	versions := map[string]string{}
	for _, s := range k.Sessions.List(everything) {
		versions[strings.TrimRight(s.Key.ID, "-")] = s.Version
	}
	if versions["one"] != "1" || versions["two"] != "3" {
		t.Errorf("sessions run versions %v", versions)
	}
}

// TestDeleteFails: a runtime whose session cannot be stopped says so, and can
// be deleted later.
func TestDeleteFails(t *testing.T) {
	k := newKit(t, runtimetest.Options{Policy: work.Policy{MaxAttempts: 2, FirstPause: time.Millisecond, Timeout: 300 * time.Millisecond}})
	id := k.created("stuck")
	k.Engine.Stuck = true
	if _, err := k.invoke(arn(id), "one", "hi"); err != nil {
		t.Fatal(err)
	}
	remove := func() {
		// The SDK writes its token into the input: a new call is a new one.
		if _, err := k.Control.DeleteAgentRuntime(t.Context(), &control.DeleteAgentRuntimeInput{AgentRuntimeId: &id}); err != nil {
			t.Fatal(err)
		}
	}
	remove()
	got := k.settled(id)
	if got.Status != types.AgentRuntimeStatusDeleteFailed || aws.ToString(got.FailureReason) == "" {
		t.Errorf("%+v", got)
	}
	k.Engine.Crash(1)
	remove()
	k.gone(id)
}

// TestEnvironmentIsSealed: no file holds it in the clear, not even while a
// session runs with it.
func TestEnvironmentIsSealed(t *testing.T) {
	const canary = "canary-3f9c1b7e"
	k := newKit(t, runtimetest.Options{})
	in := create("sealed")
	in.EnvironmentVariables = map[string]string{"API_KEY": canary, "EMPTY": ""}
	in.ClientToken = aws.String(strings.Repeat("t", 40)) // whose answer is saved
	out, err := k.Control.CreateAgentRuntime(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	id := *out.AgentRuntimeId
	if got := k.settled(id); got.EnvironmentVariables["API_KEY"] != canary {
		t.Errorf("%v", got.EnvironmentVariables)
	}
	if _, err := k.invoke(arn(id), "one", "hi"); err != nil {
		t.Fatal(err)
	}
	if env := strings.Join(k.Engine.Specs()[0].Env, "\n"); !strings.Contains(env, "API_KEY="+canary) || !strings.Contains(env, "EMPTY=\n") && !strings.HasSuffix(env, "EMPTY=") {
		t.Errorf("the agent's environment is %q", env)
	}
	if files := k.Contains(canary); len(files) > 0 {
		t.Errorf("in the clear in %v", files)
	}
	if files := k.Contains("sealed"); len(files) == 0 { // the search works
		t.Error("not even the runtime's name was found")
	}
	if strings.Contains(k.Log.String(), canary) {
		t.Error("in the clear in the log")
	}
}

// TestVersionsArePinned: what the object becomes later changes no version.
func TestVersionsArePinned(t *testing.T) {
	k := newKit(t, runtimetest.Options{})
	id := k.created("pinned")
	k.Put("agent.zip", runtimetest.Zip(t, "main.py", "print('another')\n"))
	main := func(i int) string {
		t.Helper()
		b, err := os.ReadFile(filepath.Join(k.Engine.Specs()[i].Code, "main.py"))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	if _, err := k.invoke(arn(id), "one", "hi"); err != nil {
		t.Fatal(err)
	}
	if got := main(0); got != "print('hello')\n" {
		t.Errorf("the overwritten object runs: %q", got)
	}
	k.forgetCode()
	_, err := k.invoke(arn(id), "two", "hi")
	k.refused(err, "RuntimeClientError", "it was replaced or damaged. Create a new version")
	if logs := strings.Join(k.Logs("/aws/bedrock-agentcore/runtimes/"+id+"-DEFAULT"), "\n"); !strings.Contains(logs, "outcrop: the agent cannot be started: The code zip's SHA-256 is") {
		t.Errorf("log: %s", logs)
	}
	// The bytes are what counts, not the object.
	k.Put("agent.zip", runtimetest.Zip(t, "main.py", "print('hello')\n"))
	if _, err := k.invoke(arn(id), "three", "hi"); err != nil {
		t.Error(err)
	}
}

func TestVersionedBucketIsFetchedAgain(t *testing.T) {
	k := newKit(t, runtimetest.Options{})
	if err := k.Objects.SetVersioning(t.Context(), runtimetest.Account, runtimetest.Bucket, object.Enabled); err != nil {
		t.Fatal(err)
	}
	first := k.Put("kept.zip", runtimetest.Zip(t, "main.py", "first"))
	in := create("latest")
	in.AgentRuntimeArtifact = code("kept.zip", "")
	latest, err := k.Control.CreateAgentRuntime(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	k.settled(*latest.AgentRuntimeId)
	k.Put("kept.zip", runtimetest.Zip(t, "main.py", "second"))
	in = create("named")
	in.AgentRuntimeArtifact = code("kept.zip", first)
	named, err := k.Control.CreateAgentRuntime(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	k.settled(*named.AgentRuntimeId)
	k.forgetCode()
	for i, arn := range []*string{latest.AgentRuntimeArn, named.AgentRuntimeArn} {
		if _, err := k.invoke(*arn, "one", "hi"); err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(filepath.Join(k.Engine.Specs()[i].Code, "main.py")); err != nil || string(b) != "first" {
			t.Errorf("%s runs %q, %v", *arn, b, err)
		}
	}
	in = create("none")
	in.AgentRuntimeArtifact = code("kept.zip", "no-such-version")
	_, err = k.Control.CreateAgentRuntime(t.Context(), in)
	k.refused(err, "ValidationException", "kept.zip cannot be read")

	// What was deleted there says so, by whichever name it is asked for.
	gone, err := k.Objects.Delete(t.Context(), runtimetest.Account, runtimetest.Bucket, object.Deletion{Key: "kept.zip"})
	if err != nil {
		t.Fatal(err)
	}
	for version, want := range map[string]string{
		gone.VersionID: "kept.zip cannot be read: The version " + gone.VersionID + " is a delete marker, which has no content; code.s3.versionId must name a version of the object itself.",
		"":             "kept.zip cannot be read: The object was deleted; code.s3.versionId can name one of its versions before that.",
	} {
		in := create("gone")
		in.AgentRuntimeArtifact = code("kept.zip", version)
		_, err := k.Control.CreateAgentRuntime(t.Context(), in)
		k.refused(err, "ValidationException", want)
	}
}

// forgetCode empties the code cache as a person might who needs space.
func (k kit) forgetCode() {
	k.Helper()
	entries, err := filepath.Glob(filepath.Join(k.Dir, "code", "sha256", "*"))
	if err != nil || len(entries) == 0 {
		k.Fatalf("the cache holds %v, %v", entries, err)
	}
	for _, e := range entries {
		if err := os.RemoveAll(e); err != nil {
			k.Fatal(err)
		}
	}
}

// TestPrune: code goes with the last runtime that has it.
func TestPrune(t *testing.T) {
	k := newKit(t, runtimetest.Options{})
	k.Put("other.zip", runtimetest.Zip(t, "main.py", "other"))
	a, b := k.created("a"), k.created("b") // the same zip
	in := change(b)
	in.AgentRuntimeArtifact = code("other.zip", "")
	if _, err := k.Control.UpdateAgentRuntime(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	k.settled(b)
	cached := func() int {
		entries, err := filepath.Glob(filepath.Join(k.Dir, "code", "sha256", "*"))
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	remove := func(id string) {
		if _, err := k.Control.DeleteAgentRuntime(t.Context(), &control.DeleteAgentRuntimeInput{AgentRuntimeId: &id}); err != nil {
			t.Fatal(err)
		}
		k.gone(id)
	}
	remove(b)
	for cached() != 1 {
		k.wait(nil)
	}
	if _, err := k.invoke(arn(a), "one", "hi"); err != nil {
		t.Error(err)
	}
	remove(a)
	for cached() != 0 {
		k.wait(nil)
	}
}

// TestOutput: what a guest writes is in its session's stream, beside our notes.
func TestOutput(t *testing.T) {
	k := newKit(t, runtimetest.Options{})
	k.Engine.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/ping" {
			return
		}
		k.Engine.Print(false, "to stdout\n")
		k.Engine.Print(true, "to stderr\n")
		k.Engine.Print(false, "no line end")
		w.WriteHeader(http.StatusTeapot)
		_, _ = w.Write([]byte("first line\nsecond line"))
	})
	id := k.created("talking")
	_, err := k.invoke(arn(id), "one", "hi")
	k.refused(err, "RuntimeClientError", "Received error (418) from runtime. Please check your CloudWatch logs for more information.")
	if _, err := k.Data.StopRuntimeSession(t.Context(), &bedrockagentcore.StopRuntimeSessionInput{
		AgentRuntimeArn: aws.String(arn(id)), RuntimeSessionId: aws.String(runtimetest.SessionID("one"))}); err != nil {
		t.Fatal(err)
	}
	want := []string{"to stdout", "to stderr", "outcrop: the agent answered 418 I'm a teapot: first line", "outcrop: second line", "no line end",
		"outcrop: session ended: it was stopped"}
	if got := k.Logs("/aws/bedrock-agentcore/runtimes/" + id + "-DEFAULT"); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("log:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestSameZipIsUnpackedOnce: the cache is by content.
func TestSameZipIsUnpackedOnce(t *testing.T) {
	k := newKit(t, runtimetest.Options{})
	zip := runtimetest.Zip(t, "main.py", "same")
	k.Put("x.zip", zip)
	k.Put("y.zip", bytes.Clone(zip))
	for _, key := range []string{"x.zip", "y.zip"} {
		in := create(strings.TrimSuffix(key, ".zip"))
		in.AgentRuntimeArtifact = code(key, "")
		out, err := k.Control.CreateAgentRuntime(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		if got := k.settled(*out.AgentRuntimeId); got.Status != types.AgentRuntimeStatusReady {
			t.Fatalf("%+v", got)
		}
		if _, err := k.invoke(*out.AgentRuntimeArn, "one", "hi"); err != nil {
			t.Fatal(err)
		}
	}
	if specs := k.Engine.Specs(); specs[0].Code != specs[1].Code {
		t.Errorf("%s and %s", specs[0].Code, specs[1].Code)
	}
}
