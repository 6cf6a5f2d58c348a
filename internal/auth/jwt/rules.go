package jwt

import (
	"fmt"
	"slices"
)

// Rules are what an authorizer asks of a valid token (spec/identity.md 7.2). A list
// without entries asks nothing; all that ask must be content.
type Rules struct {
	AllowedAudience []string
	AllowedClients  []string
	AllowedScopes   []string
	CustomClaims    []ClaimRule
	// Lenient takes azp or appid for a client_id that is not there.
	Lenient bool
	// MaxBytes bounds the token. Zero is DefaultMaxBytes.
	MaxBytes int
}

// The types and operators of a ClaimRule, as on the wire.
const (
	TypeString      = "STRING"
	TypeStringArray = "STRING_ARRAY"

	Equals      = "EQUALS"
	Contains    = "CONTAINS"
	ContainsAny = "CONTAINS_ANY"
)

// ClaimRule asks something of one claim.
type ClaimRule struct {
	Name     string
	Type     string // TypeString or TypeStringArray
	Operator string
	Value    string   // of Equals and Contains
	Values   []string // of ContainsAny
}

// Validate refuses a rule that no token can meet: STRING goes with EQUALS and one
// string, STRING_ARRAY with CONTAINS and one or CONTAINS_ANY and a list
// (spec/runtime.md 2.5).
func (r ClaimRule) Validate() error {
	one := r.Value != "" && len(r.Values) == 0
	many := r.Value == "" && len(r.Values) > 0
	switch {
	case r.Name == "":
		return fmt.Errorf("check claim rule: it names no claim")
	case r.Type == TypeString && r.Operator == Equals && one,
		r.Type == TypeStringArray && r.Operator == Contains && one,
		r.Type == TypeStringArray && r.Operator == ContainsAny && many:
		return nil
	case r.Type == TypeString:
		return fmt.Errorf("check claim rule %s: a STRING claim is matched by EQUALS and matchValueString", r.Name)
	case r.Type == TypeStringArray:
		return fmt.Errorf("check claim rule %s: a STRING_ARRAY claim is matched by CONTAINS and matchValueString, or CONTAINS_ANY and matchValueStringList", r.Name)
	}
	return fmt.Errorf("check claim rule %s: its type is neither STRING nor STRING_ARRAY", r.Name)
}

// match tells whether a claim is as the rule asks. A rule that is not valid is met
// by none.
func (r ClaimRule) match(claims map[string]any) bool {
	if r.Validate() != nil {
		return false
	}
	if r.Type == TypeString {
		s, ok := claims[r.Name].(string)
		return ok && s == r.Value
	}
	list, ok := claims[r.Name].([]any)
	if !ok {
		return false
	}
	have := words(list, false)
	if r.Operator == Contains {
		return slices.Contains(have, r.Value)
	}
	return overlap(have, r.Values)
}

// check returns a *Forbidden that names each claim which is not allowed.
func (r Rules) check(t *Token) error {
	var texts []string
	if len(r.AllowedClients) > 0 && (t.ClientID == "" || !slices.Contains(r.AllowedClients, t.ClientID)) {
		texts = append(texts, textClient)
	}
	if len(r.AllowedAudience) > 0 && !overlap(t.Audience, r.AllowedAudience) {
		texts = append(texts, textAudience)
	}
	if len(r.AllowedScopes) > 0 && !overlap(t.Scopes, r.AllowedScopes) {
		texts = append(texts, textScope)
	}
	for _, c := range r.CustomClaims {
		if text := fmt.Sprintf(textCustom, c.Name); !c.match(t.Claims) && !slices.Contains(texts, text) {
			texts = append(texts, text)
		}
	}
	if texts == nil {
		return nil
	}
	return &Forbidden{Texts: texts, Token: t}
}

func (r Rules) maxBytes() int {
	if r.MaxBytes > 0 {
		return r.MaxBytes
	}
	return DefaultMaxBytes
}

func overlap(have, allowed []string) bool {
	return slices.ContainsFunc(have, func(s string) bool { return slices.Contains(allowed, s) })
}
