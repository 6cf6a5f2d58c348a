package pipeline

import (
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/api/protocol"
	"github.com/outcrop/outcrop/internal/api/schema"
	"github.com/outcrop/outcrop/internal/awshost"
)

// Pages of any origin may call the data plane, as AWS lets them (spec/runtime.md 8.2),
// and user pools, at which apps in browsers sign their users in: they know no cookies, so that a page can do no more than its own credentials can.
// That does not open it to pages of the internet where the server is on a private
// network: browsers ask such a server for another header, which is not given.
const (
	corsService = "bedrock-agentcore"
	corsPools   = "cognito-idp"
	corsMaxAge  = "172800" // seconds
	corsExposed = "smithy-protocol, baggage, WWW-Authenticate, Date, Mcp-Session-Id, X-Amzn-Trace-Id, X-Amzn-Bedrock-AgentCore-Runtime-Session-Id, " +
		"Mcp-Protocol-Version, tracestate, x-amzn-ErrorMessage, traceparent, x-amzn-RequestId, x-amzn-ErrorType"
)

// crossOrigin reports whether pages of other origins may read the answers of what was
// found. What is ours alone answers for itself.
func (m match) crossOrigin() bool {
	return m.op != nil && (m.svc.Name == corsPools || m.svc.Name == corsService && !strings.HasPrefix(m.op.Path, "/_outcrop/"))
}

// shareAnswer lets the page that asked read the answer.
func (e *exchange) shareAnswer(h http.Header) {
	if e.r.Header.Get("Origin") == "" || !e.match.crossOrigin() {
		return
	}
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Expose-Headers", corsExposed)
}

// headerNames is a list of header names, as browsers send it.
var headerNames = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+(, ?[!#$%&'*+.^_`|~0-9A-Za-z-]+)*$")

// maxHeaderNames bounds that list, in bytes.
const maxHeaderNames = 4 << 10

// preflight answers a browser that asks, before a request and without credentials,
// whether a page may send it. It reports false for anything else.
func (e *exchange) preflight() bool {
	r := e.r
	method := r.Header.Get("Access-Control-Request-Method")
	if r.Method != http.MethodOptions || method == "" || r.Header.Get("Origin") == "" || bucketOfHost(r.Host) != "" {
		return false
	}
	service := defaultSigning
	if host, ok := awshost.Parse(withoutPort(r.Host)); ok {
		service = host.Service
	}
	asked := r.Header.Get("Access-Control-Request-Headers")
	methods := e.p.routers[service].methods(r)
	if (service == defaultSigning || service == corsPools) && e.p.Serves(corsPools) && callsPools(r, asked) {
		methods = []string{http.MethodPost}
	}
	if !slices.Contains(methods, method) {
		return false
	}
	e.hurry()
	h := e.w.Header()
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Allow-Methods", strings.Join(methods, ", "))
	h.Set("Access-Control-Max-Age", corsMaxAge)
	if len(asked) <= maxHeaderNames && headerNames.MatchString(asked) {
		h.Set("Access-Control-Allow-Headers", asked)
	}
	h.Set("Vary", "Access-Control-Request-Headers")
	e.w.WriteHeader(http.StatusOK)
	return true
}

// callsPools reports whether a page may be about to call user pools. A preflight does
// not say what X-Amz-Target will be: a page may send what is for other services of the
// kind as well, signed with credentials of its own, and reads none of their answers.
func callsPools(r *http.Request, asked string) bool {
	if r.URL.Path != "/" || len(asked) > maxHeaderNames {
		return false
	}
	return slices.ContainsFunc(strings.Split(asked, ","), func(name string) bool {
		return strings.EqualFold(strings.TrimSpace(name), protocol.TargetHeader)
	})
}

// everyMethod are those of paths that take any: gateways' own.
var everyMethod = []string{http.MethodDelete, http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPatch, http.MethodPost, http.MethodPut}

// methods are those of a path that pages of other origins may use.
func (rt *router) methods(r *http.Request) []string {
	if rt == nil {
		return nil
	}
	segs := segments(rt.path(r))
	if slices.ContainsFunc(segs, isDots) {
		return nil
	}
	var values []string
	n := rt.walk(r, segs, &values)
	if n == nil {
		return nil
	}
	var out []string
	for i := range n.routes {
		route := &n.routes[i]
		switch {
		case !(match{svc: route.svc, op: route.op}).crossOrigin():
		case route.method == schema.AnyMethod:
			out = append(out, everyMethod...)
		default:
			out = append(out, route.method)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
