package issuer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/store"
)

// ClientSettings are what an administrator decides about an app client.
type ClientSettings struct {
	Name string `json:"name"`
	// Flows are those of the API by which its users sign in: ALLOW_USER_PASSWORD_AUTH
	// and so on.
	Flows []string `json:"flows,omitempty"`
	// OAuth opens the authorization server to the client, with Grants (code,
	// client_credentials) and Scopes.
	OAuth  bool     `json:"oauth,omitempty"`
	Grants []string `json:"grants,omitempty"`
	Scopes []string `json:"scopes,omitempty"`
	// Callbacks are the whole redirect URIs; Logouts where a sign-out may lead.
	Callbacks []string `json:"callbacks,omitempty"`
	Logouts   []string `json:"logouts,omitempty"`
	// How long tokens are good; zero is Cognito's own default.
	Access  time.Duration `json:"access,omitempty"`
	ID      time.Duration `json:"id,omitempty"`
	Refresh time.Duration `json:"refresh,omitempty"`
	// Session is how long a challenge may wait.
	Session time.Duration `json:"session,omitempty"`
	// TellsUsers: who signs in is told whether the user exists.
	TellsUsers bool `json:"tellsUsers,omitempty"`
	// NoRevocation: tokens do not name the sign-in that they come from.
	NoRevocation bool `json:"noRevocation,omitempty"`
	// Rotates: a refresh token is good once, and for Grace after that.
	Rotates bool          `json:"rotates,omitempty"`
	Grace   time.Duration `json:"grace,omitempty"`
	// Reads and Writes are the attributes that the client's users see and set by it.
	// Without Reads they see all, without Writes they set the standard ones
	// (cognito-idp's API reference, CreateUserPoolClient).
	Reads  []string `json:"reads,omitempty"`
	Writes []string `json:"writes,omitempty"`
	// Dynamic clients have registered themselves: users are asked about them.
	Dynamic bool `json:"dynamic,omitempty"`
	// Extra is what the front keeps of what has no effect here.
	Extra json.RawMessage `json:"extra,omitempty"`
}

// The validities that Cognito has by default.
const (
	defaultAccess  = time.Hour
	defaultRefresh = 30 * 24 * time.Hour
	defaultSession = 3 * time.Minute
)

type clientState struct {
	// Sealed is the secret; a public client has none.
	Sealed []byte `json:"sealed,omitempty"`
	// SignedIn is when somebody last signed in by a client that has registered itself.
	SignedIn time.Time `json:"signedIn,omitzero"`
}

// Client is one app client.
type Client struct {
	ClientSettings
	Scope            store.Scope
	PoolID, ID       string
	Created, Updated time.Time
	// Published: ID is the URL of a document about the client, and nothing is stored here.
	Published bool
	sealed    []byte
}

func client(r store.Resource[ClientSettings, clientState]) Client {
	return Client{
		ClientSettings: olderClient(r.Spec), Scope: r.Scope, PoolID: r.Parent, ID: r.ID,
		Created: r.Created, Updated: r.Updated, sealed: r.State.Sealed,
	}
}

// Public reports whether the client has no secret.
func (c Client) Public() bool { return len(c.sealed) == 0 }

// AccessLife, IDLife, RefreshLife and SessionLife are how long its tokens, and a
// challenge, are good.
func (c Client) AccessLife() time.Duration { return or(c.Access, defaultAccess) }

// IDLife is that of id tokens.
func (c Client) IDLife() time.Duration { return or(c.ClientSettings.ID, defaultAccess) }

// RefreshLife is that of refresh tokens.
func (c Client) RefreshLife() time.Duration { return or(c.Refresh, defaultRefresh) }

// SessionLife is that of challenges.
func (c Client) SessionLife() time.Duration { return or(c.Session, defaultSession) }

func or(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}

// Allows reports whether the client's users may sign in by a flow of the API.
// ALLOW_X_AUTH opens the flow X_AUTH. The older names are without ALLOW, and add to
// what clients of their time had: SRP and refresh tokens.
func (c Client) Allows(flow string) bool {
	older := len(c.Flows) > 0 && !slices.ContainsFunc(c.Flows, func(f string) bool { return strings.HasPrefix(f, "ALLOW_") })
	if older && (flow == "REFRESH_TOKEN_AUTH" || flow == "USER_SRP_AUTH" && !slices.Contains(c.Flows, "CUSTOM_AUTH_FLOW_ONLY")) {
		return true
	}
	return slices.Contains(c.Flows, "ALLOW_"+flow) || slices.Contains(c.Flows, flow)
}

func clientOwner(scope store.Scope, id string) secret.Owner {
	return secret.Owner{Scope: scope.String(), Kind: "user-pool-client", ID: id}
}

