//lint:file-ignore SA1019 callers of 2025-11-25 have roots, whatever later revisions think of them

package gateway

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/outcrop/outcrop/conformance/pinned"
	"github.com/outcrop/outcrop/conformance/server"
)

// TestRootsAndChanges: an MCP server behind a gateway asks a caller for its roots, and
// what it offers from then on is there without anybody's doing.
func TestRootsAndChanges(t *testing.T) {
	behind := mcp.NewServer(&mcp.Implementation{Name: "files", Version: "1"}, &mcp.ServerOptions{SupportedProtocolVersions: []string{"2025-11-25"}})
	mcp.AddTool(behind, &mcp.Tool{Name: "where"}, func(ctx context.Context, r *mcp.CallToolRequest, _ any) (*mcp.CallToolResult, any, error) {
		roots, err := r.Session.ListRoots(ctx, nil)
		if err != nil {
			return nil, nil, err
		}
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: roots.Roots[0].URI}}}, nil, nil
	})
	files := serve(t, mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return behind }, nil).ServeHTTP)
	s := server.Start(t, server.Options{Args: []string{"--allow-private", "127.0.0.1"}})
	ctx := t.Context()
	gateway, target := before(t, s, files.URL)

	caller := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, nil)
	caller.AddRoots(&mcp.Root{URI: "file:///home/ann", Name: "home"})
	session, err := caller.Connect(ctx, &mcp.StreamableClientTransport{Endpoint: *gateway.GatewayUrl}, &mcp.ClientSessionOptions{ProtocolVersion: "2025-11-25"})
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	answer, err := session.CallTool(ctx, &mcp.CallToolParams{Name: "files___where"})
	if err != nil || fmt.Sprint(answer.Content[0].(*mcp.TextContent).Text) != "file:///home/ann" {
		t.Errorf("%+v %v", answer, err)
	}
	mcp.AddTool(behind, &mcp.Tool{Name: "late"}, func(context.Context, *mcp.CallToolRequest, any) (*mcp.CallToolResult, any, error) {
		return &mcp.CallToolResult{}, nil, nil
	})
	s.Until("the new tool is listed", func() bool {
		tools, err := session.ListTools(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, tool := range tools.Tools {
			names = append(names, tool.Name)
		}
		return strings.Join(names, " ") == "files___late files___where"
	})
	if !targetReady(ctx, s, *gateway.GatewayId, *target.TargetId) {
		t.Error("the target is not READY")
	}
	if t.Failed() {
		t.Log(s.Log())
	}
}

// before makes a gateway that keeps sessions and streams, before an MCP server.
func before(t *testing.T, s *server.Server, url string) (*control.CreateGatewayOutput, *control.CreateGatewayTargetOutput) {
	t.Helper()
	ctx := t.Context()
	s.Run(t, nil, pinned.Program(t, "aws"), "iam", "create-role", "--role-name", "gateway", "--assume-role-policy-document",
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"bedrock-agentcore.amazonaws.com"},"Action":"sts:AssumeRole"}]}`)
	client := control.NewFromConfig(s.AWS())
	gateway, err := client.CreateGateway(ctx, &control.CreateGatewayInput{
		Name: aws.String("files"), RoleArn: aws.String("arn:aws:iam::" + s.Account + ":role/gateway"), AuthorizerType: types.AuthorizerTypeNone, ProtocolType: types.GatewayProtocolTypeMcp,
		ProtocolConfiguration: &types.GatewayProtocolConfigurationMemberMcp{Value: types.MCPGatewayConfiguration{
			SessionConfiguration: &types.SessionConfiguration{SessionTimeoutInSeconds: aws.Int32(900)}, StreamingConfiguration: &types.StreamingConfiguration{EnableResponseStreaming: aws.Bool(true)},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Until("the gateway is READY", func() bool {
		got, err := client.GetGateway(ctx, &control.GetGatewayInput{GatewayIdentifier: gateway.GatewayId})
		return err == nil && got.Status == types.GatewayStatusReady
	})
	made, err := client.CreateGatewayTarget(ctx, &control.CreateGatewayTargetInput{GatewayIdentifier: gateway.GatewayId, Name: aws.String("files"), TargetConfiguration: &types.TargetConfigurationMemberMcp{
		Value: &types.McpTargetConfigurationMemberMcpServer{Value: types.McpServerTargetConfiguration{Endpoint: aws.String(url)}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	s.Until("the target is READY", func() bool { return targetReady(ctx, s, *gateway.GatewayId, *made.TargetId) })
	return gateway, made
}

// TestAsksAside: what a server of the Python SDK asks on the stream of its session, rather
// than on that of the call, reaches the caller.
func TestAsksAside(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	behind := exec.Command(pinned.Program(t, "python"), "testdata/aside.py")
	behind.Env = append(os.Environ(), "PORT="+port, "PYTHONDONTWRITEBYTECODE=1", "PYTHONPATH="+pinned.Packages(t, "../upstream/testdata/requirements.txt"))
	var said strings.Builder
	behind.Stdout, behind.Stderr = &said, &said
	if err := behind.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = behind.Process.Kill() // it may be gone
		_ = behind.Wait()         // it was killed
		if t.Failed() {
			t.Logf("the MCP server says:\n%s", said.String())
		}
	})
	s := server.Start(t, server.Options{Args: []string{"--allow-private", "127.0.0.1"}})
	s.Until("the MCP server listens", func() bool {
		conn, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	gateway, _ := before(t, s, "http://127.0.0.1:"+port+"/mcp")
	caller := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, &mcp.ClientOptions{
		CreateMessageHandler: func(context.Context, *mcp.CreateMessageRequest) (*mcp.CreateMessageResult, error) {
			return &mcp.CreateMessageResult{Role: "assistant", Model: "m", Content: &mcp.TextContent{Text: "sampled"}}, nil
		},
		ElicitationHandler: func(context.Context, *mcp.ElicitRequest) (*mcp.ElicitResult, error) {
			return &mcp.ElicitResult{Action: "accept", Content: map[string]any{"name": "Ann"}}, nil
		},
	})
	caller.AddRoots(&mcp.Root{URI: "file:///home/ann", Name: "home"})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	session, err := caller.Connect(ctx, &mcp.StreamableClientTransport{Endpoint: *gateway.GatewayUrl}, &mcp.ClientSessionOptions{ProtocolVersion: "2025-11-25"})
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	for _, c := range []struct{ tool, want string }{{"sample", "sampled"}, {"roots", "file:///home/ann"}, {"elicit", "Ann"}, {"roots", "file:///home/ann"}} {
		answer, err := session.CallTool(ctx, &mcp.CallToolParams{Name: "files___" + c.tool})
		if err != nil {
			t.Errorf("%s: %v", c.tool, err)
		} else if got := answer.Content[0].(*mcp.TextContent).Text; got != c.want {
			t.Errorf("%s: %s, want %s", c.tool, got, c.want)
		}
	}
}
