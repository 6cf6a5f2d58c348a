package route

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/gateway/interceptor"
	"github.com/outcrop/outcrop/internal/gateway/target"
)

// maxSeen bounds an answer that an interceptor sees whole, in bytes: what does not fit
// into a function's payload is not shown in parts.
const maxSeen = interceptor.MaxPayload

// request shows the request to the gateway's interceptor, and goes on with what that makes
// of it. It returns an answer where the interceptor has given one: no target is asked, and
// the interceptor of answers is not either (spec/gateway.md 10).
func (x *exchange) request(ctx context.Context) (*answer, error) {
	if !x.hooks.Requests() {
		return nil, nil
	}
	body, err := x.in.Body.Bytes()
	if err != nil {
		return nil, x.refusal("", err)
	}
	x.seen.Body = body
	changed, set, short, err := x.hooks.Request(ctx, x.seen)
	switch {
	case errors.Is(err, interceptor.ErrTooLarge):
		return nil, fault.New("ValidationException", http.StatusRequestEntityTooLarge,
			"The request has %d bytes, and is too large for this gateway's interceptor: in base64, with its headers, it may have at most %d", len(body), interceptor.MaxPayload).Because(err)
	case err != nil:
		return nil, x.broken(ctx, err)
	case short != nil:
		return x.given(*short), nil
	}
	x.in.Body = target.BodyOf(changed)
	if len(set) > 0 {
		x.authorization = set["Authorization"]
		x.in.Header = x.in.Header.Clone()
		for name, values := range set {
			x.in.Header[name] = values
		}
	}
	return nil, nil
}

// response shows an answer to the gateway's interceptor before any of it reaches the
// caller. One whose body that sees is read first; of one whose body it does not see, the
// rest follows while it comes.
func (x *exchange) response(ctx context.Context, a *answer) (*answer, error) {
	if !x.hooks.Responses() {
		return a, nil
	}
	seen := interceptor.Response{Status: a.resp.StatusCode, Header: a.resp.Header}
	if x.hooks.SeesBody() {
		body, err := io.ReadAll(io.LimitReader(a.resp.Body, maxSeen+1))
		_ = a.resp.Body.Close() // what it holds is given back now; to close it again is harmless
		a.resp.Body = http.NoBody
		switch {
		case err != nil:
			a.close()
			return nil, fault.New("TargetException", http.StatusBadGateway, "The target's answer broke off").Because(err)
		case len(body) > maxSeen:
			a.close()
			return nil, x.unseen(interceptor.ErrTooLarge)
		}
		seen.Body, seen.Replaced = body, true
	}
	out, err := x.hooks.Response(ctx, x.seen, seen)
	switch {
	case errors.Is(err, interceptor.ErrTooLarge):
		a.close()
		return nil, x.unseen(err)
	case err != nil:
		a.close()
		return nil, x.broken(ctx, err)
	case !out.Replaced:
		a.resp.StatusCode, a.resp.Header = out.Status, out.Header
		return a, nil
	}
	a.close()
	return x.given(out), nil
}

// unseen refuses an answer that is too large to be shown.
func (x *exchange) unseen(err error) *fault.Error {
	return fault.New("TargetException", http.StatusBadGateway,
		"The target's answer is too large for this gateway's interceptor of answers: in base64, with its headers, it may have at most %d bytes. The gateway's owner can leave bodies out of what that sees (payloadFilter, RESPONSE_BODY)",
		interceptor.MaxPayload).Because(err)
}

// broken is that an interceptor failed, which its owner reads why of: in the log, and while
// the gateway is debugged.
func (x *exchange) broken(ctx context.Context, err error) *fault.Error {
	x.r.cfg.Log.ErrorContext(ctx, "interceptor failed", "gateway", x.view.ID, "request", x.in.ID, "error", err)
	f := fault.Internal(err)
	if why, ok := errors.AsType[*target.Failure](err); ok && x.view.Debug {
		f.Message = why.Text
	}
	return f
}

// given is an answer that is there already.
func (x *exchange) given(r interceptor.Response) *answer {
	h := r.Header.Clone()
	if h == nil {
		h = http.Header{}
	}
	h.Del("Content-Length")
	if len(r.Body) > 0 {
		h.Set("Content-Length", strconv.Itoa(len(r.Body)))
		if h.Get("Content-Type") == "" {
			h.Set("Content-Type", "application/json") // or else its type would be guessed
		}
	}
	return &answer{
		resp: &http.Response{StatusCode: r.Status, Header: h, Body: io.NopCloser(bytes.NewReader(r.Body)), ContentLength: int64(len(r.Body))},
		done: func() {}, permit: x.permit,
	}
}

// call is on whose behalf targets are asked, with an Authorization that an interceptor has
// set: it goes to the target in the place of the gateway's own credentials.
func (x *exchange) call() target.Call {
	c := x.own()
	if len(x.authorization) > 0 {
		c.Header, c.Intercepted = http.Header{"Authorization": x.authorization}, true
	}
	return c
}

// own is the same of what the gateway asks targets by itself, such as for their models:
// what it learns is everybody's.
func (x *exchange) own() target.Call { return target.Call{RequestID: x.in.ID, Caller: x.in.Caller} }
