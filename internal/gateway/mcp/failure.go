package mcp

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/outcrop/outcrop/internal/gateway/target"
)

// The codes of errors: JSON-RPC's, MCP's, and the gateway's own (spec/gateway.md 8.7).
const (
	codeParse          = -32700
	codeInvalidRequest = -32600
	codeUnknownMethod  = -32601
	codeInvalidParams  = -32602
	codeInternal       = -32603

	codeThrottled      = -32003
	codeUnauthorized   = -32002
	codeNoResource     = -32002
	codeHeaderMismatch = -32020
	codeNoCapability   = -32021
	codeNoVersion      = -32022
)

// about is what answers that failed say of their request.
type about struct {
	Request string       `json:"aws.bedrock-agentcore.gateway/requestId,omitempty"`
	Debug   *textContent `json:"debug,omitempty"`
}

// textContent is of a result.
type textContent struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

// generic is all that callers read of a fault where they do not debug.
const generic = "An internal error occurred. Please retry later."

// failure is an error of JSON-RPC and the HTTP status that it has.
type failure struct {
	target.Error
	status int
	err    error // for the log
}

// invalid is a request that is not as MCP wants it.
func invalid(code int, format string, args ...any) *failure {
	return &failure{Error: target.Error{Code: code, Message: fmt.Sprintf(format, args...)}, status: http.StatusBadRequest}
}

// refused is an error in an answer that is HTTP's success: the message was understood.
func refused(code int, format string, args ...any) *failure {
	f := invalid(code, format, args...)
	f.status = http.StatusOK
	return f
}

// internal is a fault of ours.
func internal(err error) *failure {
	return &failure{Error: target.Error{Code: codeInternal, Message: generic}, status: http.StatusInternalServerError, err: err}
}

// modern gives a failure the status that revision 2026-07-28 wants.
func (f *failure) modern() *failure {
	switch f.Code {
	case codeUnknownMethod:
		f.status = http.StatusNotFound
	case codeInvalidParams, codeNoVersion, codeHeaderMismatch, codeNoCapability:
		f.status = http.StatusBadRequest
	}
	return f
}

// failed turns what a target's server said into an answer: a result that a model reads, one
// that asks the caller for more, or an error of JSON-RPC.
func failed(err error, debug bool, request string) (json.RawMessage, *failure) {
	if a, ok := errors.AsType[*target.Asked](err); ok {
		return a.Result, nil
	}
	if e, ok := errors.AsType[*target.Error](err); ok {
		return nil, &failure{Error: *e, status: http.StatusOK, err: err}
	}
	f, ok := errors.AsType[*target.Failure](err)
	if !ok {
		return nil, internal(err)
	}
	return errorResult(f.Text, debug || f.Shown, debug, request), nil
}

// errorResult is a tool's result that says what went wrong, to those who may know.
func errorResult(text string, shown, debug bool, request string) json.RawMessage {
	out := struct {
		Content []textContent `json:"content"`
		IsError bool          `json:"isError"`
		Meta    about         `json:"_meta"`
	}{[]textContent{{"text", generic}}, true, about{Request: request}}
	if shown {
		out.Content[0].Text = text
	}
	if debug {
		out.Meta.Debug = &textContent{"text", text}
	}
	b, err := json.Marshal(out)
	if err != nil { // strings only
		return json.RawMessage(`{"content":[],"isError":true}`)
	}
	return b
}
