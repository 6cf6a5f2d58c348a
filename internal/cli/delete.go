package cli

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"
	"github.com/spf13/cobra"

	"github.com/outcrop/outcrop/internal/client"
)

func newDelete(p *Program, f *flags) *cobra.Command {
	wait := true
	cmd := &cobra.Command{
		Use: "delete NAME|ARN", Aliases: []string{"rm"},
		Short:   "Delete an agent, all its versions and its sessions",
		Example: "  outcrop delete hello\n  outcrop delete hello --wait=false",
		Args:    arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.deleteRuntime(cmd.Context(), f, args[0], wait)
		},
	}
	cmd.Flags().BoolVar(&wait, "wait", true, "wait until it is gone")
	return cmd
}

func (p *Program) deleteRuntime(ctx context.Context, f *flags, ref string, wait bool) error {
	if err := checkRef(ref, f); err != nil {
		return err
	}
	c, err := p.connect(ctx, f)
	if err != nil {
		return err
	}
	r, err := needRuntime(ctx, c, ref)
	if err != nil {
		return err
	}
	name := aws.ToString(r.AgentRuntimeName)
	_, err = c.Control().DeleteAgentRuntime(ctx, &bedrockagentcorecontrol.DeleteAgentRuntimeInput{AgentRuntimeId: r.AgentRuntimeId})
	if err != nil && !client.Is(err, "ResourceNotFoundException") {
		return err
	}
	if wait {
		gone := func(status types.AgentRuntimeStatus) (bool, error) {
			if status == types.AgentRuntimeStatusDeleteFailed {
				return false, fail("The server's own log says why. Try again: outcrop delete "+name, "%s could not be deleted", name)
			}
			return false, nil
		}
		if _, err := p.pollRuntime(ctx, c, aws.ToString(r.AgentRuntimeId), gone); err != nil && !client.Is(err, "ResourceNotFoundException") {
			return err
		}
	}
	if !wait {
		p.say("%s is being deleted.", name)
		return nil
	}
	p.say("%s is deleted.", name)
	return nil
}

// The pauses between looks at a runtime that is changing.
const (
	firstPause = 50 * time.Millisecond
	lastPause  = 2 * time.Second
)

// pollRuntime looks at a runtime until done says so, and returns it as it was
// then. Who wants an end to the waiting ends ctx.
func (p *Program) pollRuntime(ctx context.Context, c *client.Client, id string, done func(types.AgentRuntimeStatus) (bool, error)) (*bedrockagentcorecontrol.GetAgentRuntimeOutput, error) {
	for pause := firstPause; ; pause = min(pause*3/2, lastPause) {
		r, err := c.Control().GetAgentRuntime(ctx, &bedrockagentcorecontrol.GetAgentRuntimeInput{AgentRuntimeId: aws.String(id)})
		if err != nil {
			return nil, err
		}
		if ok, err := done(r.Status); ok || err != nil {
			return r, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(pause):
		}
	}
}
