package runtime

import (
	"fmt"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/sandbox"
)

func port(n int32) agentcorecontrol.AllowedPort { return agentcorecontrol.AllowedPort{Port: &n} }

func ports(from, to int32) agentcorecontrol.AllowedPort {
	return agentcorecontrol.AllowedPort{PortRange: &agentcorecontrol.PortRange{From: &from, To: &to}}
}

// TestRules: what the model lets through and its own sentences do not.
func TestRules(t *testing.T) {
	type in = agentcorecontrol.UpdateAgentRuntimeRequest
	allow := func(list ...agentcorecontrol.AllowedPort) in { return in{AllowedPorts: list} }
	storage := func(paths ...string) (r in) {
		for _, p := range paths {
			r.FilesystemConfigurations = append(r.FilesystemConfigurations, agentcorecontrol.FilesystemConfiguration{
				SessionStorage: &agentcorecontrol.SessionStorageConfiguration{MountPath: &p}})
		}
		return r
	}
	serve := func(port int32) in {
		return in{ProtocolConfiguration: &agentcorecontrol.ProtocolConfiguration{ServerProtocol: new("MCP"), Port: &port}}
	}
	life := func(seconds int32) in {
		return in{LifecycleConfiguration: &agentcorecontrol.LifecycleConfiguration{MaxLifetime: &seconds}}
	}
	warmup := func(path string, port *int32) in {
		post := &agentcorecontrol.HttpPostLifecycleHookAction{Path: &path, Port: port}
		return in{HooksConfiguration: &agentcorecontrol.RuntimeHooksConfiguration{Build: &agentcorecontrol.BuildLifecycleHooks{
			Warmup: &agentcorecontrol.LifecycleHook{Action: &agentcorecontrol.LifecycleHookAction{HttpPost: post}},
		}}}
	}
	memory := func(mib int32) in {
		return in{ResourceConfigurations: []agentcorecontrol.ResourceConfiguration{{MinimumMemoryInMiB: &mib}}}
	}
	tests := []struct {
		name   string
		in     in
		strict bool
	}{
		{"nothing", in{}, true},
		{"ports apart", allow(port(8000), ports(8100, 8442), ports(8444, 12000)), false},
		{"one port twice", allow(port(9000), port(9000)), false},
		{"a port in a range", allow(ports(8000, 8100), port(8100)), false},
		{"ranges that overlap", allow(ports(8000, 8100), ports(8050, 8200)), false},
		{"a range backwards", allow(ports(8100, 8000)), false},
		{"the reserved port", allow(port(8443)), false},
		{"the reserved port in a range", allow(ports(8000, 12000)), false},
		{"a protocol on a port", serve(8444), false},
		{"a protocol on the reserved port", serve(8443), false},
		{"storage", storage("/mnt/work/"), false},
		{"two storages", storage("/mnt/a", "/mnt/b"), false},
		{"storage at the root", storage("/mnt/.."), false},
		{"storage at /mnt", storage("/mnt/./"), false},
		{"a warm-up of its own", warmup("/warm", nil), false},
		{"a warm-up on another port", warmup("/invocations", new(int32(9000))), false},
		{"a warm-up that is the health check", warmup("/ping", nil), false},
		{"a warm-up that is an invocation", warmup("/invocations", new(int32(8080))), false},
		{"a warm-up that is a WebSocket", warmup("/ws", nil), false},
		{"a warm-up on the reserved port", warmup("/warm", new(int32(8443))), false},
		{"no hook at all", in{HooksConfiguration: &agentcorecontrol.RuntimeHooksConfiguration{}}, false},
		{"memory", memory(512), false},
		{"all memory", memory(1024), false},
		{"more memory than there is", memory(1025), false},
		{"no memory", memory(0), false},
		{"less than no memory", memory(-1), false},
		{"metadata of version 2", in{MetadataConfiguration: &agentcorecontrol.RuntimeMetadataConfiguration{RequireMMDSV2: new(true)}}, false},
		{"metadata of version 1", in{MetadataConfiguration: &agentcorecontrol.RuntimeMetadataConfiguration{RequireMMDSV2: new(false)}}, false},
		{"a long life", life(28801), false},
		{"a long life where it is strict", life(28801), true},
		{"the longest life where it is strict", life(28800), true},
	}
	var b strings.Builder
	for _, tt := range tests {
		verdict := "allowed"
		if err := (&Service{cfg: Config{Strict: tt.strict, MaxMemory: 1 << 30}}).check(&tt.in); err != nil {
			f := fault.From(err)
			if f.Code != "ValidationException" || len(f.Fields) != 1 {
				t.Errorf("%s: %v names no field", tt.name, err)
			}
			verdict = f.Message
		}
		fmt.Fprintf(&b, "%-40s %s\n", tt.name, verdict)
	}
	golden(t, "rules.txt", b.String())
}

// TestMinimumMemory: a runtime that wants more than the operator gives each session
// gets it.
func TestMinimumMemory(t *testing.T) {
	s := &Service{cfg: Config{Limits: sandbox.Limits{MemoryBytes: 1 << 30, CPUs: 2}}}
	for _, tt := range []struct {
		want []agentcorecontrol.ResourceConfiguration
		gets int64
	}{
		{nil, 1 << 30},
		{[]agentcorecontrol.ResourceConfiguration{{MinimumMemoryInMiB: new(int32(512))}}, 1 << 30},
		{[]agentcorecontrol.ResourceConfiguration{{MinimumMemoryInMiB: new(int32(4096))}}, 4 << 30},
	} {
		if got := s.limits(tt.want); got != (sandbox.Limits{MemoryBytes: tt.gets, CPUs: 2}) {
			t.Errorf("limits(%v) = %+v", tt.want, got)
		}
	}
}

// TestServers: each protocol's own port and path, and what replaces them.
func TestServers(t *testing.T) {
	for _, tt := range []struct {
		c    *agentcorecontrol.ProtocolConfiguration
		want Server
	}{
		{nil, Server{"HTTP", 8080, "/invocations"}},
		{&agentcorecontrol.ProtocolConfiguration{ServerProtocol: new("HTTP")}, Server{"HTTP", 8080, "/invocations"}},
		{&agentcorecontrol.ProtocolConfiguration{ServerProtocol: new("AGUI")}, Server{"AGUI", 8080, "/invocations"}},
		{&agentcorecontrol.ProtocolConfiguration{ServerProtocol: new("MCP")}, Server{"MCP", 8000, "/mcp"}},
		{&agentcorecontrol.ProtocolConfiguration{ServerProtocol: new("A2A")}, Server{"A2A", 9000, "/"}},
		{&agentcorecontrol.ProtocolConfiguration{ServerProtocol: new("A2A"), Port: new(int32(12000)), Path: new("/rpc")}, Server{"A2A", 12000, "/rpc"}},
	} {
		if got := serverOf(tt.c); got != tt.want {
			t.Errorf("%+v, want %+v", got, tt.want)
		}
	}
}

// TestAuthorizationIsForJWT: a bearer token may be passed on, a signature never.
func TestAuthorizationIsForJWT(t *testing.T) {
	if err := checkHeaders([]string{"Authorization"}, true); err != nil {
		t.Error(err)
	}
	if err := checkHeaders([]string{"Authorization"}, false); err == nil {
		t.Error("it is allowed without an authorizer")
	}
}
