// Package auth answers one question for every call: may this principal do this?
//
// Authentication (sigv4, jwt) yields a Principal. The operation table yields
// the Requirements of the call, an action and a resource each. An Authorizer
// weighs them by the policies of the principal and of the resource (package
// policy); a handler that finds out more while it works asks the same one.
// Whose policies those are it is told by two small interfaces.
package auth

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/auth/policy"
	"github.com/outcrop/outcrop/internal/fault"
)

// Requirement is one action on one resource that a call needs to be allowed.
type Requirement struct {
	// Action has its service's prefix: bedrock-agentcore:CreateAgentRuntime.
	Action string
	// Resource is an ARN, or "*" for an action that has no resource.
	Resource string
	// Alias says that Resource is a further name of what another requirement of the
	// call asks for, which policies need not know: a Deny that names it refuses the
	// call, and nothing has to allow it.
	Alias bool
	// Open says that nothing has to allow it: a Deny alone refuses.
	Open bool
}

// Request is what conditions of a policy can ask about a call as a whole.
type Request struct {
	SourceIP  netip.Addr // aws:SourceIp
	Time      time.Time  // aws:CurrentTime
	Secure    bool       // aws:SecureTransport
	Region    string     // aws:RequestedRegion
	UserAgent string     // aws:UserAgent
	Referer   string     // aws:Referer
	// Keys holds every other condition key by its full name in lower case, for
	// example aws:requesttag/team or bedrock-agentcore:runtimeauthorizertype.
	Keys map[string][]string
	// Absent is told, in lower case, of each key that a condition asked for and that
	// has no value; nil is nobody. A simulation knows by it what it did not know.
	Absent func(key string)
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

// WithKeys returns a context in which Authorize finds keys, by name in lower case, among
// the condition keys of the request.
func WithKeys(ctx context.Context, keys map[string][]string) context.Context {
	r := RequestFrom(ctx)
	all := make(map[string][]string, len(r.Keys)+len(keys))
	maps.Copy(all, r.Keys)
	maps.Copy(all, keys)
	r.Keys = all
	return WithRequest(ctx, r)
}

// Identity is what a principal brings along.
type Identity struct {
	// Identity are the policies of the user and its groups, or of the role.
	Identity []*policy.Document
	// Boundary is the permissions boundary, nil for none.
	Boundary *policy.Document
	// Session are the session policies, nil for none; see policy.Policies.
	Session []*policy.Document
	// Tags are the principal's and, before those, its session's.
	Tags map[string]string
}

// Identities knows the policies of principals.
type Identities interface {
	// Identity returns those of p. It is asked for each requirement of each call,
	// and keeps what it returns; nobody changes that.
	Identity(ctx context.Context, p Principal) (Identity, error)
}

// Resources knows what is attached to resources.
type Resources interface {
	// ResourcePolicies returns the policies of the resource of a requirement.
	// With must, they have to allow, whatever identity policies say, as the trust
	// policy of a role that is to be assumed.
	ResourcePolicies(ctx context.Context, r Requirement) (documents []*policy.Document, must bool, err error)
	// ResourceTags returns the tags of a resource, none for what is not there or
	// has none.
	ResourceTags(ctx context.Context, arn string) (map[string]string, error)
}

// ResourceKeys is what Resources may also be: they know condition keys of their own
// service that come of the resource and not of the call, such as the permissions
// boundary of the user whom a policy is to be attached to (iam:PermissionsBoundary).
type ResourceKeys interface {
	// ResourceKey returns the values of a key, by its name in lower case; none is
	// absent.
	ResourceKey(ctx context.Context, arn, key string) ([]string, error)
}

// Authorizer decides. It is safe for concurrent use. The zero value knows no
// policies, and then a root alone is allowed anything.
type Authorizer struct {
	// Identities and Resources may be nil: nobody and nothing has policies.
	Identities Identities
	Resources  Resources
	// Denied is told of each refusal, and does not wait. Nil drops it.
	Denied func(Principal, Decision)
}

// NewAuthorizer returns an Authorizer that knows no policies.
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
		d := a.Decide(ctx, p, r)
		if (r.Alias || r.Open) && d.Err == nil && d.Effect != ExplicitDeny {
			continue
		}
		if err := d.Refusal(p); err != nil {
			if a.Denied != nil && d.Err == nil {
				a.Denied(p, d)
			}
			return err
		}
	}
	return nil
}

