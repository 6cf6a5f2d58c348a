package mcp

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"

	"github.com/outcrop/outcrop/internal/gateway/interceptor"
	"github.com/outcrop/outcrop/internal/gateway/target"
)

// source is the address that a request came from.
func source(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// intercepted shows a request to the gateway's interceptors, and goes on with what they
// make of it. It reports true where they, or we for them, have answered.
func (x *exchange) intercepted() bool {
	if x.hooks = interceptor.Of(x.view, x.e.cfg.Functions); x.hooks == nil {
		return false
	}
	body, set, short, err := x.hooks.Request(x.ctx, x.seen)
	switch {
	case errors.Is(err, interceptor.ErrTooLarge):
		x.hooks = nil
		f := invalid(codeInvalidRequest, "The request has %d bytes, and is too large for this gateway's interceptor: that is sent at most %d bytes, in which a request is twice, with its headers. Send less than half of that, or a link to what is large",
			len(x.seen.Body), interceptor.MaxPayload)
		f.status, f.err = http.StatusRequestEntityTooLarge, err
		x.refuse(f)
		return true
	case err != nil:
		x.hooks = nil // what did not pass is not shown on
		x.refuse(x.broken(err))
		return true
	case short != nil:
		x.send(*short)
		return true
	}
	x.seen.Body = body
	if len(set) > 0 {
		x.authorization = set["Authorization"]
		x.header = x.header.Clone()
		for name, values := range set {
			x.header[name] = values
		}
	}
	id := x.msg.ID
	m, f := parse(body)
	if f == nil && !m.call() {
		f = invalid(codeInvalidRequest, "a message that nobody answers")
	}
	if f == nil {
		m.ID = id // by which the caller knows the answer
		x.msg = m
		x.params, _, f = m.read()
	}
	if f != nil {
		x.refuse(x.broken(target.Fail("InterceptorException", nil, "The gateway's interceptor made something of the request that cannot be served: %s", f.Message)))
	}
	return f != nil
}

// reply sends an answer, as the gateway's interceptors make it.
func (x *exchange) reply(status int, body []byte) {
	if x.hooks == nil || body == nil {
		x.out.finish(status, body)
		return
	}
	x.send(interceptor.Response{Status: status, Header: maps.Clone(x.out.w.Header()), Body: body, Streaming: x.out.streams()})
}

// send sends an answer that the interceptor of answers has seen.
func (x *exchange) send(a interceptor.Response) {
	hooks := x.hooks
	x.hooks = nil // nobody looks at what is said of them
	a, err := hooks.Response(x.ctx, x.seen, a)
	switch {
	case errors.Is(err, interceptor.ErrTooLarge):
		f := internal(err)
		f.status, f.Message = http.StatusBadGateway, fmt.Sprintf("The answer is too large for this gateway's interceptor of answers: that is sent at most %d bytes, in which the request is twice beside the answer. "+
			"The gateway's owner can leave bodies out of what it sees (payloadFilter, RESPONSE_BODY)", interceptor.MaxPayload)
		x.refuse(f)
		return
	case err != nil:
		x.refuse(x.broken(err))
		return
	}
	for name, values := range a.Header {
		x.out.w.Header()[name] = values
	}
	x.out.finish(a.Status, a.Body)
}

// broken is that an interceptor failed, which its owner reads why of: in the log, and while
// the gateway is debugged.
func (x *exchange) broken(err error) *failure {
	f := internal(err)
	if why, ok := errors.AsType[*target.Failure](err); ok && x.view.Debug {
		f.Message = why.Text
	}
	return f
}

// streams reports whether events are being sent.
func (s *stream) streams() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.begun
}

// shown puts an Authorization that an interceptor has set on a call: it goes to the target
// in the place of the gateway's own credentials.
func (x *exchange) shown(c *target.Call) {
	if len(x.authorization) == 0 {
		return
	}
	if c.Header == nil {
		c.Header = http.Header{}
	}
	c.Header["Authorization"], c.Intercepted = x.authorization, true
}
