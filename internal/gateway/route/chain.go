package route

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/gateway/rule"
	"github.com/outcrop/outcrop/internal/gateway/target"
)

const firstByteTimeout = agentcorecontrol.FallbackErrorFIRST_BYTE_TIMEOUT

var errFirstByte = errors.New("the target's answer did not begin in time")

// prepare says whom to ask, and what, at a hop of a route.
type prepare func(rule.Hop) (target.Web, *target.Request, error)

// try asks the targets of a route, one after another while their failures lead on. Nobody
// has seen a byte of an answer that is given up.
func (x *exchange) try(ctx context.Context, route *rule.Route, request *target.Request, prepare prepare) (*answer, error) {
	if len(route.Hops) > 1 {
		if _, err := request.Body.Bytes(); err != nil {
			return nil, x.refusal(route.Hops[0].Target, err)
		}
	}
	for i, hop := range route.Hops {
		last := i == len(route.Hops)-1
		key := x.view.ID + "\x00" + hop.Target + "\x00" + hop.Model
		if route.Breaker && !last && !x.r.breakers.Allow(key) {
			continue
		}
		a, err := x.ask(ctx, hop, prepare)
		kind, down := failing(a, err)
		if route.Breaker && kind != target.Unroutable && ctx.Err() == nil {
			x.r.breakers.Done(key, down)
		}
		leads := err != nil && kind != "" && hop.Triggers.Error(kind) || err == nil && hop.Triggers.Status(a.resp.StatusCode)
		if last || !leads || ctx.Err() != nil {
			if err != nil {
				return nil, x.refusal(hop.Target, err)
			}
			return a, nil
		}
		x.r.cfg.Log.InfoContext(ctx, "target failed, the next is tried", "gateway", x.view.ID, "rule", route.Rule, "target", hop.Target, "request", x.in.ID, "error", err)
		if a != nil {
			a.close()
		}
	}
	return nil, x.refusal("", errors.New("a route has no target")) // rules always have one
}

// failing classifies how a target failed, if it did: by one of the errors that rules
// know, and whether it is to blame.
func failing(a *answer, err error) (kind string, down bool) {
	if err == nil {
		return "", a.resp.StatusCode >= http.StatusInternalServerError
	}
	f, ok := errors.AsType[*target.Failure](err)
	if !ok {
		return "", false
	}
	switch f.Type {
	case target.ConnectionError, firstByteTimeout:
		return f.Type, true
	case target.Unroutable:
		return f.Type, false
	}
	return "", false
}

// ask asks one target.
func (x *exchange) ask(ctx context.Context, hop rule.Hop, prepare prepare) (*answer, error) {
	web, request, err := prepare(hop)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	var timer *time.Timer
	if hop.FirstByte > 0 {
		timer = time.AfterFunc(hop.FirstByte, func() { cancel(errFirstByte) })
	}
	resp, err := web.Send(ctx, request)
	if timer != nil && !timer.Stop() && context.Cause(ctx) == errFirstByte {
		if resp != nil {
			_ = resp.Body.Close() // it came too late
		}
		cancel(nil)
		return nil, target.Fail(firstByteTimeout, errFirstByte, "%s did not begin to answer within %s", hop.Target, hop.FirstByte)
	}
	if err != nil {
		cancel(nil)
		return nil, err
	}
	return &answer{resp: resp, done: func() { cancel(nil) }, permit: x.permit}, nil
}

// refusal words what kept a target from answering.
func (x *exchange) refusal(name string, err error) *fault.Error {
	f, ok := errors.AsType[*target.Failure](err)
	if !ok {
		return fault.From(err)
	}
	status, code := http.StatusBadGateway, "TargetException"
	switch f.Type {
	case target.BadRequest:
		status, code = http.StatusBadRequest, "ValidationException"
	case target.TooLarge:
		status, code = http.StatusRequestEntityTooLarge, "ValidationException"
	case firstByteTimeout:
		status = http.StatusGatewayTimeout
	case target.Busy:
		status = http.StatusServiceUnavailable
	case target.NoCredentials:
		if f.Shown {
			status, code = http.StatusForbidden, "AccessDeniedException"
		}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		status = http.StatusGatewayTimeout
	}
	text := f.Text
	if !f.Shown && !x.view.Debug {
		text = "Target " + fault.Clip(name, 100) + " could not be asked, or did not answer. The gateway's log says why under this request's id; with exceptionLevel DEBUG callers read it, too"
	} else if f.Err != nil && x.view.Debug {
		text += ": " + f.Err.Error()
	}
	if status >= http.StatusInternalServerError {
		x.r.cfg.Log.Info("target did not answer", "gateway", x.view.ID, "target", name, "request", x.in.ID, "error", err)
	}
	out := fault.New(code, status, "%s", text)
	return out.Because(err)
}
