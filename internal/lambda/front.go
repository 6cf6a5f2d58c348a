package lambda

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"

	"github.com/outcrop/outcrop/internal/api/model/lambda"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/fault"
)

// mayInvoke asks for the right to invoke what a caller names.
func mayInvoke(ctx context.Context, text, qualifier *string) (Name, error) {
	c := pipeline.From(ctx)
	n, err := ParseName(c.Scope, wire.Text(text), wire.Text(qualifier))
	if err != nil {
		return n, err
	}
	return n, c.Authorize(ctx, auth.Requirement{Action: "lambda:InvokeFunction", Resource: n.ARN()})
}

// Invoke invokes a function: and waits for it, or has it invoked later, or tells whether
// it could be.
func (a api) Invoke(ctx context.Context, in *lambda.InvocationRequest) (*lambda.InvocationResponse, error) {
	n, err := mayInvoke(ctx, in.FunctionName, in.Qualifier)
	if err != nil {
		return nil, err
	}
	inv := Invocation{
		Scope: n.Scope, Function: n.Function, Qualifier: n.Qualifier, Payload: in.Payload, ClientContext: wire.Text(in.ClientContext),
		RequestID: pipeline.From(ctx).RequestID, Tail: wire.Text(in.LogType) == lambda.LogTypeTail,
	}
	switch wire.Text(in.InvocationType) {
	case lambda.InvocationTypeDryRun:
		if err := a.couldInvoke(ctx, n); err != nil {
			return nil, err
		}
		return &lambda.InvocationResponse{StatusCode: new(int32(http.StatusNoContent)), ExecutedVersion: new(Latest)}, nil
	case lambda.InvocationTypeEvent:
		if err := a.later(ctx, n, inv); err != nil {
			return nil, err
		}
		return &lambda.InvocationResponse{StatusCode: new(int32(http.StatusAccepted)), Payload: []byte{}}, nil
	}
	res, err := a.Service.Invoke(ctx, inv)
	if err != nil {
		return nil, err
	}
	out := &lambda.InvocationResponse{
		StatusCode: new(int32(http.StatusOK)), Payload: res.Payload, FunctionError: wire.Optional(res.FunctionError), ExecutedVersion: wire.Optional(res.Version),
	}
	if inv.Tail {
		out.LogResult = new(base64.StdEncoding.EncodeToString(res.Log))
	}
	return out, nil
}

// couldInvoke reports what would stop an invocation.
func (s *Service) couldInvoke(ctx context.Context, n Name) error {
	doc, err := s.read(ctx, n)
	if fault.Is(err, "ResourceNotFoundException") && s.cfg.Remote != nil {
		return nil
	}
	if err == nil && doc.State.Live == nil {
		err = unready(&doc.State)
	}
	return err
}

// errGone ends the reading of an answer whose client has left.
var errGone = errors.New("the client has left")

// InvokeWithResponseStream invokes a function and passes its answer on as it comes.
func (a api) InvokeWithResponseStream(ctx context.Context, in *lambda.InvokeWithResponseStreamRequest) (*lambda.InvokeWithResponseStreamResponse, error) {
	n, err := mayInvoke(ctx, in.FunctionName, in.Qualifier)
	if err != nil {
		return nil, err
	}
	if wire.Text(in.InvocationType) == lambda.ResponseStreamingInvocationTypeDryRun {
		if err := a.couldInvoke(ctx, n); err != nil {
			return nil, err
		}
		return &lambda.InvokeWithResponseStreamResponse{StatusCode: new(int32(http.StatusNoContent)), ExecutedVersion: new(Latest)}, nil
	}
	tail := wire.Text(in.LogType) == lambda.LogTypeTail
	inv := Invocation{
		Scope: n.Scope, Function: n.Function, Qualifier: n.Qualifier, Payload: in.Payload, ClientContext: wire.Text(in.ClientContext),
		RequestID: pipeline.From(ctx).RequestID, Tail: tail,
	}
	// What cannot be invoked is refused with a status of its own, before the stream.
	parts := make(chan []byte)
	began := make(chan struct{})
	var res Result
	ended := make(chan error, 1)
	left, leave := context.WithCancel(ctx)
	inv.ContentType = func(string) { close(began) }
	inv.Chunk = func(p []byte) error {
		select {
		case parts <- p:
			return nil
		case <-left.Done():
			return errGone
		}
	}
	go func() {
		var err error
		res, err = a.Service.Invoke(ctx, inv)
		ended <- err
	}()
	select {
	case <-began:
	case err := <-ended:
		if err != nil {
			leave()
			return nil, err
		}
		ended <- nil
	}
	return &lambda.InvokeWithResponseStreamResponse{
		StatusCode: new(int32(http.StatusOK)), ExecutedVersion: new(Latest),
		EventStream: func(yield func(*lambda.InvokeWithResponseStreamResponseEvent, error) bool) {
			defer leave()
			for {
				select {
				case p := <-parts:
					if !yield(&lambda.InvokeWithResponseStreamResponseEvent{PayloadChunk: &lambda.InvokeResponseStreamUpdate{Payload: p}}, nil) {
						return
					}
				case err := <-ended:
					if err != nil {
						yield(nil, err)
						return
					}
					yield(&lambda.InvokeWithResponseStreamResponseEvent{InvokeComplete: complete(res, tail)}, nil)
					return
				}
			}
		},
	}, nil
}

func complete(res Result, tail bool) *lambda.InvokeWithResponseStreamCompleteEvent {
	out := &lambda.InvokeWithResponseStreamCompleteEvent{}
	if res.FunctionError != "" {
		out.ErrorCode, out.ErrorDetails = &res.FunctionError, new(string(res.Payload))
	}
	if tail {
		out.LogResult = new(base64.StdEncoding.EncodeToString(res.Log))
	}
	return out
}
