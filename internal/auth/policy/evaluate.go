package policy

import "strings"

// Effect is what policies say of a request.
type Effect uint8

// The effects. The zero value is a refusal.
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

// Type is a type of policy, in the words of AWS's refusals.
type Type uint8

// The types of policy.
const (
	IdentityBased Type = iota
	PermissionsBoundary
	SessionPolicy
	ResourceBased
)

// String returns the words that stand in a refusal after "with an explicit deny
// in a", "in an" or "because no".
func (t Type) String() string {
	switch t {
	case PermissionsBoundary:
		return "permissions boundary"
	case SessionPolicy:
		return "session policy"
	case ResourceBased:
		return "resource-based policy"
	default:
		return "identity-based policy"
	}
}

// Keys gives the condition context of a request. A key is asked for only when a
// statement comes to it, and by its lower-case name, the tag's in
// aws:RequestTag/name included. What the request does not have is false or no
// values. Evaluate may ask for a key more than once and keeps no value.
type Keys interface {
	Value(key string) (values []string, ok bool)
}

// Map is Keys by lower-case name.
type Map map[string][]string

// Value returns m[key].
func (m Map) Value(key string) ([]string, bool) {
	v, ok := m[key]
	return v, ok
}

func lookup(keys Keys, key string) ([]string, bool) {
	if keys == nil {
		return nil, false
	}
	v, ok := keys.Value(key)
	if !ok || len(v) == 0 {
		return nil, false
	}
	return v, true
}

// Request is one action on one resource.
type Request struct {
	Principal Principal
	// Action has its service's prefix: bedrock-agentcore:InvokeAgentRuntime.
	Action string
	// Resource is an ARN, or "*" for an action that has no resource.
	Resource string
	// Owner is the account that the resource belongs to. Empty is the account in
	// its ARN, and the principal's own where the ARN has none, or has a name
	// there, as what AWS itself provides does.
	Owner string
	Keys  Keys
	// Alias says that Resource is a further name of what has been asked about by its
	// own: one that authors of policies need not know, and do not mean where they
	// write NotResource.
	Alias bool
}

// Policies are the documents that apply to a request.
type Policies struct {
	// Identity are those of the user and its groups, or of the role.
	Identity []*Document
	// Boundary is the permissions boundary of the user or role, nil for none.
	Boundary *Document
	// Session are those the session was made with, nil for none. A list without
	// a document allows nothing.
	Session []*Document
	// Resource are those attached to the resource.
	Resource []*Document
	// ResourceMustAllow is for roles and keys of KMS: the resource's own policy
	// has to allow, even for principals of its account ("evaluation").
	ResourceMustAllow bool
}

// Result is a decision, and what made it.
type Result struct {
	Effect Effect
	// By is the type of policy that allows or forbids, or that would have to
	// allow where none does.
	By Type
	// Policy is the Name of the document and Sid and Statement (from 1) its
	// statement. They are empty where nothing matched, and for a root that needs
	// no policy.
	Policy    string
	Sid       string
	Statement int
}

// Evaluate decides ("evaluation", "cross-account"). An explicit denial anywhere
// wins. Otherwise the principal's side has to allow: identity policies, limited
// by the boundary and by the session's policies. Inside an account a resource's
// policy that names the user or session allows by itself, and one that names
// the role within boundary and session policies; one that names the account
// leaves it to the identity policies. Across accounts both sides have to allow.
// A root needs no identity policy; services, federated identities and the
// anonymous have none, so the resource's policy alone decides.
func Evaluate(p Policies, r Request) Result {
	e := evaluation{policies: &p, request: &r, action: strings.ToLower(r.Action)}
	if denied, ok := e.denial(); ok {
		return denied
	}
	return e.permission()
}

type evaluation struct {
	policies *Policies
	request  *Request
	action   string // lower case, as the compiled ones are
}

