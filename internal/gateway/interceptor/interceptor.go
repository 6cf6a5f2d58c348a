// Package interceptor has the Lambda functions of a gateway's owner see, change and answer
// what passes: requests before their target is found, and answers before they reach the
// caller (spec/gateway.md 10). What an interceptor does not let through does not pass.
package interceptor

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/gateway"
	"github.com/outcrop/outcrop/internal/gateway/function"
	"github.com/outcrop/outcrop/internal/gateway/target"
)

// Protocol is the form of what functions are told, and answer.
type Protocol int

// The protocols.
const (
	// MCP has bodies as JSON: those of the MCP endpoint.
	MCP Protocol = iota
	// HTTP has bodies in base64: those of HTTP and inference targets.
	HTTP
)

// key is the member of a payload that a protocol's parts stand in.
func (p Protocol) key() string {
	if p == HTTP {
		return "http"
	}
	return "mcp"
}

// MaxPayload bounds what a function is sent, in bytes: Lambda takes no more. MaxMessage is
// what a request of the MCP endpoint can have at most, which stands in it twice.
const (
	MaxPayload = 6 << 20
	MaxMessage = MaxPayload / 2
)

// ErrTooLarge says that what a function would have to see does not fit into its payload.
var ErrTooLarge = errors.New("what the interceptor would have to see is larger than the payload of a function")

// Request is one of a caller.
type Request struct {
	Protocol     Protocol
	ID, Source   string // of the call, and the address it came from
	Method, Path string
	// Query is shown to interceptors of the HTTP protocol alone.
	Query  string
	Header http.Header
	Body   []byte
}

// Response is the answer to one.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
	// Streaming is set where its head is out: then only the body can change.
	Streaming bool
	// Replaced is set where an interceptor has given the body.
	Replaced bool
}

// Chain is what a gateway's owner has put in between.
type Chain struct {
	functions         function.Functions
	view              *gateway.View
	request, response *hook
}

// hook is one function, and what it is told.
type hook struct {
	arn           string
	headers, body bool
}

// Of returns the interceptors of a gateway, or nil where it has none. Without functions
// to invoke, nothing passes those that it has.
func Of(v *gateway.View, f function.Functions) *Chain {
	if v.Config == nil || len(v.Config.InterceptorConfigurations) == 0 {
		return nil
	}
	c := &Chain{functions: f, view: v}
	for _, in := range v.Config.InterceptorConfigurations {
		h := &hook{body: true}
		if in.Interceptor != nil && in.Interceptor.Lambda != nil {
			h.arn = wire.Text(in.Interceptor.Lambda.Arn)
		}
		if input := in.InputConfiguration; input != nil {
			h.headers = wire.True(input.PassRequestHeaders)
			if input.PayloadFilter != nil {
				for _, e := range input.PayloadFilter.Exclude {
					h.body = h.body && wire.Text(e.Field) != agentcorecontrol.InterceptorPayloadExclusionRESPONSE_BODY
				}
			}
		}
		for _, point := range in.InterceptionPoints {
			switch point {
			case agentcorecontrol.GatewayInterceptionPointREQUEST:
				c.request = h
			case agentcorecontrol.GatewayInterceptionPointRESPONSE:
				c.response = h
			}
		}
	}
	return c
}

// Requests and Responses report whether there is an interceptor of these, and SeesBody
// whether the one of answers sees their bodies. All are false of a nil Chain.
func (c *Chain) Requests() bool  { return c != nil && c.request != nil }
func (c *Chain) Responses() bool { return c != nil && c.response != nil }
func (c *Chain) SeesBody() bool  { return c.Responses() && c.response.body }

