package invoke_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	data "github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcore/types"

	"github.com/outcrop/outcrop/internal/runtime/runtimetest"
	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/session"
)

// outcome is what a caller was told of a command.
type outcome struct {
	stdout, stderr string
	begun          bool
	code           int32
	status         types.CommandExecutionStatus
	err            error
}

// command runs one in a session.
func (k *kit) command(ctx context.Context, script string, timeout *int32) (out outcome) {
	k.Helper()
	resp, err := k.Data.InvokeAgentRuntimeCommand(ctx, &data.InvokeAgentRuntimeCommandInput{
		AgentRuntimeArn: aws.String(k.arn()), RuntimeSessionId: aws.String(runtimetest.SessionID("s")),
		Body: &types.InvokeAgentRuntimeCommandRequestBody{Command: &script, Timeout: timeout},
	})
	if err != nil {
		return outcome{err: err}
	}
	stream := resp.GetStream()
	var stdout, stderr strings.Builder
	defer stream.Close()
	for event := range stream.Events() {
		chunk, ok := event.(*types.InvokeAgentRuntimeCommandStreamOutputMemberChunk)
		if !ok {
			k.Fatalf("an event of type %T", event)
		}
		switch {
		case chunk.Value.ContentStart != nil:
			out.begun = true
		case chunk.Value.ContentDelta != nil:
			stdout.WriteString(aws.ToString(chunk.Value.ContentDelta.Stdout))
			stderr.WriteString(aws.ToString(chunk.Value.ContentDelta.Stderr))
		case chunk.Value.ContentStop != nil:
			out.code, out.status = aws.ToInt32(chunk.Value.ContentStop.ExitCode), chunk.Value.ContentStop.Status
		}
	}
	out.stdout, out.stderr, out.err = stdout.String(), stderr.String(), stream.Err()
	return out
}

func TestCommand(t *testing.T) {
	k := newKit(t)
	var got sandbox.Command
	k.Engine.Command = func(_ context.Context, c sandbox.Command) int {
		got = c
		io.WriteString(c.Stdout, "héllo "[:2]) // half a character
		io.WriteString(c.Stdout, "héllo "[2:])
		io.WriteString(c.Stdout, "half \xc3")
		io.WriteString(c.Stderr, "wrong")
		return 3
	}
	out := k.command(t.Context(), "make it", nil)
	want := outcome{stdout: "héllo half \ufffd", stderr: "wrong", begun: true, code: 3, status: types.CommandExecutionStatusCompleted}
	if out != want {
		t.Errorf("got %+v, want %+v", out, want)
	}
	if !slices.Equal(got.Args, []string{"/bin/bash", "-c", "make it"}) || got.Terminal != nil || got.Env != nil {
		t.Errorf("the guest was asked for %+v", got)
	}
	k.logged("outcrop: command: make it")
	if log := k.logs(); strings.Contains(log, "héllo") {
		t.Errorf("the log has %q, want no output of the command", log)
	}
}

func TestCommandRefusals(t *testing.T) {
	k := newKit(t)
	for _, tt := range []struct {
		name, script string
		timeout      int32
		want         string
	}{
		{"no command", "", 1, "ValidationException"},
		{"too long", strings.Repeat("x", 65537), 1, "ValidationException"},
		{"no time", "x", 0, "ValidationException"},
		{"too much time", "x", 3601, "ValidationException"},
		{"no bash", "x", 1, "The command cannot be run: not found in the guest's PATH"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if out := k.command(t.Context(), tt.script, &tt.timeout); out.err == nil || !strings.Contains(out.err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", out.err, tt.want)
			}
		})
	}
}

func TestCommandTakesTooLong(t *testing.T) {
	k := newKit(t)
	k.Engine.Command = func(ctx context.Context, c sandbox.Command) int {
		io.WriteString(c.Stdout, "begun")
		<-ctx.Done()
		return 137
	}
	out := k.command(t.Context(), "sleep", aws.Int32(1))
	if want := (outcome{stdout: "begun", begun: true, code: 137, status: types.CommandExecutionStatusTimedOut}); out != want {
		t.Errorf("got %+v, want %+v", out, want)
	}
}

func TestCommandWritesTooMuch(t *testing.T) {
	k := newKit(t)
	ended := make(chan error, 1)
	k.Engine.Command = func(ctx context.Context, c sandbox.Command) int {
		text := strings.Repeat("x", 1<<20)
		for {
			if _, err := io.WriteString(c.Stdout, text); err != nil {
				ended <- err
				return 0
			}
		}
	}
	out := k.command(t.Context(), "yes", nil)
	var refused *types.RuntimeClientError
	if !errors.As(out.err, &refused) || !strings.Contains(refused.ErrorMessage(), "more than 100000000 bytes") {
		t.Errorf("got %v after %d bytes, want what the bound is", out.err, len(out.stdout))
	}
	if n := len(out.stdout); n < 100_000_000 || n > 100_000_000+8<<10 {
		t.Errorf("got %d bytes", n)
	}
	<-ended
}

