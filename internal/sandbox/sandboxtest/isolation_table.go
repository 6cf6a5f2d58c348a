package sandboxtest

import (
	"fmt"
	"regexp"
	"strings"
)

// A Probe is one way out of a sandbox that a guest tries. Unless Own says otherwise
// it must be refused.
type Probe struct {
	// Group and Name are the test's name, and what docs/sandbox.md says of it.
	Group, Name string
	// Do is what the guest program is told, with {placeholders} for what the test
	// knows.
	Do string
	// Own is a pattern of what whom may get, because it is the guest's own, by the
	// roles of guests; the role "" is all others.
	Own map[string]string
}

// The roles of guests: who tries.
const (
	roleUser   = "user" // of the host's layer: an ordinary user
	roleRoot   = "root" // of its own image
	roleUserns = "user in its own user namespace"
	roleAllns  = "user in its own namespaces"
)

// Check returns what is wrong with a result of the guest program, or nil.
func (p Probe) Check(role, result string) error {
	if strings.HasPrefix(result, "refused: ") {
		return nil
	}
	own, ok := p.Own[role]
	if !ok {
		own, ok = p.Own[""]
	}
	if gotten, got := strings.CutPrefix(result, "got: "); got && ok {
		if regexp.MustCompile(`^(?:` + own + `)$`).MatchString(gotten) {
			return nil
		}
		return fmt.Errorf("it got %q, its own is %q", gotten, own)
	}
	return fmt.Errorf("it must be refused, and was not: %q", result)
}

// With is the probe with values in its places.
func (p Probe) With(values map[string]string) Probe {
	var plain, quoted []string
	for k, v := range values {
		plain = append(plain, "{"+k+"}", v)
		quoted = append(quoted, "{"+k+"}", regexp.QuoteMeta(v))
	}
	p.Do = strings.NewReplacer(plain...).Replace(p.Do)
	own := map[string]string{}
	for role, pattern := range p.Own {
		own[role] = strings.NewReplacer(quoted...).Replace(pattern)
	}
	p.Own = own
	return p
}

// all is what everybody may get.
func all(pattern string) map[string]string { return map[string]string{"": pattern} }

// inNamespaces is what a guest may get in namespaces of its own.
func inNamespaces(pattern string) map[string]string { return map[string]string{roleAllns: pattern} }

// withCapabilities is what a guest may get as root of a user namespace of its own,
// whatever else it has of its own.
func withCapabilities(pattern string) map[string]string {
	return map[string]string{roleUserns: pattern, roleAllns: pattern}
}
