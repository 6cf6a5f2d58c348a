package route

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/gateway"
	"github.com/outcrop/outcrop/internal/gateway/passthrough"
	"github.com/outcrop/outcrop/internal/gateway/ratelimit"
	"github.com/outcrop/outcrop/internal/gateway/target"
	"github.com/outcrop/outcrop/internal/gateway/tool"
)

// Take counts a request by MCP. What it returns last is called when the request has ended,
// unless it is nil; where it is refused, refused says so to the caller, and header is put on the answer
// (mcp.Limiter).
func (r *Router) Take(v *gateway.View, c target.Caller, called ratelimit.Called) (refused *target.Error, header http.Header, release func()) {
	if len(v.Limits) == 0 {
		return nil, nil, nil
	}
	limits := r.of(v).limits
	if called.Unlisted {
		called.Tool = limits.Shared(ratelimit.ToolName, called.Tool, tool.Prefixed(called.Target, "*"))
	}
	if called.Part {
		limits = limits.Called()
	}
	d, permit := r.limiter.Decide(limits, dimensions(c, called))
	if !d.Allowed {
		return d.JSONRPC(), d.Header(), nil
	}
	return nil, nil, permit.Release
}

// dimensions are what limits count calls by: what is called, who calls, and what the caller
// says in the request.
func dimensions(c target.Caller, called ratelimit.Called) func(string) (string, bool) {
	var claims map[string]json.RawMessage
	return func(key string) (string, bool) {
		switch key {
		case "$.context.iam.principal":
			return c.Principal, c.Principal != ""
		case "$.context.iam.sourceIdentity":
			if c.Signed == nil || c.Signed.Session == nil {
				return "", false
			}
			return c.Signed.Session.SourceIdentity, c.Signed.Session.SourceIdentity != ""
		}
		if name, ok := strings.CutPrefix(key, ratelimit.HeaderValue); ok {
			v := strings.Join(called.Header.Values(name), ", ")
			return v, v != ""
		}
		if path, ok := strings.CutPrefix(key, ratelimit.BodyMember); ok {
			return valueOf(member(called.Body, path))
		}
		name, ok := strings.CutPrefix(key, "$.context.jwt.")
		if !ok {
			return called.Value(key)
		}
		if claims == nil {
			claims = claimsOf(c)
		}
		return valueOf(claims[name])
	}
}

// claimsOf are the claims of a caller's token. Who let the caller in has verified it.
func claimsOf(c target.Caller) map[string]json.RawMessage {
	out := map[string]json.RawMessage{}
	if c.Token.Empty() {
		return out
	}
	if part := strings.Split(c.Token.Reveal(), "."); len(part) == 3 {
		if payload, err := base64.RawURLEncoding.DecodeString(part[1]); err == nil {
			_ = json.Unmarshal(payload, &out) // a token that is no JWT has none
		}
	}
	if out == nil {
		out = map[string]json.RawMessage{}
	}
	return out
}

// member is what is at a path, names with dots between, of a body that is JSON.
func member(body []byte, path string) json.RawMessage {
	at := json.RawMessage(body)
	for name := range strings.SplitSeq(path, ".") {
		var of map[string]json.RawMessage
		if json.Unmarshal(at, &of) != nil {
			return nil
		}
		at = of[name]
	}
	return at
}

// valueOf is a value of JSON as limits name it: text as it is, lists with spaces between.
func valueOf(raw json.RawMessage) (string, bool) {
	var text string
	var list []string
	switch {
	case len(raw) == 0 || raw[0] == '{' || string(raw) == "null":
		return "", false
	case json.Unmarshal(raw, &text) == nil:
		return text, text != ""
	case json.Unmarshal(raw, &list) == nil:
		return strings.Join(list, " "), len(list) > 0
	}
	return string(raw), raw[0] != '['
}

// stickiness is what choices by weight stick to at a target, and for how long: what its
// owner names, else the runtime session.
func stickiness(t *gateway.Target, h http.Header) (session string, sticks time.Duration) {
	p := t.Config.Http.Passthrough
	if p == nil || p.StickinessConfiguration == nil {
		return h.Get(passthrough.SessionHeader), 0
	}
	s := p.StickinessConfiguration
	if s.Timeout != nil {
		sticks = time.Duration(*s.Timeout) * time.Second
	}
	var values []string
	for _, name := range target.StickyHeaders(s) {
		v := h.Get(name)
		if v == "" {
			return "", sticks
		}
		values = append(values, v)
	}
	return strings.Join(values, "\x00"), sticks
}
