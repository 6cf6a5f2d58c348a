package runtime

import (
	"context"
	"strings"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/api/schema"
	"github.com/outcrop/outcrop/internal/fault"
)

// API are the handlers of the control plane.
func (s *Service) API() []schema.Handler {
	handlers := agentcorecontrol.RuntimeHandlers(s)
	for i := range handlers {
		if handlers[i].Operation.Name == "CreateAgentRuntime" {
			handlers[i].Refuse = refuseIdentity
		}
	}
	return handlers
}

// refuseIdentity words the refusal of a caller who may not make the identity of a
// runtime as AWS does, where another service refuses it (spec/identity.md 10.4).
func refuseIdentity(ctx context.Context, _ any, f *fault.Error) *fault.Error {
	if f.Code != "AccessDeniedException" || !strings.Contains(f.Message, " perform: bedrock-agentcore:CreateWorkloadIdentity on ") {
		return f
	}
	c := *f
	c.Message += " (Service: AgentCredentialProvider, Status Code: 403, Request ID: " + pipeline.From(ctx).RequestID + ")"
	return &c
}
