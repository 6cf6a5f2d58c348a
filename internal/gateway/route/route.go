// Package route answers the callers of a gateway at all paths but MCP's: it leads
// requests to targets that speak HTTP and to providers of models, by the gateway's rules
// and within its rate limits (spec/gateway.md 5.7 to 5.10, 7, 11, 12).
package route

import (
	"cmp"
	"context"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/gateway"
	"github.com/outcrop/outcrop/internal/gateway/function"
	"github.com/outcrop/outcrop/internal/gateway/interceptor"
	"github.com/outcrop/outcrop/internal/gateway/passthrough"
	"github.com/outcrop/outcrop/internal/gateway/ratelimit"
	"github.com/outcrop/outcrop/internal/gateway/rule"
	"github.com/outcrop/outcrop/internal/gateway/target"
)

// Config is what a Router is made of. All members are required but Functions.
type Config struct {
	Now func() time.Time
	Log *slog.Logger
	// Functions are those that intercept what passes.
	Functions function.Functions
}

// Router leads requests to targets. It is safe for concurrent use.
type Router struct {
	cfg      Config
	limiter  *ratelimit.Limiter
	memory   *rule.Memory
	breakers *rule.Breakers
	turn     atomic.Uint64 // whose it is of targets that have the same model

	mu       sync.RWMutex
	compiled map[string]*compiled // by gateway
}

// New returns a Router.
func New(cfg Config) *Router {
	return &Router{
		cfg: cfg, limiter: ratelimit.New(cfg.Now), memory: rule.NewMemory(cfg.Now, rand.IntN), breakers: rule.NewBreakers(cfg.Now),
		compiled: map[string]*compiled{},
	}
}

// compiled is what was made of a view.
type compiled struct {
	view   *gateway.View
	limits *ratelimit.Set
	rules  *rule.Rules
}

// maxCompiled bounds the gateways that are kept compiled; one more empties them.
const maxCompiled = 4096

// of returns the limits and rules of a gateway.
func (r *Router) of(v *gateway.View) *compiled {
	r.mu.RLock()
	c := r.compiled[v.ID]
	r.mu.RUnlock()
	if c != nil && c.view == v {
		return c
	}
	c = &compiled{v, ratelimit.Compile(v.ID, v.Limits), rule.Compile(v.ID, v.Rules)}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.compiled) >= maxCompiled {
		clear(r.compiled)
	}
	r.compiled[v.ID] = c
	return c
}

// Request is one HTTP request of a caller who was let in.
type Request struct {
	View   *gateway.View
	Caller target.Caller
	ID     string
	// Source is the address that the request came from.
	Source string
	Method string
	// Base is the gateway's URL as the caller reaches it, without a slash at its end.
	Base string
	// Path is what follows the gateway's own, escaped as it came, and begins with a
	// slash. Query is without its question mark.
	Path, Query string
	Header      http.Header
	Body        *target.Body
}

// callLimit bounds a request and its answer (spec/gateway.md 6).
const callLimit = 15 * time.Minute

// Handle sends a request to its target and returns what passes the answer on. The error
// is a *fault.Error, in the form that the callers of the path know.
func (r *Router) Handle(ctx context.Context, in Request) (http.Handler, error) {
	x := &exchange{r: r, in: in, compiled: r.of(in.View), hooks: interceptor.Of(in.View, r.cfg.Functions)}
	x.seen = interceptor.Request{Protocol: interceptor.HTTP, ID: in.ID, Source: in.Source, Method: in.Method, Path: in.Path, Query: in.Query, Header: in.Header}
	name, rest, slash := strings.Cut(strings.TrimPrefix(in.Path, "/"), "/")
	if slash {
		rest = "/" + rest
	}
	switch {
	case in.View.MCP:
		return nil, fault.NotFound("Gateway %s is kept to MCP (its protocolType) and has nothing at the path %s. Its MCP endpoint is %s/mcp", in.View.ID, fault.Clip(in.Path, 100), in.Base)
	case name == "":
		return nil, fault.NotFound("There is nothing at the URL of gateway %s itself. Its MCP endpoint is %[2]s/mcp, its targets are at %[2]s/TARGET/... and models at %[2]s/inference/v1/...", in.View.ID, in.Base)
	case in.Header.Get("Upgrade") != "":
		return nil, fault.Validation("WebSockets and other upgrades do not pass through a gateway. Call the target itself, or let it stream its answer")
	}
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	var a *answer
	var err error
	if name == inferencePath {
		a, err = x.infer(ctx, cmp.Or(rest, "/"))
	} else {
		a, err = x.http(ctx, name, rest)
	}
	if err != nil {
		x.permit.Release()
		cancel()
		return nil, err
	}
	return a.ending(cancel), nil
}

