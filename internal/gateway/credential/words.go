package credential

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/gateway/target"
)

// kind is what logs and spans call these failures.
const kind = "CredentialException"

// refuse says why a request gets no credentials, and what to do: to the caller of a call,
// or to the target's owner where the gateway itself asks.
func refuse(c *target.Call, cause error, format string, args ...any) error {
	if c.Catalogue {
		u := target.Unfitf(format, args...)
		if cause != nil {
			return fmt.Errorf("%w (%w)", u, cause)
		}
		return u
	}
	return target.Fail(kind, cause, format, args...)
}

// failed words an error of Identity or Roles. what is what was asked for, such as "the
// key of credential provider 'x'".
func failed(c *target.Call, g Gateway, what string, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return target.Fail(kind, err, "%s was not to be had in time", what)
	}
	f := fault.From(err)
	switch {
	case f.Status >= http.StatusInternalServerError, f.Status == http.StatusTooManyRequests:
		return target.Fail(kind, err, "%s cannot be had now: %s", what, f.Message)
	case f.Code == "ResourceNotFoundException":
		return refuse(c, err, "%s is not there: %s. Make it again, or give the target another one", what, f.Message)
	case f.Status == http.StatusForbidden:
		return refuse(c, err, "%s is not for the gateway's role %s: %s. Give the role a policy that allows it (docs/targets.md, Outbound credentials)", what, g.Role, f.Message)
	}
	return refuse(c, err, "%s cannot be had: %s", what, f.Message)
}
