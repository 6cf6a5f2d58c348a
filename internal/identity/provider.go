package identity

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/identity/vault"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/store"
)

// Secrets are those of Secrets Manager. What is refused is a fault of that service.
type Secrets interface {
	// Make seals a secret of this service; Rotate another value for one, named by its
	// ARN. Both are written in the transaction of what depends on them.
	Make(ctx context.Context, scope store.Scope, name string, value secret.String) (WriteSecret, error)
	Rotate(ctx context.Context, scope store.Scope, arn string, value secret.String) (WriteSecret, error)
	// Drop takes a secret of this service away; one that is gone is no error.
	Drop(tx store.Tx, scope store.Scope, arn string) error
	// Find returns the ARN of the secret with a name or an ARN, or store.ErrNotFound.
	Find(ctx context.Context, scope store.Scope, id string) (arn string, err error)
	// Key returns the ARN of the customer's key that the current value of the secret
	// with an ARN is sealed under; none for the server's own, and where there is none.
	Key(ctx context.Context, scope store.Scope, arn string) (string, error)
	// Member returns a member of the JSON object that a secret holds.
	Member(ctx context.Context, scope store.Scope, arn, member string) (secret.String, error)
}

// WriteSecret writes a secret and returns its ARN.
type WriteSecret func(store.Tx) (arn string, err error)

// maxProviders is how many providers of a kind an account may have in a region
// (spec/identity.md 11).
const maxProviders = 50

// providerKind is one of the two kinds of credential providers.
type providerKind struct {
	path   string // in an ARN
	secret string // how the names of the secrets begin that the service keeps
	json   string // where in them the value is
}

// vaultPath is what stands in the ARNs of what is in the vault.
const vaultPath = "token-vault/" + vault.ID

func apiKeyKind() providerKind {
	return providerKind{vaultPath + "/apikeycredentialprovider/", "bedrock-agentcore-identity!default/apikey/", "api_key_value"}
}

func oauthKind() providerKind {
	return providerKind{vaultPath + "/oauth2credentialprovider/", "bedrock-agentcore-identity!default/oauth2/", "client_secret"}
}

func (k providerKind) arn(scope store.Scope, name string) string {
	return "arn:aws:bedrock-agentcore:" + scope.Region + ":" + scope.Account + ":" + k.path + name
}

// secretRef says where a provider's secret is.
type secretRef struct {
	// Source is MANAGED or EXTERNAL, or empty: there is none.
	Source  string `json:"source,omitempty"`
	ARN     string `json:"arn,omitempty"`
	JSONKey string `json:"jsonKey,omitempty"`
}

const (
	managed  = agentcorecontrol.SecretSourceTypeMANAGED
	external = agentcorecontrol.SecretSourceTypeEXTERNAL
)

// arnOut, keyOut and sourceOut are the members of answers that tell of it. The key in
// a secret that the service keeps is nobody's business (spec/identity.md 2.3).
func (s secretRef) arnOut() *agentcorecontrol.Secret {
	if s.ARN == "" {
		return nil
	}
	return &agentcorecontrol.Secret{SecretArn: &s.ARN}
}

func (s secretRef) keyOut() *string {
	if s.Source != external {
		return nil
	}
	return &s.JSONKey
}

func (s secretRef) sourceOut() *string { return wire.Optional(s.Source) }

// givenSecret is what a request says of a secret.
type givenSecret struct {
	member, config string // how the request calls the value, and where else it is
	value          *string
	ref            *agentcorecontrol.SecretReference
	source         *string
}

// isExternal tells where the secret is, and refuses a request that says both.
func (g givenSecret) isExternal() (bool, error) {
	out := g.source != nil && *g.source == external
	switch {
	case out && g.ref == nil:
		return out, fault.Invalid(g.config, "%s is required with the secret source EXTERNAL", g.config)
	case out && g.value != nil && *g.value != "":
		return out, fault.Invalid(g.member, "%s cannot be given with the secret source EXTERNAL", g.member)
	case !out && g.ref != nil:
		return out, fault.Invalid(g.config, "%s is given without the secret source EXTERNAL", g.config)
	}
	return out, nil
}

func (g givenSecret) empty() bool { return g.value == nil || *g.value == "" }

// mayMake asks whether the caller may have the service make a secret, as AWS does
// (spec/identity.md 10.3).
func mayMake(ctx context.Context, k providerKind, name string, g givenSecret) error {
	if out, err := g.isExternal(); err != nil || out || g.empty() {
		return err
	}
	call := pipeline.From(ctx)
	return call.Authorize(ctx, auth.Requirement{Action: "secretsmanager:CreateSecret", Resource: secretARN(call.Scope, k.secret+name)})
}

