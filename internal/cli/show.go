package cli

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"
)

// settingsRow is how an agent is deployed, in JSON. The values of its environment
// may be secrets, and are not in it.
type settingsRow struct {
	NetworkMode    string   `json:"networkMode,omitempty"`
	Subnets        []string `json:"subnets,omitempty"`
	SecurityGroups []string `json:"securityGroups,omitempty"`
	Storage        string   `json:"sessionStorage,omitempty"`
	Snapshot       string   `json:"snapshot,omitempty"`
}

func settingsOf(r *bedrockagentcorecontrol.GetAgentRuntimeOutput) settingsRow {
	row := settingsRow{Storage: storageIn(r.FilesystemConfigurations), Snapshot: r.EnvironmentVariables[snapshotVariable]}
	if n := r.NetworkConfiguration; n != nil {
		row.NetworkMode = string(n.NetworkMode)
		if n.NetworkModeConfig != nil {
			row.Subnets, row.SecurityGroups = n.NetworkModeConfig.Subnets, n.NetworkModeConfig.SecurityGroups
		}
	}
	return row
}

// lines are what a person is shown, as name and value.
func (s settingsRow) lines() [][]string {
	lines := [][]string{{"network", strings.Join(append([]string{strings.ToLower(s.NetworkMode)}, s.Subnets...), " ")}}
	if s.Storage != "" {
		lines = append(lines, []string{"session storage", s.Storage})
	}
	if s.Snapshot != "" {
		lines = append(lines, []string{"snapshot", s.Snapshot})
	}
	return lines
}

// String is what is out of the ordinary, for a line of text; "" is nothing.
func (s settingsRow) String() string {
	var said []string
	for _, line := range s.lines() {
		if line[1] != "" && line[1] != "public" {
			said = append(said, line[0]+" "+line[1])
		}
	}
	return strings.Join(said, ", ")
}

// agentRow is one agent whole, in JSON.
type agentRow struct {
	runtimeRow
	settingsRow
	Runtime     string   `json:"runtime,omitempty"`
	EntryPoint  []string `json:"entryPoint,omitempty"`
	Code        string   `json:"code,omitempty"`
	Role        string   `json:"roleArn,omitempty"`
	Environment []string `json:"environmentNames,omitempty"`
	Reason      string   `json:"failureReason,omitempty"`
}

// showRuntime prints all there is to know of an agent.
func (p *Program) showRuntime(ctx context.Context, f *flags, ref string, asJSON bool) error {
	c, found, err := p.openRuntime(ctx, f, ref)
	if err != nil {
		return err
	}
	r, err := c.Control().GetAgentRuntime(ctx, &bedrockagentcorecontrol.GetAgentRuntimeInput{AgentRuntimeId: found.AgentRuntimeId})
	if err != nil {
		return err
	}
	row := agentRow{
		runtimeRow: rowOf(*found), settingsRow: settingsOf(r), Role: aws.ToString(r.RoleArn),
		Environment: slices.Sorted(maps.Keys(r.EnvironmentVariables)), Reason: aws.ToString(r.FailureReason),
	}
	if artifact, ok := r.AgentRuntimeArtifact.(*types.AgentRuntimeArtifactMemberCodeConfiguration); ok {
		row.Runtime, row.EntryPoint = string(artifact.Value.Runtime), artifact.Value.EntryPoint
		if code, ok := artifact.Value.Code.(*types.CodeMemberS3); ok {
			row.Code = "s3://" + aws.ToString(code.Value.Bucket) + "/" + aws.ToString(code.Value.Prefix)
		}
	}
	if asJSON {
		return p.printJSON(row)
	}
	lines := [][]string{
		{"name", row.Name}, {"status", row.Status}, {"reason", row.Reason}, {"version", row.Version}, {"updated", p.age(row.UpdatedAt)},
		{"description", row.Description}, {"runtime", row.Runtime}, {"entry point", strings.Join(row.EntryPoint, " ")}, {"code", row.Code},
		{"role", row.Role}, {"environment", strings.Join(row.Environment, ", ")},
	}
	lines = append(append(lines, row.lines()...), []string{"ARN", row.ARN})
	return p.printTable(nil, slices.DeleteFunc(lines, func(line []string) bool { return line[1] == "" }))
}
