package policy

import "strings"

// PrincipalKind says what sort of principal makes a request.
type PrincipalKind uint8

// The kinds of principal. The zero value has no identity and is allowed only
// what a resource allows everybody.
const (
	Anonymous PrincipalKind = iota
	Root
	User
	RoleSession   // an assumed role, by whichever operation
	FederatedUser // a session of GetFederationToken
	Federated     // an OIDC or SAML identity, before it has assumed a role
	Service       // an AWS service that acts for itself
)

// Principal is who makes a request.
type Principal struct {
	Kind    PrincipalKind
	Account string // 12 digits; empty for Anonymous, Federated and Service
	// ARN is the principal's own: of the root, the user or the session.
	ARN string
	// Source is the ARN of the role of a RoleSession, with its path, or of the
	// user of a FederatedUser.
	Source string
	// ID is the unique id of the user, or of the role of a session (AROA...): a
	// policy may name it in place of the ARN.
	ID string
	// Names are a Service's names (lambda.amazonaws.com), or a Federated
	// principal's provider: its ARN, or the host of a well-known one.
	Names []string
	// CanonicalUser is the account's canonical user id, where it has one.
	CanonicalUser string
}

// principalForm is how a value of Principal is matched.
type principalForm uint8

const (
	formEverybody principalForm = iota
	formAccount
	formARN
	formID
	formName // Service and Federated
	formCanonical
	formNobody // who is not there any more, see Document.Pinned
)

// reach says how directly a resource's policy names a principal; the order is
// that of how much it gives ("evaluation", resource-based policies).
type reach uint8

const (
	notNamed reach = iota
	// byAccount gives nothing by itself: it lets the account's own policies
	// decide.
	byAccount
	// bySource names the role or user that a session is of: boundaries and
	// session policies still limit it.
	bySource
	// directly names the user or session itself, a service, or everybody.
	directly
)

func parsePrincipals(element string, n node, kind Kind) ([]PrincipalName, *Error) {
	if n.kind == '"' && n.text == "*" {
		return []PrincipalName{{Type: "AWS", Value: "*", form: formEverybody}}, nil
	}
	if n.kind != '{' {
		return nil, problem(element, `must be "*" or an object such as {"AWS": "arn:aws:iam::123456789012:role/name"}`)
	}
	var out []PrincipalName
	for _, m := range n.members {
		at := join(element, m.name)
		values, bad := m.value.strings(at, false)
		if bad != nil {
			return nil, bad
		}
		for _, v := range values {
			form, wrong := principalFormOf(m.name, v)
			if wrong == "" && kind == Trust && form == formCanonical {
				wrong = "is not supported in a trust policy"
			}
			if wrong != "" {
				return nil, problem(at, `invalid principal in policy: "%s" %s`, v, wrong)
			}
			name := PrincipalName{Type: m.name, Value: v, form: form}
			if form == formID {
				name.id = v
			}
			out = append(out, name)
		}
	}
	if len(out) == 0 {
		return nil, problem(element, "names nobody; name at least one principal")
	}
	return out, nil
}

// principalFormOf checks a value of Principal ("Principal"): no wildcard stands
// for part of a name.
func principalFormOf(kind, v string) (form principalForm, wrong string) {
	switch kind {
	case "AWS":
		return awsPrincipal(v)
	case "Service":
		if !strings.Contains(v, ".") || !onlyOf(v, lowerNames+".") {
			return 0, "is not a service's name; write one such as bedrock-agentcore.amazonaws.com"
		}
		return formName, ""
	case "Federated":
		fields, isARN := splitARN(v)
		provider := strings.HasPrefix(fields[5], "saml-provider/") || strings.HasPrefix(fields[5], "oidc-provider/")
		if isARN && partition(fields[1]) && fields[2] == "iam" && account(fields[4]) && provider && !wild(v) {
			return formName, ""
		}
		if isARN || !strings.Contains(v, ".") || !onlyOf(v, lowerNames+"./:_ABCDEFGHIJKLMNOPQRSTUVWXYZ") {
			return 0, "is not an identity provider; write its ARN (arn:aws:iam::123456789012:oidc-provider/host), or the host of a well-known one"
		}
		return formName, ""
	case "CanonicalUser":
		if !onlyOf(v, lowerNames) {
			return 0, "is not a canonical user id"
		}
		return formCanonical, ""
	}
	return 0, "is of an unknown type; the types are AWS, Service, Federated and CanonicalUser"
}

