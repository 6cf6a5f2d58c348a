package cli

import (
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"
	"github.com/spf13/cobra"
)

// runtimeRow is one runtime in JSON.
type runtimeRow struct {
	Name        string     `json:"agentRuntimeName"`
	Status      string     `json:"status"`
	Version     string     `json:"agentRuntimeVersion"`
	UpdatedAt   *time.Time `json:"lastUpdatedAt,omitempty"`
	Description string     `json:"description,omitempty"`
	ID          string     `json:"agentRuntimeId"`
	ARN         string     `json:"agentRuntimeArn"`
}

func rowOf(r types.AgentRuntime) runtimeRow {
	return runtimeRow{
		Name: aws.ToString(r.AgentRuntimeName), Status: string(r.Status), Version: aws.ToString(r.AgentRuntimeVersion),
		UpdatedAt: r.LastUpdatedAt, Description: aws.ToString(r.Description),
		ID: aws.ToString(r.AgentRuntimeId), ARN: aws.ToString(r.AgentRuntimeArn),
	}
}

func newList(p *Program, f *flags) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "ls [NAME|ARN]", Aliases: []string{"list"},
		Short:   "List the deployed agents, or show how one is deployed",
		Example: "  outcrop ls\n  outcrop ls hello\n  outcrop ls --json",
		Args:    arguments(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				return p.showRuntime(cmd.Context(), f, args[0], asJSON)
			}
			c, err := p.connect(cmd.Context(), f)
			if err != nil {
				return err
			}
			all, err := listRuntimes(cmd.Context(), c)
			if err != nil {
				return err
			}
			slices.SortFunc(all, func(a, b types.AgentRuntime) int {
				return strings.Compare(aws.ToString(a.AgentRuntimeName), aws.ToString(b.AgentRuntimeName))
			})
			return p.printRuntimes(all, asJSON, c.Target().Region)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (p *Program) printRuntimes(all []types.AgentRuntime, asJSON bool, region string) error {
	rows := make([]runtimeRow, 0, len(all))
	for _, r := range all {
		rows = append(rows, rowOf(r))
	}
	if asJSON {
		return p.printJSON(rows)
	}
	if len(rows) == 0 {
		p.say("No agents in region %s. Deploy one: outcrop deploy FOLDER", region)
		return nil
	}
	var table [][]string
	for _, r := range rows {
		table = append(table, []string{r.Name, r.Status, r.Version, p.age(r.UpdatedAt), r.ARN})
	}
	return p.printTable([]string{"NAME", "STATUS", "VERSION", "UPDATED", "ARN"}, table)
}
