package client

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// AgentError is an answer of an agent's own that is no success. Agents of MCP
// and A2A choose the status themselves, and the server passes it on with what they
// say; the SDK would keep neither.
type AgentError struct {
	// Status is the HTTP status, ContentType the type of Body.
	Status      int
	ContentType string
	// Body is what the agent said, up to its first MiB.
	Body []byte
	// SessionID names the session that answered.
	SessionID string
}

func (e *AgentError) Error() string {
	return fmt.Sprintf("the agent answered %d %s", e.Status, http.StatusText(e.Status))
}

// maxAgentError bounds the body of an AgentError, in bytes.
const maxAgentError = 1 << 20

// keepAgentErrors has operations of the data plane return what an agent answered
// as an *AgentError. Refusals of the server have their name in a header.
func keepAgentErrors(stack *middleware.Stack) error {
	return stack.Deserialize.Add(middleware.DeserializeMiddlewareFunc("KeepAgentErrors",
		func(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
			out, meta, err := next.HandleDeserialize(ctx, in)
			r, ok := out.RawResponse.(*smithyhttp.Response)
			if err != nil || !ok || r.StatusCode < 300 || r.Header.Get("X-Amzn-Errortype") != "" || r.Header.Get(sessionHeader) == "" {
				return out, meta, err
			}
			defer func() { _ = r.Body.Close() }()
			body, err := io.ReadAll(io.LimitReader(r.Body, maxAgentError))
			if err != nil {
				return out, meta, fmt.Errorf("read the agent's answer: %w", err)
			}
			return out, meta, &AgentError{Status: r.StatusCode, ContentType: r.Header.Get("Content-Type"), Body: body, SessionID: r.Header.Get(sessionHeader)}
		}), middleware.After)
}