// Secret opens the client's secret; a public client's is empty.
func (p *Pools) Secret(ctx context.Context, c Client) (secret.String, error) {
	if c.Public() {
		return secret.String{}, nil
	}
	value, err := p.cfg.Box.Open(ctx, clientOwner(c.Scope, c.ID), c.sealed)
	if err != nil {
		return secret.String{}, fmt.Errorf("open secret of client %s: %w", c.ID, err)
	}
	return value.Text(), nil
}

// CreateClient makes an app client of a pool: a confidential one if asked for, with
// the secret given or, if that is empty, a new one.
func (p *Pools) CreateClient(ctx context.Context, scope store.Scope, poolID string, s ClientSettings, confidential bool, given secret.String) (Client, error) {
	id, err := letters(p.cfg.Rand, lower, clientIDSize)
	if err != nil {
		return Client{}, err
	}
	var state clientState
	if confidential {
		if given.Empty() {
			text, err := letters(p.cfg.Rand, lower, secretSize)
			if err != nil {
				return Client{}, err
			}
			given = secret.NewString(text)
		}
		if state.Sealed, err = p.cfg.Box.Seal(ctx, clientOwner(scope, id), given.Bytes()); err != nil {
			return Client{}, err
		}
	}
	var out Client
	err = p.cfg.Store.Update(ctx, func(tx store.Tx) error {
		if err := s.check(tx, scope, poolID, confidential); err != nil {
			return err
		}
		r, err := clients().Create(tx, store.Resource[ClientSettings, clientState]{Scope: scope, ID: id, Parent: poolID, Spec: s, State: state})
		if err != nil {
			return err
		}
		out = client(r)
		return putName(tx, clientName(id), place{Scope: scope, Pool: poolID})
	})
	return out, err
}

// StandardScopes are those of OpenID Connect and of the user's own calls, which
// need no resource server.
func StandardScopes() []string {
	return []string{"openid", "email", "phone", "profile", ScopeUser}
}

// ScopeUser lets an access token be used in calls about its own user.
const ScopeUser = "aws.cognito.signin.user.admin"

func (s ClientSettings) check(r store.Reader, scope store.Scope, poolID string, confidential bool) error {
	in, err := getPool(r, scope, poolID)
	if err != nil {
		return err
	}
	if err := in.checkClient(s); err != nil {
		return err
	}
	machine, code := slices.Contains(s.Grants, "client_credentials"), slices.Contains(s.Grants, "code")
	switch {
	case machine && !confidential:
		return fault.BadRequest(CodeInvalidFlow, "client_credentials flow can not be selected if client does not have a client secret.")
	case machine && len(s.Grants) > 1:
		return fault.BadRequest(CodeInvalidFlow, "client_credentials flow can not be selected along with code flow or implicit flow.")
	case s.OAuth && len(s.Grants) == 0:
		return fault.BadRequest(CodeInvalidFlow, "AllowedOAuthFlows and AllowedOAuthScopes are required if user pool client is allowed to use OAuth flows.")
	case code && len(s.Callbacks) == 0:
		return fault.BadRequest(CodeInvalidFlow, "CallbackURLs are required when the code flow is allowed")
	}
	for _, u := range slices.Concat(s.Callbacks, s.Logouts) {
		if err := CheckRedirect(u); err != nil {
			return err
		}
	}
	for _, name := range s.Scopes {
		if slices.Contains(StandardScopes(), name) {
			if machine {
				return fault.BadRequest(CodeInvalidFlow, "%s is not supported with client_credentials flow.", name)
			}
			continue
		}
		if err := knownScope(r, scope, poolID, name); err != nil {
			return err
		}
	}
	return nil
}

// CheckRedirect refuses what no code may be sent to: an address that is not whole,
// that carries a fragment, or http on another machine than the user's own
// (RFC 6749 3.1.2, RFC 8252 7.3).
func CheckRedirect(uri string) error {
	u, err := url.Parse(uri)
	switch {
	case err != nil || u.Scheme == "" || u.Host == "" && u.Opaque == "" && u.Path == "":
		return Invalid("%s is not a valid URL.", uri)
	case strings.Contains(uri, "#"):
		return Invalid("%s cannot use URLs containing '#'.", uri)
	case u.User != nil, strings.ContainsAny(uri, "\\ \t\r\n"), strings.Contains(u.Host, "*"):
		return Invalid("%s is not a valid URL.", uri)
	case u.Scheme == "javascript", u.Scheme == "data", u.Scheme == "vbscript", u.Scheme == "file", u.Scheme == "blob":
		return Invalid("%s has a scheme that runs here.", uri)
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		return Invalid("%s cannot use the HTTP protocol.", uri)
	}
	return nil
}

