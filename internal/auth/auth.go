// Package auth answers one question for every call: may this principal do this?
//
// Authentication (sigv4, jwt) yields a Principal. The operation table yields
// the Requirements of the call, an action and a resource each. An Authorizer
// weighs them; a handler that finds out more while it works asks the same one.
// Until policies exist the root key of an account is the only principal that is
// allowed anything, and only on what belongs to its own account.
package auth

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/fault"
)

// Requirement is one action on one resource that a call needs to be allowed.
type Requirement struct {
	// Action has its service's prefix: bedrock-agentcore:CreateAgentRuntime.
	Action string
	// Resource is an ARN, or "*" for an action that has no resource.
	Resource string
}

// Request is what conditions of a policy can ask about a call as a whole.
type Request struct {
	SourceIP  netip.Addr // aws:SourceIp
	Time      time.Time  // aws:CurrentTime
	Secure    bool       // aws:SecureTransport
	Region    string     // aws:RequestedRegion
	UserAgent string     // aws:UserAgent
	// Keys holds every other condition key by its full name, for example
	// aws:RequestTag/team or bedrock-agentcore:RuntimeAuthorizerType.
	Keys map[string][]string
}

type requestKey struct{}

// WithRequest returns a context in which Authorize finds r.
func WithRequest(ctx context.Context, r Request) context.Context {
	return context.WithValue(ctx, requestKey{}, r)
}

// RequestFrom returns the Request that WithRequest stored, or the zero value:
// no condition holds for what is not known.
func RequestFrom(ctx context.Context) Request {
	r, _ := ctx.Value(requestKey{}).(Request)
	return r
}

// Effect is the outcome of weighing one requirement.
type Effect uint8

// The outcomes. The zero value is a refusal.
const (
	NoAllow      Effect = iota // nothing allows it
	ExplicitDeny               // a policy forbids it
	Allow
)

func (e Effect) String() string {
	switch e {
	case Allow:
		return "allow"
	case ExplicitDeny:
		return "explicit deny"
	default:
		return "no allow"
	}
}

// Decision is the outcome for one requirement and why, for the audit record.
type Decision struct {
	Requirement Requirement
	Effect      Effect
	// Because is for the log; a caller never reads it.
	Because string
}

// Allowed reports whether the requirement is met.
func (d Decision) Allowed() bool { return d.Effect == Allow }

// Refusal is the error p is answered with when the decision is not to allow
// (texts: spec/identity.md 10.4), and nil when it is. Its code is the one of
// the JSON services; the fronts of S3 and the query services rename it.
func (d Decision) Refusal(p Principal) error {
	if d.Allowed() {
		return nil
	}
	start := "User: " + p.ARN + " is not authorized to perform: " + d.Requirement.Action +
		" on resource: " + d.Requirement.Resource
	cause := errors.New(d.Because)
	if d.Effect == ExplicitDeny {
		return fault.Denied("%s with an explicit deny in an identity-based policy", start).Because(cause)
	}
	return fault.Denied("%s because no identity-based policy allows the %s action", start, d.Requirement.Action).Because(cause)
}

// Authorizer decides. It is safe for concurrent use.
type Authorizer struct {
	// Denied is told of each refusal, and does not wait. Nil drops it.
	Denied func(Principal, Requirement)
}

// NewAuthorizer returns the Authorizer every call of a process goes through.
func NewAuthorizer() *Authorizer { return &Authorizer{} }

// errNoRequirement is internal on purpose: a call without requirements is a
// hole in the operation table, never something a caller can cause.
var errNoRequirement = errors.New("authorise call: it has no requirements")

// Authorize returns nil if p is allowed every requirement, and otherwise the
// refusal of the first that is not met. A call with no requirements is refused.
func (a *Authorizer) Authorize(ctx context.Context, p Principal, requirements []Requirement) error {
	if len(requirements) == 0 {
		return fault.Internal(errNoRequirement)
	}
	for _, r := range requirements {
		if err := a.Decide(ctx, p, r).Refusal(p); err != nil {
			if a.Denied != nil {
				a.Denied(p, r)
			}
			return err
		}
	}
	return nil
}

// Decide weighs one requirement.
func (a *Authorizer) Decide(_ context.Context, p Principal, r Requirement) Decision {
	d := Decision{Requirement: r}
	owner, ok := ownerOf(r.Resource)
	switch {
	case r.Action == "" || !strings.Contains(r.Action, ":"):
		d.Because = "the requirement names no action"
	case p.Kind != Root || p.Account == "":
		d.Because = "only the root key has rights yet"
	case !ok:
		d.Because = "the resource is neither an ARN nor *"
	case owner != "" && owner != platform && owner != p.Account:
		d.Because = "the resource belongs to another account"
	default:
		d.Effect, d.Because = Allow, "the root key of its own account"
	}
	return d
}

// platform stands in the account field of what AWS itself provides, such as the
// built-in browser and code interpreter.
const platform = "aws"

// ownerOf returns the account field of an ARN, which is empty for "*" and for
// resources whose ARN has none (S3 buckets, whose front checks the owner). A
// pattern there is not an owner.
func ownerOf(resource string) (account string, ok bool) {
	if resource == "*" {
		return "", true
	}
	part := strings.SplitN(resource, ":", 6)
	if len(part) != 6 || part[0] != "arn" || part[1] == "" || part[2] == "" || part[5] == "" {
		return "", false
	}
	return part[4], true
}
