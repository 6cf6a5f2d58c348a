package client

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"

	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// Error is a refusal by the server, in the words it gave.
type Error struct {
	Code, Message string
	// Status is the HTTP status, or 0 when it is not known.
	Status int
	// RequestID is how the server's log names the call; it may be empty.
	RequestID string
}

func (e *Error) Error() string { return cmp.Or(e.Message, e.Code) }

// Explain turns an error of any call into an *Error, an *AgentError, an
// *UnreachableError, a *LostError or a *NotOutcropError where it is one, and
// returns every other one as it is. What it returns has the words of AWS's SDK in Err alone.
func Explain(err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	var (
		refused     *Error
		agent       *AgentError
		unreachable *UnreachableError
		lost        *LostError
		foreign     *NotOutcropError
		api         smithy.APIError
	)
	switch {
	case errors.As(err, &refused):
		return refused
	case errors.As(err, &agent):
		return agent
	case errors.As(err, &unreachable):
		return unreachable
	case errors.As(err, &lost):
		return lost
	case errors.As(err, &foreign):
		return foreign
	}
	if f := foreignAnswer(err); f != nil {
		return f
	}
	if errors.As(err, &api) {
		e := &Error{Code: api.ErrorCode(), Message: api.ErrorMessage()}
		var res *awshttp.ResponseError
		if errors.As(err, &res) {
			e.Status, e.RequestID = res.HTTPStatusCode(), res.ServiceRequestID()
			if res.Response != nil && res.Response.Response != nil {
				e.Message = cmp.Or(e.Message, res.Response.Header.Get(messageHeader))
			}
		}
		return e
	}
	return explainNetwork(err)
}

// messageHeader has the server's words where the body has those of the protocol that
// an agent speaks.
const messageHeader = "X-Amzn-Errormessage"

// Told is the error that an answer tells in its agent's protocol, which may give it
// the status of a success (MCP, AG-UI); nil when it is an agent's own.
func Told(answer middleware.Metadata) *Error {
	r, ok := awsmiddleware.GetRawResponse(answer).(*smithyhttp.Response)
	if !ok || r.Response == nil || r.Header.Get("X-Amzn-Errortype") == "" {
		return nil
	}
	return &Error{
		Code: r.Header.Get("X-Amzn-Errortype"), Message: r.Header.Get(messageHeader), Status: r.StatusCode, RequestID: r.Header.Get("X-Amzn-Requestid"),
	}
}

// explainNetwork tells what the network said of a call: nobody is there, the
// connection ended early, or what answers speaks something else.
func explainNetwork(err error) error {
	var op *net.OpError
	var dns *net.DNSError
	switch {
	case errors.As(err, &op) && (op.Op == "dial" || op.Op == "proxyconnect"):
		return &UnreachableError{Err: op}
	case errors.As(err, &dns):
		return &UnreachableError{Err: dns}
	}
	if f := foreignWire(err); f != nil {
		return f
	}
	var timeout net.Error
	switch {
	case errors.As(err, &timeout) && timeout.Timeout(),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.ECONNABORTED), errors.Is(err, syscall.EPIPE):
		return &LostError{Err: err}
	}
	return err
}

// foreignAnswer recognises an HTTP answer that no Outcrop server gives: all of
// ours have a request id.
func foreignAnswer(err error) *NotOutcropError {
	var res *awshttp.ResponseError
	if !errors.As(err, &res) || res.Response == nil || res.Response.Response == nil {
		return nil
	}
	r := res.Response.Response
	if r.StatusCode == 0 || hasRequestID(r.Header) {
		return nil
	}
	return &NotOutcropError{Endpoint: endpointOf(r), Detail: "HTTP " + cmp.Or(r.Status, http.StatusText(r.StatusCode)), Err: err}
}

// hasRequestID reports whether an answer names its call as AWS's services do.
func hasRequestID(h http.Header) bool {
	return h.Get("x-amzn-RequestId") != "" || h.Get("x-amz-request-id") != ""
}

func endpointOf(r *http.Response) string {
	if r.Request == nil || r.Request.URL == nil {
		return ""
	}
	return r.Request.URL.Scheme + "://" + r.Request.URL.Host
}

// Is reports whether err is a refusal with this code.
func Is(err error, code string) bool {
	var e *Error
	return errors.As(Explain(err), &e) && e.Code == code
}

// answerError reads a refusal of our own API.
func answerError(res *http.Response, body []byte) error {
	var b struct {
		Type    string `json:"__type"`
		Message string `json:"message"`
		Error   string `json:"error"` // where a shell could not be attached to (spec/runtime.md 9.3)
	}
	if bytes.HasPrefix(body, []byte("<ErrorResponse")) {
		return queryError(res, body)
	}
	code := res.Header.Get("x-amzn-ErrorType")
	if json.Unmarshal(body, &b) != nil && code == "" {
		return &NotOutcropError{Endpoint: endpointOf(res), Detail: "HTTP " + res.Status}
	}
	code = cmp.Or(code, b.Type, res.Status)
	code, _, _ = strings.Cut(code, ":") // name:uri, as some services write it
	code = code[strings.LastIndexByte(code, '#')+1:]
	return &Error{Code: code, Message: cmp.Or(b.Message, b.Error), Status: res.StatusCode, RequestID: res.Header.Get("x-amzn-RequestId")}
}
