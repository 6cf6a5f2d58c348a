package invoke

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/outcrop/outcrop/internal/api/model/agentcore"
	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/api/schema"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/jsonrpc"
	"github.com/outcrop/outcrop/internal/runtime"
	"github.com/outcrop/outcrop/internal/session"
)

// Handlers joins the service with its operations. What an agent's callers are refused
// is worded as its protocol has it.
func (s *Service) Handlers() []schema.Handler {
	handlers := agentcore.RuntimeHandlers(s)
	for i := range handlers {
		switch handlers[i].Operation.Name {
		case "InvokeAgentRuntime", "InvokeAgentRuntimePath", "GetAgentRuntimePath", "DeleteAgentRuntimePath":
			handlers[i].Refuse = s.refuse
		}
	}
	return handlers
}

// refuse words a refusal in the protocol of the agent that was asked for, as far as it
// can be told: what is no agent has none.
func (s *Service) refuse(ctx context.Context, input any, f *fault.Error) *fault.Error {
	var arn, account, qualifier *string
	var payload io.ReadCloser
	switch in := input.(type) {
	case *agentcore.InvokeAgentRuntimeRequest:
		arn, account, qualifier, payload = in.AgentRuntimeArn, in.AccountId, in.Qualifier, in.Payload
	case *agentcore.InvokeAgentRuntimePathRequest:
		arn, account, qualifier, payload = in.AgentRuntimeArn, in.AccountId, in.Qualifier, in.Payload
	case *agentcore.AgentRuntimePathRequest:
		arn, account, qualifier = in.AgentRuntimeArn, in.AccountId, in.Qualifier
	}
	if arn == nil || f.Code == codeUnknownOperation {
		return f
	}
	call := pipeline.From(ctx)
	key, err := sessionKey(call, *arn, wire.Text(account), wire.Text(qualifier), "of nobody")
	if err != nil {
		return f
	}
	server, err := s.protocolOf(ctx, key)
	if err != nil {
		return f
	}
	id := json.RawMessage(jsonrpc.Null)
	if payload != nil && call.ContentLength != 0 && jsonRPC(server.Protocol) {
		id = along(payload).id()
	}
	return reword(server.Protocol, f, id)
}

// protocolOf is how an endpoint serves, or its runtime where there is no such endpoint.
func (s *Service) protocolOf(ctx context.Context, key session.Key) (runtime.Server, error) {
	server, err := s.plans.Server(ctx, key)
	if fault.Is(err, "ResourceNotFoundException") && key.Endpoint != runtime.DefaultEndpoint {
		key.Endpoint = runtime.DefaultEndpoint
		return s.plans.Server(ctx, key)
	}
	return server, err
}

func jsonRPC(protocol string) bool {
	return protocol == agentcorecontrol.ServerProtocolMCP || protocol == agentcorecontrol.ServerProtocolA2A
}

// wording is how a protocol tells an error: with which status, code and text.
type wording struct {
	status  int
	code    any // a number of JSON-RPC or a word of AG-UI
	message string
}

// other is the key of every error that a table does not name.
const other = ""

// The tables of spec/runtime.md 8.4, by the error's name.
func mcpWordings() map[string]wording {
	return map[string]wording{
		"UnauthorizedException":         {401, -32001, "Authentication error - Invalid credentials"},
		"AccessDeniedException":         {403, -32002, "Authorization error - Insufficient permissions"},
		"ThrottlingException":           {200, -32003, "Rate limit exceeded - Too many requests"},
		"ServiceQuotaExceededException": {200, -32003, "Rate limit exceeded - Too many requests"},
		"ResourceNotFoundException":     {200, -32004, "Resource not found - Requested resource does not exist"},
		"ConflictException":             {200, -32005, "Resource conflict - Resource already exists"},
		"RetryableConflictException":    {200, -32005, "Session operation in progress, please retry"},
		"ValidationException":           {200, -32006, "Validation error - Invalid request data"},
		"RuntimeClientError":            {200, -32010, "Tool execution error - Please check your CloudWatch logs for more information"},
		codeMCPUnacceptable:             {406, -32011, "Accept Header Error - MCP protocol requires Accept header: " + mcpAccept},
		// Not in the table: MCP's own rule, and what callers of AWS see (404).
		codeMCPSessionNotFound: {404, -32004, mcpSessionNotFoundWords},
		other:                  {200, -32603, "Internal error - Server error"},
	}
}

