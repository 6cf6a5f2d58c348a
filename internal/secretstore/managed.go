package secretstore

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/store"
)

// The secrets of credential providers (spec/identity.md 2.4): their names begin with
// ManagedPrefix, and IdentityService is their owning service.
const (
	ManagedPrefix   = "bedrock-agentcore-identity!"
	IdentityService = "bedrock-agentcore-identity"
)

// NewManaged seals a new secret that a service manages: callers read it as they may,
// and change nothing of it. The service writes it together with what depends on it;
// a name that is taken is a refusal then.
func (s *Secrets) NewManaged(ctx context.Context, scope store.Scope, service, name string, value secret.String) (*Draft, error) {
	if service == "" {
		return nil, errNoService
	}
	token, err := s.newID()
	if err != nil {
		return nil, err
	}
	c := Text(value)
	return s.draft(ctx, scope, service, name, Settings{}, token, &c)
}

// RotateManaged seals another value for a secret that service manages, named by its
// name or ARN.
func (s *Secrets) RotateManaged(ctx context.Context, scope store.Scope, service, id string, value secret.String) (*Draft, error) {
	if service == "" {
		return nil, errNoService
	}
	found, err := s.Find(ctx, scope, id)
	if err != nil {
		return nil, err
	}
	if found.Service != service {
		return nil, managedBy(found.Name, found.Service)
	}
	token, err := s.newID()
	if err != nil {
		return nil, err
	}
	made, err := s.seal(ctx, found.Ref, found.KeyID, token, Text(value))
	if err != nil {
		return nil, err
	}
	return &Draft{secrets: s, ref: found.Ref, name: found.Name, service: service, value: &made}, nil
}

var errNoService = errors.New("a managed secret needs a service")

// DeleteManaged takes a secret away that service manages, with all its values and at
// once. One that is not there is no error.
func (s *Secrets) DeleteManaged(tx store.Tx, scope store.Scope, service, id string) error {
	doc, err := s.find(tx, scope, id)
	if IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if service == "" || doc.State.Service != service {
		return managedBy(doc.Name, doc.State.Service)
	}
	return s.erase(tx, Ref{doc.Scope, doc.ID})
}

// Member returns a member of the current value of a secret that a caller in scope
// names by its name or ARN: the value is an object, and the member text. What is
// wrong is a fault that says what to put right, and nothing of the value.
//
// The secret is read with the rights of the server; its user asks the caller's.
func (s *Secrets) Member(ctx context.Context, scope store.Scope, id, member string) (secret.String, Secret, error) {
	found, err := s.Find(ctx, scope, id)
	if err != nil {
		return secret.String{}, found, err
	}
	c, _, found, err := s.Value(ctx, found.Ref, "", "")
	if err != nil {
		return secret.String{}, found, err
	}
	var object map[string]json.RawMessage
	if c.Binary || json.Unmarshal(c.Value.Reveal(), &object) != nil || object == nil {
		return secret.String{}, found, fault.Validation("The value of the secret %s is no JSON object; it must be one, with the member '%s'", found.ARN(), member)
	}
	raw, ok := object[member]
	if !ok {
		return secret.String{}, found, fault.Validation("The value of the secret %s has no member '%s'", found.ARN(), member)
	}
	var text *string
	if json.Unmarshal(raw, &text) != nil || text == nil {
		return secret.String{}, found, fault.Validation("The member '%s' of the secret %s is no text", member, found.ARN())
	}
	return secret.NewString(*text), found, nil
}
