package sessions

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"

	"github.com/outcrop/outcrop/conformance/server"
)

// spares is what `outcrop sessions` says about them.
func (f *fixture) spares() string {
	f.Helper()
	_, said, err := f.CLI(f.Context(), "sessions")
	if err != nil {
		f.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(said) {
		if strings.Contains(line, " of rememberer, version ") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}

func (f *fixture) spare(version string) {
	f.Helper()
	f.Until("there is a spare of version "+version, func() bool { return strings.HasPrefix(f.spares(), "1 spare of rememberer, version "+version+",") })
}

// log is what a session has said.
func (f *fixture) log(id string) string {
	f.Helper()
	out, _, err := f.CLI(f.Context(), "logs", "rememberer", "--session", server.SessionID(id))
	if err != nil {
		f.Fatal(err)
	}
	return out
}

// TestSpare: sessions from spares, and restored ones, share nothing that must be
// unique, are who they are, and nobody was anybody before.
func TestSpare(t *testing.T) {
	f := start(t, func(in *control.CreateAgentRuntimeInput) {
		in.EnvironmentVariables = map[string]string{"WATCH": "1"}
	}, "--spares", "1")
	drawn := map[string]string{}
	for _, id := range []string{"one", "two", "three"} {
		f.spare("1")
		answers := map[string]answer{id: f.ask(id, map[string]any{"say": id, "is": 1})}
		answers[id+"-restored"] = f.ask(id+"-restored", map[string]any{"is": 1})
		for who, a := range answers {
			for _, value := range []string{fmt.Sprint(a.Random), a.UUID, aws.ToString(a.Is)} {
				if drawn[value] != "" || value == "" {
					t.Errorf("%s and %s have the same %q", who, drawn[value], value)
				}
				drawn[value] = who
			}
		}
		if a, all := answers[id], f.sessions(); fmt.Sprint(a.Memory) != "["+id+"]" || all[id].Origin != "SPARE" || all[id+"-restored"].Origin != "RESTORED" {
			t.Errorf("%s remembers %v; %+v", id, a.Memory, all)
		}
		// As a spare it reached nothing, and what it said then is in this log alone.
		f.Until("the session says what it reaches", func() bool { return strings.Contains(f.log(id), "watch: reached") })
		if text := f.log(id); strings.Count(text, "watch: refused") != 1 || strings.Index(text, "watch: refused") > strings.Index(text, "watch: reached") {
			t.Errorf("%s says %q", id, text)
		}
	}
}

// TestSpareEnds with its version, and with its server, however that ends.
func TestSpareEnds(t *testing.T) {
	f := start(t, nil, "--spares", "1", "--max-sessions", "2")
	f.spare("1")
	f.Kill()
	f.Restart()
	f.spare("1") // before anybody asks for a session
	f.update(nil)
	f.spare("2")
	f.ask("one", map[string]any{"say": "new"})
	if s := f.sessions()["one"]; s.Origin != "SPARE" {
		t.Errorf("%+v", s)
	}
	f.spare("2")
	f.ask("two", map[string]any{}) // takes the last place, with the spare that has it
	if s := f.sessions()["two"]; s.Origin != "SPARE" {
		t.Errorf("%+v", s)
	}
	if s := f.spares(); s != "" {
		t.Errorf("%s in no place", s)
	}
	if _, _, err := f.CLI(t.Context(), "delete", "rememberer"); err != nil {
		t.Error(err)
	}
	if err := f.End(syscall.SIGTERM, 15*time.Second); err != nil {
		t.Errorf("%v\n%s", err, f.Log())
	}
}

// TestRestartKeeps what idle sessions remember, when the server is told to end.
func TestRestartKeeps(t *testing.T) {
	f := start(t, nil)
	for _, id := range []string{"one", "two", "three"} {
		f.ask(id, map[string]any{"say": id})
	}
	f.ask("busy", map[string]any{"say": "x", "busy": 600})
	begun := time.Now()
	if err := f.End(syscall.SIGTERM, 30*time.Second); err != nil {
		t.Fatalf("%v\n%s", err, f.Log())
	}
	t.Logf("the end took %v", time.Since(begun))
	f.Restart()
	if all := f.sessions(); len(all) != 3 {
		t.Errorf("%+v", all)
	}
	for _, id := range []string{"one", "two", "three"} {
		if a := f.ask(id, map[string]any{}); fmt.Sprint(a.Memory) != "["+id+"]" || f.sessions()[id].Origin != "WOKEN" {
			t.Errorf("%s remembers %v; %+v", id, a.Memory, f.sessions()[id])
		}
	}
	if a := f.ask("busy", map[string]any{}); len(a.Memory) != 0 {
		t.Errorf("the busy one remembers %v", a.Memory)
	}
}

// TestSessionMemory: one that takes too much ends, and who asked and its log are told
// why; others do not notice.
func TestSessionMemory(t *testing.T) {
	f := start(t, nil, "--session-memory", "200MiB", "--session-cpus", "1")
	f.ask("other", map[string]any{"say": "x"})
	const why = "it used more memory than it may (200 MiB)"
	f.bursts(1_000_000_000, why)
	f.Until("its log says why", func() bool { return strings.Contains(f.log("bomb"), "session ended: "+why) })
	if a := f.ask("bomb", map[string]any{"eat": 1_000_000}); len(a.Memory) != 1 {
		t.Errorf("the next remembers %d things", len(a.Memory))
	}
	if a := f.ask("other", map[string]any{}); fmt.Sprint(a.Memory) != "[x]" {
		t.Errorf("the other remembers %v", a.Memory)
	}
}

// bursts has a session take more memory than it may, and its caller told why it ended.
func (f *fixture) bursts(bytes int, why string) {
	f.Helper()
	_, err := bedrockagentcore.NewFromConfig(f.AWS()).InvokeAgentRuntime(f.Context(), &bedrockagentcore.InvokeAgentRuntimeInput{
		AgentRuntimeArn: &f.arn, RuntimeSessionId: aws.String(server.SessionID("bomb")), Payload: fmt.Appendf(nil, `{"eat": %d}`, bytes),
	})
	if err == nil || !strings.Contains(err.Error(), why) {
		f.Errorf("invoke = %v", err)
	}
}

// TestSlowDeath: the kernel takes a while to give back much memory, and nobody knows
// before why the agent hung up. Its caller and its log are told nevertheless.
func TestSlowDeath(t *testing.T) {
	if free := available(t); free < 8<<30 {
		t.Skipf("it takes 4 GiB of memory, and there are but %d bytes", free)
	}
	f := start(t, nil, "--session-memory", "4GiB")
	const why = "it used more memory than it may (4 GiB)"
	f.bursts(5_000_000_000, why)
	f.Until("its log says why", func() bool {
		log := f.log("bomb")
		return strings.Contains(log, "session ended: "+why) && strings.Contains(log, "the agent broke off before it answered: "+why)
	})
}

// available is the memory of this machine that nobody needs, in bytes.
func available(t *testing.T) int64 {
	t.Helper()
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "MemAvailable:")
	var kib int64
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		t.Fatal(err)
	}
	return kib << 10
}
