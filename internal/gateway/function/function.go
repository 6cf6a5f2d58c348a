// Package function is the driver of targets that are Lambda functions (spec/gateway.md
// 5.1): one function that serves the tools that its target's schema lists.
package function

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/outcrop/outcrop/internal/gateway/output"
	"github.com/outcrop/outcrop/internal/gateway/target"
	"github.com/outcrop/outcrop/internal/gateway/tool"
	"github.com/outcrop/outcrop/internal/store"
)

// Kind is the kind of these targets.
const Kind target.Kind = "LAMBDA"

// Functions are those that a gateway may invoke.
type Functions interface {
	// Invoke runs a function and waits for its answer. The role must be allowed to; where
	// it is not, or there is no such function, the error is ErrDenied or ErrNone.
	Invoke(ctx context.Context, in Invocation) (Answer, error)
}

// Invocation is one call of a function.
type Invocation struct {
	Scope store.Scope
	// Role is the ARN of the role that invokes, Gateway and GatewayID what acts as it.
	Role, Gateway, GatewayID string
	// Function is an ARN, with a qualifier or without.
	Function  string
	RequestID string
	// Context is the client context, JSON in base64.
	Context string
	Payload []byte
	// DryRun has it found out whether the function could be invoked, and does not. Nothing
	// is recorded of it.
	DryRun bool
}

// Answer is what a function answered.
type Answer struct {
	Payload []byte
	// Failed is set where the function failed, and Payload says how.
	Failed bool
}

var (
	// ErrDenied says that the role may not invoke the function.
	ErrDenied = errors.New("the role may not invoke the function")
	// ErrNone says that there is no such function.
	ErrNone = errors.New("there is no such function")
)

// Driver is the target.Driver of functions.
type Driver struct{ Functions Functions }

var _ target.Driver = (*Driver)(nil)

// Catalogue reads the tools off the schema.
func (d *Driver) Catalogue(_ context.Context, s target.Source) (target.Catalogue, error) {
	tools, unfit := parse(s.Schema)
	if unfit != nil {
		return target.Catalogue{}, unfit
	}
	return target.Catalogue{Tools: tools}, nil
}

// Problem is what keeps a gateway from invoking a function, as a sentence goes on after the
// function's name; empty where nothing does. Whether there is a function that the role may
// not invoke is not told.
func Problem(ctx context.Context, functions Functions, of target.Source, arn string) string {
	_, err := functions.Invoke(ctx, Invocation{Scope: of.Scope, Role: of.Role, Gateway: of.GatewayARN, GatewayID: of.Gateway, Function: arn, DryRun: true})
	switch {
	case errors.Is(err, ErrNone):
		return "is not there. Calls fail until it is."
	case errors.Is(err, ErrDenied):
		return "cannot be invoked by the role " + of.Role + ". Calls fail until a policy, the role's or the function's, allows lambda:InvokeFunction."
	}
	return ""
}

// functionOf is the ARN of a target's function.
func functionOf(s target.Source) (string, bool) {
	if s.Config == nil || s.Config.Mcp == nil || s.Config.Mcp.Lambda == nil || s.Config.Mcp.Lambda.LambdaArn == nil {
		return "", false
	}
	return *s.Config.Mcp.Lambda.LambdaArn, true
}

// Open implements target.Driver.
func (d *Driver) Open(s target.Source, c target.Catalogue) (target.Server, error) {
	arn, ok := functionOf(s)
	if !ok {
		return nil, target.Unfitf("targetConfiguration.mcp.lambda has no lambdaArn")
	}
	out := &server{functions: d.Functions, source: s, arn: arn, outputs: map[string]*output.Schema{}}
	for _, t := range c.Tools {
		if len(t.OutputSchema) > 0 {
			out.outputs[t.Name] = output.Compile(t.OutputSchema)
		}
	}
	if s.Metadata != nil {
		out.returned = target.Allowed(s.Metadata.AllowedResponseHeaders, target.Returns)
		out.propagates = len(s.Metadata.AllowedRequestHeaders)+len(s.Metadata.AllowedQueryParameters) > 0
	}
	return out, nil
}

// server calls one function.
type server struct {
	functions  Functions
	source     target.Source
	arn        string
	outputs    map[string]*output.Schema // of the tools that say what they return
	returned   []string                  // headers that an answer may have
	propagates bool
}

// Close implements target.Server.
func (*server) Close() error { return nil }