func a2aWordings() map[string]wording {
	return map[string]wording{
		"ResourceNotFoundException":     {404, -32051, "Resource not found - Requested resource does not exist"},
		"ValidationException":           {400, -32052, "Validation error - Invalid request data"},
		"ThrottlingException":           {429, -32053, "Rate limit exceeded - Too many requests"},
		"ServiceQuotaExceededException": {429, -32053, "Rate limit exceeded - Too many requests"},
		"ConflictException":             {409, -32054, "Resource conflict - Resource already exists"},
		"RetryableConflictException":    {409, -32054, "Session operation in progress, please retry"},
		"RuntimeClientError":            {424, -32055, "Runtime client error - Please check your CloudWatch logs for more information"},
		other:                           {500, -32603, "Internal error - An unexpected error occurred while processing the request"},
	}
}

func aguiWordings() map[string]wording {
	return map[string]wording{
		"UnauthorizedException":         {401, "UNAUTHORIZED", "Authentication required or invalid credentials"},
		"AccessDeniedException":         {403, "ACCESS_DENIED", "Insufficient permissions for requested operation"},
		"ValidationException":           {400, "VALIDATION_ERROR", "Invalid request data or parameters"},
		"ThrottlingException":           {429, "RATE_LIMIT_EXCEEDED", "Too many requests from client"},
		"ConflictException":             {409, "SESSION_BUSY", "Resource conflict - Resource already exists"},
		"RetryableConflictException":    {409, "SESSION_BUSY", "Session operation in progress, please retry"},
		"ServiceQuotaExceededException": {429, "SERVICE_QUOTA_EXCEEDED", "Service quota exceeded"},
		"RuntimeClientError":            {200, "AGENT_ERROR", "Agent code failed during execution – check your CloudWatch logs"},
		other:                           {500, "INTERNAL_ERROR", "An internal error occurred while processing the request"},
	}
}

// reword tells an error as a protocol does; id is that of the message that failed. The
// texts are the protocol's; ours, which says more, is in a header. What a protocol has
// no words for stays as it is: A2A's callers who are not allowed, and an endpoint of
// AG-UI that does not exist.
func reword(protocol string, f *fault.Error, id json.RawMessage) *fault.Error {
	var table map[string]wording
	switch protocol {
	case agentcorecontrol.ServerProtocolMCP:
		table = mcpWordings()
	case agentcorecontrol.ServerProtocolA2A:
		if f.Status == http.StatusUnauthorized || f.Status == http.StatusForbidden {
			return f
		}
		table = a2aWordings()
	case agentcorecontrol.ServerProtocolAGUI:
		if f.Status == http.StatusNotFound {
			return f
		}
		table = aguiWordings()
	default:
		return f
	}
	w, named := table[f.Code]
	if !named {
		w = table[other]
		if f.Status >= 400 && f.Status < 500 { // too large, of an unknown form
			w = table["ValidationException"]
		}
	}
	body, err := w.body(id)
	if err != nil {
		return f
	}
	c := *f
	c.Status, c.Body, c.Header = w.status, body, f.Header.Clone()
	if c.Header == nil {
		c.Header = http.Header{}
	}
	c.Header.Set("Content-Type", "application/json")
	if !jsonRPC(protocol) {
		c.Header.Set("Content-Type", "text/event-stream")
	}
	c.Header.Set("X-Amzn-Errormessage", headerText(f.Message))
	return c.Because(errors.Unwrap(f))
}

// body is an error of JSON-RPC, or an event of AG-UI's stream.
func (w wording) body(id json.RawMessage) ([]byte, error) {
	if _, event := w.code.(string); event {
		b, err := json.Marshal(struct {
			Type    string `json:"type"`
			Code    any    `json:"code"`
			Message string `json:"message"`
		}{"RUN_ERROR", w.code, w.message})
		return append(append([]byte("data: "), b...), "\n\n"...), err
	}
	type failure struct {
		Code    any    `json:"code"`
		Message string `json:"message"`
	}
	return json.Marshal(struct {
		Version string          `json:"jsonrpc"`
		ID      json.RawMessage `json:"id"`
		Error   failure         `json:"error"`
	}{"2.0", id, failure{w.code, w.message}})
}

// maxHeaderText bounds an error's text in a header, in bytes.
const maxHeaderText = 1 << 10

// headerText is a text that a header can hold.
func headerText(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
	return s[:min(len(s), maxHeaderText)]
}
