package operator

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/api/model/outcrop"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/telemetry"
)

// Audit reads the record of what was done.
type Audit interface {
	Flush(ctx context.Context) error
	Records(ctx context.Context, q telemetry.AuditQuery) ([]telemetry.Record, string, error)
	RecordsAfter(ctx context.Context, q telemetry.AuditQuery, cursor int64) ([]telemetry.Record, int64, error)
	AuditChanged() <-chan struct{}
}

// listing is this operation's own event, which nobody looks for who does not name it:
// whoever follows would follow themselves.
const listing = "ListAuditRecords"

// defaultRecords is how many records a page has that says nothing else.
const defaultRecords = 100

// ListAuditRecords reads the account's records, the newest first. With a cursor it
// gives those that came since, the oldest first, and with waitSeconds it waits that
// long for one, which is how a client follows.
func (s *Service) ListAuditRecords(ctx context.Context, in *outcrop.ListAuditRecordsRequest) (*outcrop.ListAuditRecordsResponse, error) {
	q := auditQuery(in)
	q.Scope = pipeline.From(ctx).Scope
	if in.Region == nil {
		q.AllRegions = true
	} else {
		q.Scope.Region = *in.Region
	}
	if err := s.cfg.Audit.Flush(ctx); err != nil {
		return nil, err
	}
	if in.Cursor != nil {
		return s.followAudit(ctx, q, in)
	}
	// The cursor is from before the page: a record that comes meanwhile is told twice
	// rather than never.
	_, cursor, err := s.cfg.Audit.RecordsAfter(ctx, q, -1)
	if err != nil {
		return nil, err
	}
	records, next, err := s.cfg.Audit.Records(ctx, q)
	if errors.Is(err, telemetry.ErrBadToken) {
		return nil, fault.Validation("nextToken is not one that this operation returned for the same filters")
	}
	if err != nil {
		return nil, err
	}
	out := auditAnswer(records, cursor)
	if next != "" {
		out.NextToken = &next
	}
	return out, nil
}

func (s *Service) followAudit(ctx context.Context, q telemetry.AuditQuery, in *outcrop.ListAuditRecordsRequest) (*outcrop.ListAuditRecordsResponse, error) {
	var deadline <-chan time.Time
	if in.WaitSeconds != nil && *in.WaitSeconds > 0 {
		timer := time.NewTimer(time.Duration(*in.WaitSeconds) * time.Second)
		defer timer.Stop()
		deadline = timer.C
	}
	cursor := max(*in.Cursor, 0)
	for {
		changed := s.cfg.Audit.AuditChanged()
		records, next, err := s.cfg.Audit.RecordsAfter(ctx, q, cursor)
		if err != nil {
			return nil, err
		}
		if cursor = next; len(records) > 0 || deadline == nil {
			return auditAnswer(records, cursor), nil
		}
		select {
		case <-changed:
		case <-deadline:
			return auditAnswer(nil, cursor), nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func auditQuery(in *outcrop.ListAuditRecordsRequest) telemetry.AuditQuery {
	q := telemetry.AuditQuery{Limit: defaultRecords, Failed: in.Failed, NotEvent: listing}
	if in.MaxResults != nil {
		q.Limit = int(*in.MaxResults)
	}
	for from, to := range map[*string]*string{in.ErrorCode: &q.ErrorCode, in.Resource: &q.ResourceName, in.NextToken: &q.Token} {
		if from != nil {
			*to = *from
		}
	}
	if in.EventName != nil {
		q.Event, q.NotEvent = *in.EventName, ""
	}
	if in.Service != nil {
		q.Sources = []string{*in.Service}
	}
	if p := in.Principal; p != nil && (strings.HasPrefix(*p, "arn:") || strings.Contains(*p, "://")) {
		q.Principal = *p
	} else if p != nil {
		q.Username = *p
	}
	if in.Since != nil {
		q.From = *in.Since
	}
	if in.Until != nil {
		q.To = *in.Until
	}
	return q
}

func auditAnswer(records []telemetry.Record, cursor int64) *outcrop.ListAuditRecordsResponse {
	out := &outcrop.ListAuditRecordsResponse{Records: []outcrop.AuditRecord{}, Cursor: &cursor}
	for i := range records {
		r := &records[i]
		one := outcrop.AuditRecord{
			Timestamp: &r.Time, RequestId: &r.RequestID, EventName: &r.Event, Service: &r.Source, Region: &r.Scope.Region,
			Resources: r.Resources, Status: new(int32(r.Status)), ReadOnly: &r.ReadOnly,
		}
		for from, to := range map[*string]**string{
			&r.Principal: &one.Principal, &r.AccessKeyID: &one.AccessKeyId, &r.SourceIP: &one.SourceIp, &r.UserAgent: &one.UserAgent,
			&r.ErrorCode: &one.ErrorCode, &r.ErrorMessage: &one.ErrorMessage,
		} {
			if *from != "" {
				*to = from
			}
		}
		out.Records = append(out.Records, one)
	}
	return out
}
