package route

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/gateway"
	"github.com/outcrop/outcrop/internal/gateway/inference"
	"github.com/outcrop/outcrop/internal/gateway/interceptor"
	"github.com/outcrop/outcrop/internal/gateway/passthrough"
	"github.com/outcrop/outcrop/internal/gateway/ratelimit"
	"github.com/outcrop/outcrop/internal/gateway/rule"
	"github.com/outcrop/outcrop/internal/gateway/target"
)

// inferencePath is where models are, below a gateway.
const inferencePath = "inference"

// infer leads to a provider of models.
func (x *exchange) infer(ctx context.Context, path string) (a *answer, err error) {
	switch {
	case path == inference.Models && x.in.Method == http.MethodGet:
		a, err = x.models(ctx)
	case x.in.Method != http.MethodPost:
		err = fault.New(inference.CodeOperation, http.StatusNotFound, "There is nothing at %s /inference%s. GET /inference/v1/models lists the models, and requests to them are POSTed", x.in.Method, fault.Clip(path, 100))
	default:
		a, err = x.ofModel(ctx, path)
	}
	return a, x.worded(path, err)
}

// worded gives an error the form that the clients of a path's API read.
func (x *exchange) worded(path string, err error) error {
	if err == nil {
		return nil
	}
	f := *fault.From(err)
	if f.Body != nil {
		return &f
	}
	f.Body, f.Header = inference.Refusal(path, &f, x.in.ID), f.Header.Clone()
	if f.Header == nil {
		f.Header = http.Header{}
	}
	f.Header.Set("Content-Type", "application/json")
	return &f
}

// provider is a target that may serve a model, which its provider calls name.
type provider struct {
	*gateway.Target
	server *inference.Server
	name   string
}

// providers are the targets that are providers of models.
func (x *exchange) providers() []provider {
	var out []provider
	for _, t := range x.view.Targets {
		if s, ok := t.Server.(*inference.Server); ok {
			out = append(out, provider{Target: t, server: s})
		}
	}
	return out
}

// resolve finds the target of a model, and returns what the model is called without the
// target's name: TARGET/MODEL is that one's, else an exact name goes before a pattern,
// and of several Amazon Bedrock's, else each in its turn (spec/gateway.md 5.10).
func (x *exchange) resolve(ctx context.Context, path, model string) (found *provider, plain string) {
	all := x.providers()
	call := x.own()
	if name, rest, ok := strings.Cut(model, "/"); ok {
		for i := range all {
			if all[i].Name != name {
				continue
			}
			own, fit := all[i].server.Match(ctx, call, path, rest)
			if fit == inference.None {
				return nil, rest
			}
			all[i].name = own
			return &all[i], rest
		}
	}
	best := inference.Any
	var fitting []provider
	for _, p := range all {
		own, fit := p.server.Match(ctx, call, path, model)
		if fit == inference.None || fit < best {
			continue
		}
		if fit > best {
			best, fitting = fit, nil
		}
		p.name = own
		fitting = append(fitting, p)
	}
	if len(fitting) == 0 {
		return nil, model
	}
	for i := range fitting {
		if fitting[i].server.Bedrock() {
			return &fitting[i], model
		}
	}
	if len(fitting) == 1 {
		return &fitting[0], model
	}
	return &fitting[x.r.turn.Add(1)%uint64(len(fitting))], model
}

// asked is the model that a request names: plain is its name without the target's before
// it, and found the target that has it, nil where none has.
type asked struct {
	model, plain string
	found        *provider
}

// named reads which model the request names.
func (x *exchange) named() (string, error) {
	body, err := x.in.Body.Bytes()
	if err != nil {
		return "", x.refusal("", err)
	}
	model, err := inference.Model(body)
	if err != nil {
		return "", x.refusal("", err)
	}
	return model, nil
}

// admit holds the request to the gateway's limits, and finds the target of the model.
func (x *exchange) admit(ctx context.Context, path, model string) (asked, error) {
	// Whose model it is may have to be asked of a provider, which who is limited must not
	// have asked.
	if err := x.limit(path, x.limits.Callers(), ratelimit.Called{Model: model}); err != nil || model == "" {
		return asked{}, err
	}
	found, plain := x.resolve(ctx, path, model)
	called := ratelimit.Called{Model: x.limits.Shared(ratelimit.ModelID, plain, "*")}
	if found != nil {
		called = ratelimit.Called{Target: found.Name, Model: found.name}
	}
	return asked{model, plain, found}, x.limit(path, x.limits.Called(), called)
}

// ofModel asks the provider of the model that a request names. Limits come before the
// interceptor; where that has another model asked for, or one where there was none, the
// request counts as one for that instead.
func (x *exchange) ofModel(ctx context.Context, path string) (*answer, error) {
	model, err := x.named()
	if err != nil && (!x.hooks.Requests() || !x.in.Body.Whole()) {
		return nil, err
	}
	of, err := x.admit(ctx, path, model)
	if err != nil {
		return nil, err
	}
	if short, err := x.request(ctx); short != nil || err != nil {
		return short, err
	}
	if x.hooks.Requests() {
		if model, err = x.named(); err != nil {
			return nil, err
		}
	}
	if model != of.model {
		x.permit.Undo()
		x.permit = nil
		if of, err = x.admit(ctx, path, model); err != nil {
			return nil, err
		}
	}
	a, err := x.modelled(ctx, path, of)
	if err != nil {
		return nil, err
	}
	if x.permit != nil && x.limits.CountsTokens() && a.resp.StatusCode < http.StatusBadRequest {
		inference.Meter(a.resp, x.permit.Charge)
	}
	return x.response(ctx, a)
}

