package issuer

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Attribute is what a pool's schema says of an attribute of its users.
type Attribute struct {
	// Fixed: its value comes with the user, and nobody changes it later.
	Fixed bool `json:"fixed,omitempty"`
	// Required: who signs up says it.
	Required bool `json:"required,omitempty"`
	// Number: values are whole numbers, and else texts.
	Number bool `json:"number,omitempty"`
	// Least and Most bound the number, or how many characters the text has; nil does not.
	Least *int64 `json:"least,omitempty"`
	Most  *int64 `json:"most,omitempty"`
}

// check refuses a value that the attribute cannot have.
func (a Attribute) check(name, value string) error {
	size, what := int64(utf8.RuneCountInString(value)), "characters"
	if a.Number {
		var err error
		if size, err = strconv.ParseInt(value, 10, 64); err != nil {
			return Invalid("Attributes did not conform to the schema: %s must be a whole number", name)
		}
		what = "as its value"
	}
	switch {
	case a.Least != nil && size < *a.Least:
		return Invalid("Attributes did not conform to the schema: %s must have at least %d %s", name, *a.Least, what)
	case a.Most != nil && size > *a.Most:
		return Invalid("Attributes did not conform to the schema: %s must have at most %d %s", name, *a.Most, what)
	}
	return nil
}

// The bounds of attributes.
const (
	maxAttributes = 100
	maxAttribute  = 2048
)

// Standard reports whether an attribute is one that every pool has (OpenID Connect
// Core 5.1), but for sub, which nobody sets.
func Standard(name string) bool {
	switch name {
	case "name", "given_name", "family_name", "middle_name", "nickname", "preferred_username", "profile", "picture", "website",
		"email", "email_verified", "gender", "birthdate", "zoneinfo", "locale", "phone_number", "phone_number_verified", "address", "updated_at":
		return true
	}
	return false
}

// has reports whether users of the pool have an attribute. All others would be what
// users like in their tokens: client_id, scope.
func (s Settings) has(name string) bool {
	if Standard(name) {
		return true
	}
	_, ok := s.Schema[name]
	return ok && (strings.HasPrefix(name, "custom:") || strings.HasPrefix(name, "dev:"))
}

// MayRead reports whether users see an attribute by the client.
func (s ClientSettings) MayRead(name string) bool {
	return name == "sub" || len(s.Reads) == 0 || slices.Contains(s.Reads, name)
}

// MayWrite reports whether users set an attribute by the client. What says that an
// address is proven, and what is the developers', is for administrators.
func (s ClientSettings) MayWrite(name string) bool {
	switch {
	case strings.HasSuffix(name, "_verified") || strings.HasPrefix(name, "dev:"):
		return false
	case len(s.Writes) == 0:
		return Standard(name)
	}
	return slices.Contains(s.Writes, name)
}

// checkClient refuses a client's lists of what no user of the pool has.
func (s Settings) checkClient(c ClientSettings) error {
	for _, name := range c.Reads {
		if name != "sub" && !s.has(name) {
			return Invalid("Invalid read attributes specified while creating a client")
		}
	}
	for _, name := range c.Writes {
		if !s.has(name) {
			return Invalid("Invalid write attributes specified while creating a client")
		}
	}
	return nil
}

// keepsFixed refuses to change what comes with a user.
func (s Settings) keepsFixed(was, next map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(s.Schema)) {
		if s.Schema[name].Fixed && was[name] != next[name] {
			return Invalid("user.%s: Attribute cannot be updated.", name)
		}
	}
	return nil
}

// altered returns a user's attributes with some set and others removed, as those are
// that are set to nothing. An address that changes is no longer proven, unless the same call says that it is.
func altered(was, set map[string]string, remove []string) map[string]string {
	next := maps.Clone(was)
	if next == nil {
		next = map[string]string{}
	}
	for _, name := range remove {
		delete(next, name)
	}
	maps.Copy(next, set)
	maps.DeleteFunc(next, func(_, value string) bool { return value == "" })
	for _, name := range []string{"email", "phone_number"} {
		if proof := name + "_verified"; next[name] != was[name] && set[proof] == "" {
			delete(next, proof)
		}
	}
	return next
}

// checkValues refuses values that are set and that the schema, or the form of a standard
// attribute, does not allow. What was stored before is not looked at.
func (s Settings) checkValues(set map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(set)) {
		if set[name] == "" {
			continue
		}
		if err := checkForm(name, set[name]); err != nil {
			return err
		}
		if a, ok := s.Schema[name]; ok {
			if err := a.check(name, set[name]); err != nil {
				return err
			}
		}
	}
	return nil
}

// The forms of addresses; numbers are those of E.164 (developer guide, "Working with user
// attributes").
var (
	emailForm = regexp.MustCompile(`^[^@\s]+@[^@\s]+$`)
	phoneForm = regexp.MustCompile(`^\+[1-9][0-9]{0,14}$`)
)

// checkForm refuses values that have not the form of their standard attribute.
func checkForm(name, value string) error {
	switch name {
	case "email":
		if !emailForm.MatchString(value) {
			return Invalid("Invalid email address format.")
		}
	case "phone_number":
		if !phoneForm.MatchString(value) {
			return Invalid("Invalid phone number format.")
		}
	case "birthdate":
		if _, err := time.Parse(time.DateOnly, value); err != nil {
			return Invalid("Attributes did not conform to the schema: birthdate must be a date of the form YYYY-MM-DD")
		}
	case "updated_at":
		if _, err := strconv.ParseUint(value, 10, 63); err != nil {
			return Invalid("Attributes did not conform to the schema: updated_at must be seconds since 1970, a whole number")
		}
	}
	return nil
}

// checkRequired refuses the attributes of a new user that lack one. Administrators may leave
// it to the user (cognito-idp's API reference, AdminCreateUser).
func (s Settings) checkRequired(attributes map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(s.Schema)) {
		if s.Schema[name].Required && attributes[name] == "" {
			return Invalid("Attributes did not conform to the schema: %s: The attribute is required", name)
		}
	}
	return nil
}

// checkAttributes refuses what is not the caller's to say.
func (s Settings) checkAttributes(attributes map[string]string) error {
	if len(attributes) > maxAttributes {
		return Invalid("A user may have at most %d attributes", maxAttributes)
	}
	for name, value := range attributes {
		switch {
		case name == "sub":
			return Invalid("Cannot modify the non-mutable attribute sub")
		case strings.HasPrefix(name, "cognito:") || strings.HasPrefix(name, "aws:"):
			return Invalid("Attribute %s cannot be updated.", name)
		case !s.has(name):
			return Invalid("Attributes did not conform to the schema: Type for attribute {%s} could not be determined", name)
		case len(value) > maxAttribute:
			return Invalid("Attribute value for %s must not exceed length %d", name, maxAttribute)
		case (name == "email_verified" || name == "phone_number_verified") && value != "true" && value != "false":
			return Invalid("Attribute %s must be true or false", name)
		}
	}
	return nil
}
