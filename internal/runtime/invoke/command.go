package invoke

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/outcrop/outcrop/internal/api/model/agentcore"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/runtime"
	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/session"
)

// What bounds a command (spec/runtime.md 9.2): the time it has when the caller
// names none and the most that can be asked for, and its output in bytes.
const (
	commandTime    = 300 * time.Second
	maxCommandTime = time.Hour
	commandBytes   = 100_000_000
)

// pieceBytes is how much of a command's output one event has at most. As JSON it
// may be six times as long, and a frame holds 64 KB.
const pieceBytes = 8 << 10

// The ways in which a command can end.
const (
	commandCompleted = "COMPLETED"
	commandTimedOut  = "TIMED_OUT"
)

// InvokeAgentRuntimeCommand runs a command of bash beside the session's agent and
// streams what it writes.
func (s *Service) InvokeAgentRuntimeCommand(ctx context.Context, in *agentcore.InvokeAgentRuntimeCommandRequest) (*agentcore.InvokeAgentRuntimeCommandResponse, error) {
	call := pipeline.From(ctx)
	key, err := sessionKey(call, *in.AgentRuntimeArn, wire.Text(in.AccountId), wire.Text(in.Qualifier), wire.Text(in.RuntimeSessionId))
	if err != nil {
		return nil, err
	}
	limit := commandTime
	if t := in.Body.Timeout; t != nil {
		if limit = time.Duration(*t) * time.Second; limit < time.Second || limit > maxCommandTime {
			return nil, fault.Validation("timeout must be from 1 to %.0f seconds, not %d", maxCommandTime.Seconds(), *t)
		}
	}
	c := newCommand(limit)
	err = s.execute(ctx, key, func(use *session.Use) error { return c.start(ctx, use, *in.Body.Command) })
	if err != nil {
		return nil, err
	}
	// The stream may never be asked for: a caller may leave before it begins.
	context.AfterFunc(ctx, c.end)
	out := &agentcore.InvokeAgentRuntimeCommandResponse{
		RuntimeSessionId: &key.ID, StatusCode: new(int32(http.StatusOK)), Stream: c.events,
		TraceId: in.TraceId, TraceParent: in.TraceParent, TraceState: in.TraceState, Baggage: in.Baggage,
	}
	return out, nil
}

// A command is one that runs, and whoever watches it.
type command struct {
	limit          time.Duration
	stdout, stderr *piecemeal
	pieces         chan piece
	over           chan struct{} // nobody takes pieces any more
	end            func()        // stops it and releases its session, once

	use     *session.Use
	process sandbox.Process
}

// A piece is a part of what a command wrote.
type piece struct {
	text   string
	stderr bool
}

func newCommand(limit time.Duration) *command {
	c := &command{limit: limit, pieces: make(chan piece), over: make(chan struct{})}
	c.stdout, c.stderr = &piecemeal{c: c}, &piecemeal{c: c, stderr: true}
	c.end = sync.OnceFunc(func() {
		close(c.over)
		// The session stays in use until nothing of the command runs.
		go func() {
			_ = c.process.Stop(context.Background(), 0) // it ends with its sandbox at the latest
			c.use.Release()
		}()
	})
	return c
}

// start runs the command in the session, which is released with it.
func (c *command) start(ctx context.Context, use *session.Use, script string) (err error) {
	detail := use.Detail().(runtime.Detail)
	c.use = use
	c.process, err = use.Execute(ctx, sandbox.Command{Args: []string{"/bin/bash", "-c", script}, Stdout: c.stdout, Stderr: c.stderr})
	if err != nil {
		return commandFault(err)
	}
	detail.Note("command: " + script)
	return nil
}

// commandFault words why a command does not run.
func commandFault(err error) error {
	switch {
	case errors.Is(err, sandbox.ErrCommand):
		return fault.RuntimeClient("The command cannot be run: %s. The agent's image must have bash.", reason(err)).Because(err)
	case errors.Is(err, sandbox.ErrInvalid):
		return fault.Validation("The command cannot be run: %s", reason(err)).Because(err)
	}
	return err
}

// reason is the end of an engine's error, which alone says what is wrong.
func reason(err error) string {
	text := err.Error()
	return text[strings.LastIndex(text, ": ")+len(": "):]
}

