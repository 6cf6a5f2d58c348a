package cli

import (
	"cmp"
	"context"
	"errors"
	"regexp"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"
	"github.com/spf13/cobra"

	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/client"
)

const endpointHelp = `An endpoint of an agent runs one of its versions. DEFAULT runs the newest that is ready. Others run the version
that they are given until they are given another, and are named when the agent is invoked:
outcrop invoke NAME --qualifier ENDPOINT.

Sessions go on with the version that they began with; new ones get the endpoint's.`

// endpointCommands are those below `outcrop endpoint`.
type endpointCommands struct {
	p *Program
	f *flags
}

func newEndpoint(p *Program, f *flags) *cobra.Command {
	e := endpointCommands{p, f}
	cmd := parent("endpoint", "List, make, roll and delete the endpoints of an agent",
		"  outcrop endpoint list hello\n  outcrop endpoint create hello prod --version 3\n  outcrop endpoint update hello prod --version 4\n  outcrop invoke hello --qualifier prod")
	cmd.Long = endpointHelp
	cmd.AddCommand(e.list(), e.create(), e.update(), e.remove())
	return cmd
}

// endpointRow is one endpoint in JSON.
type endpointRow struct {
	Name        string     `json:"name"`
	Status      string     `json:"status"`
	Live        string     `json:"liveVersion,omitempty"`
	Target      string     `json:"targetVersion,omitempty"`
	Description string     `json:"description,omitempty"`
	UpdatedAt   *time.Time `json:"lastUpdatedAt,omitempty"`
	ARN         string     `json:"agentRuntimeEndpointArn"`
}

// listEndpoints returns all endpoints of a runtime, DEFAULT first.
func listEndpoints(ctx context.Context, c *client.Client, id *string) ([]endpointRow, error) {
	rows := []endpointRow{}
	pages := bedrockagentcorecontrol.NewListAgentRuntimeEndpointsPaginator(c.Control(), &bedrockagentcorecontrol.ListAgentRuntimeEndpointsInput{AgentRuntimeId: id})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, e := range page.RuntimeEndpoints {
			rows = append(rows, endpointRow{
				Name: aws.ToString(e.Name), Status: string(e.Status), Live: aws.ToString(e.LiveVersion), Target: aws.ToString(e.TargetVersion),
				Description: aws.ToString(e.Description), UpdatedAt: e.LastUpdatedAt, ARN: aws.ToString(e.AgentRuntimeEndpointArn),
			})
		}
	}
	return rows, nil
}

func (e endpointCommands) list() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list NAME|ARN", Aliases: []string{"ls"},
		Short:   "List the endpoints of an agent and the versions they run",
		Example: "  outcrop endpoint list hello\n  outcrop endpoint list hello --json",
		Args:    arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, r, err := e.p.openRuntime(cmd.Context(), e.f, args[0])
			if err != nil {
				return err
			}
			rows, err := listEndpoints(cmd.Context(), c, r.AgentRuntimeId)
			if err != nil {
				return err
			}
			if asJSON {
				return e.p.printJSON(rows)
			}
			var table [][]string
			for _, r := range rows {
				table = append(table, []string{r.Name, r.Status, cmp.Or(r.Live, "-"), cmp.Or(r.Target, "-"), e.p.age(r.UpdatedAt), cmp.Or(r.Description, "-")})
			}
			return e.p.printTable([]string{"NAME", "STATUS", "VERSION", "TARGET", "UPDATED", "DESCRIPTION"}, table)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// endpointFlags are what is said of an endpoint that is made or changed.
type endpointFlags struct {
	version, description string
	wait                 bool
}

func (o *endpointFlags) register(cmd *cobra.Command, version string) {
	cmd.Flags().StringVar(&o.version, "version", "", version)
	cmd.Flags().StringVar(&o.description, "description", "", "`text` that describes it")
	cmd.Flags().BoolVar(&o.wait, "wait", true, "wait until it runs its version")
}

// versionPattern is a version of an agent (spec/runtime.md 2.1).
var versionPattern = regexp.MustCompile(`^[1-9][0-9]{0,4}$`)

// endpointArguments checks NAME|ARN ENDPOINT and the version.
func endpointArguments(cmd *cobra.Command, name, version string) error {
	switch {
	case !namePattern.MatchString(name):
		return below(cmd, "%q is no name of an endpoint: it has a letter and then up to 47 letters, digits and _", name)
	case version != "" && !versionPattern.MatchString(version):
		return below(cmd, "%q is no version; outcrop ls NAME shows which there are", version)
	}
	return nil
}

func (e endpointCommands) create() *cobra.Command {
	var o endpointFlags
	cmd := &cobra.Command{
		Use:   "create NAME|ARN ENDPOINT",
		Short: "Make an endpoint that stays at one version",
		Long:  "Makes an endpoint of an agent that runs one version until it is given another. Without --version it is the newest.",
		Example: `  outcrop endpoint create hello prod
  outcrop endpoint create hello prod --version 3 --description "what customers use"`,
		Args: atLeast(2, 2, "an agent's NAME or ARN and the name of an ENDPOINT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := endpointArguments(cmd, args[1], o.version); err != nil {
				return err
			}
			c, r, err := e.p.openRuntime(cmd.Context(), e.f, args[0])
			if err != nil {
				return err
			}
			_, err = c.Control().CreateAgentRuntimeEndpoint(cmd.Context(), &bedrockagentcorecontrol.CreateAgentRuntimeEndpointInput{
				AgentRuntimeId: r.AgentRuntimeId, Name: &args[1], AgentRuntimeVersion: wire.Optional(o.version), Description: wire.Optional(o.description),
			})
			if err != nil {
				return err
			}
			return e.settle(cmd.Context(), c, r, args[1], o.wait)
		},
	}
	o.register(cmd, "`version` that it runs (default: the newest)")
	return cmd
}

