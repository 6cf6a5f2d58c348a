package connector

import (
	"context"
	"net/http"

	"github.com/outcrop/outcrop/internal/gateway/target"
	"github.com/outcrop/outcrop/internal/secret"
)

// Key are the credentials of a connector that the operator gave a key of his own: every
// target of it shows that one.
type Key struct {
	// Header has the key; empty is Authorization with a bearer token.
	Header string
	Value  secret.String
}

var _ target.Credentials = Key{}

// Apply implements target.Credentials.
func (k Key) Apply(_ context.Context, r *http.Request, c *target.Call) error {
	name, prefix := k.Header, ""
	if name == "" {
		name, prefix = "Authorization", "Bearer "
	}
	if http.CanonicalHeaderKey(name) == "Authorization" && c.Intercepted {
		return nil
	}
	r.Header.Set(name, prefix+k.Value.Reveal())
	return nil
}
