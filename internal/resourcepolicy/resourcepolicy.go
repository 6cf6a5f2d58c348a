// Package resourcepolicy keeps the policies that are attached to resources by
// their ARN, and knows what one may say (spec/runtime.md 6). Who owns a resource
// forgets its policy when it goes.
//
// Nothing evaluates them yet. So one that denies is known by Policy.Denies, for
// those who must not take it as if it did.
package resourcepolicy

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/store"
)

// MaxBytes bounds the text of a policy.
const MaxBytes = 20480

// Policy is a policy document.
type Policy struct {
	Version    string
	ID         string
	Statements []Statement
}

// Statement is one statement. Where a document has one value for a list, the list
// has one.
type Statement struct {
	Sid       string
	Effect    string // Allow or Deny
	Principal Principals
	Actions   []string
	Resources []string
	// Condition is operator, key and values.
	Condition map[string]map[string]List
	// Not says which of Principal and Actions are those that are not meant.
	Not struct{ Principal, Actions bool }
}

// Principals are whom a statement is about.
type Principals struct {
	// Everybody is the principal "*".
	Everybody bool
	// ByKind are the others, by AWS, Service or Federated.
	ByKind map[string]List
}

// List is one text or several.
type List []string

// UnmarshalJSON reads either form, and what stands for a text in conditions.
func (l *List) UnmarshalJSON(b []byte) error {
	values := []jsontext.Value{b}
	if b[0] == '[' {
		if err := json.Unmarshal(b, &values); err != nil {
			return err
		}
	}
	*l = make(List, 0, len(values))
	for _, v := range values {
		text := string(v)
		switch v.Kind() {
		case '"':
			if err := json.Unmarshal(v, &text); err != nil {
				return err
			}
		case '0', 't', 'f':
		default:
			return wrong("where a text or a list of texts belongs, there is " + text)
		}
		*l = append(*l, text)
	}
	return nil
}

// wrong says what is wrong with a policy in words for its writer.
type wrong string

func (w wrong) Error() string { return string(w) }

// Denies reports whether a statement takes something away.
func (p *Policy) Denies() bool {
	return slices.ContainsFunc(p.Statements, func(s Statement) bool { return s.Effect == "Deny" })
}

// document is a policy as it is written.
type document struct {
	Version   string
	ID        string `json:"Id"`
	Statement statements
}

type statements []statement

// UnmarshalJSON reads a list, or one.
func (s *statements) UnmarshalJSON(b []byte) error {
	if b[0] != '[' {
		*s = make(statements, 1)
		return strict(b, &(*s)[0])
	}
	var list []jsontext.Value
	if err := json.Unmarshal(b, &list); err != nil {
		return err
	}
	*s = make(statements, len(list))
	for i, raw := range list {
		if err := strict(raw, &(*s)[i]); err != nil {
			return err
		}
	}
	return nil
}

type statement struct {
	Sid, Effect                              string
	Principal, NotPrincipal                  *principals
	Action, NotAction, Resource, NotResource List
	Condition                                map[string]map[string]List
}

type principals Principals

// UnmarshalJSON reads "*" or principals by kind.
func (p *principals) UnmarshalJSON(b []byte) error {
	if b[0] == '"' {
		var all string
		if err := json.Unmarshal(b, &all); err != nil {
			return err
		}
		if all != "*" {
			return wrong(`a Principal is "*", or an object such as {"AWS": "arn:aws:iam::111122223333:root"}`)
		}
		p.Everybody = true
		return nil
	}
	if err := json.Unmarshal(b, &p.ByKind); err != nil {
		return err
	}
	for kind := range p.ByKind {
		if !slices.Contains([]string{"AWS", "Service", "Federated"}, kind) {
			return wrong("'" + kind + "' is no kind of principal; there are AWS, Service and Federated")
		}
	}
	return nil
}

// strict refuses members that a policy does not have: a misspelt Condition must
// not be no condition.
func strict(b []byte, into any) error {
	return json.Unmarshal(b, into, json.RejectUnknownMembers(true))
}

// explain words what strict has met.
func explain(err error) string {
	if w, ok := errors.AsType[wrong](err); ok {
		return string(w)
	}
	e, ok := errors.AsType[*json.SemanticError](err)
	if ok && errors.Is(err, json.ErrUnknownName) {
		return strconv.Quote(e.JSONPointer.LastToken()) + " is no element of a policy there; mind upper and lower case"
	}
	return "it does not have the form of a policy"
}

