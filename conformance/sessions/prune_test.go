package sessions

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"

	"github.com/outcrop/outcrop/conformance/agent"
	"github.com/outcrop/outcrop/conformance/server"
)

// prune runs `outcrop prune` and returns how many of each kind it removed.
func (f *fixture) prune(args ...string) map[string]int64 {
	f.Helper()
	out, text, err := f.CLI(f.Context(), append([]string{"prune", "--json"}, args...)...)
	if err != nil {
		f.Errorf("prune %q: %v\n%s", args, err, text)
	}
	var rows []struct {
		Kind         string
		Removed      int64
		RemovedBytes int64
		LeftBytes    int64
		Left         int64
		Failed       bool
	}
	if err := json.Unmarshal([]byte(out), &rows); err != nil {
		f.Fatalf("%s: %v", out, err)
	}
	removed := map[string]int64{}
	for _, r := range rows {
		if r.Removed > 0 {
			removed[r.Kind] = r.Removed
		}
		if (r.Removed > 0) != (r.RemovedBytes > 0) || (r.Left > 0) != (r.LeftBytes > 0) {
			f.Errorf("sizes: %+v", r)
		}
	}
	return removed
}

func (f *fixture) pruned(want map[string]int64, args ...string) {
	f.Helper()
	if got := f.prune(args...); fmt.Sprint(got) != fmt.Sprint(want) {
		f.Errorf("prune %q removed %v, want %v\n%s", args, got, want, f.Log())
	}
}

func (f *fixture) stop(id string) {
	f.Helper()
	_, err := bedrockagentcore.NewFromConfig(f.AWS()).StopRuntimeSession(f.Context(), &bedrockagentcore.StopRuntimeSessionInput{
		AgentRuntimeArn: &f.arn, RuntimeSessionId: aws.String(server.SessionID(id)),
	})
	if err != nil {
		f.Fatal(err)
	}
}

// TestPrune removes what nobody needs, or, when it is told to, what nobody uses
// now, and nothing else: sessions that run, start and wake do not notice.
func TestPrune(t *testing.T) {
	withStorage := []types.FilesystemConfiguration{
		&types.FilesystemConfigurationMemberSessionStorage{Value: types.SessionStorageConfiguration{MountPath: aws.String("/mnt/work")}},
	}
	f := start(t, func(in *control.CreateAgentRuntimeInput) { in.FilesystemConfigurations = withStorage }, "--hibernate-after", "2s")
	f.ask("asleep", map[string]any{"say": "blue", "write": "a"})
	f.ask("busy", map[string]any{"say": "green", "write": "b", "busy": 600})
	f.Until("the first hibernates", func() bool { return f.sessions()["asleep"].Status == "HIBERNATED" })
	f.pruned(map[string]int64{}, "--force")
	f.pruned(map[string]int64{"snapshots": 1}, "--all", "--dry-run")
	f.pruned(map[string]int64{}, "--all", "--force", "--older-than", "1h")
	f.pruned(map[string]int64{"snapshots": 1}, "--all", "--force")
	if n := len(f.sealed("versions")); n != 0 {
		t.Errorf("%d snapshots are left", n)
	}
	f.ask("stopped", map[string]any{"write": "c"})
	if s := f.sessions()["stopped"]; s.Origin != "COLD" {
		t.Errorf("it started as %+v", s)
	}
	f.stop("stopped")
	f.pruned(map[string]int64{"storage": 1}, "storage", "--all", "--force")
	if a := f.ask("asleep", map[string]any{}); fmt.Sprint(a.Memory) != "[blue]" || aws.ToString(a.Stored) != "a" {
		t.Errorf("it comes back with %+v", a)
	}
	if a := f.ask("busy", map[string]any{}); fmt.Sprint(a.Memory) != "[green]" || aws.ToString(a.Stored) != "b" {
		t.Errorf("the busy one has %+v", a)
	}
	if a := f.ask("stopped", map[string]any{}); a.Stored != nil {
		t.Errorf("its storage is still %q", *a.Stored)
	}
	f.stop("stopped")
	f.pruneBesideStarts()

	f.Until("the first hibernates again", func() bool { return f.sessions()["asleep"].Status == "HIBERNATED" })
	f.Kill()
	for _, path := range f.sealed("sessions") { // as a disk may lose it
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	f.Restart()
	if all := f.sessions(); len(all) != 0 {
		t.Errorf("after the kill: %+v", all)
	}
	f.pruned(map[string]int64{}, "--force", "hibernated", "code")
	f.pruneCode(withStorage)
}

// pruneBesideStarts starts sessions while others prune all the time.
func (f *fixture) pruneBesideStarts() {
	f.Helper()
	var both sync.WaitGroup
	stop := make(chan struct{})
	both.Go(func() {
		for {
			f.prune("--all", "--force")
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	for i := range 6 {
		id := fmt.Sprint("beside", i)
		if a := f.ask(id, map[string]any{"say": id, "write": id}); fmt.Sprint(a.Memory) != "["+id+"]" || aws.ToString(a.Stored) != id {
			f.Errorf("%s: %+v", id, a)
		}
		f.stop(id)
	}
	close(stop)
	both.Wait()
}

// pruneCode changes the code, after which that of the version before goes.
func (f *fixture) pruneCode(files []types.FilesystemConfiguration) {
	f.Helper()
	f.update(files)
	f.pruned(map[string]int64{}, "code", "--force")
	// Not while a guest is booted from it for a snapshot that is out of date by now.
	f.Until("the code of the version before goes", func() bool { return f.prune("code", "--all", "--force")["code"] == 1 })
	if a := f.ask("after", map[string]any{"say": "x"}); fmt.Sprint(a.Memory) != "[x]" {
		f.Errorf("%+v", a)
	}
}

// update makes a next version, of other code.
func (f *fixture) update(files []types.FilesystemConfiguration) {
	f.Helper()
	to := f.Agents()
	if err := to.Store(f.Context(), bucket, "next.zip", code(f.T, "# the next version\n")); err != nil {
		f.Fatal(err)
	}
	c, id := control.NewFromConfig(f.AWS()), f.arn[strings.LastIndexByte(f.arn, '/')+1:]
	in := to.Input(bucket, "rememberer", f.Python())
	_, err := c.UpdateAgentRuntime(f.Context(), &control.UpdateAgentRuntimeInput{
		AgentRuntimeId: &id, AgentRuntimeArtifact: agent.Artifact(bucket, "next.zip", f.Python(), "main.py"), RoleArn: in.RoleArn, NetworkConfiguration: in.NetworkConfiguration, FilesystemConfigurations: files,
	})
	if err != nil {
		f.Fatal(err)
	}
	if _, err := to.Settle(f.Context(), id); err != nil {
		f.Fatal(err)
	}
}