// settle makes ready to put a secret where a request wants it, in place of what was. A
// secret of the account's own is taken only from a caller who may read it: the agents
// of the provider will.
func (s *Service) settle(ctx context.Context, k providerKind, name string, was secretRef, g givenSecret) (func(store.Tx) (secretRef, error), error) {
	out, err := g.isExternal()
	if err != nil {
		return nil, err
	}
	is := secretRef{}
	write := func(store.Tx) (string, error) { return is.ARN, nil }
	switch {
	case out:
		is, err = s.settleExternal(ctx, name, g)
	case !g.empty():
		is = secretRef{Source: managed, JSONKey: k.json}
		write, err = s.settleManaged(ctx, k, name, was, *g.value)
	}
	if err != nil {
		return nil, err
	}
	return func(tx store.Tx) (secretRef, error) {
		arn, err := write(tx)
		if fault.Is(err, "ResourceExistsException") {
			return secretRef{}, fault.Conflict("A secret with the name %s%s exists in Secrets Manager, and is not of this provider", k.secret, name).Because(err)
		}
		if err == nil && was.Source == managed && was.ARN != arn {
			err = s.cfg.Secrets.Drop(tx, pipeline.From(ctx).Scope, was.ARN)
		}
		return secretRef{is.Source, arn, is.JSONKey}, err
	}, nil
}

func (s *Service) settleManaged(ctx context.Context, k providerKind, name string, was secretRef, value string) (WriteSecret, error) {
	scope := pipeline.From(ctx).Scope
	b, err := json.Marshal(map[string]string{k.json: value})
	if err != nil {
		return nil, err
	}
	text := secret.NewString(string(b))
	if was.Source == managed {
		if _, err := s.cfg.Secrets.Find(ctx, scope, was.ARN); err == nil {
			return s.cfg.Secrets.Rotate(ctx, scope, was.ARN, text)
		} else if !errors.Is(err, store.ErrNotFound) {
			return nil, err
		}
	}
	return s.cfg.Secrets.Make(ctx, scope, k.secret+name, text)
}

func (s *Service) settleExternal(ctx context.Context, provider string, g givenSecret) (secretRef, error) {
	call := pipeline.From(ctx)
	arn, err := s.cfg.Secrets.Find(ctx, call.Scope, *g.ref.SecretId)
	missing := errors.Is(err, store.ErrNotFound)
	if err != nil && !missing {
		return secretRef{}, err
	}
	if missing {
		arn = secretARN(call.Scope, *g.ref.SecretId)
	}
	if err := s.mayOpen(ctx, arn); err != nil {
		return secretRef{}, err
	}
	if missing {
		return secretRef{}, fault.Invalid(g.config, "There is no secret '%s' in this account and region", *g.ref.SecretId)
	}
	ref := secretRef{Source: external, ARN: arn, JSONKey: *g.ref.JsonKey}
	_, err = s.reveal(ctx, call.Scope, provider, ref)
	return ref, err
}

// secretARN names a secret that is not there, as a policy would.
func secretARN(scope store.Scope, id string) string {
	if strings.HasPrefix(id, "arn:") {
		return id
	}
	return "arn:aws:secretsmanager:" + scope.Region + ":" + scope.Account + ":secret:" + id
}

// reveal reads a provider's secret. It is read with the platform's rights; what the
// caller may is asked before (spec/identity.md 12.7).
func (s *Service) reveal(ctx context.Context, scope store.Scope, provider string, ref secretRef) (secret.String, error) {
	if ref.Source == "" {
		return secret.String{}, nil
	}
	value, err := s.cfg.Secrets.Member(ctx, scope, ref.ARN, ref.JSONKey)
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return secret.String{}, fault.Validation("The secret of credential provider '%s' cannot be used: %s", provider, f.Message)
	}
	return value, err
}

// providerExists and noProvider are the refusals that clients read
// (spec/identity.md 2.3).
func providerExists(name string) error {
	return fault.Conflict("Credential provider with name: %s already exists", name)
}

func noProvider(err error, name string) error {
	if errors.Is(err, store.ErrNotFound) {
		return fault.NotFound("Credential provider with name: %s not found", name)
	}
	return err
}

// replaced words why a provider could not be changed.
func replaced(err error, name string) error {
	if errors.Is(err, store.ErrStale) {
		return fault.Conflict("Credential provider with name: %s is being changed by another call", name).Because(err)
	}
	return noProvider(err, name)
}

// drop takes the secret away that the service keeps for a provider.
func (s *Service) drop(tx store.Tx, scope store.Scope, ref secretRef) error {
	if ref.Source != managed {
		return nil
	}
	return s.cfg.Secrets.Drop(tx, scope, ref.ARN)
}

// providerState is what both kinds keep besides what was asked for.
type providerState struct {
	// ID tells a provider from an earlier one of its name; it ends the callback URL.
	ID      string    `json:"id"`
	Updated time.Time `json:"updated"`
	// Servers counts how often it became another server's client.
	Servers int `json:"servers,omitempty"`
}

// key tells what was had of a provider from what is had of it now.
func (s providerState) key() string { return s.ID + "/" + strconv.Itoa(s.Servers) }

// roomFor refuses a provider whose name is taken, or for which there is no room.
func roomFor[S any](r store.Reader, c store.Collection[S, providerState], scope store.Scope, name, what string) error {
	if _, err := c.Get(r, scope, name); err == nil {
		return providerExists(name)
	} else if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	n := 0
	for _, err := range c.Each(r, scope, "") {
		if err != nil {
			return err
		}
		n++
	}
	if n >= maxProviders {
		return fault.Quota("Region %s has as many %s as it may have: %d of %d. Delete some first; the limit cannot be raised", scope.Region, what, n, maxProviders)
	}
	return nil
}
