// Package clients tells the story of an agent with unmodified clients, each
// against the real program: create from a zip in S3, wait, invoke, continue the
// session, run a command in it, stop, update, pin and roll an endpoint, delete.
package clients

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	data "github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
	datatypes "github.com/aws/aws-sdk-go-v2/service/bedrockagentcore/types"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/outcrop/outcrop/conformance/agent"
	"github.com/outcrop/outcrop/conformance/pinned"
	"github.com/outcrop/outcrop/conformance/server"
)

// fixture is one server for all clients, and the agent they deploy.
type fixture struct {
	*server.Server
	zip, runtime string
	// env are the variables of its clients, and sdk is the Go SDK's configuration.
	env []string
	sdk aws.Config
	// trust is the file of the CA, and proxy the way, of clients that call AWS's names.
	trust string
	proxy *url.URL
}

// TestEveryOperation calls all that boto3 knows.
func TestEveryOperation(t *testing.T) {
	s := server.Start(t, server.Options{})
	cmd := exec.CommandContext(t.Context(), pinned.Program(t, "python"), "testdata/smoke.py")
	cmd.Env = s.Env()
	tell(t, cmd)
}

func TestClients(t *testing.T) {
	s := server.Start(t, server.Options{})
	tellStories(t, fixture{Server: s, env: s.Env(), sdk: s.AWS()})
}

// tellStories runs all clients at once, but for some: each has names of its own.
func tellStories(t *testing.T, f fixture, without ...string) {
	f.zip, f.runtime = hello(t, f.Server)
	for name, run := range map[string]func(*testing.T, fixture){"boto3": boto3, "aws-cli": awsCLI, "javascript": javascript, "go": golang, "java": java} {
		t.Run(name, func(t *testing.T) {
			if slices.Contains(without, name) {
				t.Skip("it takes minutes; OUTCROP_NIGHTLY=1 runs it")
			}
			t.Parallel()
			run(t, f)
			if t.Failed() {
				t.Logf("server:\n%s", f.Log())
			}
		})
	}
}

// hello packs an agent that answers as examples/hello does, for an interpreter of this host.
func hello(t *testing.T, s *server.Server) (zip, runtime string) {
	t.Helper()
	code, python := s.Pack("testdata/hello", "")
	zip = filepath.Join(t.TempDir(), "hello.zip")
	if err := os.WriteFile(zip, code, 0o600); err != nil {
		t.Fatal(err)
	}
	return zip, string(python)
}

// tell runs a client and wants its last line.
func tell(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil || !strings.HasSuffix(strings.TrimSpace(string(out)), "story told") {
		t.Fatalf("%v: %s", err, out)
	}
}

func boto3(t *testing.T, f fixture) {
	cmd := exec.CommandContext(t.Context(), pinned.Program(t, "python"), "testdata/story.py", f.zip, f.runtime)
	cmd.Env = f.env
	tell(t, cmd)
}

func awsCLI(t *testing.T, f fixture) {
	cmd := exec.CommandContext(t.Context(), "bash", "testdata/story.sh", f.zip, f.runtime)
	cmd.Env = append(slices.Clone(f.env), "PATH="+filepath.Dir(pinned.Program(t, "aws"))+":"+os.Getenv("PATH"), "AWS_PAGER=")
	tell(t, cmd)
}

func javascript(t *testing.T, f fixture) {
	node, dir := pinned.Node(t, "testdata", "testdata/story.mjs")
	cmd := exec.CommandContext(t.Context(), node, "story.mjs", f.zip, f.runtime)
	cmd.Dir, cmd.Env = dir, f.env
	tell(t, cmd)
}

