package runtime_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/runtime"
	"github.com/outcrop/outcrop/internal/runtime/runtimetest"
	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/session"
)

// warmer is an agent that counts what it is asked.
type warmer struct {
	mu     sync.Mutex
	asked  []string
	status int // of its answer to the hook
}

func (w *warmer) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/ping" {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = append(w.asked, r.Method+" "+r.URL.Path)
	if r.URL.Path == "/warm" {
		rw.WriteHeader(w.status)
	}
}

func (w *warmer) heard() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.asked, ", ")
}

// warming is a runtime with a hook; env is its environment.
func (k kit) warming(name string, env map[string]string) (id string) {
	k.Helper()
	artifact := &agentcorecontrol.CodeConfiguration{
		Code:       &agentcorecontrol.Code{S3: &agentcorecontrol.S3Location{Bucket: aws.String(runtimetest.Bucket), Prefix: aws.String("agent.zip")}},
		EntryPoint: []string{"main.py"}, Runtime: aws.String("PYTHON_3_12"),
	}
	hook := &agentcorecontrol.LifecycleHook{Action: &agentcorecontrol.LifecycleHookAction{HttpPost: &agentcorecontrol.HttpPostLifecycleHookAction{Path: aws.String("/warm")}}}
	out, err := k.Service.CreateAgentRuntime(pipeline.WithCall(k.Context(), &pipeline.Call{Scope: runtimetest.Scope()}), &agentcorecontrol.CreateAgentRuntimeRequest{
		AgentRuntimeName: &name, RoleArn: aws.String(runtimetest.Role), EnvironmentVariables: env,
		AgentRuntimeArtifact: &agentcorecontrol.AgentRuntimeArtifact{CodeConfiguration: artifact},
		NetworkConfiguration: &agentcorecontrol.NetworkConfiguration{NetworkMode: aws.String("PUBLIC")},
		HooksConfiguration:   &agentcorecontrol.RuntimeHooksConfiguration{Build: &agentcorecontrol.BuildLifecycleHooks{Warmup: hook}},
	})
	if err != nil {
		k.Fatal(err)
	}
	return *out.AgentRuntimeId
}

// TestWarmup: a version is READY when its agent has warmed up, and no session meets
// one that has not.
func TestWarmup(t *testing.T) {
	for _, tt := range []struct {
		name      string
		snapshots bool
		env       map[string]string
		// heard is what agents were asked until READY, and with one session.
		ready, heard string
		origin       session.Origin
	}{
		{"restored", true, nil, "POST /warm", "POST /warm, POST /invocations", session.Restored},
		{"snapshots off", true, map[string]string{"OUTCROP_SNAPSHOT": "off"}, "POST /warm", "POST /warm, POST /warm, POST /invocations", session.Cold},
		{"no snapshots", false, nil, "POST /warm", "POST /warm, POST /warm, POST /invocations", session.Cold},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := newKit(t, runtimetest.Options{Snapshots: tt.snapshots})
			agent := &warmer{status: http.StatusAccepted}
			k.Engine.Handler = agent
			id := k.warming("warm", tt.env)
			if got := k.settled(id); got.Status != types.AgentRuntimeStatusReady {
				t.Fatalf("%s: %s", got.Status, aws.ToString(got.FailureReason))
			}
			if got := agent.heard(); got != tt.ready {
				t.Errorf("until READY: %s", got)
			}
			k.snapshotDone(id)
			if _, err := k.invoke(arn(id), "one", "hi"); err != nil {
				t.Fatal(err)
			}
			if got := agent.heard(); got != tt.heard {
				t.Errorf("with a session: %s", got)
			}
			if got := k.session(); got.Origin != tt.origin {
				t.Errorf("%+v", got)
			}
		})
	}
}

// TestWarmupFails: a version whose agent does not warm up says so, and the one
// before it stays.
func TestWarmupFails(t *testing.T) {
	k := newKit(t, runtimetest.Options{Snapshots: true})
	agent := &warmer{status: http.StatusInternalServerError}
	k.Engine.Handler = agent
	id := k.warming("ill", nil)
	got := k.settled(id)
	const why = "The warm-up hook failed: POST /warm on port 8080 answered 500 Internal Server Error. See the log of session 'snapshot'"
	if got.Status != types.AgentRuntimeStatusCreateFailed || aws.ToString(got.FailureReason) != why {
		t.Errorf("%s: %s", got.Status, aws.ToString(got.FailureReason))
	}
	if k.snapshots() != 0 || k.Engine.Alive() != 0 {
		t.Errorf("%d snapshots, %d alive", k.snapshots(), k.Engine.Alive())
	}
	if logs := strings.Join(k.Logs(runtime.LogGroup(id, "DEFAULT")), "\n"); !strings.Contains(logs, "its warm-up failed: POST /warm on port 8080 answered 500") {
		t.Errorf("logs:\n%s", logs)
	}
	agent.status = http.StatusOK
	in := create("ill")
	if _, err := k.Control.UpdateAgentRuntime(t.Context(), &control.UpdateAgentRuntimeInput{ // without a hook
		AgentRuntimeId: &id, RoleArn: in.RoleArn, AgentRuntimeArtifact: in.AgentRuntimeArtifact, NetworkConfiguration: in.NetworkConfiguration,
	}); err != nil {
		t.Fatal(err)
	}
	if got := k.settled(id); got.Status != types.AgentRuntimeStatusReady {
		t.Errorf("%s: %s", got.Status, aws.ToString(got.FailureReason))
	}
	if got := agent.heard(); got != "POST /warm" {
		t.Errorf("asked %s", got)
	}
}

// TestUnexecutable: what cannot be executed is not tried again and again before a session
// has asked for it: a hook is told why it fails, and the log why there is no snapshot.
func TestUnexecutable(t *testing.T) {
	k := newKit(t, runtimetest.Options{Snapshots: true})
	k.Engine.Fail = fmt.Errorf("start sandbox 0123456789abcdef: %w", &sandbox.CommandError{Reason: "/nope: not found in the guest"})
	id := k.warming("nope", nil)
	const why = "The agent could not be started for its warm-up hook: /nope: not found in the guest"
	if got := k.settled(id); got.Status != types.AgentRuntimeStatusCreateFailed || aws.ToString(got.FailureReason) != why {
		t.Errorf("%s: %s", got.Status, aws.ToString(got.FailureReason))
	}
	id = k.created("cold")
	k.snapshotDone(id)
	k.logged(id, "outcrop: no snapshot, sessions start cold: it cannot be started: /nope: not found in the guest")
}
