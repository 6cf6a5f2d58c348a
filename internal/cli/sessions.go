package cli

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

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
			all, spares, err := listSessions(cmd.Context(), c, in)
			if err != nil {
				return err
			}
			return p.printSessions(all, spares, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func listSessions(ctx context.Context, c *client.Client, in outcrop.ListSessionsRequest) (all []outcrop.Session, spares []outcrop.Spare, err error) {
	for {
		page, err := c.Sessions(ctx, in)
		if err != nil {
			return nil, nil, err
		}
		all, spares = append(all, page.Sessions...), append(spares, page.Spares...)
		if aws.ToString(page.NextToken) == "" {
			return all, spares, nil
		}
		in.NextToken = page.NextToken
	}
}

func (p *Program) printSessions(all []outcrop.Session, spares []outcrop.Spare, asJSON bool) error {
	if asJSON {
		rows := make([]any, 0, len(all))
		for _, s := range all {
			rows = append(rows, sessionRow(s))
		}
		return p.printJSON(rows)
	}
	if len(all) == 0 {
		p.say("No live sessions. Start one: outcrop invoke NAME")
		p.saySpares(spares)
		return nil
	}
	var table [][]string
	for _, s := range all {
		table = append(table, []string{
			aws.ToString(s.AgentRuntimeName), aws.ToString(s.SessionId), aws.ToString(s.Status),
			aws.ToString(s.AgentRuntimeVersion), strconv.FormatInt(aws.ToInt64(s.Requests), 10),
			p.age(s.StartedAt), p.age(s.LastActiveAt), p.until(s.IdleDeadline),
			measured(s.MemoryBytes), measured(aws.Int64(aws.ToInt64(s.SnapshotBytes) + aws.ToInt64(s.StorageBytes))), began(s),
		})
	}
	head := []string{"AGENT", "SESSION", "STATUS", "VERSION", "REQUESTS", "STARTED", "ACTIVE", "ENDS", "MEMORY", "DISK", "BEGAN"}
	if slices.ContainsFunc(all, func(s outcrop.Session) bool { return aws.ToString(s.EndpointName) != "DEFAULT" }) {
		head = slices.Insert(head, 1, "ENDPOINT")
		for i, s := range all {
			table[i] = slices.Insert(table[i], 1, aws.ToString(s.EndpointName))
		}
	}
	err := p.printTable(head, table)
	p.sayWhy(all)
	p.sayPassthrough(all)
	p.saySpares(spares)
	return err
}

// saySpares says how many spares each version of an agent has ready.
func (p *Program) saySpares(spares []outcrop.Spare) {
	for len(spares) > 0 {
		first := spares[0]
		n, memory := 0, int64(0)
		for n < len(spares) && same(spares[n], first) {
			memory += aws.ToInt64(spares[n].MemoryBytes)
			n++
		}
		spares = spares[n:]
		p.say("%s of %s, version %s, for the next sessions of endpoint %s: %s", plural(n, "spare"), aws.ToString(first.AgentRuntimeName),
			aws.ToString(first.AgentRuntimeVersion), aws.ToString(first.EndpointName), measured(&memory))
	}
}

// same reports whether the same sessions can take two spares.
func same(a, b outcrop.Spare) bool {
	return aws.ToString(a.AgentRuntimeArn) == aws.ToString(b.AgentRuntimeArn) && aws.ToString(a.AgentRuntimeVersion) == aws.ToString(b.AgentRuntimeVersion) &&
		aws.ToString(a.EndpointName) == aws.ToString(b.EndpointName)
}

// measured is a size that may not have been measured yet.
func measured(n *int64) string {
	if aws.ToInt64(n) == 0 {
		return "-"
	}
	return size(*n)
}

// began is how the session's sandbox began, in a word.
func began(s outcrop.Session) string {
	if s.Origin == nil {
		return "-"
	}
	return strings.ToLower(*s.Origin)
}

// sayWhy says once for each agent why its sessions did not begin in a quicker way.
func (p *Program) sayWhy(all []outcrop.Session) {
	said := map[string]bool{}
	for _, s := range all {
		text := fmt.Sprintf("%s started cold: %s", aws.ToString(s.AgentRuntimeName), aws.ToString(s.OriginReason))
		if aws.ToString(s.Origin) == outcrop.SessionOriginRESTORED {
			text = fmt.Sprintf("%s was restored, and had no spare: %s", aws.ToString(s.AgentRuntimeName), aws.ToString(s.OriginReason))
		}
		if s.OriginReason == nil || said[text] {
			continue
		}
		said[text] = true
		p.say("%s", text)
	}
}

// sayPassthrough says once for each agent that it runs by the operator's leave on the
// host's own network stack.
func (p *Program) sayPassthrough(all []outcrop.Session) {
	said := map[string]bool{}
	for _, s := range all {
		if name := aws.ToString(s.AgentRuntimeName); aws.ToBool(s.Passthrough) && !said[name] {
			said[name] = true
			p.say("%s uses this server's own TCP/IP (serve --passthrough)", name)
		}
	}
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
	put(row, "origin", s.Origin)
	put(row, "originReason", s.OriginReason)
	put(row, "memoryBytes", s.MemoryBytes)
	put(row, "snapshotBytes", s.SnapshotBytes)
	put(row, "storageBytes", s.StorageBytes)
	put(row, "passthrough", s.Passthrough)
	return row
}

// put leaves out what the server left out.
func put[T any](row map[string]any, name string, v *T) {
	if v != nil {
		row[name] = *v
	}
}
