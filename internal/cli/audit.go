package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/spf13/cobra"

	"github.com/outcrop/outcrop/internal/api/model/outcrop"
	"github.com/outcrop/outcrop/internal/api/protocol"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/client"
)

// auditPage is how many records are asked for at once, the server's limit.
const auditPage = 1000

type auditFilter struct {
	event, service, principal, resource, code, region string
	failed                                            bool
	history
}

func newAudit(p *Program, f *flags) *cobra.Command {
	var q auditFilter
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Print who did what, and what was refused",
		Long: `Prints the record of calls to the server: when, by whom, what was asked for, and what a caller who was refused was told.
It has every call of the account in all regions, the last 100 or what --since and -n say. -f goes on until Ctrl-C.
CloudTrail's LookupEvents reads the same records.`,
		Example: `  outcrop audit
  outcrop audit --failed --since 24h
  outcrop audit --principal alice --event InvokeAgentRuntime -f
  outcrop audit --error AccessDeniedException --json`,
		Args: arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			const most = 100_000
			if err := q.check(cmd, most, most); err != nil {
				return err
			}
			return p.audit(cmd.Context(), f, q)
		},
	}
	fs := cmd.Flags()
	fs.Var((*nonEmpty)(&q.event), "event", "of this `operation` only, such as CreateAgentRuntime")
	fs.Var((*nonEmpty)(&q.service), "service", "of this `service` only, such as bedrock-agentcore-control, s3 or iam")
	fs.Var((*nonEmpty)(&q.principal), "principal", "by this `ARN or name` of a user or of a role's session only, or the sub of who calls with a token; root is the account's own key")
	fs.Var((*nonEmpty)(&q.resource), "resource", "about this `ARN or name` only")
	fs.Var((*nonEmpty)(&q.code), "error", "refused with this `code` only, such as AccessDeniedException")
	fs.BoolVar(&q.failed, "failed", false, "only what was refused")
	fs.Var((*nonEmpty)(&q.region), "in", "in this `region` only")
	q.register(fs, 100, "RECORDS", "10m or 24h")
	return cmd
}

func (p *Program) audit(ctx context.Context, f *flags, q auditFilter) error {
	c, err := p.connect(ctx, f)
	if err != nil {
		return err
	}
	in := outcrop.ListAuditRecordsRequest{
		EventName: wire.Optional(q.event), Service: wire.Optional(q.service), Principal: wire.Optional(q.principal), Resource: wire.Optional(q.resource),
		ErrorCode: wire.Optional(q.code), Region: wire.Optional(q.region),
	}
	if q.failed {
		in.Failed = &q.failed
	}
	if q.since > 0 {
		in.Since = aws.Time(p.Now().Add(-q.since))
	}
	past, cursor, err := pastAudit(ctx, c, in, q.last)
	if err != nil {
		return err
	}
	if len(past) == 0 && !q.follow {
		p.say("Nothing of that kind is on record.")
		return nil
	}
	return p.printAudit(ctx, c, in, q, past, cursor)
}

// pastAudit reads the last records, the oldest first, and where to go on.
func pastAudit(ctx context.Context, c *client.Client, in outcrop.ListAuditRecordsRequest, last int) (past []outcrop.AuditRecord, cursor *int64, err error) {
	for {
		in.MaxResults = aws.Int32(int32(min(last-len(past), auditPage)))
		page, err := c.Audit(ctx, in)
		if err != nil {
			return nil, nil, err
		}
		if cursor == nil {
			cursor = page.Cursor
		}
		past = append(past, page.Records...)
		if page.NextToken == nil || len(past) >= last {
			slices.Reverse(past)
			return past, cursor, nil
		}
		in.NextToken = page.NextToken
	}
}

func (p *Program) printAudit(ctx context.Context, c *client.Client, in outcrop.ListAuditRecordsRequest, q auditFilter, past []outcrop.AuditRecord, cursor *int64) (err error) {
	w, finish := p.answerWriter()
	defer func() { err = errors.Join(err, finish()) }()
	for {
		for i := range past {
			if err := writeAudit(w, &past[i], q.json); err != nil {
				return err
			}
		}
		if !q.follow {
			return nil
		}
		in.Cursor, in.WaitSeconds, in.MaxResults, in.NextToken = cursor, aws.Int32(followSeconds), nil, nil
		page, err := c.Audit(ctx, in)
		if err != nil {
			return err
		}
		past, cursor = page.Records, page.Cursor
	}
}

func writeAudit(w io.Writer, r *outcrop.AuditRecord, asJSON bool) error {
	if asJSON {
		b, err := protocol.MarshalJSON(&outcrop.Service, outcrop.Service.ShapeNamed("AuditRecord"), r, false)
		if err != nil {
			return err
		}
		_, err = w.Write(append(b, '\n'))
		return err
	}
	line := fmt.Sprintf("%s  %d  %-9s  %s  %s", stamp(r.Timestamp), aws.ToInt32(r.Status), aws.ToString(r.Region),
		shortPrincipal(aws.ToString(r.Principal)), aws.ToString(r.Service)+":"+aws.ToString(r.EventName))
	for _, arn := range slices.Backward(r.Resources) { // the last says most; all are in --json
		if arn != "*" {
			line += "  " + arn
			break
		}
	}
	if r.ErrorCode != nil {
		line += "  " + *r.ErrorCode
		if r.ErrorMessage != nil {
			line += ": " + strings.Join(strings.Fields(*r.ErrorMessage), " ")
		}
	}
	_, err := fmt.Fprintln(w, line)
	return err
}

// shortPrincipal is an ARN without what is the same in all of them.
func shortPrincipal(arn string) string {
	if part := strings.SplitN(arn, ":", 6); len(part) == 6 {
		return part[5]
	}
	if arn == "" {
		return "-"
	}
	return arn
}
