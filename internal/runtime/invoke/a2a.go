package invoke

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/outcrop/outcrop/internal/agentcard"
	"github.com/outcrop/outcrop/internal/api/model/agentcore"
	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/runtime"
	"github.com/outcrop/outcrop/internal/session"
)

// codeUnknownOperation is the pipeline's name of a path that nobody serves.
const codeUnknownOperation = "UnknownOperationException"

// GetAgentCard is what an agent says of itself, with the URLs at which this caller
// reaches it in place of those of its own: it cannot know them.
func (s *Service) GetAgentCard(ctx context.Context, in *agentcore.GetAgentCardRequest) (*agentcore.GetAgentCardResponse, error) {
	call := pipeline.From(ctx)
	// The operation has no accountId: a bare id is the caller's own.
	key, err := sessionKey(call, *in.AgentRuntimeArn, call.Scope.Account, wire.Text(in.Qualifier), wire.Text(in.RuntimeSessionId))
	if err != nil {
		return nil, err
	}
	if err := s.speaksA2A(ctx, key); err != nil {
		return nil, err
	}
	m := message{method: http.MethodGet, path: agentcard.Path, header: http.Header{"Accept": {"application/json"}}}
	out, err := s.send(ctx, key, &m, s.start(key))
	if err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(io.LimitReader(out.Response, agentcard.Max+1))
	if err := errors.Join(err, out.Response.Close()); err != nil {
		return nil, fault.RuntimeClient("The agent's card broke off. Please check your CloudWatch logs for more information.").Because(err)
	}
	if len(raw) > agentcard.Max {
		return nil, fault.RuntimeClient("The agent's card has more than %d bytes", agentcard.Max)
	}
	card, err := agentcard.WithURL(raw, invocationURL(call.BaseURL, key))
	if err != nil {
		return nil, fault.RuntimeClient("The agent's card at %s is no JSON object", agentcard.Path).Because(err)
	}
	return &agentcore.GetAgentCardResponse{RuntimeSessionId: &key.ID, AgentCard: card, StatusCode: new(int32(http.StatusOK))}, nil
}

// speaksA2A refuses an endpoint whose agents do not.
func (s *Service) speaksA2A(ctx context.Context, key session.Key) error {
	server, err := s.plans.Server(ctx, key)
	if err == nil && server.Protocol != agentcorecontrol.ServerProtocolA2A {
		err = fault.Validation("Agent runtime '%s' speaks %s; only agents that speak A2A have a card (protocolConfiguration)", key.Owner, server.Protocol)
	}
	return err
}

// invocationURL is where an endpoint is invoked, as a caller of a host writes it.
func invocationURL(base string, key session.Key) string {
	u := base + "/runtimes/" + url.QueryEscape(runtime.ARN(key.Scope, key.Owner)) + "/invocations"
	if key.Endpoint != runtime.DefaultEndpoint {
		u += "?qualifier=" + url.QueryEscape(key.Endpoint)
	}
	return u
}

// InvokeAgentRuntimePath POSTs to a path of an agent that speaks A2A below that of
// InvokeAgentRuntime, which is its root.
func (s *Service) InvokeAgentRuntimePath(ctx context.Context, in *agentcore.InvokeAgentRuntimePathRequest) (*agentcore.InvokeAgentRuntimeResponse, error) {
	m := message{method: http.MethodPost, body: &in.Payload, length: pipeline.From(ctx).ContentLength, header: http.Header{}}
	m.setIf("Content-Type", in.ContentType)
	return s.below(ctx, &m, pathOf(in.AgentRuntimeArn, in.Path, in.Qualifier, in.AccountId, in.RuntimeSessionId, in.Accept))
}

// GetAgentRuntimePath GETs such a path.
func (s *Service) GetAgentRuntimePath(ctx context.Context, in *agentcore.AgentRuntimePathRequest) (*agentcore.InvokeAgentRuntimeResponse, error) {
	m := message{method: http.MethodGet, header: http.Header{}}
	return s.below(ctx, &m, pathOf(in.AgentRuntimeArn, in.Path, in.Qualifier, in.AccountId, in.RuntimeSessionId, in.Accept))
}

// DeleteAgentRuntimePath DELETEs such a path.
func (s *Service) DeleteAgentRuntimePath(ctx context.Context, in *agentcore.AgentRuntimePathRequest) (*agentcore.InvokeAgentRuntimeResponse, error) {
	m := message{method: http.MethodDelete, header: http.Header{}}
	return s.below(ctx, &m, pathOf(in.AgentRuntimeArn, in.Path, in.Qualifier, in.AccountId, in.RuntimeSessionId, in.Accept))
}

// agentPath is a path of an agent, as its caller names it.
type agentPath struct {
	arn, path, qualifier, account, session string
	accept                                 *string
}

func pathOf(arn, path, qualifier, account, session, accept *string) agentPath {
	return agentPath{*arn, *path, wire.Text(qualifier), wire.Text(account), wire.Text(session), accept}
}

// below sends a message to a path of an agent. Of other protocols there is none below
// the one; that of a protected resource is the platform's own.
func (s *Service) below(ctx context.Context, m *message, at agentPath) (*agentcore.InvokeAgentRuntimeResponse, error) {
	call := pipeline.From(ctx)
	key, err := sessionKey(call, at.arn, at.account, at.qualifier, at.session)
	if err != nil {
		return nil, err
	}
	if err := s.speaksA2A(ctx, key); err != nil || at.path == ".well-known/oauth-protected-resource" {
		if err == nil || fault.Is(err, "ValidationException") {
			err = fault.New(codeUnknownOperation, http.StatusNotFound, "There is no operation at this path")
		}
		return nil, err
	}
	m.setIf("Accept", at.accept)
	_, sent, _ := strings.Cut(call.Path, "/invocations/") // in at.path %2F is a slash
	m.path = "/" + strings.TrimLeft(sent, "/")
	if query := agentQuery(call.Query); query != "" {
		m.path += "?" + query
	}
	return s.send(ctx, key, m, s.start(key))
}

// agentQuery is a query without what is the platform's own.
func agentQuery(raw string) string {
	var kept []string
	for pair := range strings.SplitSeq(raw, "&") {
		name, _, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(name)
		lower := strings.ToLower(name)
		if err != nil || name == "" || name == "qualifier" || name == "accountId" || strings.HasPrefix(lower, "x-amz-") || strings.HasPrefix(lower, "x-amzn-") {
			continue
		}
		kept = append(kept, pair)
	}
	return strings.Join(kept, "&")
}
