package upstream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"

	"github.com/outcrop/outcrop/internal/gateway/target"
	"github.com/outcrop/outcrop/internal/outbound"
)

// The types of failures, words for logs and spans.
const (
	typeUnreachable = "McpServerUnreachable"
	typeRefused     = "McpServerRefused"
	typeFailed      = "McpServerException"
	typeMalformed   = "McpServerMalformedResponse"
	typeTooLarge    = "McpServerResponseTooLarge"
	typeTimeout     = "McpServerTimeout"
	typeBusy        = "McpServerBusy"
	typeInput       = "McpServerNeedsInput"
)

// malformed is an answer that is not of the protocol. What continues "its answer is not
// of MCP: ".
type malformed struct{ what string }

func (e *malformed) Error() string { return "the server's answer is not of MCP: " + e.what }

func malformedf(format string, args ...any) *malformed {
	return &malformed{fmt.Sprintf(format, args...)}
}

// tooLarge is an answer, or all that was streamed before it, beyond what is read.
type tooLarge struct {
	limit  int64 // bytes
	stream bool
}

func (e *tooLarge) Error() string {
	if e.stream {
		return "the server streams without end"
	}
	return fmt.Sprintf("the server's answer has more than %d bytes", e.limit)
}

// broken is a stream that ended before the answer did.
type broken struct{ err error }

func (e *broken) Error() string {
	return "the server ended its stream before it had answered"
}

func (e *broken) Unwrap() error { return e.err }

// refusal is an answer whose status is not one of success.
type refusal struct {
	status   int
	location string // of a redirect
	// rpc is the JSON-RPC error in its body, or nil, and text the body's beginning where
	// it is text.
	rpc  *target.Error
	text string
}

func (e *refusal) Error() string {
	text := fmt.Sprintf("the server answers HTTP %d %s", e.status, http.StatusText(e.status))
	switch {
	case e.rpc != nil && e.rpc.Message != "":
		text += ": " + target.Clean(e.rpc.Message)
	case e.text != "":
		text += ": " + e.text
	}
	return text
}

// fix is what the target's owner does about a refusal.
func (e *refusal) fix() string {
	switch {
	case e.status == http.StatusUnauthorized:
		return "it wants a credential, or another: check the target's credentialProviderConfigurations"
	case e.status == http.StatusForbidden:
		return "check what the target's credential is allowed there"
	case e.status >= 300 && e.status < 400:
		if e.location == "" {
			return "a redirect is not followed: name the server's own address as the endpoint"
		}
		return "a redirect is not followed: if it is the server's, name " + e.location + " as the endpoint"
	case e.status == http.StatusNotFound, e.status == http.StatusMethodNotAllowed:
		return "check the endpoint's path: it is the one that speaks MCP's streamable HTTP, often /mcp"
	case e.status == http.StatusTooManyRequests:
		return "it has too many requests: wait"
	}
	return ""
}

// kind is the failure's type.
func (e *refusal) kind() string {
	if e.status >= 500 {
		return typeFailed
	}
	return typeRefused
}

// because says why a target did not answer: the type for logs, and a text that holds no
// secret. A URL is never part of it, as an API key may stand in its query.
func because(err error) (kind, text string) {
	var (
		refused *outbound.Refused
		tooBig  *outbound.TooLarge
		large   *tooLarge
		bad     *malformed
		status  *refusal
		cut     *broken
		rpc     *target.Error
	)
	switch {
	case errors.As(err, &refused):
		return typeUnreachable, refused.Error()
	case errors.As(err, &status):
		if fix := status.fix(); fix != "" {
			return status.kind(), status.Error() + "; " + fix
		}
		return status.kind(), status.Error()
	case errors.As(err, &large):
		return typeTooLarge, large.Error()
	case errors.As(err, &tooBig):
		return typeTooLarge, (&tooLarge{limit: tooBig.Limit}).Error()
	case errors.As(err, &bad):
		return typeMalformed, bad.Error()
	case errors.As(err, &rpc):
		return typeFailed, fmt.Sprintf("the server answers with JSON-RPC error %d: %s", rpc.Code, target.Clean(rpc.Message))
	case errors.Is(err, context.DeadlineExceeded) || isTimeout(err):
		return typeTimeout, "the server does not answer in time"
	case errors.As(err, &cut):
		return typeUnreachable, cut.Error()
	}
	if text := target.Insecure(err); text != "" {
		return typeUnreachable, text
	}
	switch text := target.Unreached(err); text {
	case "":
	case target.NotHTTP:
		return typeMalformed, text
	default:
		return typeUnreachable, text
	}
	return typeUnreachable, "the server cannot be reached: " + target.Clean(outbound.WithoutURL(err).Error())
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

// closedIdle tells the error of net/http for a kept connection that its server had
// closed before the request was sent on it: nobody has read it. It has no name there.
func closedIdle(err error) bool {
	return outbound.WithoutURL(err).Error() == "http: server closed idle connection"
}

// failure is what a call ends with that its target did not answer. Errors that are the
// caller's to read as they are stay.
func failure(err error) error {
	var (
		ready *target.Failure
		asked *target.Asked
		rpc   *target.Error
	)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &ready):
		return ready
	case errors.As(err, &asked):
		return asked
	case errors.As(err, &rpc):
		return rpc
	case errors.Is(err, context.Canceled):
		return context.Canceled
	}
	var status *refusal
	if errors.As(err, &status) && status.rpc != nil && status.status != http.StatusUnauthorized && status.status != http.StatusForbidden {
		return status.rpc
	}
	kind, text := because(err)
	return target.Fail(kind, outbound.WithoutURL(err), "The MCP server of the target failed: %s.", text)
}
