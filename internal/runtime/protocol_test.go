package runtime_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"

	"github.com/outcrop/outcrop/internal/runtime"
	"github.com/outcrop/outcrop/internal/runtime/runtimetest"
	"github.com/outcrop/outcrop/internal/session"
)

// TestProtocols: an agent is asked where its protocol says, and one that speaks MCP
// needs no /ping.
func TestProtocols(t *testing.T) {
	k := newKit(t, runtimetest.Options{})
	k.Engine.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/ping" && strings.HasSuffix(r.Host, ":8000") {
			http.NotFound(w, r)
			return
		}
		_, _ = io.WriteString(w, r.Host+r.URL.Path)
	})
	for name, tt := range map[string]struct {
		configured *types.ProtocolConfiguration
		want       string
	}{
		"http": {nil, "localhost:8080/invocations"},
		"mcp":  {&types.ProtocolConfiguration{ServerProtocol: types.ServerProtocolMcp}, "localhost:8000/mcp"},
		"a2a":  {&types.ProtocolConfiguration{ServerProtocol: types.ServerProtocolA2a}, "localhost:9000/"},
		"agui": {&types.ProtocolConfiguration{ServerProtocol: types.ServerProtocolAgui, Port: aws.Int32(8181), Path: aws.String("/agent")}, "localhost:8181/agent"},
	} {
		in := create(name)
		in.ProtocolConfiguration = tt.configured
		out, err := k.Control.CreateAgentRuntime(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		got := k.settled(*out.AgentRuntimeId)
		if p := got.ProtocolConfiguration; (p == nil) != (tt.configured == nil) || p != nil && (p.ServerProtocol != tt.configured.ServerProtocol || aws.ToInt32(p.Port) != aws.ToInt32(tt.configured.Port)) {
			t.Errorf("%s: %+v", name, p)
		}
		if answer, err := k.invoke(arn(*out.AgentRuntimeId), "one", "hi"); err != nil || answer != tt.want {
			t.Errorf("%s: %q, %v; want %q", name, answer, err, tt.want)
		}
	}
}

