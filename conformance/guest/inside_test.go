package guest

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	data "github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/outcrop/outcrop/conformance/agent"
	"github.com/outcrop/outcrop/conformance/server"
	"github.com/outcrop/outcrop/internal/sandbox/network/metadata"
)

// surroundings is what the agent of testdata tells.
type surroundings struct {
	Account, Arn, UserId, Method, Roles, Region string
	Credentials, Refusal, Endpoints, Secrets    []string
	IMDSv1, Unsigned                            int
}

// TestInside asks an agent in a real sandbox what it finds, in two sessions, and
// uses what it was given from outside for as long as its session lives.
func TestInside(t *testing.T) {
	s := server.Start(t, server.Options{})
	defer func() {
		if t.Failed() {
			t.Logf("server:\n%s", s.Log())
		}
	}()
	python := store(t, s, "testdata/agent")
	t.Run("container form", func(t *testing.T) { insideContainerForm(t, s, python) })
	arn := create(t, s, "around", python, nil)
	a, b := tell(t, s, arn, "a"), tell(t, s, arn, "b")
	role, _, _ := strings.Cut(a.UserId, ":")
	if len(role) != 21 || !strings.HasPrefix(role, "AROA") {
		t.Errorf("the role is %q", role)
	}
	for name, got := range map[string]surroundings{"a": a, "b": b} {
		start := "arn:aws:sts::" + s.Account + ":assumed-role/outcrop-default/BedrockAgentCore-"
		id, ok := strings.CutPrefix(got.Arn, start)
		if !ok || len(id) != 36 || got.Account != s.Account || got.UserId != role+":BedrockAgentCore-"+id {
			t.Errorf("session %s is %s, %s of %s", name, got.Arn, got.UserId, got.Account)
		}
		denied := "User: " + got.Arn + " is not authorized to perform: bedrock-agentcore:ListAgentRuntimes on resource: * " +
			"because no identity-based policy allows the bedrock-agentcore:ListAgentRuntimes action"
		if len(got.Refusal) != 2 || got.Refusal[0] != "AccessDeniedException" || got.Refusal[1] != denied {
			t.Errorf("session %s was refused with %q", name, got.Refusal)
		}
		const wire = "http://192.0.0.1:8642"
		if got.Method != "iam-role" || got.IMDSv1 != 401 || got.Roles != "execution_role" || got.Region != s.Region || got.Unsigned != 403 ||
			len(got.Secrets) != 0 || len(got.Endpoints) != 2 || got.Endpoints[0] != wire || got.Endpoints[1] != wire {
			got.Credentials = nil
			t.Errorf("session %s found %+v", name, got)
		}
	}
	if a.Arn == b.Arn || a.Credentials[0] == b.Credentials[0] {
		t.Errorf("both sessions are %s", a.Arn)
	}
	if again := tell(t, s, arn, "a"); again.Arn != a.Arn || again.Credentials[0] != a.Credentials[0] {
		t.Error("a session does not stay who it is")
	}

	use := func(who surroundings) (string, error) {
		cfg := s.AWS()
		cfg.Credentials = credentials.NewStaticCredentialsProvider(who.Credentials[0], who.Credentials[1], who.Credentials[2])
		out, err := sts.NewFromConfig(cfg).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
		if err != nil {
			return "", err
		}
		return *out.Arn, nil
	}
	void := func(who surroundings) bool {
		_, err := use(who)
		var refused smithy.APIError
		return errors.As(err, &refused) && refused.ErrorCode() == "ExpiredToken"
	}
	if got, err := use(a); err != nil || got != a.Arn {
		t.Errorf("from outside it is %s, %v", got, err)
	}
	stop(t, s, arn, "a")
	if !void(a) {
		t.Error("the credentials of a stopped session are good")
	}
	if again := tell(t, s, arn, "a"); again.Arn != a.Arn || !void(a) {
		t.Error("a new session of the same id revives what the old one held")
	}
	if _, err := use(b); err != nil {
		t.Errorf("the other session has lost its credentials: %v", err)
	}
	if _, err := control.NewFromConfig(s.AWS()).DeleteAgentRuntime(t.Context(), &control.DeleteAgentRuntimeInput{AgentRuntimeId: id(arn)}); err != nil {
		t.Fatal(err)
	}
	s.Until("the credentials of a deleted runtime are void", func() bool { return void(b) })
}

// insideContainerForm asks an agent whose user wants credentials in the form of ECS.
func insideContainerForm(t *testing.T, s *server.Server, python types.AgentManagedRuntimeType) {
	arn := create(t, s, "container_form", python, map[string]string{
		"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": metadata.ContainerPath, "AWS_CONTAINER_AUTHORIZATION_TOKEN": containerToken,
	})
	got := tell(t, s, arn, "c")
	if got.Method != "container-role" || !strings.HasPrefix(got.Arn, "arn:aws:sts::"+s.Account+":assumed-role/outcrop-default/BedrockAgentCore-") {
		t.Errorf("%s, %s", got.Method, got.Arn)
	}
}

func id(arn string) *string { return aws.String(arn[strings.LastIndexByte(arn, '/')+1:]) }

// tell has the agent look around.
func tell(t *testing.T, s *server.Server, arn, name string) (out surroundings) {
	t.Helper()
	answer, err := data.NewFromConfig(s.AWS()).InvokeAgentRuntime(t.Context(), &data.InvokeAgentRuntimeInput{
		AgentRuntimeArn: &arn, RuntimeSessionId: aws.String(server.SessionID(name)), Payload: []byte("{}"),
	})
	if err != nil {
		logs, _, _ := s.CLI(context.WithoutCancel(t.Context()), "logs", "around")
		t.Fatalf("%v\n%s", err, logs)
	}
	defer answer.Response.Close()
	if err := json.NewDecoder(answer.Response).Decode(&out); err != nil || len(out.Credentials) != 3 {
		t.Fatalf("%v", err)
	}
	return out
}

func stop(t *testing.T, s *server.Server, arn, name string) {
	t.Helper()
	_, err := data.NewFromConfig(s.AWS()).StopRuntimeSession(t.Context(), &data.StopRuntimeSessionInput{
		AgentRuntimeArn: &arn, RuntimeSessionId: aws.String(server.SessionID(name)),
	})
	if err != nil {
		t.Fatal(err)
	}
}

// store packs the agent of a folder, once for all runtimes of a server: that takes
// longer than all else.
func store(t *testing.T, s *server.Server, folder string) (python types.AgentManagedRuntimeType) {
	t.Helper()
	code, python := s.Pack(folder, "")
	if err := s.Agents().Store(t.Context(), "agents", agent.Key, code); err != nil {
		t.Fatal(err)
	}
	return python
}

// create makes a runtime of what store has stored.
func create(t *testing.T, s *server.Server, name string, python types.AgentManagedRuntimeType, env map[string]string) (arn string) {
	t.Helper()
	in := s.Agents().Input("agents", name, python)
	in.EnvironmentVariables = env
	got, err := s.Agents().Create(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	return *got.AgentRuntimeArn
}