// events is what the caller is told: that it starts, what it writes, how it ends.
func (c *command) events(yield func(*agentcore.InvokeAgentRuntimeCommandStreamOutput, error) bool) {
	defer c.end()
	tell := func(chunk agentcore.ResponseChunk) bool {
		return yield(&agentcore.InvokeAgentRuntimeCommandStreamOutput{Chunk: &chunk}, nil)
	}
	if !tell(agentcore.ResponseChunk{ContentStart: &agentcore.ContentStartEvent{}}) {
		return
	}
	timedOut := make(chan struct{})
	timer := time.AfterFunc(c.limit, func() {
		close(timedOut)
		_ = c.process.Stop(context.Background(), 0) // its end is waited for below
	})
	defer timer.Stop()
	for p := range c.output() {
		delta := &agentcore.ContentDeltaEvent{Stdout: &p.text}
		if p.stderr {
			delta = &agentcore.ContentDeltaEvent{Stderr: &p.text}
		}
		if !tell(agentcore.ResponseChunk{ContentDelta: delta}) {
			return
		}
	}
	status := commandCompleted
	select {
	case <-timedOut:
		status = commandTimedOut
	default:
	}
	if err := c.broken(status); err != nil {
		yield(nil, err)
		return
	}
	tell(agentcore.ResponseChunk{ContentStop: &agentcore.ContentStopEvent{ExitCode: new(int32(c.process.Exit().Code)), Status: &status}})
}

// killed is the exit code of what SIGKILL ended, and deathNotice how long the news of
// its session's end may be behind it.
const (
	killed      = 128 + 9
	deathNotice = 500 * time.Millisecond
)

// broken says why the command has not come to an end of its own, and is nil where it
// has: its session took it along, or it wrote too much.
func (c *command) broken(status string) error {
	life := c.use.Context()
	select {
	case <-c.process.Done():
	default:
		if life.Err() != nil {
			return stopped(context.Cause(life), "before the command ended")
		}
		return fault.RuntimeClient("The command wrote more than %d bytes, the most that is passed on. Write to a file, or less.", commandBytes)
	}
	exit := c.process.Exit()
	if status == commandTimedOut || exit.Cause != sandbox.Destroyed && exit.Code != killed {
		return nil
	}
	late := time.NewTimer(deathNotice)
	defer late.Stop()
	select {
	case <-life.Done():
	case <-c.use.Done():
	case <-late.C:
		if exit.Cause != sandbox.Destroyed {
			return nil
		}
	}
	if life.Err() != nil {
		return stopped(context.Cause(life), "before the command ended")
	}
	return errEnded()
}

// execute is reach for what runs a command in the session.
func (s *Service) execute(ctx context.Context, key session.Key, do func(*session.Use) error) error {
	err := s.reach(ctx, key, s.start(key), do)
	if errors.Is(err, sandbox.ErrStopped) {
		return errEnded().Because(err)
	}
	return err
}

func errEnded() *fault.Error {
	return fault.RuntimeClient("The session ended before the command did. Please check your CloudWatch logs for more information.")
}

// output is what the command writes until it has ended, its session is stopped, or it
// has written too much.
func (c *command) output() iter.Seq[piece] {
	return func(yield func(piece) bool) {
		for total := 0; total <= commandBytes; {
			select {
			case p := <-c.pieces:
				total += len(p.text)
				if !yield(p) {
					return
				}
			case <-c.process.Done():
				for _, w := range []*piecemeal{c.stdout, c.stderr} {
					if rest := w.rest(); rest != "" && !yield(piece{rest, w.stderr}) {
						return
					}
				}
				return
			case <-c.use.Context().Done(): // its session is on its way out
				return
			}
		}
	}
}

// A piecemeal hands on what is written to it in pieces of whole characters.
type piecemeal struct {
	c      *command
	stderr bool
	begun  []byte // of a character
}

// Write returns when all was taken, which slows the command down to its caller.
func (w *piecemeal) Write(p []byte) (int, error) {
	data := append(w.begun, p...)
	for len(data) > 0 {
		n := whole(data[:min(len(data), pieceBytes)])
		if n == 0 {
			break
		}
		select {
		case w.c.pieces <- piece{string(data[:n]), w.stderr}:
		case <-w.c.over:
			return 0, fmt.Errorf("write to caller: %w", context.Canceled)
		}
		data = data[n:]
	}
	w.begun = append([]byte(nil), data...)
	return len(p), nil
}

// rest is what was written of a character that did not come.
func (w *piecemeal) rest() string { return string(w.begun) }

// whole is the length of data without a character that is cut at its end. What is
// no text at all is whole, too.
func whole(data []byte) int {
	for i := 1; i < utf8.UTFMax && i <= len(data); i++ {
		if b := data[len(data)-i]; utf8.RuneStart(b) {
			if !utf8.FullRune(data[len(data)-i:]) {
				return len(data) - i
			}
			break
		}
	}
	return len(data)
}