// TestEveryMember: what is accepted is told again as it was sent, and an update
// that leaves it out clears it.
func TestEveryMember(t *testing.T) {
	k := newKit(t, runtimetest.Options{})
	in := create("whole")
	in.Description = aws.String("all of it")
	in.AllowedPorts = []types.AllowedPort{&types.AllowedPortMemberPort{Value: 8100}, &types.AllowedPortMemberPortRange{Value: types.PortRange{From: aws.Int32(9000), To: aws.Int32(9010)}}}
	in.PlatformVersion = aws.String("2026.09")
	in.LifecycleConfiguration = &types.LifecycleConfiguration{MaxLifetime: aws.Int32(600)}
	in.RequestHeaderConfiguration = &types.RequestHeaderConfigurationMemberRequestHeaderAllowlist{Value: []string{"X-Tenant"}}
	in.EnvironmentVariables = map[string]string{"A": "b"}
	out, err := k.Control.CreateAgentRuntime(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	id := *out.AgentRuntimeId
	got := k.settled(id)
	if len(got.AllowedPorts) != 2 || aws.ToString(got.PlatformVersion) != "2026.09" || aws.ToString(got.Description) != "all of it" ||
		*got.LifecycleConfiguration.IdleRuntimeSessionTimeout != 600 || got.EnvironmentVariables["A"] != "b" || got.RequestHeaderConfiguration == nil {
		t.Errorf("%+v", got)
	}
	next := change(id)
	next.MetadataConfiguration = &types.RuntimeMetadataConfiguration{RequireMMDSV2: aws.Bool(true)}
	if _, err := k.Control.UpdateAgentRuntime(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	got = k.settled(id)
	if got.AllowedPorts != nil || got.PlatformVersion != nil || got.Description != nil || len(got.EnvironmentVariables) != 0 || got.RequestHeaderConfiguration != nil ||
		*got.LifecycleConfiguration.IdleRuntimeSessionTimeout != 900 || got.MetadataConfiguration == nil {
		t.Errorf("after the update: %+v", got)
	}
	next.MetadataConfiguration.RequireMMDSV2, next.ClientToken = aws.Bool(false), nil
	_, err = k.Control.UpdateAgentRuntime(t.Context(), next)
	k.refused(err, "ValidationException", "requireMMDSV2 must be true")
}

// provider makes a capacity provider and waits for it.
func (k kit) provider(name string) (id, arn string) {
	k.Helper()
	out, err := k.Control.CreateCapacityProvider(k.Context(), &control.CreateCapacityProviderInput{
		Name: &name, Description: aws.String("ours"), Tags: map[string]string{"team": "a"},
		PermissionsConfiguration: &types.PermissionsConfiguration{CapacityProviderOperatorRoleArn: aws.String(runtimetest.Role)},
		ComputeConfiguration: &types.ComputeConfigurationMemberEc2Configuration{Value: types.Ec2Configuration{
			LaunchTemplateSource: &types.LaunchTemplateSourceMemberLaunchParameters{Value: types.LaunchParameters{
				OperatingSystem: types.OperatingSystemLinuxX8664, InstanceRequirements: &types.InstanceRequirements{AllowedInstanceTypes: []string{"m7i.large"}},
			}},
			VpcConfiguration: &types.VpcConfiguration{Subnets: []string{"subnet-01234567"}, SecurityGroups: []string{"sg-01234567"}},
		}},
	})
	if err != nil {
		k.Fatal(err)
	}
	if out.Status != types.CapacityProviderStatusCreating || *out.CapacityProviderArn != "arn:aws:bedrock-agentcore:us-west-2:111122223333:capacity-provider/"+*out.CapacityProviderId {
		k.Errorf("%+v", out)
	}
	for {
		changed := k.Store.Changed("document/capacity-provider")
		got, err := k.Control.GetCapacityProvider(k.Context(), &control.GetCapacityProviderInput{CapacityProviderId: out.CapacityProviderId})
		if err != nil {
			k.Fatal(err)
		}
		if got.Status == types.CapacityProviderStatusReady {
			return *out.CapacityProviderId, *out.CapacityProviderArn
		}
		k.wait(changed)
	}
}

// TestCapacityProviders: they are names of this machine, which versions use until
// they are deleted.
func TestCapacityProviders(t *testing.T) {
	k := newKit(t, runtimetest.Options{})
	pid, parn := k.provider("pool")
	_, err := k.Control.GetCapacityProvider(t.Context(), &control.GetCapacityProviderInput{CapacityProviderId: aws.String("none-0123456789")})
	k.refused(err, "ResourceNotFoundException", "No capacity provider found with id 'none-0123456789'")
	in := create("pooled")
	in.NetworkConfiguration = nil
	in.CapacityProviderConfiguration = &types.CapacityProviderConfiguration{CapacityProviderArn: aws.String(strings.Replace(parn, "pool", "pole", 1))}
	_, err = k.Control.CreateAgentRuntime(t.Context(), in)
	k.refused(err, "ValidationException", "does not exist")
	in.CapacityProviderConfiguration.CapacityProviderArn = &parn
	out, err := k.Control.CreateAgentRuntime(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	id := *out.AgentRuntimeId
	if got := k.settled(id); got.CapacityProviderConfiguration == nil || got.NetworkConfiguration != nil {
		t.Errorf("%+v", got)
	}
	if _, err := k.invoke(arn(id), "one", "hi"); err != nil {
		t.Error(err)
	}
	users, err := k.Control.ListAgentRuntimeVersionsByCapacityProvider(t.Context(), &control.ListAgentRuntimeVersionsByCapacityProviderInput{CapacityProviderId: &pid})
	if err != nil || len(users.AgentRuntimes) != 1 || *users.AgentRuntimes[0].AgentRuntimeArn != arn(id) || *users.AgentRuntimes[0].AgentRuntimeVersion != "1" ||
		users.AgentRuntimes[0].Status != types.AgentRuntimeStatusReady {
		t.Errorf("%+v, %v", users, err)
	}
	remove := func() error {
		_, err := k.Control.DeleteCapacityProvider(t.Context(), &control.DeleteCapacityProviderInput{CapacityProviderId: &pid})
		return err
	}
	k.refused(remove(), "ConflictException", "is in use by version '1' of agent runtime '"+id+"'")
	k.again(id) // version 2 names none
	if _, err := k.Control.DeleteAgentRuntime(t.Context(), &control.DeleteAgentRuntimeInput{AgentRuntimeId: &id, AgentRuntimeVersion: aws.String("1")}); err != nil {
		t.Fatal(err)
	}
	for changed := k.Store.Changed("document/runtime-version"); len(k.listVersions(id)) > 1; changed = k.Store.Changed("document/runtime-version") {
		k.wait(changed)
	}
	if _, err := k.Control.UpdateCapacityProvider(t.Context(), &control.UpdateCapacityProviderInput{CapacityProviderId: &pid, Description: &types.UpdatedDescription{}}); err != nil {
		t.Fatal(err)
	}
	k.refusedUntil(remove, "ConflictException")
	for {
		changed := k.Store.Changed("document/capacity-provider")
		list, err := k.Control.ListCapacityProviders(t.Context(), &control.ListCapacityProvidersInput{})
		if err != nil {
			t.Fatal(err)
		}
		if len(list.CapacityProviders) == 0 {
			return
		}
		k.wait(changed)
	}
}

// refusedUntil repeats what is in conflict with work that goes on.
func (k kit) refusedUntil(try func() error, code string) {
	k.Helper()
	for {
		changed := k.Store.Changed("document/capacity-provider")
		err := try()
		if err == nil {
			return
		}
		if codeOf(err) != code {
			k.Fatal(err)
		}
		k.wait(changed)
	}
}

// BenchmarkServer is what a request pays that names a session of MCP.
func BenchmarkServer(b *testing.B) {
	k := runtimetest.New(b, runtimetest.Options{})
	k.Put("agent.zip", runtimetest.Zip(b, "main.py", "x"))
	in := create("agent")
	out, err := k.Control.CreateAgentRuntime(b.Context(), in)
	if err != nil {
		b.Fatal(err)
	}
	key := session.Key{Scope: runtimetest.Scope(), Owner: *out.AgentRuntimeId, Endpoint: runtime.DefaultEndpoint}
	for {
		changed := k.Store.Changed("document/runtime")
		if _, err := k.Service.Server(b.Context(), key); err == nil {
			break
		}
		<-changed
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := k.Service.Server(b.Context(), key); err != nil {
			b.Fatal(err)
		}
	}
}
