package pipeline

import (
	"context"
	"net/http"
	"reflect"
	"strings"

	"github.com/outcrop/outcrop/internal/api/schema"
	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/store"
)

// Call is one authenticated and authorised call, as its handler may see it
// beyond its input.
type Call struct {
	RequestID string
	Principal auth.Principal
	// Scope is the caller's account and the region the request was signed for.
	Scope store.Scope
	// Header holds the headers as the client sent them. A handler that hands
	// them on decides which (spec/runtime.md 2.6).
	Header http.Header
	// Trailer returns the checksums that came after a streamed body; it is
	// complete once the body has been read to its end.
	Trailer func() http.Header
	// ContentLength is the length of the body as the handler reads it, or -1.
	ContentLength int64
	// BaseURL is how this caller reached the server: scheme and host.
	BaseURL string
	// Method, Path and Query are what the client asked for, path and query as
	// escaped as they came, for handlers that hand a request on.
	Method, Path, Query string

	authorizer *auth.Authorizer
	resources  []string
}

type callKey struct{}

// WithCall returns a context that carries c; tests of services use it.
func WithCall(ctx context.Context, c *Call) context.Context {
	return context.WithValue(ctx, callKey{}, c)
}

// From returns the call that ctx belongs to. It never returns nil: outside a
// call there is a principal who is nobody.
func From(ctx context.Context) *Call {
	if c, ok := ctx.Value(callKey{}).(*Call); ok {
		return c
	}
	return &Call{}
}

// Authorize checks what a handler learns to be required only while it works,
// such as the source of a copy. It goes the same way as the operation's own list.
func (c *Call) Authorize(ctx context.Context, requirements ...auth.Requirement) error {
	for _, r := range requirements {
		c.resources = append(c.resources, r.Resource)
	}
	a := c.authorizer
	if a == nil { // a service's test, through WithCall
		a = auth.NewAuthorizer()
	}
	return a.Authorize(ctx, c.Principal, requirements)
}

// requirements fills the operation's requirement templates from the input.
func requirements(svc *schema.Service, op *schema.Operation, in any, scope store.Scope) []auth.Requirement {
	t := text{scope: scope}
	if op.Input >= 0 {
		t.shape, t.value = svc.Shape(op.Input), reflect.ValueOf(in).Elem()
	}
	out := make([]auth.Requirement, 0, len(op.Requires))
	for _, r := range op.Requires {
		if r.When != "" && t.member(r.When) == "" {
			continue
		}
		out = append(out, auth.Requirement{Action: r.Action, Resource: t.expand(r.Resource)})
	}
	return out
}

// text is what a requirement's template is filled with.
type text struct {
	shape *schema.Shape
	value reflect.Value
	scope store.Scope
}

// member returns the input's own member of that name if it is text and set.
func (t text) member(name string) string {
	if t.shape == nil {
		return ""
	}
	for i := range t.shape.Members {
		if t.shape.Members[i].Name != name {
			continue
		}
		if f := t.value.Field(i); f.Kind() == reflect.Pointer && f.Type().Elem().Kind() == reflect.String && !f.IsNil() {
			return f.Elem().String()
		}
		return ""
	}
	return ""
}

// expand fills an ARN template.
//
// A member that is the whole template, or the first one after the account, may
// hold an ARN itself, because clients may name a resource either way; it
// replaces all that stands before it. Nothing else does: an object may be
// called arn:aws:s3:::other/key.
//
// An absent member without a default becomes "*". So does the whole where it is
// no ARN in the end: only a policy on everything allows that, and those who
// have one are told by the validation what is wrong with the value.
func (t text) expand(template string) string {
	var b strings.Builder
	first, owned := !strings.HasPrefix(template, "arn:"), false // owned: the account stands before
	for {
		before, rest, found := strings.Cut(template, "{")
		b.WriteString(before)
		if !found {
			break
		}
		name, after, _ := strings.Cut(rest, "}")
		name, fallback, _ := strings.Cut(name, ":")
		value := fallback
		switch name {
		case "region":
			value = t.scope.Region
		case "account":
			value, owned = t.scope.Account, true
		default:
			if v := t.member(name); v != "" {
				value = v
			}
			if (first || owned) && strings.HasPrefix(value, "arn:") {
				b.Reset()
			}
			owned = false // what follows belongs to this one
		}
		first = false
		if value == "" {
			value = "*"
		}
		b.WriteString(value)
		template = after
	}
	if arn := b.String(); isARN(arn) {
		return arn
	}
	return "*"
}

// isARN reports whether s has the parts of an ARN: arn, partition, service,
// region and account, which may be empty, and the resource.
func isARN(s string) bool {
	part := strings.SplitN(s, ":", 6)
	return len(part) == 6 && part[0] == "arn" && part[1] != "" && part[2] != "" && part[5] != ""
}
