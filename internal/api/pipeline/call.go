package pipeline

import (
	"context"
	"errors"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/outcrop/outcrop/internal/api/schema"
	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/store"
)

// Call is one authenticated and authorised call, as its handler may see it
// beyond its input.
type Call struct {
	RequestID string
	Principal auth.Principal
	// User is whom the caller's bearer token speaks for; of a signed call nobody.
	User User
	// Scope is the caller's account and the region the request was signed for.
	Scope store.Scope
	// For is the ARN of the resource that the server itself makes the call for, with the
	// rights of that one's role (Act). It is empty for whoever calls from outside.
	For string
	// Until is how long what a call made by Act was answered may be used again, as its
	// handler says; the zero time is not at all.
	Until time.Time
	// Header holds the headers as the client sent them. A handler that hands
	// them on decides which (spec/runtime.md 2.6).
	Header http.Header
	// Source is the address that the request came from.
	Source string
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
	exchange   *exchange // that it came by; nil in services' tests
}

// newID names a call. Ids grow with time, as the index of their records then does at its
// end alone.
func newID() string { return uuid.Must(uuid.NewV7()).String() }

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

// Host is the name by which this caller reached the server, without a port.
func (c *Call) Host() string {
	_, host, _ := strings.Cut(c.BaseURL, "://")
	return withoutPort(host)
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

// Again is one more call of the operation that came with the same request, such as a message
// of a batch: it is decided on and recorded by itself, under the id that is returned.
func (c *Call) Again(ctx context.Context, requirements ...auth.Requirement) (id string, err error) {
	next := *c
	next.RequestID, next.resources = newID(), nil
	err = next.Authorize(ctx, requirements...)
	of := c.exchange
	if of == nil {
		return next.RequestID, err
	}
	e := &exchange{p: of.p, r: of.r, claim: of.claim, match: of.match, call: &next, from: of.from, started: of.p.cfg.Now()}
	if err == nil {
		return next.RequestID, e.audit(nil, e.match.op.Status)
	}
	f := fault.From(err)
	e.logRefusal(f)
	return next.RequestID, errors.Join(f, e.audit(f, f.Status))
}

// About adds a resource to those that the audit says the call was about.
func (c *Call) About(arn string) {
	if !slices.Contains(c.resources, arn) {
		c.resources = append(c.resources, arn)
	}
}

// requirements fills the operation's requirement templates from the input.
func requirements(svc *schema.Service, op *schema.Operation, in any, scope store.Scope) []auth.Requirement {
	t := text{svc: svc, scope: scope}
	if op.Input >= 0 {
		t.shape, t.value = svc.Shape(op.Input), reflect.ValueOf(in).Elem()
	}
	out := make([]auth.Requirement, 0, len(op.Requires))
	for _, r := range op.Requires {
		if !t.meets(r.When) {
			continue
		}
		out = append(out, auth.Requirement{Action: r.Action, Resource: t.expand(r.Resource)})
	}
	return out
}

// text is what a requirement's template is filled with.
type text struct {
	svc   *schema.Service
	shape *schema.Shape
	value reflect.Value
	scope store.Scope
}

// meets reports whether the members of a requirement's condition are set, or are not.
func (t text) meets(when []string) bool {
	for _, member := range when {
		path, absent := strings.CutPrefix(member, "!")
		if t.has(path) == absent {
			return false
		}
	}
	return true
}

// member returns the member at a path if it is text and set.
func (t text) member(path string) string {
	if v, set := t.find(path); set && v.Kind() == reflect.String {
		return v.String()
	}
	return ""
}

// has reports whether the member at a path is set, and not empty.
func (t text) has(path string) bool {
	v, set := t.find(path)
	switch {
	case !set:
		return false
	case v.Kind() == reflect.String, v.Kind() == reflect.Slice, v.Kind() == reflect.Map:
		return v.Len() > 0
	}
	return true
}

// find returns the member of the input at a path, if it is set.
func (t text) find(path string) (v reflect.Value, set bool) {
	if t.shape == nil {
		return v, false
	}
	return find(t.svc, t.shape, t.value, path)
}

// member returns a member of a structure, and its shape, if it is set.
func member(sh *schema.Shape, v reflect.Value, name string) (field reflect.Value, shape int, set bool) {
	i := slices.IndexFunc(sh.Members, func(m schema.Member) bool { return m.Name == name })
	if i < 0 {
		return field, 0, false
	}
	field, set = schema.Present(v.Field(i))
	return field, sh.Members[i].Shape, set
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

// isARN reports whether s has the parts of an ARN: arn, service and resource, and
// partition, region and account, which may be empty.
func isARN(s string) bool {
	part := strings.SplitN(s, ":", 6)
	return len(part) == 6 && part[0] == "arn" && part[2] != "" && part[5] != ""
}