// Decide weighs one requirement.
func (a *Authorizer) Decide(ctx context.Context, p Principal, r Requirement) Decision {
	d := Decision{Requirement: r}
	owner, ok := ownerOf(r.Resource)
	switch {
	case r.Action == "" || !strings.Contains(r.Action, ":"):
		d.because = "the requirement names no action"
		return d
	case !ok:
		d.because = "the resource is neither an ARN nor *"
		return d
	case p.Kind == Nobody || p.Account == "" && p.Kind != Service:
		d.because = "it is nobody who asks"
		return d
	case p.Kind == Bearer && !p.admitted(r.Resource):
		d.By, d.because = policy.ResourceBased, "the token is for another resource"
		return d
	case p.Session != nil && p.Session.User && forbiddenToSessions(p.Kind, r.Action):
		d.By, d.because = policy.SessionPolicy, "a session of GetSessionToken or GetFederationToken may not use IAM, and of STS no more than GetCallerIdentity and, of the first, AssumeRole"
		return d
	}
	if owner == "" || owner == platform {
		owner = p.Account
	}
	r.Resource = canonical(r.Resource)
	c := conditions{ctx: ctx, principal: p, requirement: r, owner: owner, resources: a.Resources}
	policies, err := a.policies(ctx, &c)
	if err != nil {
		return d.failed(err)
	}
	if p.Kind == Bearer && len(policies.Resource) == 0 {
		d.Effect, d.By, d.because = Allow, policy.ResourceBased, "the resource's own authorizer let the token in"
		return d
	}
	result := policy.Evaluate(policies, policy.Request{
		Principal: p.InPolicies(), Action: r.Action, Resource: r.Resource, Owner: owner, Keys: &c, Alias: r.Alias,
	})
	if c.err != nil {
		return d.failed(c.err)
	}
	d.Effect, d.By, d.Result = result.Effect, result.By, result
	return d
}

// policies gathers those that apply.
func (a *Authorizer) policies(ctx context.Context, c *conditions) (out policy.Policies, err error) {
	if a.Identities != nil {
		var i Identity
		if i, err = a.Identities.Identity(ctx, c.principal); err != nil {
			return out, err
		}
		out.Identity, out.Boundary, out.Session, c.tags = i.Identity, i.Boundary, i.Session, i.Tags
	}
	if a.Resources != nil && !c.rescues() {
		out.Resource, out.ResourceMustAllow, err = a.Resources.ResourcePolicies(ctx, c.requirement)
	}
	return out, err
}

// rescues reports whether a root deals with the policy of a bucket, which it always may,
// so that nobody shuts everybody out for good (S3 guide, "PutBucketPolicy").
func (c *conditions) rescues() bool {
	if c.principal.Kind != Root {
		return false
	}
	switch strings.ToLower(c.requirement.Action) {
	case "s3:getbucketpolicy", "s3:putbucketpolicy", "s3:deletebucketpolicy":
		return true
	}
	return false
}

// forbiddenToSessions are the actions that the sessions of GetSessionToken and
// GetFederationToken never have, so that keys which end make none that last. Those of
// GetFederationToken assume no role either, whose rights would not be bound by what the
// user has left to them (IAM guide, "Compare AWS STS credentials").
func forbiddenToSessions(kind Kind, action string) bool {
	service, name, _ := strings.Cut(strings.ToLower(action), ":")
	switch service {
	case "iam":
		return name != "passrole"
	case "sts":
		assumes := name == "assumerole" || name == "tagsession" || name == "setsourceidentity"
		return name != "getcalleridentity" && (kind == FederatedUser || !assumes)
	}
	return false
}

// platform stands in the account field of what AWS itself provides, such as the
// built-in browser and code interpreter.
const platform = "aws"

// canonical is the name by which policies know a resource. There is one partition
// here: whoever names another one, or none, means the same resource, and must not
// go round a Deny by it.
func canonical(resource string) string {
	partition, rest, ok := strings.Cut(strings.TrimPrefix(resource, "arn:"), ":")
	if !ok || partition == "aws" || resource == "*" {
		return resource
	}
	return "arn:aws:" + rest
}

// ownerOf returns the account field of an ARN, which is empty for "*" and for
// resources whose ARN has none (S3 buckets, whose front checks the owner). A
// pattern there is not an owner.
func ownerOf(resource string) (account string, ok bool) {
	if resource == "*" {
		return "", true
	}
	var part [5]string
	for i := range part {
		if part[i], resource, ok = strings.Cut(resource, ":"); !ok {
			return "", false
		}
	}
	return part[4], part[0] == "arn" && part[2] != "" && resource != ""
}