const wantAWS = `is not an account, "*" or the ARN of a user, role or session; write 123456789012 or arn:aws:iam::123456789012:role/name`

func awsPrincipal(v string) (principalForm, string) {
	switch {
	case v == "*":
		return formEverybody, ""
	case account(v):
		return formAccount, ""
	case wild(v):
		return 0, `has a wildcard, which cannot stand for part of a name or ARN; name the principal, or "*" with a condition on aws:PrincipalArn`
	case len(v) >= 16 && len(v) <= 128 && v[0] == 'A' && onlyOf(v, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"):
		return formID, ""
	}
	f, ok := splitARN(v)
	if !ok || !partition(f[1]) || f[3] != "" || !account(f[4]) {
		return 0, wantAWS
	}
	kind, name, _ := strings.Cut(f[5], "/")
	switch {
	case f[2] == "iam" && f[5] == "root":
		return formAccount, ""
	case f[2] == "iam" && (kind == "user" || kind == "role") && name != "" && !strings.HasSuffix(name, "/"):
		return formARN, ""
	case f[2] == "sts" && kind == "federated-user" && name != "":
		return formARN, ""
	case f[2] == "sts" && kind == "assumed-role":
		role, session, _ := strings.Cut(name, "/")
		if role != "" && session != "" && !strings.Contains(session, "/") {
			return formARN, ""
		}
	}
	return 0, wantAWS
}

func account(s string) bool { return len(s) == 12 && digits(s) }

func wild(s string) bool { return strings.ContainsAny(s, "*?") }

// accountOf returns the account of an AWS account principal: itself, or the
// fifth field of the root's ARN.
func (n *PrincipalName) accountOf() string {
	if f, ok := splitARN(n.Value); ok {
		return f[4]
	}
	return n.Value
}

// reaches says how n names p.
func (n *PrincipalName) reaches(p *Principal) reach {
	if n.form == formEverybody {
		return directly
	}
	switch p.Kind {
	case Anonymous:
		return notNamed
	case Service, Federated:
		want := "Service"
		if p.Kind == Federated {
			want = "Federated"
		}
		for _, name := range p.Names {
			if n.form == formName && n.Type == want && n.Value == name {
				return directly
			}
		}
		return notNamed
	}
	return n.reachesIdentity(p)
}

// reachesIdentity is reaches for the principals of an account.
func (n *PrincipalName) reachesIdentity(p *Principal) reach {
	session := p.Kind == RoleSession || p.Kind == FederatedUser
	switch n.form {
	case formAccount:
		if p.Account != "" && n.accountOf() == p.Account {
			return byAccount
		}
	case formARN:
		switch {
		case n.Value == p.ARN && p.ARN != "" && (n.id == "" || n.id == p.ID):
			return directly
		case session && n.Value == p.Source && p.Source != "":
			return bySource
		}
	case formID:
		switch {
		case n.id != p.ID:
			return notNamed
		case session:
			return bySource
		}
		return directly
	case formCanonical:
		if n.Value == p.CanonicalUser && p.CanonicalUser != "" {
			return byAccount
		}
	}
	return notNamed
}

// reaches says how the statement is about p. One with NotPrincipal is about
// everybody it does not name, and about whoever has a permissions boundary
// ("boundaries", important). There an account is its root and nobody else: a user or
// session must be named itself, or by its role ("NotPrincipal with Deny").
func (s *Statement) reaches(p *Principal, bounded bool) reach {
	most := notNamed
	for i := range s.Principals {
		most = max(most, s.Principals[i].reaches(p))
	}
	if !s.NotPrincipal {
		return most
	}
	spared := most > byAccount || most == byAccount && p.Kind == Root
	if spared && !bounded {
		return notNamed
	}
	return directly
}