// TakesRedirect reports whether codes may be sent to an address: one of the client's own, to
// the letter. Of a client that has registered itself the port on the user's own machine
// may be any: such programs take the one that is free at the time (RFC 8252 7.3).
func (c Client) TakesRedirect(uri string) bool {
	if slices.Contains(c.Callbacks, uri) {
		return true
	}
	at, own := portless(uri)
	return c.Dynamic && own && slices.ContainsFunc(c.Callbacks, func(callback string) bool {
		registered, own := portless(callback)
		return own && registered == at
	})
}

// portless returns an address of the user's own machine without its port.
func portless(uri string) (string, bool) {
	u, err := url.Parse(uri)
	if err != nil || u.Scheme != "http" || !isLoopback(u.Hostname()) || CheckRedirect(uri) != nil {
		return "", false
	}
	u.Host = u.Hostname()
	return u.String(), true
}

func isLoopback(host string) bool {
	return host == "localhost" || host == "127.0.0.1" || host == "::1"
}

// knownScope refuses a scope that no resource server of the pool has. Scopes of
// servers are written IDENTIFIER/NAME, and the identifier may have slashes.
func knownScope(r store.Reader, scope store.Scope, poolID, name string) error {
	if i := strings.LastIndexByte(name, '/'); i > 0 {
		server, err := resourceServers().Get(r, scope, serverID(poolID, name[:i]))
		if err == nil && slices.ContainsFunc(server.Spec.Scopes, func(s ServerScope) bool { return s.Name == name[i+1:] }) {
			return nil
		}
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
	return fault.BadRequest(CodeScopeUnknown, "Invalid scope requested: %s", name)
}

// Client returns the client with an id, whoever's it is.
func (p *Pools) Client(ctx context.Context, id string) (out Client, err error) {
	err = p.cfg.Store.View(ctx, func(r store.Reader) error {
		out, err = findClient(r, id)
		return err
	})
	return out, err
}

func findClient(r store.Reader, id string) (Client, error) {
	at, err := find(r, clientName(id))
	if err != nil {
		return Client{}, missing(err, noClient(id))
	}
	return getClient(r, at.Scope, at.Pool, id)
}

func getClient(r store.Reader, scope store.Scope, poolID, id string) (Client, error) {
	doc, err := clients().Get(r, scope, id)
	if err != nil {
		return Client{}, missing(err, noClient(id))
	}
	if doc.Parent != poolID {
		return Client{}, noClient(id)
	}
	// A pool whose deletion is under way signs nobody in.
	if _, err := getPool(r, scope, poolID); err != nil {
		return Client{}, err
	}
	return client(doc), nil
}

// ClientOf returns a client of a pool in a scope: one that is stored or, as far as its id
// says, one that publishes a document.
func (p *Pools) ClientOf(ctx context.Context, scope store.Scope, poolID, id string) (out Client, err error) {
	err = p.cfg.Store.View(ctx, func(r store.Reader) error {
		if IsClientURL(id) {
			in, err := getPool(r, scope, poolID)
			if err != nil {
				return err
			}
			out, err = in.published(id)
			return err
		}
		out, err = getClient(r, scope, poolID, id)
		return err
	})
	return out, err
}

// ListClients returns a page of a pool's clients.
func (p *Pools) ListClients(ctx context.Context, scope store.Scope, poolID string, page store.Page) (out store.Listing[Client], err error) {
	err = p.cfg.Store.View(ctx, func(r store.Reader) error {
		if _, err := getPool(r, scope, poolID); err != nil {
			return err
		}
		docs, err := clients().List(r, scope, poolID, page)
		out = mapped(docs, client)
		return err
	})
	return out, err
}

// UpdateClient puts s in the place of a client's settings. It stays public or
// confidential, and dynamic if it was.
func (p *Pools) UpdateClient(ctx context.Context, scope store.Scope, poolID, id string, s ClientSettings) (out Client, err error) {
	err = p.cfg.Store.Update(ctx, func(tx store.Tx) error {
		was, err := getClient(tx, scope, poolID, id)
		if err != nil {
			return err
		}
		if err := s.check(tx, scope, poolID, !was.Public()); err != nil {
			return err
		}
		s.Dynamic = was.Dynamic
		doc, err := clients().Update(tx, scope, id, func(r *store.Resource[ClientSettings, clientState]) error {
			r.Spec = s
			return nil
		})
		out = client(doc)
		return err
	})
	return out, err
}

// DeleteClient deletes a client; its refresh tokens are good for nothing without it.
func (p *Pools) DeleteClient(ctx context.Context, scope store.Scope, poolID, id string) error {
	return p.cfg.Store.Update(ctx, func(tx store.Tx) error {
		if _, err := getClient(tx, scope, poolID, id); err != nil {
			return err
		}
		return deleteClient(tx, scope, id)
	})
}

func deleteClient(tx store.Tx, scope store.Scope, id string) error {
	if err := clients().Delete(tx, scope, id); err != nil {
		return err
	}
	return tx.DeleteRow(names, clientName(id))
}
