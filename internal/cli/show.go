package cli

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"

	"github.com/outcrop/outcrop/internal/client"
)

// settingsRow is how an agent is deployed, in JSON. The values of its environment
// may be secrets, and are not in it.
type settingsRow struct {
	NetworkMode    string   `json:"networkMode,omitempty"`
	Subnets        []string `json:"subnets,omitempty"`
	SecurityGroups []string `json:"securityGroups,omitempty"`
	Storage        string   `json:"sessionStorage,omitempty"`
	AccessPoints   []string `json:"accessPoints,omitempty"` // each as PATH=ARN
	AllowedPorts   []string `json:"allowedPorts,omitempty"` // each as 8100 or 8200-8210
	Issuer         string   `json:"issuer,omitempty"`       // with whose tokens it is called: a discovery URL
	CallerRules    []string `json:"callerRules,omitempty"`  // what such a token must have, each as RULE: VALUES
	PassedHeaders  []string `json:"passedHeaders,omitempty"`
	Snapshot       string   `json:"snapshot,omitempty"`
	Protocol       string   `json:"protocol,omitempty"` // absent for HTTP
}

func settingsOf(r *bedrockagentcorecontrol.GetAgentRuntimeOutput) settingsRow {
	row := settingsRow{Storage: storageIn(r.FilesystemConfigurations), Snapshot: r.EnvironmentVariables[snapshotVariable]}
	if protocol := protocolIn(r.ProtocolConfiguration); protocol != types.ServerProtocolHttp {
		row.Protocol = string(protocol)
	}
	if j := jwtIn(r.AuthorizerConfiguration); j != nil {
		row.Issuer, row.CallerRules = aws.ToString(j.DiscoveryUrl), rulesIn(j)
	}
	row.PassedHeaders = headersIn(r.RequestHeaderConfiguration)
	row.AccessPoints, row.AllowedPorts = accessPointsIn(r.FilesystemConfigurations), allowedIn(r.AllowedPorts)
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
	for _, point := range s.AccessPoints {
		lines = append(lines, []string{"access point", point})
	}
	if len(s.AllowedPorts) > 0 {
		lines = append(lines, []string{"allowed ports", strings.Join(s.AllowedPorts, ", ")})
	}
	if s.Issuer != "" {
		lines = append(lines, []string{"called with tokens of", s.Issuer})
	}
	for _, rule := range s.CallerRules {
		lines = append(lines, []string{"which must have", rule})
	}
	if len(s.PassedHeaders) > 0 {
		lines = append(lines, []string{"passed headers", strings.Join(s.PassedHeaders, ", ")})
	}
	if s.Snapshot != "" {
		lines = append(lines, []string{"snapshot", s.Snapshot})
	}
	if s.Protocol != "" {
		lines = append(lines, []string{"protocol", s.Protocol})
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
	Image       string   `json:"image,omitempty"`
	Role        string   `json:"roleArn,omitempty"`
	Environment []string `json:"environmentNames,omitempty"`
	Reason      string   `json:"failureReason,omitempty"`
	Warmup      *warmup  `json:"warmup,omitempty"`
	Memory      int64    `json:"minimumMemoryInMiB,omitempty"`
	IdleTimeout int32    `json:"idleRuntimeSessionTimeout,omitempty"` // in seconds
	MaxLifetime int32    `json:"maxLifetime,omitempty"`               // in seconds

	Endpoints []endpointRow `json:"endpoints"`
	Versions  []versionRow  `json:"versions"`
}

// versionRow is one version of an agent in JSON.
type versionRow struct {
	Version     string     `json:"agentRuntimeVersion"`
	Status      string     `json:"status"`
	UpdatedAt   *time.Time `json:"lastUpdatedAt,omitempty"`
	Description string     `json:"description,omitempty"`
}

// listVersions returns all versions of a runtime, oldest first.
func listVersions(ctx context.Context, c *client.Client, id *string) ([]versionRow, error) {
	rows := []versionRow{}
	pages := bedrockagentcorecontrol.NewListAgentRuntimeVersionsPaginator(c.Control(), &bedrockagentcorecontrol.ListAgentRuntimeVersionsInput{AgentRuntimeId: id})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, v := range page.AgentRuntimes {
			rows = append(rows, versionRow{aws.ToString(v.AgentRuntimeVersion), string(v.Status), v.LastUpdatedAt, aws.ToString(v.Description)})
		}
	}
	return rows, nil
}

