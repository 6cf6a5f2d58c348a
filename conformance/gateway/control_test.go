package gateway

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"

	"github.com/outcrop/outcrop/conformance/pinned"
	"github.com/outcrop/outcrop/conformance/server"
)

// TestControlScript goes the ways of the AgentCore SDK and of the starter toolkit.
func TestControlScript(t *testing.T) {
	s := server.Start(t, server.Options{})
	t.Log(s.Run(t, []string{"ACCOUNT=" + s.Account}, pinned.Program(t, "python"), "testdata/control.py"))
}

// TestControlCommands goes the way of the AWS CLI.
func TestControlCommands(t *testing.T) {
	s := server.Start(t, server.Options{})
	t.Log(s.Run(t, []string{"AWS=" + pinned.Program(t, "aws")}, "bash", "testdata/control.sh"))
}

// TestKilledWhileCreating kills the server right behind what it has accepted, several
// times: everything that it acknowledged becomes READY.
func TestKilledWhileCreating(t *testing.T) {
	s := server.Start(t, server.Options{})
	ctx := t.Context()
	s.Run(t, nil, pinned.Program(t, "aws"), "iam", "create-role", "--role-name", "gateway", "--assume-role-policy-document",
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"bedrock-agentcore.amazonaws.com"},"Action":"sts:AssumeRole"}]}`)
	role := "arn:aws:iam::" + s.Account + ":role/gateway"
	function := &types.TargetConfigurationMemberMcp{Value: &types.McpTargetConfigurationMemberLambda{Value: types.McpLambdaTargetConfiguration{
		LambdaArn: aws.String("arn:aws:lambda:" + s.Region + ":" + s.Account + ":function:f"),
		ToolSchema: &types.ToolSchemaMemberInlinePayload{Value: []types.ToolDefinition{{
			Name: aws.String("a"), Description: aws.String("d"), InputSchema: &types.SchemaDefinition{Type: types.SchemaTypeObject},
		}}},
	}}}
	create := func(name string) string {
		out, err := control.NewFromConfig(s.AWS()).CreateGateway(ctx, &control.CreateGatewayInput{Name: &name, RoleArn: &role, AuthorizerType: types.AuthorizerTypeNone})
		if err != nil {
			t.Fatal(err)
		}
		return *out.GatewayId
	}
	ready := func(id string) bool {
		out, err := control.NewFromConfig(s.AWS()).GetGateway(ctx, &control.GetGatewayInput{GatewayIdentifier: &id})
		return err == nil && out.Status == types.GatewayStatusReady && slices.Equal(out.StatusReasons, nil)
	}
	first := create("first")
	s.Until("the first gateway is READY", func() bool { return ready(first) })
	type made struct{ gateway, target string }
	var all []made
	for round := range 4 {
		id := create(fmt.Sprint("round-", round))
		out, err := control.NewFromConfig(s.AWS()).CreateGatewayTarget(ctx, &control.CreateGatewayTargetInput{GatewayIdentifier: &first, Name: aws.String(fmt.Sprint("t-", round)), TargetConfiguration: function})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, made{id, *out.TargetId})
		s.Kill()
		s.Restart()
	}
	for _, m := range all {
		s.Until("gateway "+m.gateway+" is READY", func() bool { return ready(m.gateway) })
		s.Until("target "+m.target+" is READY", func() bool { return targetReady(ctx, s, first, m.target) })
	}
}

func targetReady(ctx context.Context, s *server.Server, gateway, target string) bool {
	out, err := control.NewFromConfig(s.AWS()).GetGatewayTarget(ctx, &control.GetGatewayTargetInput{GatewayIdentifier: &gateway, TargetId: &target})
	return err == nil && out.Status == types.TargetStatusReady
}