// Call implements target.Server: the event is the arguments themselves, and what else
// there is to know is in the client context.
func (s *server) Call(ctx context.Context, c target.Call) (target.Result, error) {
	clientContext, err := s.context(c)
	if err != nil {
		return target.Result{}, err
	}
	event := []byte(c.Arguments)
	if len(event) == 0 || string(event) == "null" {
		event = []byte("{}")
	}
	answer, err := s.functions.Invoke(ctx, Invocation{
		Scope: s.source.Scope, Role: s.source.Role, Gateway: s.source.GatewayARN, GatewayID: s.source.Gateway, Function: s.arn, RequestID: c.RequestID, Context: clientContext, Payload: event,
	})
	switch {
	case errors.Is(err, ErrDenied):
		return target.Result{}, target.Fail("AccessDeniedException", err,
			"Access denied while invoking Lambda function %s. Check the permissions on the Lambda function and Gateway execution role, and retry the request.", s.arn)
	case errors.Is(err, ErrNone):
		return target.Result{}, target.Fail("ResourceNotFoundException", err, "Lambda function %s not found", s.arn)
	case err != nil:
		return target.Result{}, target.Fail("LambdaException", err, "Lambda function %s could not be invoked", s.arn)
	case answer.Failed:
		return target.Result{}, target.Fail("LambdaException", nil, "Lambda function %s failed: %s", s.arn, Said(answer.Payload))
	}
	return s.result(c.Tool, answer.Payload)
}

// Said is what a function says of its failure, without its stack.
func Said(payload []byte) string {
	var failure struct {
		Message string `json:"errorMessage"`
		Type    string `json:"errorType"`
	}
	if json.Unmarshal(payload, &failure) != nil || failure.Message == "" && failure.Type == "" {
		return "it gave no reason"
	}
	const most = 2000
	if len(failure.Message) > most {
		failure.Message = strings.ToValidUTF8(failure.Message[:most], "") + "..."
	}
	if failure.Type == "" {
		return failure.Message
	}
	return failure.Type + ": " + failure.Message
}

// custom is what functions find in context.client_context.custom.
type custom struct {
	Version string            `json:"bedrockAgentCoreMessageVersion"`
	Request string            `json:"bedrockAgentCoreAwsRequestId"`
	Message string            `json:"bedrockAgentCoreMcpMessageId"`
	Gateway string            `json:"bedrockAgentCoreGatewayId"`
	Target  string            `json:"bedrockAgentCoreTargetId"`
	Tool    string            `json:"bedrockAgentCoreToolName"`
	Headers map[string]string `json:"bedrockAgentCorePropagatedHeaders,omitempty"`
	Query   map[string]string `json:"bedrockAgentCorePropagatedQueryParameters,omitempty"`
}

// context is the client context of a call.
func (s *server) context(c target.Call) (string, error) {
	in := custom{
		Version: "1.0", Request: c.RequestID, Message: c.MessageID, Gateway: s.source.Gateway, Target: s.source.ID, Tool: tool.Prefixed(s.source.Name, c.Tool),
	}
	if s.propagates {
		in.Headers, in.Query = joined(c.Header), joined(c.Query)
	}
	b, err := json.Marshal(struct {
		Custom custom `json:"custom"`
	}{in})
	return base64.StdEncoding.EncodeToString(b), err
}

func joined(values map[string][]string) map[string]string {
	out := map[string]string{}
	for name, list := range values {
		out[name] = strings.Join(list, ",")
	}
	return out
}

// result puts what a function returned into a tool's result, as it is. What is not what the
// tool says that it returns is an error, which clients do not hold to the schema: of a
// success that does not fit, many raise an exception in the place of a result.
func (s *server) result(name string, payload []byte) (target.Result, error) {
	header, payload, failed := s.unwrap(payload)
	payload = bytes.TrimSpace(payload)
	if len(payload) == 0 {
		payload = []byte("null")
	}
	type content struct {
		Type string `json:"type"`
		Text string `json:"text"`
	}
	out := struct {
		IsError    bool            `json:"isError"`
		Content    []content       `json:"content"`
		Structured json.RawMessage `json:"structuredContent,omitempty"`
	}{failed, []content{{"text", string(payload)}}, nil}
	if schema := s.outputs[name]; schema != nil && !failed {
		if why := schema.Unfit(payload); why == "" {
			out.Structured = payload
		} else {
			out.IsError = true
			out.Content[0].Text = fmt.Sprintf("The answer of tool %s does not fit its outputSchema: %s. The answer is: %s", name, why, payload)
		}
	}
	b, err := json.Marshal(out)
	return target.Result{Body: b, Header: header}, err
}

// unwrap takes the headers off an answer that is made like HTTP's, for a target that lets
// some through (spec/gateway.md 3.5), and reports whether its status is an error's.
func (s *server) unwrap(payload []byte) (_ http.Header, body []byte, failed bool) {
	if len(s.returned) == 0 {
		return nil, payload, false
	}
	var answer struct {
		Status  *int              `json:"statusCode"`
		Headers map[string]string `json:"headers"`
		Body    json.RawMessage   `json:"body"`
	}
	if json.Unmarshal(payload, &answer) != nil || answer.Status == nil {
		return nil, payload, false
	}
	failed = *answer.Status >= http.StatusBadRequest
	header := http.Header{}
	for name, value := range answer.Headers {
		for _, allowed := range s.returned {
			if strings.EqualFold(name, allowed) && !strings.ContainsAny(value, "\r\n") {
				header.Set(name, value)
			}
		}
	}
	var text string
	if json.Unmarshal(answer.Body, &text) == nil {
		return header, []byte(text), failed
	}
	return header, answer.Body, failed
}
