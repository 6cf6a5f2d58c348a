package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcore/types"
	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/client"
)

const execLong = `Runs a command in a session of an agent: in the agent's sandbox, as its user, with its files and environment. What it
writes comes as it writes it, and outcrop exits with the command's exit code. One argument after -- is a line for bash;
of several each is an argument of the command, as in your own shell. The command has no standard input.

Without a command, on a terminal, it opens an interactive shell there. After Enter, ~. leaves the shell running, for
15 minutes, and says how to come back to it; ~? shows what else there is. A lost connection is made again by itself.

A new session is started unless -s names one; outcrop sessions lists those that live.

Exit codes: the command's own; 124 it took longer than --timeout; 125 it could not be run, or how it ended is not
known; 130 Ctrl-C, which ends it.`

// The exit codes of exec that are not the command's own: those of timeout(1) and
// of the programs that run containers.
const (
	exitTimedOut   = 124
	exitNotStarted = 125
)

// What a command may be given (spec/runtime.md 9.2): its length in characters,
// and its time.
const (
	maxCommand     = 65536
	maxCommandTime = time.Hour
)

// execution is what is to be run, and where.
type execution struct {
	invocation
	command string
	timeout time.Duration
	shell   string // id of a shell to go back to
}

var shellPattern = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_-]{0,127}$`) // spec/runtime.md 9.3

func newExec(p *Program, f *flags) *cobra.Command {
	var e execution
	cmd := &cobra.Command{
		Use:   "exec NAME|ARN [-- COMMAND [ARG...]]",
		Short: "Run a command or a shell in a session of an agent",
		Long:  execLong,
		Example: `  outcrop exec hello -- python3 -m pip list
  outcrop exec hello -s 4f1c2d0e-6a53-4d3b-9a86-0c6f6f1d2b11 -- 'ls -l /mnt | wc -l'
  outcrop exec hello --timeout 30m -- ./train.sh "first run" > log
  outcrop exec hello                              an interactive shell`,
		Args: func(cmd *cobra.Command, args []string) error {
			dash := cmd.ArgsLenAtDash()
			if dash < 0 {
				dash = len(args)
			}
			if dash > 1 {
				return below(cmd, "the command stands after --, such as: %s %s -- %s", cmd.CommandPath(), quotePOSIX(args[0]), strings.Join(args[1:], " "))
			}
			return arguments(1, 1)(cmd, args[:dash])
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			e.ref, e.command = args[0], commandLine(args[1:])
			if err := e.check(cmd, p); err != nil {
				return err
			}
			if len(args) == 1 {
				return p.interact(cmd.Context(), f, e)
			}
			return p.notStarted(cmd.Context(), p.exec(cmd.Context(), f, e))
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&e.session, "session", "s", "", "id of the `SESSION` to run it in, 33 to 256 characters (default: a new one)")
	flags.StringVar(&e.qualifier, "qualifier", "", "`endpoint` of the agent (default DEFAULT)")
	spanVar(flags, &e.timeout, "timeout", 5*time.Minute, "`time` after which the command is ended, 1h at most")
	flags.StringVar(&e.shell, "shell", "", "`id` of an interactive shell to go back to, or to begin")
	return cmd
}

// commandLine is what bash is to run: a line as it is, or words that stay words.
func commandLine(args []string) string {
	if len(args) == 1 {
		return args[0]
	}
	words := make([]string, len(args))
	for i, arg := range args {
		words[i] = quotePOSIX(arg)
	}
	return strings.Join(words, " ")
}

// check refuses what the wire refuses, before anything is sent.
func (e *execution) check(cmd *cobra.Command, p *Program) error {
	interactive := cmd.ArgsLenAtDash() < 0
	switch {
	case e.timeout < time.Second || e.timeout > maxCommandTime:
		return below(cmd, "--timeout is from 1s to 1h, not %s", inUnits(e.timeout))
	case len([]rune(e.command)) > maxCommand:
		return below(cmd, "the command has more than %d characters; put it into a file of the agent's", maxCommand)
	case !interactive && strings.TrimSpace(e.command) == "":
		return below(cmd, "there is no command after --")
	case !interactive && e.shell != "":
		return below(cmd, "--shell names an interactive shell, which takes no command")
	case interactive && cmd.Flags().Changed("timeout"):
		return below(cmd, "--timeout is for a command; an interactive shell has none")
	case e.shell != "" && !shellPattern.MatchString(e.shell):
		return below(cmd, "%q is no id of a shell: it has up to 128 letters, digits, '-' and '_'", e.shell)
	case interactive && p.Console == nil:
		f := misuse("an interactive shell needs a terminal, and standard input and output are none")
		f.fix = "Name a command: outcrop exec " + quotePOSIX(e.ref) + " -- COMMAND\nSee: " + cmd.CommandPath() + " --help"
		return f
	}
	return nil
}

// openSession is what a command on one session begins with: the server's client,
// with v naming the runtime and a session, new unless one was named.
func (p *Program) openSession(ctx context.Context, f *flags, v *invocation) (*client.Client, error) {
	if err := checkRef(v.ref, f); err != nil {
		return nil, err
	}
	v.where = f.suffix()
	if v.session == "" {
		v.session = uuid.NewString()
	} else if err := checkSession(v.session); err != nil {
		return nil, err
	}
	to := *f
	to.token = v.user.token
	c, err := p.connect(ctx, &to)
	if err != nil {
		return nil, err
	}
	v.arn = v.ref
	if !arnPattern.MatchString(v.ref) {
		if t := c.Target(); t.AccessKeyID == "" || t.SecretAccessKey == "" {
			return nil, fail("Name it by its ARN, which outcrop ls tells whoever deployed it.", "without an access key no agent is found by its name, as %s is", v.ref)
		}
		r, err := needRuntime(ctx, c, v.ref)
		if err != nil {
			return nil, err
		}
		v.arn, v.found = aws.ToString(r.AgentRuntimeArn), true
	}
	return c, nil
}

// place is where on the wire the session is.
func (v *invocation) place() client.Place {
	return client.Place{ARN: v.arn, Session: v.session, Qualifier: v.qualifier, User: v.user.id}
}

// notStarted gives what is no fault of the command's an exit code that few
// commands have.
func (p *Program) notStarted(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil || outputGone(err) {
		return err
	}
	f := *p.explain(ctx, err)
	if f.code == 0 {
		f.code = exitNotStarted
	}
	return &f
}

// exec runs one command and prints what it writes.
func (p *Program) exec(ctx context.Context, f *flags, e execution) error {
	fresh := e.session == ""
	c, err := p.openSession(ctx, f, &e.invocation)
	if err != nil {
		return err
	}
	stream, err := startCommand(ctx, c, e.invocation, e.command, e.timeout)
	if err != nil && ctx.Err() == nil {
		return p.invokeFailure(ctx, c, err, e.invocation)
	}
	var end *types.ContentStopEvent
	if err == nil {
		defer func() { go stream.Close() }() // which may wait for what nobody waits for any more
		end, err = p.printCommand(ctx, stream)
	}
	switch {
	case ctx.Err() != nil:
		p.say("Interrupted. The server ends the command; session %s goes on.", e.session)
		return ctx.Err()
	case err != nil:
		return p.commandFailure(ctx, c, err, e)
	case end == nil || end.ExitCode == nil:
		return p.endlessCommand(ctx, c, e)
	}
	if fresh {
		p.say("Session %s. To go on in it: %s -- COMMAND", e.session, e.again("exec"))
	}
	return commandEnd(end, e)
}

// startCommand runs a command in the session of v, for the server's own time if
// timeout is 0. It returns when ctx ends, which the SDK's own call does not do at
// every moment.
func startCommand(ctx context.Context, c *client.Client, v invocation, command string, timeout time.Duration) (*bedrockagentcore.InvokeAgentRuntimeCommandEventStream, error) {
	in := &bedrockagentcore.InvokeAgentRuntimeCommandInput{
		AgentRuntimeArn: aws.String(v.arn), RuntimeSessionId: aws.String(v.session),
		Body: &types.InvokeAgentRuntimeCommandRequestBody{Command: aws.String(command)}, Qualifier: wire.Optional(v.qualifier),
	}
	if timeout > 0 {
		in.Body.Timeout = aws.Int32(int32(math.Ceil(timeout.Seconds())))
	}
	type answer struct {
		out *bedrockagentcore.InvokeAgentRuntimeCommandOutput
		err error
	}
	given := make(chan answer, 1)
	go func() {
		out, err := c.Data().InvokeAgentRuntimeCommand(ctx, in)
		given <- answer{out, err}
	}()
	select {
	case a := <-given:
		if a.err != nil {
			return nil, a.err
		}
		return a.out.GetStream(), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// printCommand prints what a command writes until it ends. end is nil when the
// stream ended first.
func (p *Program) printCommand(ctx context.Context, stream *bedrockagentcore.InvokeAgentRuntimeCommandEventStream) (end *types.ContentStopEvent, err error) {
	stdout, finish := p.answerWriter()
	stderr, finishErr := p.errorWriter()
	events := stream.Events()
read:
	for {
		var event types.InvokeAgentRuntimeCommandStreamOutput
		var open bool
		select {
		case event, open = <-events:
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), finish(), finishErr())
		}
		if !open {
			break read
		}
		chunk, ok := event.(*types.InvokeAgentRuntimeCommandStreamOutputMemberChunk)
		if !ok {
			continue // of a later protocol
		}
		if delta := chunk.Value.ContentDelta; delta != nil {
			if _, err := io.WriteString(stdout, aws.ToString(delta.Stdout)); err != nil {
				return nil, fmt.Errorf("print output: %w", err)
			}
			_, _ = io.WriteString(stderr, aws.ToString(delta.Stderr)) // nobody is left to tell
		}
		if chunk.Value.ContentStop != nil {
			end = chunk.Value.ContentStop
		}
	}
	if err := errors.Join(finish(), finishErr()); err != nil {
		return nil, fmt.Errorf("print output: %w", err)
	}
	if err := stream.Err(); err != nil && end == nil {
		return nil, err
	}
	return end, nil
}

// errorWriter is standard error, made safe where it is a terminal.
func (p *Program) errorWriter() (io.Writer, func() error) {
	if !p.StderrTerminal {
		return p.Stderr, func() error { return nil }
	}
	safe := &terminalWriter{w: p.Stderr}
	return safe, safe.Flush
}

// commandFailure says why a command's output broke off.
func (p *Program) commandFailure(ctx context.Context, c *client.Client, err error, e execution) error {
	var refused *client.Error
	if errors.As(client.Explain(err), &refused) {
		return p.invokeFailure(ctx, c, err, e.invocation)
	}
	return p.explainBroken(ctx, c, &brokenError{err}, e.invocation)
}

// endlessCommand says why a command's output ended without its exit code: a server that
// is killed closes its connections in good order.
func (p *Program) endlessCommand(ctx context.Context, c *client.Client, e execution) error {
	cut := &brokenError{io.ErrUnexpectedEOF}
	if f := p.whatEnded(ctx, c, cut, e.invocation); f != nil {
		return f
	}
	f := fail("Whether it still runs: outcrop sessions "+e.ref+e.where, "the command's output ended without its exit code")
	f.cause = cut
	return f
}

// commandEnd makes a command's end, which has an exit code, ours.
func commandEnd(end *types.ContentStopEvent, e execution) error {
	switch {
	case end.Status == types.CommandExecutionStatusTimedOut:
		f := fail("", "the command was ended after %s", inUnits(e.timeout))
		if e.timeout < maxCommandTime {
			f.fix = "Give it more, up to 1h: --timeout"
		}
		f.code = exitTimedOut
		return f
	case *end.ExitCode < 0:
		return fail("Its log says more: "+e.logCommand(), "the platform ended the command")
	case *end.ExitCode > 0:
		return exitWith(int(*end.ExitCode))
	}
	return nil
}

// exitWith ends outcrop with the code of what it ran, which has said why itself.
func exitWith(code int) *failure {
	text := fmt.Sprintf("exit code %d", code)
	return &failure{text: text, code: code, silent: true}
}