// java trusts and is led as docs/aws-hosts.md has it, where the clients call AWS's names.
func java(t *testing.T, f fixture) {
	program, classes := pinned.Java(t, "testdata/java")
	args := []string{"-cp", classes}
	if f.trust != "" {
		keys := filepath.Join(t.TempDir(), "keys")
		keytool := exec.CommandContext(t.Context(), "keytool", "-importcert", "-noprompt", "-alias", "outcrop", "-keystore", keys, "-storepass", "changeit", "-file", f.trust)
		if out, err := keytool.CombinedOutput(); err != nil {
			t.Fatalf("keytool: %v: %s", err, out)
		}
		args = append(args, "-Djavax.net.ssl.trustStore="+keys, "-Djavax.net.ssl.trustStorePassword=changeit",
			"-Dhttp.proxyHost="+f.proxy.Hostname(), "-Dhttp.proxyPort="+f.proxy.Port())
	}
	cmd := exec.CommandContext(t.Context(), program, append(args, "testdata/java/Story.java", f.zip, f.runtime)...)
	cmd.Env = f.env
	tell(t, cmd)
}

func golang(t *testing.T, f fixture) {
	ctx := t.Context()
	cfg := f.sdk
	objects := s3.NewFromConfig(cfg)
	c, d := control.NewFromConfig(cfg), data.NewFromConfig(cfg)
	if _, err := objects.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String("story-go")}); err != nil {
		t.Fatal(err)
	}
	zip, err := os.Open(f.zip)
	if err != nil {
		t.Fatal(err)
	}
	defer zip.Close()
	if _, err := objects.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("story-go"), Key: aws.String("hello.zip"), Body: zip}); err != nil {
		t.Fatal(err)
	}
	artifact := agent.Artifact("story-go", "hello.zip", types.AgentManagedRuntimeType(f.runtime), "main.py")
	role := aws.String("arn:aws:iam::" + f.Account + ":role/outcrop-default")
	network := &types.NetworkConfiguration{NetworkMode: types.NetworkModePublic}
	created, err := c.CreateAgentRuntime(ctx, &control.CreateAgentRuntimeInput{
		AgentRuntimeName: aws.String("story_go"), AgentRuntimeArtifact: artifact, RoleArn: role, NetworkConfiguration: network,
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Agents().Settle(ctx, *created.AgentRuntimeId); err != nil {
		t.Fatal(err)
	}
	session := "story-go-session-0123456789-012345678"
	if got := say(ctx, t, d, *created.AgentRuntimeArn, session, "add 19 and 23"); strings.TrimSpace(got) != "19 + 23 is 42." {
		t.Errorf("answer %q", got)
	}
	if got := say(ctx, t, d, *created.AgentRuntimeArn, session, "remember"); !strings.Contains(got, "add 19 and 23") {
		t.Errorf("the session has no memory: %q", got)
	}
	if got := runIn(t, d, *created.AgentRuntimeArn, session, "printf 'hello from '; printf bash; exit 3"); got != "hello from bash, status 3" {
		t.Errorf("command: %q", got)
	}
	if _, err := d.StopRuntimeSession(ctx, &data.StopRuntimeSessionInput{AgentRuntimeArn: created.AgentRuntimeArn, RuntimeSessionId: &session}); err != nil {
		t.Error(err)
	}
	updated, err := c.UpdateAgentRuntime(ctx, &control.UpdateAgentRuntimeInput{
		AgentRuntimeId: created.AgentRuntimeId, AgentRuntimeArtifact: artifact, RoleArn: role, NetworkConfiguration: network, Description: aws.String("second"),
	})
	if err != nil || *updated.AgentRuntimeVersion != "2" {
		t.Fatalf("update: %v, %+v", err, updated)
	}
	if _, err := f.Agents().Settle(ctx, *created.AgentRuntimeId); err != nil {
		t.Fatal(err)
	}
	pinAndRoll(t, f, created.AgentRuntimeId)
	if _, err := c.DeleteAgentRuntime(ctx, &control.DeleteAgentRuntimeInput{AgentRuntimeId: created.AgentRuntimeId}); err != nil {
		t.Fatal(err)
	}
	f.Until("the runtime is gone", func() bool {
		_, err := c.GetAgentRuntime(ctx, &control.GetAgentRuntimeInput{AgentRuntimeId: created.AgentRuntimeId})
		var gone *types.ResourceNotFoundException
		return errors.As(err, &gone)
	})
}

// pinAndRoll makes an endpoint of version 1, rolls it to 2 and deletes it.
func pinAndRoll(t *testing.T, f fixture, id *string) {
	t.Helper()
	ctx, c, prod := t.Context(), control.NewFromConfig(f.AWS()), aws.String("prod")
	get := func() (*control.GetAgentRuntimeEndpointOutput, error) {
		return c.GetAgentRuntimeEndpoint(ctx, &control.GetAgentRuntimeEndpointInput{AgentRuntimeId: id, EndpointName: prod})
	}
	runs := func(version string) {
		t.Helper()
		f.Until("prod runs version "+version, func() bool {
			got, err := get()
			if err != nil {
				t.Fatal(err)
			}
			return got.Status == types.AgentRuntimeEndpointStatusReady && aws.ToString(got.LiveVersion) == version
		})
	}
	if _, err := c.CreateAgentRuntimeEndpoint(ctx, &control.CreateAgentRuntimeEndpointInput{AgentRuntimeId: id, Name: prod, AgentRuntimeVersion: aws.String("1")}); err != nil {
		t.Fatal(err)
	}
	runs("1")
	if _, err := c.UpdateAgentRuntimeEndpoint(ctx, &control.UpdateAgentRuntimeEndpointInput{AgentRuntimeId: id, EndpointName: prod, AgentRuntimeVersion: aws.String("2")}); err != nil {
		t.Fatal(err)
	}
	runs("2")
	_, err := c.DeleteAgentRuntime(ctx, &control.DeleteAgentRuntimeInput{AgentRuntimeId: id})
	var conflict *types.ConflictException
	if !errors.As(err, &conflict) {
		t.Errorf("delete a runtime with an endpoint: %v", err)
	}
	if _, err := c.DeleteAgentRuntimeEndpoint(ctx, &control.DeleteAgentRuntimeEndpointInput{AgentRuntimeId: id, EndpointName: prod}); err != nil {
		t.Fatal(err)
	}
	f.Until("prod is gone", func() bool {
		_, err := get()
		var gone *types.ResourceNotFoundException
		return errors.As(err, &gone)
	})
}

// runIn runs a command in a session, and tells its output and its status.
func runIn(t *testing.T, d *data.Client, arn, session, command string) string {
	t.Helper()
	out, err := d.InvokeAgentRuntimeCommand(t.Context(), &data.InvokeAgentRuntimeCommandInput{
		AgentRuntimeArn: &arn, RuntimeSessionId: &session, Body: &datatypes.InvokeAgentRuntimeCommandRequestBody{Command: &command},
	})
	if err != nil {
		t.Fatal(err)
	}
	stream := out.GetStream()
	var text strings.Builder
	for event := range stream.Events() {
		switch chunk := event.(*datatypes.InvokeAgentRuntimeCommandStreamOutputMemberChunk).Value; {
		case chunk.ContentDelta != nil:
			text.WriteString(aws.ToString(chunk.ContentDelta.Stdout))
		case chunk.ContentStop != nil:
			fmt.Fprintf(&text, ", status %d", aws.ToInt32(chunk.ContentStop.ExitCode))
		}
	}
	if err := errors.Join(stream.Err(), stream.Close()); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

// say invokes the agent and joins what it streams.
func say(ctx context.Context, t *testing.T, d *data.Client, arn, session, prompt string) string {
	t.Helper()
	payload, err := json.Marshal(map[string]string{"prompt": prompt})
	if err != nil {
		t.Fatal(err)
	}
	out, err := d.InvokeAgentRuntime(ctx, &data.InvokeAgentRuntimeInput{AgentRuntimeArn: &arn, RuntimeSessionId: &session, Payload: payload})
	if err != nil {
		t.Fatal(err)
	}
	defer out.Response.Close()
	var text strings.Builder
	for lines := bufio.NewScanner(out.Response); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			var piece string
			if err := json.Unmarshal([]byte(rest), &piece); err != nil {
				t.Fatal(err)
			}
			text.WriteString(piece)
		}
	}
	return text.String()
}