func TestCommandCallerLeaves(t *testing.T) {
	k := newKit(t)
	begun, ended := make(chan struct{}), make(chan struct{})
	k.Engine.Command = func(ctx context.Context, _ sandbox.Command) int {
		close(begun)
		<-ctx.Done()
		close(ended)
		return 137
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-begun
		cancel()
	}()
	if out := k.command(ctx, "sleep", nil); out.status != "" {
		t.Errorf("got %+v of a command that was given up", out)
	}
	<-ended
}

func TestCommandSessionEnds(t *testing.T) {
	k := newKit(t)
	begun := make(chan struct{})
	k.Engine.Command = func(ctx context.Context, _ sandbox.Command) int {
		close(begun)
		<-ctx.Done()
		return 137
	}
	go func() {
		<-begun
		k.Engine.Crash(1)
	}()
	out := k.command(t.Context(), "sleep", nil)
	var refused *types.RuntimeClientError
	if !errors.As(out.err, &refused) || !strings.Contains(refused.ErrorMessage(), "The session ended before the command did") {
		t.Errorf("got %+v, want that the session ended", out)
	}
}

// TestCommandSessionStopped: a command that its session takes along has not completed,
// although it has an exit code, and its caller does not wait for the guest to tidy up.
func TestCommandSessionStopped(t *testing.T) {
	for name, ends := range map[string]bool{"with its session": true, "not at all": false} {
		t.Run(name, func(t *testing.T) {
			k := newKit(t)
			k.Engine.Stuck = !ends
			begun, goOn := make(chan struct{}), make(chan struct{})
			defer close(goOn)
			k.Engine.Command = func(ctx context.Context, _ sandbox.Command) int {
				close(begun)
				select {
				case <-ctx.Done():
				case <-goOn:
				}
				return 137
			}
			go func() {
				<-begun
				for _, info := range k.Sessions.List(func(session.Key) bool { return true }) {
					_ = k.Sessions.Stop(context.Background(), info.Key)
				}
			}()
			start := time.Now()
			out := k.command(t.Context(), "sleep", nil)
			var refused *types.RuntimeClientError
			if !errors.As(out.err, &refused) || !strings.Contains(refused.ErrorMessage(), "The session was stopped before the command ended") {
				t.Errorf("got %+v, want that the session was stopped", out)
			}
			if took := time.Since(start); took > 10*time.Second {
				t.Errorf("its caller was told after %v", took)
			}
		})
	}
}

// TestCommandAgentEnds: where the guest is gone a moment after its command, the command
// did not complete; one that was killed alone did.
func TestCommandAgentEnds(t *testing.T) {
	for name, crash := range map[string]bool{"with the agent": true, "alone": false} {
		t.Run(name, func(t *testing.T) {
			k := newKit(t)
			k.Engine.Command = func(context.Context, sandbox.Command) int {
				if crash {
					time.AfterFunc(50*time.Millisecond, func() { k.Engine.Crash(1) })
				}
				return 137
			}
			out := k.command(t.Context(), "kill -9 1", nil)
			if !crash {
				if want := (outcome{begun: true, code: 137, status: types.CommandExecutionStatusCompleted}); out != want {
					t.Errorf("got %+v, want %+v", out, want)
				}
			} else if out.err == nil || !strings.Contains(out.err.Error(), "The session ended before the command did") {
				t.Errorf("got %+v, want that the session ended", out)
			}
		})
	}
}

// TestCommandBeside: commands and invocations share a session, and a command that
// runs keeps it in use.
func TestCommandBeside(t *testing.T) {
	k := newKit(t)
	begun, goOn := make(chan struct{}), make(chan struct{})
	k.Engine.Command = func(context.Context, sandbox.Command) int {
		close(begun)
		<-goOn
		return 0
	}
	done := make(chan outcome, 1)
	go func() { done <- k.command(t.Context(), "work", nil) }()
	<-begun
	resp := k.send(call{header: http.Header{sessionHeader: {runtimetest.SessionID("s")}}, body: strings.NewReader("ask")})
	if got := k.text(resp); got != "ask" {
		t.Errorf("the agent answered %q", got)
	}
	for _, info := range k.Sessions.List(func(session.Key) bool { return true }) {
		if info.Running != 1 {
			t.Errorf("%d requests run, want the command", info.Running)
		}
	}
	close(goOn)
	if out := <-done; out.err != nil || out.code != 0 {
		t.Errorf("got %+v", out)
	}
	if n := k.Engine.Starts(); n != 1 {
		t.Errorf("%d sandboxes were started, want 1", n)
	}
}
