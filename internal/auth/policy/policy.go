// Package policy is AWS's IAM policy language: it reads documents and decides
// what they say of a request. It knows no store and no wire; internal/auth finds
// the documents that apply, and the fronts word what is refused.
//
// The rules are those of the IAM User Guide's policy reference. Comments name
// its page: "grammar", "Principal", "operators", "multi-value" (conditions with
// several keys or values), "variables", "evaluation" (evaluation logic, single
// account), "cross-account", "boundaries", "session" (session policies).
//
// Where the guide is silent or at odds with what AWS does, this holds:
//   - a value that no request could match (a number that is none, a range, a
//     date) is refused, so that no Deny is empty without its author knowing;
//   - operators are read whatever their case, as condition keys are;
//   - "*" as the value of an ARN operator is any ARN;
//   - a canonical user stands for its account;
//   - when more than one type of policy lacks an Allow, the refusal names the
//     first of identity-based, boundary, session and resource-based.
//
// A Document is compiled by Parse and never changes, so it is read once, kept,
// and evaluated by many goroutines.
package policy

import "fmt"

// Kind is what a document is for; it decides which elements it may have.
type Kind uint8

// The kinds of document.
const (
	// Identity is a managed or inline policy or a permissions boundary. It names
	// no principal.
	Identity Kind = iota
	// Session is passed to AssumeRole and its like: an Identity document whose
	// resources are whole ARNs (reference-arns: incomplete ones are malformed).
	Session
	// Resource is attached to a resource and must name principals.
	Resource
	// Trust says who may assume a role: principals, and no resource.
	Trust
)

// The versions of the language. Variables exist only in Version2012.
const (
	Version2008 = "2008-10-17"
	Version2012 = "2012-10-17"
)

// Document is a policy, compiled. Its fields are for reading; what Evaluate
// goes by is compiled from them and does not follow a change.
type Document struct {
	Kind Kind
	// Name is what a Result calls the document; see Named.
	Name string
	// Version is Version2008 where the text has none.
	Version    string
	ID         string
	Statements []Statement

	// The indexes into Statements by effect: all denials are looked at before
	// any permission.
	allow, deny []int
	about       string // see ParseAbout
}

// Named returns d under a name for Result.Policy, an ARN or the name of an
// inline policy. The compiled statements are shared.
func (d *Document) Named(name string) *Document {
	c := *d
	c.Name = name
	return &c
}

// Statement is one statement as it was written, lists where the text has one
// value.
type Statement struct {
	Sid string
	// Deny is the effect; the other one is Allow.
	Deny bool
	// Actions are those of Action, or of NotAction where NotAction is set; and
	// so on for the other two.
	Actions      []string
	NotAction    bool
	Resources    []string // none in a Trust document
	NotResource  bool
	Principals   []PrincipalName // none in Identity and Session documents
	NotPrincipal bool
	Conditions   []Condition

	actions   []pattern
	resources []pattern
}

// PrincipalName is one value of Principal: of which type and which.
type PrincipalName struct {
	// Type is AWS, Service, Federated or CanonicalUser. The bare "*" is AWS "*".
	Type  string
	Value string

	form principalForm
	// id is the unique id that is meant: a formID's own, or one that was pinned. A
	// session's ARN has its role's beside it.
	id string
}

// Condition is one key of one operator, with its values as they were written.
type Condition struct {
	// Operator is as written: ForAnyValue:StringLikeIfExists.
	Operator string
	Key      string
	Values   []string

	test test
}

// Error says what is wrong with a document and where. Its text is safe to show
// to whoever wrote the document.
type Error struct {
	// Statement counts from 1; 0 is the document as a whole.
	Statement int
	Sid       string
	// Element is the path inside the statement or document: Action,
	// Condition.StringLike.aws:username.
	Element string
	// Problem says what is wrong and what to do about it.
	Problem string
}

func (e *Error) Error() string {
	where := ""
	if e.Statement > 0 {
		where = fmt.Sprintf("statement %d", e.Statement)
		if e.Sid != "" {
			where += fmt.Sprintf(" (%s)", e.Sid)
		}
		where += ": "
	}
	if e.Element != "" {
		where += e.Element + ": "
	}
	return where + e.Problem
}

// ContextKeys returns the condition keys that the document asks for, in
// conditions and as variables, lower case, each once, in order of appearance.
func (d *Document) ContextKeys() []string {
	var keys []string
	seen := map[string]bool{}
	add := func(key string) {
		if key != "" && !seen[key] {
			seen[key] = true
			keys = append(keys, key)
		}
	}
	variables := func(ps []pattern) {
		for i := range ps {
			for _, p := range ps[i].parts {
				add(p.key)
			}
		}
	}
	for i := range d.Statements {
		s := &d.Statements[i]
		variables(s.resources)
		for j := range s.Conditions {
			add(s.Conditions[j].test.key)
			variables(s.Conditions[j].test.patterns)
		}
	}
	return keys
}