// endpointLines say what each endpoint runs, and what is out of the ordinary.
func endpointLines(rows []endpointRow) [][]string {
	var lines [][]string
	for i, e := range rows {
		text := e.Name + ": version " + cmp.Or(e.Live, "none")
		if e.Status != string(types.AgentRuntimeEndpointStatusReady) {
			text += ", " + e.Status
			if e.Target != e.Live {
				text += " to " + e.Target
			}
		}
		head := "endpoints"
		if i > 0 {
			head = ""
		}
		lines = append(lines, []string{head, text})
	}
	return lines
}

// versionLine says which versions there are, as 1-3, 5, and which failed.
func versionLine(rows []versionRow) string {
	var parts []string
	for i := 0; i < len(rows); i++ {
		from, to := rows[i].Version, i
		for to+1 < len(rows) && rows[to+1].Status == rows[i].Status && number(rows[to+1].Version) == number(rows[to].Version)+1 {
			to++
		}
		if to > i {
			from += "-" + rows[to].Version
		}
		if rows[i].Status != string(types.AgentRuntimeStatusReady) {
			from += " " + rows[i].Status
		}
		parts = append(parts, from)
		i = to
	}
	return strings.Join(parts, ", ")
}

func number(version string) int {
	n, _ := strconv.Atoi(version) // the server's own
	return n
}

// showRuntime prints all there is to know of an agent.
func (p *Program) showRuntime(ctx context.Context, f *flags, ref string, asJSON bool) error {
	c, found, err := p.openRuntime(ctx, f, ref)
	if err != nil {
		return err
	}
	r, more, err := wholeRuntime(ctx, c, found.AgentRuntimeId)
	if err != nil {
		return err
	}
	row := agentRow{
		runtimeRow: rowOf(*found), settingsRow: settingsOf(r), Role: aws.ToString(r.RoleArn),
		Environment: slices.Sorted(maps.Keys(r.EnvironmentVariables)), Reason: aws.ToString(r.FailureReason),
		Warmup: warmupIn(more), Memory: memoryIn(more),
	}
	if life := r.LifecycleConfiguration; life != nil {
		row.IdleTimeout, row.MaxLifetime = aws.ToInt32(life.IdleRuntimeSessionTimeout), aws.ToInt32(life.MaxLifetime)
	}
	if row.Endpoints, err = listEndpoints(ctx, c, found.AgentRuntimeId); err != nil {
		return err
	}
	if row.Versions, err = listVersions(ctx, c, found.AgentRuntimeId); err != nil {
		return err
	}
	switch artifact := r.AgentRuntimeArtifact.(type) {
	case *types.AgentRuntimeArtifactMemberContainerConfiguration:
		row.Image = aws.ToString(artifact.Value.ContainerUri)
	case *types.AgentRuntimeArtifactMemberCodeConfiguration:
		row.Runtime, row.EntryPoint = string(artifact.Value.Runtime), artifact.Value.EntryPoint
		if code, ok := artifact.Value.Code.(*types.CodeMemberS3); ok {
			row.Code = "s3://" + aws.ToString(code.Value.Bucket) + "/" + aws.ToString(code.Value.Prefix)
		}
	}
	if asJSON {
		return p.printJSON(row)
	}
	lines := [][]string{
		{"name", row.Name}, {"status", row.Status}, {"reason", row.Reason}, {"version", row.Version}, {"versions", versionLine(row.Versions)}, {"updated", p.age(row.UpdatedAt)},
		{"description", row.Description}, {"runtime", row.Runtime}, {"entry point", strings.Join(row.EntryPoint, " ")}, {"code", row.Code}, {"image", row.Image},
		{"role", row.Role}, {"environment", strings.Join(row.Environment, ", ")},
	}
	if row.Warmup != nil {
		lines = append(lines, []string{"warm-up hook", row.Warmup.String()})
	}
	if row.Memory > 0 {
		lines = append(lines, []string{"memory", fmt.Sprintf("at least %d MiB a session", row.Memory)})
	}
	if row.IdleTimeout > 0 && row.MaxLifetime > 0 {
		lines = append(lines, []string{"session life", inUnits(time.Duration(row.IdleTimeout)*time.Second) + " idle, " + inUnits(time.Duration(row.MaxLifetime)*time.Second) + " at most"})
	}
	lines = slices.Concat(lines, row.lines(), endpointLines(row.Endpoints), [][]string{{"ARN", row.ARN}})
	return p.printTable(nil, slices.DeleteFunc(lines, func(line []string) bool { return line[1] == "" }))
}
