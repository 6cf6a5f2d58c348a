package issuer

import (
	"context"
	"slices"
	"time"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/store"
)

type clientDoc = store.Resource[ClientSettings, clientState]

// MaxDynamic is how many clients of a pool may have registered themselves.
const MaxDynamic = 1000

// Anybody may register clients, so those that nobody signs in by go: after unusedLife, and
// after unusedGrace already where there are MaxDynamic. A client that is about to be used
// is used within minutes. Where that does not make room, those go by which nobody has
// signed in for forgottenLife: their users are asked again, about a client made anew.
const (
	unusedLife    = 24 * time.Hour
	unusedGrace   = time.Hour
	forgottenLife = 90 * 24 * time.Hour
)

// Register makes a client that registers itself (RFC 7591), as far as the pool lets
// it: one for users alone, with no more scopes than the pool opens to such clients,
// about which users are asked. Its refresh tokens are good once.
func (p *Pools) Register(ctx context.Context, in Pool, name string, redirects, scopes []string, confidential bool) (Client, error) {
	if !in.Registration.Open {
		return Client{}, NotAuthorized("Clients do not register themselves with this pool")
	}
	granted := in.openScopes(scopes)
	if len(granted) == 0 {
		return Client{}, errNoScope()
	}
	err := p.cfg.Store.Update(ctx, func(tx store.Tx) error { return dropUnused(tx, in, p.cfg.Now()) })
	if err != nil {
		return Client{}, err
	}
	return p.CreateClient(ctx, in.Scope, in.ID, ClientSettings{
		Name: name, OAuth: true, Grants: []string{"code"}, Scopes: granted, Callbacks: redirects, Dynamic: true, Rotates: true,
	}, confidential, secret.String{})
}

// dropUnused deletes clients that nobody signs in by, until there is room for another.
func dropUnused(tx store.Tx, in Pool, now time.Time) error {
	var unused, forgotten []*clientDoc
	dynamic := 0
	for c, err := range clients().Each(tx, in.Scope, in.ID) {
		if err != nil {
			return err
		}
		if !c.Spec.Dynamic {
			continue
		}
		dynamic++
		switch used := c.State.SignedIn; {
		case used.IsZero() && now.Sub(c.Created) >= unusedGrace:
			unused = append(unused, &c)
		case !used.IsZero() && now.Sub(used) >= forgottenLife:
			forgotten = append(forgotten, &c)
		}
	}
	slices.SortFunc(unused, func(a, b *clientDoc) int { return a.Created.Compare(b.Created) })
	slices.SortFunc(forgotten, func(a, b *clientDoc) int { return a.State.SignedIn.Compare(b.State.SignedIn) })
	for _, c := range append(unused, forgotten...) {
		over := c.State.SignedIn.IsZero() && now.Sub(c.Created) >= unusedLife
		if dynamic < MaxDynamic && !over {
			break
		}
		if err := deleteClient(tx, in.Scope, c.ID); err != nil {
			return err
		}
		dynamic--
	}
	if dynamic >= MaxDynamic {
		return fault.BadRequest(CodeLimit, "%d clients have registered themselves, as many as a pool may have. Delete some, or wait: those by which nobody signs in make room after an hour", dynamic)
	}
	return nil
}

// signedInBy remembers that somebody has signed in by a client that has registered itself.
func signedInBy(tx store.Tx, in Pool, c Client, now time.Time) error {
	if !c.Dynamic || c.Published {
		return nil
	}
	_, err := clients().Update(tx, in.Scope, c.ID, func(r *clientDoc) error {
		r.State.SignedIn = now.UTC()
		return nil
	})
	return missing(err, NotAuthorized("The client is gone"))
}