// exchange is one request on its way.
type exchange struct {
	*compiled
	r      *Router
	in     Request
	permit *ratelimit.Permit

	// hooks are the gateway's interceptors, seen what they are shown of the request, and
	// authorization one that they have set.
	hooks         *interceptor.Chain
	seen          interceptor.Request
	authorization []string
}

// http leads to a target that speaks HTTP.
func (x *exchange) http(ctx context.Context, name, path string) (*answer, error) {
	named := x.target(name)
	if named == nil {
		return nil, fault.NotFound("Gateway %s has no target named %s that serves HTTP at the moment", x.view.ID, fault.Clip(name, 100))
	}
	if err := passthrough.CheckPath(path); err != nil {
		return nil, x.refusal(name, err)
	}
	if x.limits.ReadsBody() {
		if _, err := x.in.Body.Bytes(); err != nil {
			return nil, x.refusal(name, err)
		}
	}
	d, permit := x.r.limiter.Decide(x.limits, x.dimensions(ratelimit.Called{Target: name}))
	if !d.Allowed {
		f := fault.Throttled("Rate limit exceeded")
		f.Body, f.Header = d.HTTP(), d.Header()
		return nil, f
	}
	x.permit = permit
	if short, err := x.request(ctx); short != nil || err != nil {
		return short, err
	}
	request := &target.Request{
		Call: x.call(), Method: x.in.Method, Path: path, Query: x.in.Query,
		Header: x.in.Header, Body: x.in.Body, Session: x.in.Header.Get(passthrough.SessionHeader), Base: x.in.Base + "/" + name + "/",
	}
	session, sticks := stickiness(named, x.in.Header)
	choice := x.rules.Choose(rule.Request{Principal: x.in.Caller.Principal, Target: name, Session: session, Sticks: sticks}, x.r.memory)
	if choice.Bundle != nil {
		request.Baggage = choice.Bundle.Baggage(strings.Join(x.in.Header.Values("Baggage"), ","))
	}
	route := choice.Route
	if route == nil {
		route = &rule.Route{Hops: []rule.Hop{{Target: name}}}
	}
	a, err := x.try(ctx, route, request, func(hop rule.Hop) (target.Web, *target.Request, error) {
		t := x.target(hop.Target)
		if t == nil {
			return nil, nil, target.Fail(target.Unroutable, nil, "Target %s, to which a rule leads, is gone, does not serve, or does not speak HTTP", hop.Target)
		}
		return t.Server.(target.Web), request, nil
	})
	if err != nil {
		return nil, err
	}
	return x.response(ctx, a)
}

// dimensions are those of the request, which is about what is called.
func (x *exchange) dimensions(called ratelimit.Called) func(string) (string, bool) {
	called.Header = x.in.Header
	if x.in.Body.Whole() {
		called.Body, _ = x.in.Body.Bytes() // which is there
	}
	return dimensions(x.in.Caller, called)
}

// target returns the target with a name that speaks HTTP and is no provider of models.
func (x *exchange) target(name string) *gateway.Target {
	for _, t := range x.view.Targets {
		if t.Name != name {
			continue
		}
		if _, ok := t.Server.(target.Web); ok && t.Config != nil && t.Config.Http != nil {
			return t
		}
	}
	return nil
}