// Parse reads a policy for a resource, which has one or more names. A refusal is a
// fault.Error.
func Parse(text string, names ...string) (*Policy, error) {
	if len(text) > MaxBytes {
		return nil, refuse("it has %d bytes; it may have at most %d", len(text), MaxBytes)
	}
	// jsontext refuses members that are there twice, of which readers take
	// different ones.
	if !jsontext.Value(text).IsValid() {
		return nil, refuse("it is not JSON, or has a member twice")
	}
	var d document
	if err := strict([]byte(text), &d); err != nil {
		return nil, refuse("%s", explain(err))
	}
	if d.Version != "2012-10-17" && d.Version != "2008-10-17" {
		return nil, refuse(`its Version must be "2012-10-17"`)
	}
	if len(d.Statement) == 0 {
		return nil, refuse("it needs a Statement")
	}
	p := &Policy{Version: d.Version, ID: d.ID}
	for _, raw := range d.Statement {
		s, err := raw.check(names)
		if err != nil {
			return nil, err
		}
		p.Statements = append(p.Statements, s)
	}
	return p, nil
}

// check holds the rules of one statement.
func (s statement) check(names []string) (Statement, error) {
	out := Statement{Sid: s.Sid, Effect: s.Effect, Resources: s.Resource, Actions: s.Action, Condition: s.Condition}
	who := s.Principal
	if s.NotPrincipal != nil {
		out.Not.Principal, who = true, s.NotPrincipal
	}
	if s.NotAction != nil {
		out.Not.Actions, out.Actions = true, s.NotAction
	}
	switch {
	case s.Effect != "Allow" && s.Effect != "Deny":
		return out, refuse("the Effect of a statement is Allow or Deny, not '%s'", s.Effect)
	case s.Principal != nil && s.NotPrincipal != nil, s.Action != nil && s.NotAction != nil:
		return out, refuse("a statement has a Principal or a NotPrincipal, and an Action or a NotAction")
	case who == nil || !who.Everybody && len(who.ByKind) == 0:
		return out, refuse("a statement needs a Principal")
	case len(out.Actions) == 0:
		return out, refuse("a statement needs an Action")
	case s.NotResource != nil || len(s.Resource) != 1 || !slices.Contains(names, s.Resource[0]):
		return out, refuse("the Resource of a statement must be exactly '%s'", names[0])
	}
	for _, a := range out.Actions {
		if !strings.HasPrefix(a, "bedrock-agentcore:") {
			return out, refuse("'%s' is no action of bedrock-agentcore", a)
		}
	}
	out.Principal = Principals(*who)
	return out, nil
}

func refuse(format string, args ...any) error {
	e := fault.Validation("The policy is not valid: "+format, args...)
	e.Fields = []fault.Field{{Name: "policy", Message: e.Message}}
	return e
}

// attached is where policies are: by the ARN of their resource.
func attached() store.Collection[spec, struct{}] {
	return store.Collection[spec, struct{}]{Kind: "resource-policy"}
}

type spec struct {
	Policy string `json:"policy"`
}

// Put attaches a text that Parse has read, in place of an older one.
func Put(tx store.Tx, scope store.Scope, arn, text string) error {
	_, err := attached().Update(tx, scope, arn, func(r *store.Resource[spec, struct{}]) error {
		r.Spec.Policy = text
		return nil
	})
	if errors.Is(err, store.ErrNotFound) {
		_, err = attached().Create(tx, store.Resource[spec, struct{}]{Scope: scope, ID: arn, Spec: spec{text}})
	}
	return err
}

// Get returns the text, or store.ErrNotFound.
func Get(r store.Reader, scope store.Scope, arn string) (string, error) {
	doc, err := attached().Get(r, scope, arn)
	return doc.Spec.Policy, err
}

// Delete takes a policy away, or returns store.ErrNotFound.
func Delete(tx store.Tx, scope store.Scope, arn string) error {
	return attached().Delete(tx, scope, arn)
}

// Forget is Delete for the owner of a resource that goes, whether it had one or not.
func Forget(tx store.Tx, scope store.Scope, arn string) error {
	if err := Delete(tx, scope, arn); !errors.Is(err, store.ErrNotFound) {
		return err
	}
	return nil
}