func (e endpointCommands) update() *cobra.Command {
	var o endpointFlags
	cmd := &cobra.Command{
		Use:   "update NAME|ARN ENDPOINT --version VERSION",
		Short: "Roll an endpoint to another version, or describe it",
		Long: `Rolls an endpoint to another version, forwards or back. What runs goes on until its session ends. DEFAULT follows
the newest version by itself: it can be described, and not rolled.`,
		Example: "  outcrop endpoint update hello prod --version 4",
		Args:    atLeast(2, 2, "an agent's NAME or ARN and the name of an ENDPOINT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := endpointArguments(cmd, args[1], o.version); err != nil {
				return err
			}
			if o.version == "" && o.description == "" {
				return below(cmd, "what is to change? Give --version, --description, or both")
			}
			c, r, err := e.p.openRuntime(cmd.Context(), e.f, args[0])
			if err != nil {
				return err
			}
			_, err = c.Control().UpdateAgentRuntimeEndpoint(cmd.Context(), &bedrockagentcorecontrol.UpdateAgentRuntimeEndpointInput{
				AgentRuntimeId: r.AgentRuntimeId, EndpointName: &args[1], AgentRuntimeVersion: wire.Optional(o.version), Description: wire.Optional(o.description),
			})
			if err != nil {
				return e.absent(err, r, o.version != "")
			}
			return e.settle(cmd.Context(), c, r, args[1], o.wait)
		},
	}
	o.register(cmd, "`version` that it is to run")
	return cmd
}

func (e endpointCommands) remove() *cobra.Command {
	wait := true
	cmd := &cobra.Command{
		Use: "delete NAME|ARN ENDPOINT", Aliases: []string{"rm"},
		Short:   "Delete an endpoint and its sessions",
		Example: "  outcrop endpoint delete hello prod",
		Args:    atLeast(2, 2, "an agent's NAME or ARN and the name of an ENDPOINT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := endpointArguments(cmd, args[1], ""); err != nil {
				return err
			}
			c, r, err := e.p.openRuntime(cmd.Context(), e.f, args[0])
			if err != nil {
				return err
			}
			_, err = c.Control().DeleteAgentRuntimeEndpoint(cmd.Context(), &bedrockagentcorecontrol.DeleteAgentRuntimeEndpointInput{
				AgentRuntimeId: r.AgentRuntimeId, EndpointName: &args[1],
			})
			if err != nil {
				return e.absent(err, r, false)
			}
			return e.settle(cmd.Context(), c, r, args[1], wait)
		},
	}
	cmd.Flags().BoolVar(&wait, "wait", true, "wait until it is gone")
	return cmd
}

// absent adds what there is where an endpoint, or a version of its agent, is not.
func (e endpointCommands) absent(err error, r *types.AgentRuntime, version bool) error {
	var refused *client.Error
	if !client.Is(err, "ResourceNotFoundException") || !errors.As(client.Explain(err), &refused) {
		return err
	}
	f := explainRefusal(refused)
	agent := aws.ToString(r.AgentRuntimeName)
	f.fix = "See what there is: outcrop endpoint list " + agent + e.f.suffix()
	if version {
		f.fix += "\nIts versions: outcrop ls " + agent + e.f.suffix()
	}
	return f
}

// settle waits until an endpoint is what it is to be, and says what became of it.
func (e endpointCommands) settle(ctx context.Context, c *client.Client, r *types.AgentRuntime, name string, wait bool) error {
	p, agent := e.p, aws.ToString(r.AgentRuntimeName)
	look := "outcrop endpoint list " + agent + e.f.suffix()
	if !wait {
		p.say("The server is at work on endpoint %s of %s. See: %s", name, agent, look)
		return nil
	}
	in := &bedrockagentcorecontrol.GetAgentRuntimeEndpointInput{AgentRuntimeId: r.AgentRuntimeId, EndpointName: &name}
	for pause := firstPause; ; pause = min(pause*3/2, lastPause) {
		got, err := c.Control().GetAgentRuntimeEndpoint(ctx, in)
		switch {
		case client.Is(err, "ResourceNotFoundException"):
			p.say("Endpoint %s of %s is deleted.", name, agent)
			return nil
		case err != nil && ctx.Err() != nil:
			p.say("Interrupted. The server goes on with endpoint %s of %s. See: %s", name, agent, look)
			return ctx.Err()
		case err != nil:
			return err
		}
		switch got.Status {
		case types.AgentRuntimeEndpointStatusReady:
			p.say("Endpoint %s of %s runs version %s.", name, agent, aws.ToString(got.LiveVersion))
			return nil
		case types.AgentRuntimeEndpointStatusCreateFailed, types.AgentRuntimeEndpointStatusUpdateFailed:
			runs := "runs no version"
			if live := aws.ToString(got.LiveVersion); live != "" {
				runs = "still runs version " + live
			}
			return fail("Give it another: outcrop endpoint update "+agent+" "+name+" --version VERSION"+e.f.suffix(),
				"endpoint %s of %s %s: %s", name, agent, runs, aws.ToString(got.FailureReason))
		case types.AgentRuntimeEndpointStatusDeleteFailed:
			return fail("Try again: outcrop endpoint delete "+agent+" "+name+e.f.suffix(), "endpoint %s of %s could not be deleted: %s", name, agent, aws.ToString(got.FailureReason))
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}
