package policy

import (
	"slices"
	"strings"
)

// Parse reads and compiles a document ("grammar"). A text that IAM would not
// store is refused with an *Error; Parse never panics, whatever the text.
func Parse(text []byte, kind Kind) (*Document, error) { return parse(text, kind, "") }

// ParseAbout is Parse of a Resource document that is about the resource it is attached
// to, an ARN: whatever name of it the statements use, or none as those of ECR's
// repositories.
func ParseAbout(text []byte, resource string) (*Document, error) {
	return parse(text, Resource, resource)
}

func parse(text []byte, kind Kind, about string) (*Document, error) {
	root, bad := readJSON(text)
	if bad != nil {
		return nil, bad
	}
	d, bad := parseDocument(root, kind, about)
	if bad != nil {
		return nil, bad
	}
	return d, nil
}

func parseDocument(root node, kind Kind, about string) (*Document, *Error) {
	if root.kind != '{' {
		return nil, problem("", "a policy is a JSON object with Version and Statement")
	}
	d := &Document{Kind: kind, Version: Version2008, about: about}
	var statements *node
	for _, m := range root.members {
		switch m.name {
		case "Version":
			if m.value.kind != '"' || m.value.text != Version2008 && m.value.text != Version2012 {
				return nil, problem("Version", "must be %q; %q is the older language", Version2012, Version2008)
			}
			d.Version = m.value.text
		case "Id":
			if m.value.kind != '"' {
				return nil, problem("Id", "must be a string")
			}
			d.ID = m.value.text
		case statementElement:
			statements = &m.value
		default:
			return nil, problem(m.name, "unknown element; a policy has Version, Id and Statement")
		}
	}
	if statements == nil {
		return nil, problem(statementElement, "is missing")
	}
	list := []node{*statements}
	if statements.kind == '[' {
		list = statements.items
	}
	if len(list) == 0 || len(list) > maxStatements {
		return nil, problem(statementElement, "needs at least one statement and at most %d", maxStatements)
	}
	return d, d.addStatements(list)
}

func (d *Document) addStatements(list []node) *Error {
	sids := map[string]bool{}
	d.Statements = make([]Statement, len(list))
	for i, n := range list {
		s := &d.Statements[i]
		bad := s.parse(n, d)
		if bad == nil && s.Sid != "" && sids[s.Sid] {
			bad = problem("Sid", "statement IDs (Sid) in a single policy must be unique")
		}
		if bad != nil {
			bad.Statement, bad.Sid = i+1, s.Sid
			return bad
		}
		sids[s.Sid] = true
		if s.Deny {
			d.deny = append(d.deny, i)
		} else {
			d.allow = append(d.allow, i)
		}
	}
	return nil
}

func (s *Statement) parse(n node, d *Document) *Error {
	if n.kind != '{' {
		return problem("", "a statement is an object with Effect, Action and Resource")
	}
	// Sid first, so that whatever is wrong is told with it.
	for _, m := range n.members {
		if m.name == "Sid" {
			if bad := s.parseSid(m.value, d.Kind); bad != nil {
				return bad
			}
		}
	}
	has := map[string]bool{}
	if d.about != "" {
		n.members = about(n.members, d.about)
	}
	for _, m := range n.members {
		has[m.name] = true
		if bad := s.parseElement(m, d); bad != nil {
			return bad
		}
	}
	return s.complete(has, d.Kind)
}

// about returns the members of a statement with a resource in place of what they say.
func about(members []member, resource string) []member {
	out := slices.DeleteFunc(slices.Clone(members), func(m member) bool { return m.name == resourceElement })
	return append(out, member{resourceElement, node{kind: '"', text: resource}})
}

func (s *Statement) parseElement(m member, d *Document) (bad *Error) {
	switch m.name {
	case "Sid": // read before
	case "Effect":
		if m.value.kind != '"' || m.value.text != "Allow" && m.value.text != "Deny" {
			return problem("Effect", `must be "Allow" or "Deny"`)
		}
		s.Deny = m.value.text == "Deny"
	case "Action", "NotAction":
		s.NotAction = m.name == "NotAction"
		return s.parseActions(m, d.Kind)
	case resourceElement, "NotResource":
		s.NotResource = m.name == "NotResource"
		return s.parseResources(m, d)
	case "Principal", "NotPrincipal":
		s.NotPrincipal = m.name == "NotPrincipal"
		s.Principals, bad = parsePrincipals(m.name, m.value, d.Kind)
		return bad
	case "Condition":
		return s.parseConditions(m.value, d.Version == Version2012)
	default:
		return problem(m.name, "unknown element; a statement has Sid, Effect, Principal, Action, Resource and Condition, some of them with Not before")
	}
	return nil
}

// parseSid reads a Sid. IAM allows letters and digits; other services that keep
// policies allow more ("grammar", sid_string).
func (s *Statement) parseSid(n node, kind Kind) *Error {
	if n.kind != '"' {
		return problem("Sid", "must be a string")
	}
	plain := func(r rune) bool {
		return '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
	}
	if kind != Resource && strings.ContainsFunc(n.text, func(r rune) bool { return !plain(r) }) {
		return problem("Sid", "statement IDs (Sid) must be alphanumeric: %q may have only A-Z, a-z and 0-9", n.text)
	}
	s.Sid = n.text
	return nil
}

