package cli

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
	"github.com/spf13/cobra"

	"github.com/outcrop/outcrop/internal/api/wire"
)

func newStop(p *Program, f *flags) *cobra.Command {
	var session, qualifier string
	cmd := &cobra.Command{
		Use:   "stop NAME|ARN -s SESSION",
		Short: "Stop a session of an agent",
		Long: `Stops a session: its sandbox ends, and answers that are still streaming end with it. The same session id
can be used again and gets a new sandbox.`,
		Example: "  outcrop sessions hello\n  outcrop stop hello -s 4f1c2d0e-6a53-4d3b-9a86-0c6f6f1d2b11",
		Args:    arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkSession(session); err != nil {
				return err
			}
			return p.stopSession(cmd.Context(), f, args[0], session, qualifier)
		},
	}
	cmd.Flags().StringVarP(&session, "session", "s", "", "id of the `SESSION` to stop")
	cmd.Flags().StringVar(&qualifier, "qualifier", "", "`endpoint` of the agent (default DEFAULT)")
	return cmd
}

func (p *Program) stopSession(ctx context.Context, f *flags, ref, session, qualifier string) error {
	c, r, err := p.openRuntime(ctx, f, ref)
	if err != nil {
		return err
	}
	in := &bedrockagentcore.StopRuntimeSessionInput{
		AgentRuntimeArn: r.AgentRuntimeArn, RuntimeSessionId: aws.String(session), Qualifier: wire.Optional(qualifier),
	}
	name, busy := aws.ToString(r.AgentRuntimeName), liveSessions(ctx, c, r, session)
	stopping := p.showStopping(busy, "stopping "+busy.String()+" of "+name)
	defer stopping()
	_, err = c.Data().StopRuntimeSession(ctx, in)
	stopping()
	switch {
	case err != nil && ctx.Err() != nil:
		p.say("Interrupted. The server goes on with stopping session %s; outcrop sessions %s shows when it has ended.", session, name)
		return ctx.Err()
	case err != nil:
		return err
	}
	p.say("Session %s of %s is stopped.", session, name)
	return nil
}

// checkSession refuses ids that the wire refuses (spec/runtime.md 8.2), before
// anything is sent.
func checkSession(id string) error {
	switch {
	case id == "":
		return misuse("which session? Give its id with -s; outcrop sessions lists them")
	case len(id) < 33 || len(id) > 256:
		return misuse("session id %q has %s; it needs 33 to 256", id, plural(len(id), "character"))
	}
	return nil
}
