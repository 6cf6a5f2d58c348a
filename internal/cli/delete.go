package cli

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"
	"github.com/spf13/cobra"

	"github.com/outcrop/outcrop/internal/client"
)

func newDelete(p *Program, f *flags) *cobra.Command {
	wait, version := true, ""
	cmd := &cobra.Command{
		Use: "delete NAME|ARN", Aliases: []string{"rm"},
		Short: "Delete an agent, all its versions and its sessions",
		Long: `Deletes an agent with its versions and sessions. One that has endpoints besides DEFAULT is not deleted: somebody
made them on purpose, and deletes them first. With --version only that version goes, if no endpoint runs it.`,
		Example: "  outcrop delete hello\n  outcrop delete hello --wait=false\n  outcrop delete hello --version 2",
		Args:    arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if version != "" {
				if !versionPattern.MatchString(version) {
					return below(cmd, "%q is no version; outcrop ls NAME shows which there are", version)
				}
				return p.deleteVersion(cmd.Context(), f, args[0], version)
			}
			return p.deleteRuntime(cmd.Context(), f, args[0], wait)
		},
	}
	cmd.Flags().BoolVar(&wait, "wait", true, "wait until it is gone")
	cmd.Flags().StringVar(&version, "version", "", "delete only this `version`")
	return cmd
}

func (p *Program) deleteVersion(ctx context.Context, f *flags, ref, version string) error {
	c, r, err := p.openRuntime(ctx, f, ref)
	if err != nil {
		return err
	}
	_, err = c.Control().DeleteAgentRuntime(ctx, &bedrockagentcorecontrol.DeleteAgentRuntimeInput{AgentRuntimeId: r.AgentRuntimeId, AgentRuntimeVersion: &version})
	if err != nil {
		return err
	}
	p.say("Version %s of %s is deleted. Sessions that run it go on.", version, aws.ToString(r.AgentRuntimeName))
	return nil
}

func (p *Program) deleteRuntime(ctx context.Context, f *flags, ref string, wait bool) error {
	c, r, err := p.openRuntime(ctx, f, ref)
	if err != nil {
		return err
	}
	name := aws.ToString(r.AgentRuntimeName)
	var busy busyness
	if wait {
		busy = liveSessions(ctx, c, r, "")
	}
	_, err = c.Control().DeleteAgentRuntime(ctx, &bedrockagentcorecontrol.DeleteAgentRuntimeInput{AgentRuntimeId: r.AgentRuntimeId})
	if client.Is(err, "ConflictException") {
		return p.endpointsFirst(ctx, f, c, r, err)
	}
	if err != nil && !client.Is(err, "ResourceNotFoundException") {
		return err
	}
	if !wait {
		p.say("%s is being deleted.", name)
		return nil
	}
	stopping := p.showStopping(busy, "deleting "+name+": stopping "+busy.String())
	defer stopping()
	gone := func(status types.AgentRuntimeStatus) (bool, error) {
		if status == types.AgentRuntimeStatusDeleteFailed {
			return false, fail("The server's own log says why. Try again: outcrop delete "+name, "%s could not be deleted", name)
		}
		return false, nil
	}
	_, err = p.pollRuntime(ctx, c, aws.ToString(r.AgentRuntimeId), gone)
	stopping()
	switch {
	case client.Is(err, "ResourceNotFoundException"): // it is gone
	case ctx.Err() != nil:
		p.say("Interrupted. The server goes on with deleting %s; outcrop ls shows when it is gone.", name)
		return ctx.Err()
	case err != nil:
		return err
	}
	p.say("%s is deleted.", name)
	return nil
}

// endpointsFirst adds the way out where endpoints keep an agent from being deleted.
func (p *Program) endpointsFirst(ctx context.Context, f *flags, c *client.Client, r *types.AgentRuntime, err error) error {
	rows, listErr := listEndpoints(ctx, c, r.AgentRuntimeId)
	if listErr != nil || len(rows) < 2 {
		return err
	}
	refusal, name := p.explain(ctx, err), aws.ToString(r.AgentRuntimeName)
	for i, e := range rows[1:] { // after DEFAULT
		if i > 0 {
			refusal.fix += "\n"
		}
		refusal.fix += "outcrop endpoint delete " + name + " " + e.Name + f.suffix()
	}
	return refusal
}
