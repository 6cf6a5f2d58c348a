package inbound

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/auth/jwt"
	"github.com/outcrop/outcrop/internal/awshost"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/workload"
)

// WorkloadHeader is where an agent that calls for its user names itself: its workload
// access token.
const WorkloadHeader = "X-Amz-Bedrock-Agentcore-Identity-Wat"

// Door lets callers in by their tokens. It is safe for concurrent use.
type Door struct {
	Verifier *jwt.Verifier
	// Workloads reads the tokens of agents, whose identities are in Store.
	Workloads workload.Tokens
	Store     store.Store
	// Public is this server's URL for who reaches a resource by a name of the resource's
	// own; nil is none.
	Public func() string
}

// Caller is what a caller shows.
type Caller struct {
	// Scope is the account and region of the resource that is called.
	Scope store.Scope
	// Token is the user's, empty where there is none; Workload that of the agent
	// which calls for the user.
	Token    secret.String
	Workload string
	// Debug lets the caller read what is wrong with Workload.
	Debug bool
	// Metadata returns the URL of the resource's metadata (RFC 9728), which callers are
	// told who are not let in.
	Metadata func() string
}

// Admit verifies what a caller shows. A token that is not valid, or none, is 401 with
// the way to get one; one that is valid and not allowed is 403 (spec/identity.md 7.2),
// and is returned beside that for the record.
func (d *Door) Admit(ctx context.Context, a *Authorizer, c Caller) (*jwt.Token, error) {
	if c.Token.Empty() {
		e := fault.New("UnauthorizedException", http.StatusUnauthorized, "Missing Authentication Token")
		return nil, a.challenged(e, c.Metadata(), "")
	}
	t, err := d.Verifier.Verify(ctx, a.DiscoveryURL, c.Token.Reveal(), a.Rules)
	if invalid, ok := errors.AsType[*jwt.Invalid](err); ok {
		return nil, a.challenged(invalid.Fault(), c.Metadata(), "invalid_token")
	}
	if forbidden, ok := errors.AsType[*jwt.Forbidden](err); ok {
		e := forbidden.Fault()
		if forbidden.Scope() {
			e = a.challenged(e, c.Metadata(), "insufficient_scope") // MCP clients ask for more then
		}
		return forbidden.Token, e
	}
	if err != nil {
		return nil, err
	}
	return t, d.fromAllowed(ctx, a, c)
}

// fromAllowed refuses a caller who is none of the agents that an authorizer lets call.
// Identities are named by the account and region of the resource; the ARN of what an
// agent runs in says its own.
func (d *Door) fromAllowed(ctx context.Context, a *Authorizer, c Caller) error {
	if a.Workloads == nil {
		return nil
	}
	why, err := d.unlisted(ctx, a.Workloads, c)
	if why == "" || err != nil {
		return err
	}
	why = "allowedWorkloadConfiguration: " + why
	text := "Authorization denied"
	if c.Debug {
		text += ". " + why
	}
	return fault.Denied("%s", text).Because(errors.New(why))
}

// unlisted says why a caller is none of the agents, or nothing. An agent whose identity was
// deleted since it got its token is none, even if there is another of the name by now.
func (d *Door) unlisted(ctx context.Context, allowed *Workloads, c Caller) (why string, err error) {
	if c.Workload == "" {
		return "the caller showed no workload access token (" + WorkloadHeader + ")", nil
	}
	w, err := d.Workloads.Open(ctx, c.Workload)
	for _, invalid := range []error{workload.ErrExpired, workload.ErrToken} {
		if errors.Is(err, invalid) {
			return invalid.Error(), nil
		}
	}
	if err != nil {
		return "", err
	}
	named, hosted := w.Scope == c.Scope && slices.Contains(allowed.Names, w.Workload), w.Host != "" && slices.Contains(allowed.Hosts, w.Host)
	if !named && !hosted {
		why = "the caller is " + workload.ARN(w.Scope, w.Workload)
		if w.Host != "" {
			why += " in " + w.Host
		}
		return why + ", which is not listed", nil
	}
	err = d.Store.View(ctx, func(r store.Reader) error {
		i, err := workload.Get(r, w.Scope, w.Workload)
		if errors.Is(err, store.ErrNotFound) || err == nil && i.Created.Truncate(time.Second).After(w.Issued) { // which has whole seconds
			why = "the workload access token is of an identity that was deleted"
			return nil
		}
		return err
	})
	return why, err
}

// challenged adds how to get a token to a refusal (RFC 6750 3, RFC 9728 5.1).
func (a *Authorizer) challenged(e *fault.Error, metadata, problem string) *fault.Error {
	parts := []string{`resource_metadata="` + metadata + `"`}
	if len(a.Scopes) > 0 {
		parts = append(parts, `scope="`+strings.Join(a.Scopes, " ")+`"`)
	}
	if problem != "" {
		parts = append(parts, `error="`+problem+`"`, `error_description="`+e.Message+`"`)
	}
	c := *e
	c.Header = http.Header{"Www-Authenticate": {"Bearer " + strings.Join(parts, ", ")}}
	return &c
}

// Name is how the audit names who comes with a token.
func Name(issuer, subject string) string { return issuer + "#" + subject }

// Metadata is what a client reads that wants to sign in to a resource (RFC 9728 2).
type Metadata struct {
	Resource string
	Servers  []string
	Scopes   []string
}

// Metadata describes the resource that an authorizer guards, below base as the caller
// reached it. An issuer that is this server too goes by its name there, if it has one:
// whoever reaches the resource reaches that, whatever name the authorizer has for it. At a
// name that is the resource's alone, and none of AWS's, it goes by the public one.
// Where the issuer's name cannot be had, it is what its discovery URL says.
func (d *Door) Metadata(ctx context.Context, a *Authorizer, base, resource string) Metadata {
	names, err := d.Verifier.Names(ctx, a.DiscoveryURL)
	if err != nil {
		issuer, _, _ := strings.Cut(a.DiscoveryURL, "/.well-known/")
		names = []string{issuer}
	}
	below := func(base string) int {
		return slices.IndexFunc(names, func(name string) bool { return strings.HasPrefix(name, strings.ToLower(base)+"/") })
	}
	near := below(base)
	if u, err := url.Parse(base); near < 0 && d.Public != nil && err == nil && !awshost.Is(u.Hostname()) {
		near = below(d.Public())
	}
	near = max(near, 0)
	return Metadata{Resource: resource, Servers: names[near : near+1], Scopes: a.Scopes}
}

// conditionKey begins the keys by which conditions ask about a token, in lower case as
// auth.Request wants them: bedrock-agentcore:InboundJwtClaim/sub.
const conditionKey = "bedrock-agentcore:inboundjwtclaim/"

// Keys are what conditions of a policy can ask about a token (spec/identity.md 10.2).
func Keys(t *jwt.Token) map[string][]string {
	keys := map[string][]string{}
	for name, values := range t.Conditions() {
		keys[conditionKey+name] = values
	}
	return keys
}