// limit holds a request for a model to some of the gateway's limits.
func (x *exchange) limit(path string, of *ratelimit.Set, called ratelimit.Called) error {
	d, permit := x.r.limiter.Further(of, x.dimensions(called), x.permit)
	if x.permit = permit; d.Allowed {
		return nil
	}
	f := fault.Throttled("Rate limit exceeded")
	f.Body, f.Header = d.OpenAI(), d.Header()
	if inference.Anthropic(path) {
		f.Body = d.Anthropic()
	}
	return f
}

// modelled asks by the gateway's rules, or else the target that was found.
func (x *exchange) modelled(ctx context.Context, path string, of asked) (*answer, error) {
	request := target.Request{
		Call: x.call(), Method: x.in.Method, Path: path, Query: x.in.Query,
		Header: x.in.Header, Body: x.in.Body, Usage: x.limits.CountsTokens(),
	}
	choice := x.rules.Choose(rule.Request{Principal: x.in.Caller.Principal, Model: of.model, Session: x.in.Header.Get(passthrough.SessionHeader)}, x.r.memory)
	if choice.Bundle != nil {
		request.Baggage = choice.Bundle.Baggage(strings.Join(x.in.Header.Values("Baggage"), ","))
	}
	route := choice.Route
	switch {
	case route == nil && of.found == nil:
		return nil, x.nowhere(ctx, path, of.model)
	case route == nil:
		request.Model = of.found.name
		route = &rule.Route{Hops: []rule.Hop{{Target: of.found.Name}}}
		return x.try(ctx, route, &request, func(rule.Hop) (target.Web, *target.Request, error) { return of.found.server, &request, nil })
	}
	return x.try(ctx, route, &request, func(hop rule.Hop) (target.Web, *target.Request, error) {
		wanted := hop.Model
		if wanted == "" {
			wanted = of.plain
		}
		for _, p := range x.providers() {
			if p.Name != hop.Target {
				continue
			}
			own, fit := p.server.Match(ctx, x.own(), path, wanted)
			if fit == inference.None {
				return nil, nil, target.Fail(target.Unroutable, nil, "Target %s, to which a rule leads, does not serve the model %s at %s", hop.Target, fault.Clip(wanted, 100), path)
			}
			one := request
			one.Model = own
			return p.server, &one, nil
		}
		return nil, nil, target.Fail(target.Unroutable, nil, "Target %s, to which a rule leads, is gone, does not serve, or is no provider of models", hop.Target)
	})
}

// nowhere is the refusal of a request that no target takes: for its path, for its model, or
// for both together.
func (x *exchange) nowhere(ctx context.Context, path, model string) error {
	var paths, own []string
	for _, p := range x.providers() {
		// A target that takes whatever is asked has a model only of who names the target.
		name, least := model, inference.Pattern
		if rest, ok := strings.CutPrefix(model, p.Name+"/"); ok {
			name, least = rest, inference.Any
		}
		for _, at := range p.server.Paths() {
			paths = append(paths, at)
			if _, fit := p.server.Match(ctx, x.own(), at, name); fit >= least {
				own = append(own, at)
			}
		}
	}
	switch {
	case len(paths) > 0 && !slices.Contains(paths, path):
		return fault.New(inference.CodeOperation, http.StatusNotFound, "No target serves the path /inference%s. Those that are served: %s, GET /inference/v1/models", fault.Clip(path, 100), posted(paths))
	case len(own) > 0:
		return fault.New(inference.CodeOperation, http.StatusNotFound, "Model '%s' is not served at /inference%s. It is at %s", fault.Clip(model, 200), path, posted(own))
	}
	return fault.NotFound("Model '%s' not found on any target.", fault.Clip(model, 200))
}

// posted are paths that models are asked at, as callers read them.
func posted(paths []string) string {
	slices.Sort(paths)
	return fault.Clip("POST /"+inferencePath+strings.Join(slices.Compact(paths), ", POST /"+inferencePath), 1000)
}

// models lists those of all targets. One whose provider does not answer hides its own
// alone. A name that two have is listed with the target's before it.
func (x *exchange) models(ctx context.Context) (*answer, error) {
	if err := x.limit(inference.Models, x.limits, ratelimit.Called{}); err != nil {
		return nil, err
	}
	if short, err := x.request(ctx); short != nil || err != nil {
		return short, err
	}
	var names, owners []string
	count := map[string]int{}
	for _, p := range x.providers() {
		own, err := p.server.Names(ctx, x.own())
		if err != nil {
			x.r.cfg.Log.WarnContext(ctx, "target does not list its models", "gateway", x.view.ID, "target", p.ID, "request", x.in.ID, "error", err)
		}
		for _, name := range own {
			names, owners = append(names, name), append(owners, p.Name)
			count[name]++
		}
	}
	for i, name := range names {
		if count[name] > 1 {
			names[i] = owners[i] + "/" + name
		}
	}
	return x.response(ctx, x.given(interceptor.Response{Status: http.StatusOK, Body: inference.Listed(names, owners)}))
}
