// Package bedrockruntime is the front of Amazon Bedrock's runtime: agents call
// models here with the clients they have, and the providers that the operator has
// configured answer (internal/llm, docs/models.md).
//
// Requests to Bedrock itself are handed on as they are. For other providers they
// are translated, and what one of them has no words for is refused by name.
package bedrockruntime

import (
	"context"
	"encoding/json"
	"time"

	"github.com/google/uuid"

	model "github.com/outcrop/outcrop/internal/api/model/bedrockruntime"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/llm"
	"github.com/outcrop/outcrop/internal/llm/chat"
)

// Models finds the model of an id.
type Models interface {
	Find(id string) (*llm.Model, error)
}

// Service implements the generated interface.
type Service struct {
	models Models
	now    func() time.Time
}

var _ model.Models = (*Service)(nil)

// New returns the front of models.
func New(models Models, now func() time.Time) *Service { return &Service{models, now} }

// The actions that calls of models ask for. There are none of Converse's own: AWS
// has those of InvokeModel for both.
const (
	invokeAction = "bedrock:InvokeModel"
	streamAction = "bedrock:InvokeModelWithResponseStream"
	countAction  = "bedrock:CountTokens"
)

// find authorises a call and returns its model. What is allowed is decided by the id that
// the caller writes, which is all that policies of AWS's know. A pattern of the
// configuration may give one model many: a Deny of what its provider calls it holds under
// each.
func (s *Service) find(ctx context.Context, action, id string) (*llm.Model, error) {
	c := pipeline.From(ctx)
	var needs []auth.Requirement
	for _, resource := range resources(id, c.Scope.Region, c.Scope.Account) {
		needs = append(needs, auth.Requirement{Action: action, Resource: resource})
	}
	if err := c.Authorize(ctx, needs...); err != nil {
		return nil, err
	}
	m, err := s.models.Find(id)
	if err != nil || llm.Base(m.Name()) == llm.Base(id) {
		return m, err
	}
	if err := c.Authorize(ctx, auth.Requirement{Action: action, Resource: foundation(c.Scope.Region, m.Name()), Alias: true}); err != nil {
		return nil, err
	}
	return m, nil
}

// foundation is the ARN of the foundation model that an id means.
func foundation(region, id string) string {
	return "arn:aws:bedrock:" + region + "::foundation-model/" + llm.Base(id)
}

// resources are the ARNs of what an id names: the foundation model in every case, so
// that a Deny on it holds however it is called, and what stands before it.
func resources(id, region, account string) []string {
	out := []string{foundation(region, id)}
	switch {
	case len(id) > 4 && id[:4] == "arn:":
		if id != out[0] {
			out = append(out, id)
		}
	case llm.IsProfile(id):
		out = append(out, "arn:aws:bedrock:"+region+":"+account+":inference-profile/"+id)
	}
	return out
}

// Converse answers a conversation as a whole.
func (s *Service) Converse(ctx context.Context, in *model.ConverseRequest) (*model.ConverseResponse, error) {
	m, err := s.find(ctx, invokeAction, *in.ModelId)
	if err != nil {
		return nil, err
	}
	if m.Speaks(llm.Bedrock) {
		return relayConverse(ctx, m, in)
	}
	req, err := asked(*in).request()
	if err != nil {
		return nil, err
	}
	got, err := m.Answer(ctx, req)
	if err != nil {
		return nil, err
	}
	return &model.ConverseResponse{
		Output:     &model.ConverseOutput{Message: &model.Message{Role: new(model.ConversationRoleAssistant), Content: contentOf(got.Content)}},
		StopReason: new(string(got.Stop)), Usage: usageOf(got.Usage), Metrics: &model.ConverseMetrics{LatencyMs: new(got.Latency.Milliseconds())},
	}, nil
}

// ConverseStream answers a conversation as it comes.
func (s *Service) ConverseStream(ctx context.Context, in *model.ConverseStreamRequest) (*model.ConverseStreamResponse, error) {
	m, err := s.find(ctx, streamAction, *in.ModelId)
	if err != nil {
		return nil, err
	}
	if m.Speaks(llm.Bedrock) {
		return relayConverseStream(ctx, m, in)
	}
	req, err := askedOfStream(in).request()
	if err != nil {
		return nil, err
	}
	events, err := m.Stream(ctx, req)
	if err != nil {
		return nil, err
	}
	return &model.ConverseStreamResponse{Stream: streamOf(events)}, nil
}

// CountTokens counts what a request has. Where the provider cannot it is refused:
// an estimate would be taken for a count.
func (s *Service) CountTokens(ctx context.Context, in *model.CountTokensRequest) (*model.CountTokensResponse, error) {
	m, err := s.find(ctx, countAction, *in.ModelId)
	if err != nil {
		return nil, err
	}
	if m.Speaks(llm.Bedrock) {
		return relayCount(ctx, m, in)
	}
	var req *chat.Request
	switch {
	case in.Input.Converse != nil:
		c := in.Input.Converse
		a := asked{Messages: c.Messages, System: c.System, ToolConfig: c.ToolConfig, AdditionalModelRequestFields: c.AdditionalModelRequestFields}
		req, err = a.request()
	case in.Input.InvokeModel != nil:
		var f format
		if f, err = formatOf(*in.ModelId); err == nil {
			req, err = f.parse(in.Input.InvokeModel.Body)
		}
	default:
		err = fault.Validation("input must have converse or invokeModel")
	}
	if err != nil {
		return nil, err
	}
	n, err := m.CountTokens(ctx, req)
	if err != nil {
		return nil, err
	}
	return &model.CountTokensResponse{InputTokens: new(int32(n))}, nil
}

// object reads a document that must be a JSON object, or absent.
func object(doc []byte, member string) (map[string]json.RawMessage, error) {
	if len(doc) == 0 {
		return nil, nil
	}
	var out map[string]json.RawMessage
	if err := json.Unmarshal(doc, &out); err != nil {
		return nil, fault.Validation("%s must be a JSON object", member)
	}
	return out, nil
}

// newID names an answer.
func newID(ctx context.Context) string {
	if id := pipeline.From(ctx).RequestID; id != "" {
		return id
	}
	return uuid.NewString()
}