// denial looks for a Deny in every document.
func (e *evaluation) denial() (Result, bool) {
	for _, d := range e.policies.Identity {
		if i := e.find(d, true); i >= 0 {
			return result(ExplicitDeny, IdentityBased, d, i), true
		}
	}
	if d := e.policies.Boundary; d != nil {
		if i := e.find(d, true); i >= 0 {
			return result(ExplicitDeny, PermissionsBoundary, d, i), true
		}
	}
	for _, d := range e.policies.Session {
		if i := e.find(d, true); i >= 0 {
			return result(ExplicitDeny, SessionPolicy, d, i), true
		}
	}
	for _, d := range e.policies.Resource {
		if d == nil {
			continue
		}
		for _, i := range d.deny {
			if e.reach(&d.Statements[i]) != notNamed && e.applies(&d.Statements[i]) {
				return result(ExplicitDeny, ResourceBased, d, i), true
			}
		}
	}
	return Result{}, false
}

func result(effect Effect, by Type, d *Document, i int) Result {
	return Result{Effect: effect, By: by, Policy: d.Name, Sid: d.Statements[i].Sid, Statement: i + 1}
}

// permission decides when nothing is denied.
func (e *evaluation) permission() Result {
	granted, how := e.resourceGrant()
	switch e.request.Principal.Kind {
	case Anonymous, Service, Federated:
		if how == directly {
			return granted
		}
		return Result{By: ResourceBased}
	}
	same := e.sameAccount()
	if same && how == directly {
		return granted
	}
	limit, limited := e.limit()
	if same && how == bySource {
		if limited {
			return Result{By: limit}
		}
		return granted
	}
	identity, ok := e.identityGrant()
	switch {
	case !ok:
		return Result{By: IdentityBased}
	case limited:
		return Result{By: limit}
	case how == notNamed && (!same || e.policies.ResourceMustAllow):
		return Result{By: ResourceBased}
	}
	return identity
}

// identityGrant finds the identity policy that allows; a root needs none.
func (e *evaluation) identityGrant() (Result, bool) {
	if e.request.Principal.Kind == Root {
		return Result{Effect: Allow, By: IdentityBased}, true
	}
	for _, d := range e.policies.Identity {
		if i := e.find(d, false); i >= 0 {
			return result(Allow, IdentityBased, d, i), true
		}
	}
	return Result{}, false
}

// limit tells which of boundary and session policies does not allow, if one
// does not.
func (e *evaluation) limit() (Type, bool) {
	if d := e.policies.Boundary; d != nil && e.find(d, false) < 0 {
		return PermissionsBoundary, true
	}
	for _, d := range e.policies.Session {
		if e.find(d, false) >= 0 {
			return 0, false
		}
	}
	return SessionPolicy, e.policies.Session != nil
}

// resourceGrant finds the statement of the resource's policies that allows most
// directly.
func (e *evaluation) resourceGrant() (best Result, how reach) {
	for _, d := range e.policies.Resource {
		if d == nil {
			continue
		}
		for _, i := range d.allow {
			s := &d.Statements[i]
			if r := e.reach(s); r > how && e.applies(s) {
				best, how = result(Allow, ResourceBased, d, i), r
			}
		}
	}
	return best, how
}

func (e *evaluation) reach(s *Statement) reach {
	return s.reaches(&e.request.Principal, e.policies.Boundary != nil)
}

func (e *evaluation) sameAccount() bool {
	owner := e.request.Owner
	if owner == "" {
		owner = Account(e.request.Resource)
	}
	return owner == "" || owner == e.request.Principal.Account
}

// find returns the first statement of that effect that applies, or -1. A
// document that is about principals has no say where none are asked about.
func (e *evaluation) find(d *Document, deny bool) int {
	if d == nil || d.Kind == Resource || d.Kind == Trust {
		return -1
	}
	statements := d.allow
	if deny {
		statements = d.deny
	}
	for _, i := range statements {
		if e.applies(&d.Statements[i]) {
			return i
		}
	}
	return -1
}

// applies reports whether the statement is about the request, whoever makes it.
// Actions are compared without regard to case, resources with it.
func (e *evaluation) applies(s *Statement) bool {
	r := e.request
	named := false
	for i := range s.actions {
		if glob(s.actions[i].parts, e.action) {
			named = true
			break
		}
	}
	if named == s.NotAction {
		return false
	}
	if len(s.resources) > 0 {
		named = false
		for i := range s.resources {
			if s.resources[i].matches(r.Resource, r.Keys) {
				named = true
				break
			}
		}
		if named == s.NotResource || s.NotResource && r.Alias {
			return false
		}
	}
	for i := range s.Conditions {
		if !s.Conditions[i].test.holds(r.Keys) {
			return false
		}
	}
	return true
}
