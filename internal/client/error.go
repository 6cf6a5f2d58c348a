package client

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strings"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
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

// UnreachableError says that no server answered.
type UnreachableError struct{ Err error }

func (e *UnreachableError) Error() string { return "no server answers: " + e.Err.Error() }

// Unwrap returns what the network said.
func (e *UnreachableError) Unwrap() error { return e.Err }

// NotOutcropError says that something answered that is no Outcrop server.
type NotOutcropError struct{ Endpoint, Detail string }

func (e *NotOutcropError) Error() string {
	return "what answers at " + e.Endpoint + " is no Outcrop server (" + e.Detail + ")"
}

// Explain turns an error of any call into an *Error or an *UnreachableError
// where it is one, and returns every other one as it is.
func Explain(err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	var refused *Error
	if errors.As(err, &refused) {
		return refused
	}
	var api smithy.APIError
	if errors.As(err, &api) {
		e := &Error{Code: api.ErrorCode(), Message: api.ErrorMessage()}
		var res *awshttp.ResponseError
		if errors.As(err, &res) {
			e.Status, e.RequestID = res.HTTPStatusCode(), res.ServiceRequestID()
		}
		return e
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return &UnreachableError{Err: op}
	}
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return &UnreachableError{Err: dns}
	}
	return err
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
	}
	code := res.Header.Get("x-amzn-ErrorType")
	if json.Unmarshal(body, &b) != nil && code == "" {
		return &NotOutcropError{Endpoint: res.Request.URL.Scheme + "://" + res.Request.URL.Host, Detail: "HTTP " + res.Status}
	}
	code = cmp.Or(code, b.Type, res.Status)
	code, _, _ = strings.Cut(code, ":") // name:uri, as some services write it
	code = code[strings.LastIndexByte(code, '#')+1:]
	return &Error{Code: code, Message: b.Message, Status: res.StatusCode, RequestID: res.Header.Get("x-amzn-RequestId")}
}
