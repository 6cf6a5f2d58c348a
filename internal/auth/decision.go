package auth

import (
	"errors"
	"fmt"
	"strings"

	"github.com/outcrop/outcrop/internal/auth/policy"
	"github.com/outcrop/outcrop/internal/fault"
)

// Effect is the outcome of weighing one requirement.
type Effect = policy.Effect

// The outcomes. The zero value is a refusal.
const (
	NoAllow      = policy.NoAllow      // nothing allows it
	ExplicitDeny = policy.ExplicitDeny // a policy forbids it
	Allow        = policy.Allow
)

// Decision is the outcome for one requirement and why, for the audit record.
type Decision struct {
	Requirement Requirement
	Effect      Effect
	// By is the type of policy that decided, or that would have to allow.
	By policy.Type
	// Result is what policies say of it, zero where they were not asked.
	Result policy.Result
	// Err is why no decision could be made, which is a refusal.
	Err error

	because string // unless policies decided
}

// Because says why, for the log; a caller never reads it. Most decisions are never asked.
func (d *Decision) Because() string {
	r := d.Result
	switch {
	case d.because != "":
		return d.because
	case r.Policy != "" && r.Sid != "":
		return fmt.Sprintf("statement %d (%s) of the %s %s", r.Statement, r.Sid, r.By, r.Policy)
	case r.Policy != "":
		return fmt.Sprintf("statement %d of the %s %s", r.Statement, r.By, r.Policy)
	case r.Effect == Allow:
		return "the root key of its own account"
	}
	return "no " + d.By.String() + " allows it"
}

// Allowed reports whether the requirement is met.
func (d Decision) Allowed() bool { return d.Effect == Allow && d.Err == nil }

func (d Decision) failed(err error) Decision {
	d.Effect, d.because, d.Err = NoAllow, "its policies cannot be read", err
	return d
}

// Refusal is the error p is answered with when the decision is not to allow
// (texts: spec/identity.md 10.4), and nil when it is. Its code is the one of
// the JSON services; the fronts of S3 and the query services rename it.
func (d Decision) Refusal(p Principal) error {
	if d.Err != nil {
		return fault.Internal(fmt.Errorf("authorise %s: %w", d.Requirement.Action, d.Err))
	}
	if d.Allowed() {
		return nil
	}
	start := "User: " + p.ARN + " is not authorized to perform: " + d.Requirement.Action +
		" on resource: " + d.Requirement.Resource
	cause := errors.New(d.Because())
	by := d.By.String()
	article := "a "
	if d.By == policy.IdentityBased {
		article = "an "
	}
	if d.By == policy.ResourceBased && strings.HasPrefix(d.Requirement.Action, "sts:") {
		article, by = "the ", "role trust policy"
	}
	if d.Effect == ExplicitDeny {
		return fault.Denied("%s with an explicit deny in %s%s", start, article, by).Because(cause)
	}
	if of := policy.Account(d.Requirement.Resource); d.Requirement.Action == "iam:PassRole" && of != "" && of != p.Account {
		return fault.Denied("%s because the role is of account %s and the caller of account %s. A role is passed within its own account alone", start, of, p.Account).Because(cause)
	}
	return fault.Denied("%s because no %s allows the %s action", start, by, d.Requirement.Action).Because(cause)
}
