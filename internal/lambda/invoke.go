package lambda

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/session"
	"github.com/outcrop/outcrop/internal/store"
)

// Invocation is what a function is invoked with.
type Invocation struct {
	Scope store.Scope
	// Function is a name or an ARN, with a qualifier or without.
	Function, Qualifier string
	// Payload is the event, JSON; empty is {}.
	Payload []byte
	// ClientContext is JSON in base64, as X-Amz-Client-Context has it; empty for none.
	ClientContext string
	// RequestID names the invocation; empty has one made.
	RequestID string
	// Tail asks for the end of the log.
	Tail bool
	// Chunk is called with each part of the payload as it comes, in place of
	// Result.Payload. An error ends the invocation's answer, not the function.
	Chunk func([]byte) error
	// ContentType is told of a streamed answer before its first Chunk; nil tells nobody.
	ContentType func(string)
}

// Result is what a function answered.
type Result struct {
	Payload []byte
	// FunctionError is Unhandled where the function failed, and Payload is
	// {"errorMessage", "errorType", ...} then; empty where it did not.
	FunctionError string
	// Version is the one that ran.
	Version string
	// Log is the end of the log, at most 4 KiB.
	Log []byte
	// RequestID names the invocation.
	RequestID string
}

// unhandled is the one kind of function error that Lambda still has.
const unhandled = "Unhandled"

// Remote invokes functions that are not here.
type Remote interface {
	Invoke(ctx context.Context, in Invocation) (Result, error)
}

// Invoke invokes a function and waits for its answer. It asks nobody whether the caller
// may. A function that fails is no error: see Result.FunctionError.
//
// Errors are fault.Errors: ResourceNotFoundException, ResourceConflictException for one
// that is not active, TooManyRequestsException, RequestTooLargeException,
// InvalidRequestContentException.
func (s *Service) Invoke(ctx context.Context, in Invocation) (Result, error) {
	n, err := ParseName(in.Scope, in.Function, in.Qualifier)
	if err != nil {
		return Result{}, err
	}
	if in.Payload, err = checkPayload(in.Payload, maxPayload); err != nil {
		return Result{}, err
	}
	if err := checkContext(in.ClientContext); err != nil {
		return Result{}, err
	}
	if in.RequestID == "" {
		in.RequestID = uuid.NewString()
	}
	doc, err := s.read(ctx, n)
	if fault.Is(err, "ResourceNotFoundException") && s.cfg.Remote != nil {
		return s.cfg.Remote.Invoke(ctx, in)
	}
	if err != nil {
		return Result{}, err
	}
	if doc.State.Live == nil {
		return Result{}, unready(&doc.State)
	}
	// As on AWS a function goes on when its caller leaves.
	return s.run(context.WithoutCancel(ctx), doc, n, in)
}

// checkPayload holds an event against the rules, and returns it.
func checkPayload(p []byte, limit int) ([]byte, error) {
	switch {
	case len(p) > limit:
		return nil, tooLarge(limit)
	case len(bytes.TrimSpace(p)) == 0:
		return []byte("{}"), nil
	case !utf8.Valid(p):
		return nil, user("InvalidRequestContentException", http.StatusBadRequest, "Could not parse request body into json: the payload is not UTF-8")
	case !json.Valid(p):
		return nil, user("InvalidRequestContentException", http.StatusBadRequest, "Could not parse request body into json: the payload is not valid JSON")
	}
	return p, nil
}

// run invokes a function in an environment. Where that was gone before anything was
// sent, another is taken.
func (s *Service) run(ctx context.Context, doc functionDoc, n Name, in Invocation) (Result, error) {
	own := owner(doc.ID, doc.State.ID)
	for attempt := 0; ; attempt++ {
		env, err := s.take(doc.Scope, own, doc.State.Live.Number)
		if err != nil {
			return Result{}, err
		}
		res, usable, err := s.runIn(ctx, doc, n, in, env)
		s.give(env, usable)
		var dial *session.DialError
		if attempt < 2 && (errors.As(err, &dial) || errors.Is(err, session.ErrStopping)) && !env.fresh {
			continue
		}
		if dial != nil {
			err = fault.New("ServiceException", http.StatusInternalServerError, "The environment of the function was not reached.").Because(err)
		}
		return res, s.worded(err)
	}
}

// worded gives the errors of sessions Lambda's words.
func (s *Service) worded(err error) error {
	disk, isDisk := errors.AsType[*session.DiskError](err)
	switch {
	case isDisk:
		return throttled("This host has no room for another environment: " + disk.Error() + ". A smaller EphemeralStorage needs less.").Because(err)
	case errors.Is(err, session.ErrLimit):
		return throttled("This host has no room for another environment.").Because(err)
	case errors.Is(err, session.ErrClosed), errors.Is(err, session.ErrStopping), errors.Is(err, session.ErrElsewhere):
		return fault.New("ServiceException", http.StatusInternalServerError, "The server is stopping. Please try again.").Because(err)
	}
	return err
}

// runIn invokes a function in one environment, and reports whether that can be used
// again.
func (s *Service) runIn(ctx context.Context, doc functionDoc, n Name, in Invocation, env environment) (res Result, usable bool, err error) {
	v := doc.State.Live
	begun := s.cfg.Now()
	use, err := s.cfg.Sessions.Acquire(ctx, env.key, func(ctx context.Context, _ string) (session.Plan, error) { return s.plan(ctx, doc, v, env.key) })
	var start *session.StartError
	if errors.As(err, &start) {
		return s.unstarted(in, doc, v, env, begun, start).Result, false, nil
	}
	if err != nil {
		return res, false, err
	}
	defer use.Release()
	out := use.Detail().(detail).out
	mark := randomID(12)
	out.begin(in.RequestID, "\x1e"+mark+"\x1e")
	c := call{s: s, in: in, name: n, v: v, stream: out.stream, mark: mark, limit: time.Duration(v.Settings.Timeout) * time.Second}
	if env.fresh {
		c.initialised = s.cfg.Now().Sub(begun)
	}
	c.begun = s.cfg.Now()
	got, err := c.send(ctx, use)
	var dial *session.DialError
	switch {
	case errors.As(err, &dial):
		out.cut()
		return res, false, err
	case err != nil:
		got, err = c.failed(ctx, use, out, err)
		return got.Result, false, err
	}
	got.Log = out.end(c.report(got, "")...)
	return got.Result, !got.ended, nil
}
