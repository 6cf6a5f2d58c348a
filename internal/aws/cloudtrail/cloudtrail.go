// Package cloudtrail is the front of AWS CloudTrail's event history: LookupEvents over
// the audit records that the server keeps of every call (internal/telemetry,
// docs/audit.md).
//
// More is found than on AWS, which leaves calls of the data plane out.
package cloudtrail

import (
	"context"
	"errors"
	"strings"
	"time"

	model "github.com/outcrop/outcrop/internal/api/model/cloudtrail"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/api/schema"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/telemetry"
)

// Audit reads the records.
type Audit interface {
	// Flush makes those that wait readable.
	Flush(ctx context.Context) error
	Records(ctx context.Context, q telemetry.AuditQuery) ([]telemetry.Record, string, error)
}

// Service implements the generated interface.
type Service struct {
	audit Audit
	// hosts are the event sources of services, by the name of their model.
	hosts map[string]string
}

var _ model.Events = (*Service)(nil)

// own is our own API's name, which no host of AWS's has.
const own = "outcrop"

// New returns the front. services are those whose calls are on record.
func New(audit Audit, services []*schema.Service) *Service {
	s := &Service{audit: audit, hosts: map[string]string{}}
	for _, svc := range services {
		s.hosts[svc.Name] = svc.SigningName + ".amazonaws.com"
		if svc.Name == own {
			s.hosts[svc.Name] = own
		}
	}
	return s
}

// host is the event source of a record.
func (s *Service) host(source string) string {
	if h := s.hosts[source]; h != "" {
		return h
	}
	return source + ".amazonaws.com"
}

// sources are the names of services that have an event source: both planes of
// AgentCore have one.
func (s *Service) sources(host string) []string {
	out := []string{strings.TrimSuffix(host, ".amazonaws.com")} // registered or not
	for name, h := range s.hosts {
		if h == host && name != out[0] {
			out = append(out, name)
		}
	}
	return out
}

// pageSize is AWS's own default and most.
const pageSize = 50

// LookupEvents pages through the records of the caller's account and region, the
// newest first.
func (s *Service) LookupEvents(ctx context.Context, in *model.LookupEventsRequest) (*model.LookupEventsResponse, error) {
	q := telemetry.AuditQuery{Scope: pipeline.From(ctx).Scope, Limit: pageSize}
	if in.MaxResults != nil {
		q.Limit = int(*in.MaxResults)
	}
	if in.NextToken != nil {
		q.Token = *in.NextToken
	}
	if err := times(&q, in); err != nil {
		return nil, err
	}
	if len(in.LookupAttributes) > 1 {
		return nil, refused("InvalidLookupAttributesException", "You can only specify one lookup attribute.")
	}
	for _, a := range in.LookupAttributes {
		if err := s.attribute(&q, *a.AttributeKey, *a.AttributeValue); err != nil {
			return nil, err
		}
	}
	if err := s.audit.Flush(ctx); err != nil {
		return nil, err
	}
	records, next, err := s.audit.Records(ctx, q)
	if errors.Is(err, telemetry.ErrBadToken) {
		return nil, refused("InvalidNextTokenException", "NextToken is not one that LookupEvents returned for the same attributes and times.")
	}
	if err != nil {
		return nil, err
	}
	out := &model.LookupEventsResponse{Events: []model.Event{}}
	if next != "" {
		out.NextToken = &next
	}
	for i := range records {
		e, err := s.event(&records[i])
		if err != nil {
			return nil, err
		}
		out.Events = append(out.Events, e)
	}
	return out, nil
}

// refused is an error of CloudTrail's, all of which are 400.
func refused(code, text string) error { return fault.BadRequest(code, "%s", text) }

// times bounds a query; an event at either time is in it.
func times(q *telemetry.AuditQuery, in *model.LookupEventsRequest) error {
	if in.StartTime != nil {
		q.From = *in.StartTime
	}
	if in.EndTime != nil {
		q.To = in.EndTime.Add(time.Microsecond)
	}
	if in.StartTime != nil && in.EndTime != nil && in.EndTime.Before(*in.StartTime) {
		return refused("InvalidTimeRangeException", "StartTime must not be later than EndTime.")
	}
	return nil
}

func (s *Service) attribute(q *telemetry.AuditQuery, key, value string) error {
	switch key {
	case model.LookupAttributeKeyEventId:
		q.RequestID = value
	case model.LookupAttributeKeyEventName:
		q.Event = value
	case model.LookupAttributeKeyReadOnly:
		if value != "true" && value != "false" {
			return refused("InvalidLookupAttributesException", "The value of ReadOnly must be true or false.")
		}
		q.ReadOnly = new(value == "true")
	case model.LookupAttributeKeyUsername:
		q.Username = value
	case model.LookupAttributeKeyResourceName:
		q.ResourceName = value
	case model.LookupAttributeKeyEventSource:
		q.Sources = s.sources(value)
	case model.LookupAttributeKeyAccessKeyId:
		q.AccessKeyID = value
	}
	return nil
}