// complete checks which elements stand together.
func (s *Statement) complete(has map[string]bool, kind Kind) *Error {
	for _, pair := range [...]string{"Action", resourceElement, "Principal"} {
		if has[pair] && has["Not"+pair] {
			return problem("Not"+pair, "stands beside %s; a statement has one of them", pair)
		}
	}
	principal := has["Principal"] || has["NotPrincipal"]
	resource := has[resourceElement] || has["NotResource"]
	switch {
	case !has["Effect"]:
		return problem("Effect", `is missing; it must be "Allow" or "Deny"`)
	case !has["Action"] && !has["NotAction"]:
		return problem("Action", "policy statement must contain actions")
	case principal && (kind == Identity || kind == Session):
		return problem("Principal", "policy document should not specify a principal: it is whom the policy is attached to")
	case !principal && (kind == Resource || kind == Trust):
		return problem("Principal", "is missing; name whom the statement is about")
	case resource && kind == Trust:
		return problem(resourceElement, "has prohibited field Resource: a trust policy is about the role it belongs to")
	case !resource && kind != Trust:
		return problem(resourceElement, "policy statement must contain resources")
	case has["NotPrincipal"] && kind == Trust:
		return problem("NotPrincipal", "is not supported in a trust policy; name the principals, or use the condition key aws:PrincipalArn")
	case has["NotPrincipal"] && !s.Deny:
		return problem("NotPrincipal", `must be used with "Effect": "Deny": with Allow it would admit everybody else`)
	}
	return nil
}

// parseActions reads "*" or service:Name with wildcards in the name.
func (s *Statement) parseActions(m member, kind Kind) (bad *Error) {
	if s.Actions, bad = m.value.strings(m.name, false); bad != nil {
		return bad
	}
	if len(s.Actions) == 0 {
		return problem(m.name, "policy statement must contain actions")
	}
	for _, a := range s.Actions {
		if wrong := actionFault(a, kind); wrong != "" {
			return problem(m.name, "%s", wrong)
		}
		p, _ := compilePattern(strings.ToLower(a), true, false)
		s.actions = append(s.actions, p)
	}
	return nil
}

const nameChars = "ABCDEFGHIJKLMNOPQRSTUVWXYZ_" + lowerNames

func actionFault(a string, kind Kind) string {
	vendor, name, found := strings.Cut(a, ":")
	switch {
	case a == "*" && kind != Trust:
		return ""
	case !found:
		return `actions must be prefaced by a vendor, e.g., iam, s3, bedrock-agentcore: "` + a + `" has no colon`
	case strings.Contains(name, ":"):
		return `actions can contain only one colon: "` + a + `"`
	case vendor != "*" && !onlyOf(vendor, nameChars+"."):
		return `vendor "` + vendor + `" is not valid`
	case !onlyOf(name, nameChars+".*?"):
		return `action "` + a + `" is not valid; a name has letters, digits and the wildcards * and ?`
	case kind == Trust && !strings.EqualFold(vendor, "sts"):
		return `AssumeRole policy may only specify STS AssumeRole actions, not "` + a + `"`
	}
	return ""
}

func (s *Statement) parseResources(m member, d *Document) (bad *Error) {
	if s.Resources, bad = m.value.strings(m.name, false); bad != nil {
		return bad
	}
	if len(s.Resources) == 0 {
		return problem(m.name, "policy statement must contain resources")
	}
	for _, r := range s.Resources {
		p, wrong := compileResource(r, d.Kind, d.Version == Version2012)
		if wrong != "" {
			return problem(m.name, "%s", wrong)
		}
		s.resources = append(s.resources, p)
	}
	return nil
}

// parseConditions reads operator, key and values.
func (s *Statement) parseConditions(n node, variables bool) *Error {
	if n.kind != '{' {
		return problem("Condition", "must be an object of operators")
	}
	for _, operator := range n.members {
		at := "Condition." + operator.name
		if operator.value.kind != '{' {
			return problem(at, "must be an object of condition keys")
		}
		if _, ok := newTest(operator.name, ""); !ok {
			return problem(at, badOperator)
		}
		folded := map[string]bool{}
		for _, key := range operator.value.members {
			at := join(at, key.name)
			lower := strings.ToLower(key.name)
			if folded[lower] {
				return problem(at, "written twice; condition keys are not case-sensitive")
			}
			folded[lower] = true
			c, bad := parseCondition(operator.name, at, key, variables)
			if bad != nil {
				return bad
			}
			s.Conditions = append(s.Conditions, c)
		}
	}
	return nil
}

func parseCondition(operator, at string, key member, variables bool) (Condition, *Error) {
	if service, name, found := strings.Cut(key.name, ":"); !found || service == "" || name == "" {
		return Condition{}, problem(at, "condition keys must be prefaced by a vendor, e.g., aws:SourceIp")
	}
	values, bad := key.value.strings(at, true)
	if bad != nil {
		return Condition{}, bad
	}
	t, _ := newTest(operator, key.name)
	for _, v := range values {
		if wrong := t.add(v, variables); wrong != "" {
			return Condition{}, problem(at, "%s", wrong)
		}
	}
	return Condition{Operator: operator, Key: key.name, Values: values, test: t}, nil
}
