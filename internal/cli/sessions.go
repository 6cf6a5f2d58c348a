package cli

import (
	"context"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/spf13/cobra"

	"github.com/outcrop/outcrop/internal/api/model/outcrop"
	"github.com/outcrop/outcrop/internal/client"
)

func newSessions(p *Program, f *flags) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "sessions [NAME|ARN]",
		Short:   "List the live sessions, of one agent or of all",
		Example: "  outcrop sessions\n  outcrop sessions hello --json",
		Args:    arguments(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var in outcrop.ListSessionsRequest
			if len(args) == 1 {
				if err := checkRef(args[0], f); err != nil {
					return err
				}
			}
			c, err := p.connect(cmd.Context(), f)
			if err != nil {
				return err
			}
			if len(args) == 1 {
				id, err := resolveID(cmd.Context(), c, args[0])
				if err != nil {
					return err
				}
				in.AgentRuntimeId = aws.String(id)
			}
			all, err := listSessions(cmd.Context(), c, in)
			if err != nil {
				return err
			}
			return p.printSessions(all, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func listSessions(ctx context.Context, c *client.Client, in outcrop.ListSessionsRequest) ([]outcrop.Session, error) {
	var all []outcrop.Session
	for {
		page, err := c.Sessions(ctx, in)
		if err != nil {
			return nil, err
		}
		all = append(all, page.Sessions...)
		if aws.ToString(page.NextToken) == "" {
			return all, nil
		}
		in.NextToken = page.NextToken
	}
}

func (p *Program) printSessions(all []outcrop.Session, asJSON bool) error {
	if asJSON {
		rows := make([]any, 0, len(all))
		for _, s := range all {
			rows = append(rows, sessionRow(s))
		}
		return p.printJSON(rows)
	}
	if len(all) == 0 {
		p.say("No live sessions. Start one: outcrop invoke NAME")
		return nil
	}
	var table [][]string
	for _, s := range all {
		table = append(table, []string{
			aws.ToString(s.AgentRuntimeName), aws.ToString(s.SessionId), aws.ToString(s.Status),
			aws.ToString(s.AgentRuntimeVersion), strconv.FormatInt(aws.ToInt64(s.Requests), 10),
			p.age(s.StartedAt), p.age(s.LastActiveAt), p.until(s.IdleDeadline),
		})
	}
	return p.printTable([]string{"AGENT", "SESSION", "STATUS", "VERSION", "REQUESTS", "STARTED", "ACTIVE", "ENDS"}, table)
}

// sessionRow is one session in JSON, under the names of the wire.
func sessionRow(s outcrop.Session) map[string]any {
	row := map[string]any{}
	put(row, "sessionId", s.SessionId)
	put(row, "agentRuntimeName", s.AgentRuntimeName)
	put(row, "agentRuntimeArn", s.AgentRuntimeArn)
	put(row, "agentRuntimeVersion", s.AgentRuntimeVersion)
	put(row, "endpointName", s.EndpointName)
	put(row, "status", s.Status)
	put(row, "activeRequests", s.ActiveRequests)
	put(row, "requests", s.Requests)
	put(row, "startedAt", s.StartedAt)
	put(row, "lastActiveAt", s.LastActiveAt)
	put(row, "idleDeadline", s.IdleDeadline)
	put(row, "lifeDeadline", s.LifeDeadline)
	return row
}

// put leaves out what the server left out.
func put[T any](row map[string]any, name string, v *T) {
	if v != nil {
		row[name] = *v
	}
}
