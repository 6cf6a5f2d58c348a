package crash

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	data "github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/outcrop/outcrop/conformance/server"
)

// TestDeleteWithSessions deletes a runtime under its sessions: one streams, one
// is idle. Its sandboxes, documents and code go, and nothing of another runtime.
func TestDeleteWithSessions(t *testing.T) {
	ctx := t.Context()
	r := newRig(t, server.Options{})
	if err := r.visit(ctx, server.SessionID("warm")); err != nil {
		t.Fatal(err)
	}
	r.quiet(t)
	if _, err := r.ask(ctx, server.SessionID("stays"), question{}); err != nil {
		t.Fatal(err)
	}
	before, filesBefore := take(t, r.DataDir, r.Cmd.Process.Pid), inventory(t, r.DataDir)

	doomed := r.createFrom(t, "doomed", commented(r.zip, "another digest"))
	stream, err := r.invoke(t, doomed, server.SessionID("streams"), `{"stream": 1000000, "every": 20}`)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	idle, err := r.invoke(t, doomed, server.SessionID("idles"), `{}`)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, idle); err != nil {
		t.Fatal(err)
	}
	if n := len(inventory(t, r.DataDir).Code); n != 2 {
		t.Fatalf("%d codes are unpacked, want 2", n)
	}
	if _, err := r.runtimes.DeleteAgentRuntime(ctx, &control.DeleteAgentRuntimeInput{AgentRuntimeId: doomed.AgentRuntimeId}); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, stream) // it ends, in order or not
	eventually(t, recovery, func() error {
		var gone *types.ResourceNotFoundException
		if _, err := r.runtimes.GetAgentRuntime(ctx, &control.GetAgentRuntimeInput{AgentRuntimeId: doomed.AgentRuntimeId}); !errors.As(err, &gone) {
			return fmt.Errorf("the runtime is still there (%w)", err)
		}
		if err := take(t, r.DataDir, r.Cmd.Process.Pid).same(before); err != nil {
			return err
		}
		want := filesBefore
		want.Segments++ // the zip is an object of its own
		return inventory(t, r.DataDir).same(want)
	})
	if _, err := r.ask(ctx, server.SessionID("stays"), question{}); err != nil {
		t.Errorf("a session of another runtime: %v", err)
	}
}

// createFrom stores a zip under a runtime's name and makes the runtime.
func (r *rig) createFrom(t *testing.T, name string, code []byte) *control.CreateAgentRuntimeOutput {
	t.Helper()
	key := name + ".zip"
	if _, err := r.objects.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String(codeBucket), Key: &key, Body: bytes.NewReader(code)}); err != nil {
		t.Fatal(err)
	}
	in := r.account.Input(codeBucket, name, r.python())
	in.AgentRuntimeArtifact = r.artifact(key)
	out, err := r.runtimes.CreateAgentRuntime(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.settled(t.Context(), *out.AgentRuntimeId); err != nil {
		t.Fatal(err)
	}
	return out
}

func (r *rig) invoke(t *testing.T, runtime *control.CreateAgentRuntimeOutput, session, payload string) (io.ReadCloser, error) {
	out, err := r.agents.InvokeAgentRuntime(t.Context(), &data.InvokeAgentRuntimeInput{
		AgentRuntimeArn: runtime.AgentRuntimeArn, RuntimeSessionId: &session, Payload: []byte(payload),
	})
	if err != nil {
		return nil, err
	}
	return out.Response, nil
}

// commented is a zip with the same files and another digest.
func commented(zip []byte, comment string) []byte {
	out := bytes.Clone(zip)
	binary.LittleEndian.PutUint16(out[len(out)-2:], uint16(len(comment)))
	return append(out, comment...)
}