// Request shows a request to the interceptor of requests. It returns the request's body as
// that has left it, the headers that it has set, or the answer that it gives itself. Any
// error is that the request must not pass: ErrTooLarge for one that cannot be shown, and a
// *target.Failure where the function is to blame.
func (c *Chain) Request(ctx context.Context, r Request) (body []byte, set http.Header, short *Response, err error) {
	if r.Protocol == MCP && len(r.Body) > MaxMessage {
		return nil, nil, nil, ErrTooLarge // for its answer, too, before a tool is called in vain
	}
	if !c.Requests() {
		return r.Body, nil, nil, nil
	}
	out, err := c.call(ctx, c.request, r, nil)
	if err != nil {
		return nil, nil, nil, err
	}
	if a := out.response; a != nil {
		short = &Response{Status: a.status, Header: http.Header{}, Body: a.body, Replaced: true}
		if short.Status == 0 {
			short.Status = http.StatusOK
		}
		short.set(a.header)
		return nil, nil, short, nil
	}
	body = r.Body
	if t := out.request; t != nil {
		if t.given {
			body = t.body
		}
		set = t.header
		// A function that hands back all headers has not made the caller's signature its
		// own: that one is for this host, and no target's.
		if own := set.Get("Authorization"); strings.HasPrefix(own, "AWS4-") && own == r.Header.Get("Authorization") {
			set.Del("Authorization")
		}
	}
	return body, set, nil, nil
}

// Response shows an answer to the interceptor of answers, and returns it as that has
// changed it: of its headers, what was set stands beside what was there. Any error is that
// the answer must not pass; it is ErrTooLarge for one that cannot be shown.
func (c *Chain) Response(ctx context.Context, r Request, a Response) (Response, error) {
	if !c.Responses() {
		return a, nil
	}
	out, err := c.call(ctx, c.response, r, &a)
	if err != nil || out.response == nil {
		return a, err
	}
	t := out.response
	if t.given {
		a.Body, a.Replaced = t.body, true
	}
	if a.Streaming {
		return a, nil
	}
	if t.status != 0 {
		a.Status = t.status
	}
	if a.Header = a.Header.Clone(); a.Header == nil {
		a.Header = http.Header{}
	}
	a.set(t.header)
	return a, nil
}

// set puts headers on an answer that an interceptor may: none that would hold for the
// other pages of this server, or is of the connection.
func (a *Response) set(h http.Header) {
	for name, values := range h {
		if name != "Content-Length" && !target.OfConnection(name) && !target.OfHost(name) {
			a.Header[name] = values
		}
	}
}

// call asks one function.
func (c *Chain) call(ctx context.Context, h *hook, r Request, a *Response) (output, error) {
	if c.functions == nil {
		return output{}, broke(nil, "interceptor %s: there are no functions", h.arn)
	}
	payload, err := payloadOf(h, r, a)
	if err != nil {
		return output{}, err
	}
	if len(payload) > MaxPayload {
		return output{}, broke(ErrTooLarge, "interceptor %s cannot be invoked", h.arn)
	}
	custom, err := json.Marshal(map[string]map[string]string{"custom": {
		"GATEWAY_ARN": c.view.ARN, "GATEWAY_ACCOUNT_ID": c.view.Scope.Account, "REQUEST_ID": r.ID, "SOURCE_IP": r.Source,
	}})
	if err != nil {
		return output{}, err
	}
	answer, err := c.functions.Invoke(ctx, function.Invocation{
		Scope: c.view.Scope, Role: c.view.Role, Gateway: c.view.ARN, GatewayID: c.view.ID, Function: h.arn, RequestID: r.ID,
		Context: base64.StdEncoding.EncodeToString(custom), Payload: payload,
	})
	switch {
	case errors.Is(err, function.ErrDenied):
		return output{}, broke(err, "Access denied while invoking interceptor %s. Let the gateway's role invoke it (lambda:InvokeFunction)", h.arn)
	case errors.Is(err, function.ErrNone):
		return output{}, broke(err, "interceptor %s not found", h.arn)
	case err != nil && fault.From(err).Status < http.StatusInternalServerError:
		return output{}, broke(err, "interceptor %s could not be invoked: %s", h.arn, fault.From(err).Message)
	case err != nil:
		return output{}, broke(err, "interceptor %s could not be invoked", h.arn)
	case answer.Failed:
		return output{}, broke(nil, "interceptor %s failed: %s", h.arn, function.Said(answer.Payload))
	}
	out, err := parse(r.Protocol, answer.Payload)
	if err != nil {
		return output{}, broke(nil, "interceptor %s %s", h.arn, err)
	}
	return out, nil
}

// broke is an interceptor that does not work. Its text is for its owner.
func broke(cause error, format string, args ...any) error {
	return target.Fail("InterceptorException", cause, format, args...)
}
