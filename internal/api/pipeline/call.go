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
	return &Call{authorizer: auth.NewAuthorizer()}
}

// Authorize checks what a handler learns to be required only while it works,
// such as the source of a copy. It goes the same way as the operation's own list.
func (c *Call) Authorize(ctx context.Context, requirements ...auth.Requirement) error {
	for _, r := range requirements {
		c.resources = append(c.resources, r.Resource)
	}
	return c.authorizer.Authorize(ctx, c.Principal, requirements)
}

// requirements fills the operation's requirement templates from the input.
func requirements(svc *schema.Service, op *schema.Operation, in any, scope store.Scope) []auth.Requirement {
	var members map[string]string
	if op.Input >= 0 {
		members = textMembers(svc.Shape(op.Input), reflect.ValueOf(in).Elem())
	}
	out := make([]auth.Requirement, 0, len(op.Requires))
	for _, r := range op.Requires {
		if r.When != "" && members[r.When] == "" {
			continue
		}
		out = append(out, auth.Requirement{Action: r.Action, Resource: expand(r.Resource, members, scope)})
	}
	return out
}

// textMembers are the input's own members that are text.
func textMembers(sh *schema.Shape, v reflect.Value) map[string]string {
	out := make(map[string]string, 4)
	for i := range sh.Members {
		if f := v.Field(i); f.Kind() == reflect.Pointer && f.Type().Elem().Kind() == reflect.String && !f.IsNil() {
			out[sh.Members[i].Name] = f.Elem().String()
		}
	}
	return out
}

// expand fills an ARN template. A member that holds an ARN itself replaces all
// that stands before it, because clients may name a resource either way; an
// absent member without a default becomes "*", which only a policy on
// everything allows.
func expand(template string, members map[string]string, scope store.Scope) string {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(template, "{")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		name, after, _ := strings.Cut(rest, "}")
		name, fallback, _ := strings.Cut(name, ":")
		var value string
		switch name {
		case "region":
			value = scope.Region
		case "account":
			value = scope.Account
		default:
			value = members[name]
			if value == "" {
				value = fallback
			}
			if strings.HasPrefix(value, "arn:") {
				b.Reset()
			}
		}
		if value == "" {
			value = "*"
		}
		b.WriteString(value)
		template = after
	}
}
