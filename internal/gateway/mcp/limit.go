package mcp

import (
	"net/http"

	"github.com/outcrop/outcrop/internal/gateway"
	"github.com/outcrop/outcrop/internal/gateway/ratelimit"
	"github.com/outcrop/outcrop/internal/gateway/tool"
)

// take counts a request against the gateway's rate limits. That comes before anything is
// done for it, interceptors included (spec/gateway.md 10).
func (x *exchange) take(called ratelimit.Called) *failure {
	l := x.e.cfg.Limiter
	if l == nil {
		return nil
	}
	called.Header, called.Body = x.header, x.seen.Body
	refused, header, release := l.Take(x.view, x.caller, called)
	if refused != nil {
		x.returns(header)
		return &failure{Error: *refused, status: http.StatusTooManyRequests}
	}
	if release != nil {
		x.held = append(x.held, release)
	}
	return nil
}

// ended tells those who count that the request has.
func (x *exchange) ended() {
	for _, release := range x.held {
		release()
	}
}

// called is what limits are told that a request is about. A name that nobody has is
// nothing: whoever counted those would count whatever callers think of.
func (x *exchange) called() ratelimit.Called {
	switch x.msg.Method {
	case "tools/call":
		if x.params.Name == tool.Search && x.view.Finder != nil {
			return ratelimit.Called{Tool: tool.Search}
		}
		if one := x.named(); one != nil {
			return ratelimit.Called{Target: one.Target.Name, Tool: one.Name, Unlisted: one.Target.Catalogue.Live}
		}
	case "prompts/get":
		if t, _ := x.prompter(); t != nil {
			return ratelimit.Called{Target: t.Name}
		}
	case "resources/read":
		if t := x.holds(); t != nil {
			return ratelimit.Called{Target: t.Name}
		}
	}
	return ratelimit.Called{}
}

// named is the tool that a request names, or nil.
func (x *exchange) named() *gateway.Tool {
	if x.tool == nil || x.tool.Name != x.params.Name { // an interceptor may have named another
		x.tool, _ = x.view.Find(x.params.Name)
	}
	return x.tool
}
