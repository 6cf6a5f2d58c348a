package issuer

import (
	"cmp"
	"context"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/store"
)

// The states of a user, as Cognito names them.
const (
	Unconfirmed = "UNCONFIRMED"
	Confirmed   = "CONFIRMED"
	MustChange  = "FORCE_CHANGE_PASSWORD"
)

type userSpec struct {
	Username   string            `json:"username"`
	Attributes map[string]string `json:"attributes,omitempty"`
}

type userState struct {
	Sub  string `json:"sub"`
	Hash string `json:"hash,omitempty"`
	// Verifier is that of SRP, sealed; passwords from before there were some have none.
	Verifier []byte `json:"verifier,omitempty"`
	Status   string `json:"status"`
	Disabled bool   `json:"disabled,omitempty"`
	// TemporaryUntil is when a temporary password ends.
	TemporaryUntil time.Time `json:"temporaryUntil,omitzero"`
	// SignedOut: tokens from before are good for no call here.
	SignedOut time.Time `json:"signedOut,omitzero"`
}

// User is one user of a pool.
type User struct {
	PoolID, Username, Sub string
	// Attributes are without sub.
	Attributes       map[string]string
	Status           string
	Disabled         bool
	Created, Updated time.Time

	state    userState
	scope    store.Scope
	revision int64
}

func user(r store.Resource[userSpec, userState]) User {
	return User{
		PoolID: r.Parent, Username: r.Spec.Username, Sub: r.State.Sub, Attributes: r.Spec.Attributes, Status: r.State.Status,
		Disabled: r.State.Disabled, Created: r.Created, Updated: r.Updated, state: r.State, scope: r.Scope, revision: r.Revision,
	}
}

func userID(poolID, sub string) string { return poolID + "/" + sub }

// handle is the form of a name by which a user is found.
func (p Pool) handle(name string) string {
	if p.CaseSensitive {
		return name
	}
	return strings.ToLower(name)
}

// NewUser says who to create.
type NewUser struct {
	// Name is the user's name, or the attribute by which the pool's users sign in.
	Name       string
	Attributes map[string]string
	// Password is their own, or temporary; none makes a temporary one.
	Password secret.String
	// SignedUp users have made themselves: they wait to be confirmed.
	SignedUp bool
}

// CreateUser makes a user of a pool.
func (p *Pools) CreateUser(ctx context.Context, in Pool, n NewUser) (User, error) {
	if n.SignedUp && !p.signUps.AllowN(p.cfg.Now(), 1) {
		return User{}, fault.BadRequest(CodeTooManyRequests, "Too many requests")
	}
	sub, err := newUUID(p.cfg.Rand)
	if err != nil {
		return User{}, err
	}
	if n.Password.Empty() {
		if n.Password, err = in.Password.temporary(p.cfg.Rand); err != nil {
			return User{}, err
		}
	}
	if err := in.Password.Accept(n.Password); err != nil {
		return User{}, err
	}
	if isSub(n.Name) {
		return User{}, Invalid("Username cannot be of the form of a sub")
	}
	spec := userSpec{Username: n.Name, Attributes: maps.Clone(n.Attributes)}
	if spec.Attributes == nil {
		spec.Attributes = map[string]string{}
	}
	if len(in.SignInBy) > 0 {
		attribute, err := in.signInAttribute(n.Name)
		if err != nil {
			return User{}, err
		}
		spec.Username, spec.Attributes[attribute] = sub, n.Name
	}
	if err := cmp.Or(in.checkAttributes(spec.Attributes), in.checkValues(spec.Attributes)); err != nil {
		return User{}, err
	}
	state := userState{Sub: sub, Status: MustChange}
	if n.SignedUp {
		if err := in.checkRequired(spec.Attributes); err != nil {
			return User{}, err
		}
		state.Status = Unconfirmed
	} else {
		state.TemporaryUntil = p.cfg.Now().AddDate(0, 0, orDays(in.Password.TemporaryDays)).UTC()
	}
	kept, err := p.credentials(ctx, in, sub, spec.Username, n.Password)
	if err != nil {
		return User{}, err
	}
	kept.into(&state)
	var out User
	err = p.cfg.Store.Update(ctx, func(tx store.Tx) error {
		if _, err := getPool(tx, in.Scope, in.ID); err != nil {
			return err
		}
		r, err := users().Create(tx, store.Resource[userSpec, userState]{
			Scope: in.Scope, ID: userID(in.ID, sub), Name: in.handle(n.Name), Parent: in.ID, Spec: spec, State: state,
		})
		if isTaken(err) {
			return usernameExists(in).Because(err)
		}
		out = user(r)
		return err
	})
	return out, err
}

func orDays(n int) int {
	if n == 0 {
		return defaultTemporary
	}
	return n
}

// signInAttribute tells which of the pool's attributes a name is.
func (p Pool) signInAttribute(name string) (string, error) {
	local, domain, at := strings.Cut(name, "@")
	switch {
	case at && local != "" && domain != "" && slices.Contains(p.SignInBy, "email"):
		return "email", nil
	case strings.HasPrefix(name, "+") && slices.Contains(p.SignInBy, "phone_number"):
		return "phone_number", nil
	case slices.Contains(p.SignInBy, "email"):
		return "", Invalid("Username should be an email.")
	}
	return "", Invalid("Username should be a phone number.")
}

func usernameExists(in Pool) *fault.Error {
	if len(in.SignInBy) > 0 {
		return fault.BadRequest(CodeUsernameExists, "An account with the given %s already exists.", strings.TrimSuffix(in.SignInBy[0], "_number"))
	}
	return fault.BadRequest(CodeUsernameExists, "User account already exists")
}

// User returns a user of a pool by name, or by sub.
func (p *Pools) User(ctx context.Context, in Pool, name string) (out User, err error) {
	err = p.cfg.Store.View(ctx, func(r store.Reader) error {
		out, err = findUser(r, in, name)
		return err
	})
	return out, err
}

// subForm is that of what newUUID makes, in letters of either case.
var subForm = regexp.MustCompile(`^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$`)

// isSub reports whether a name has the form of a sub. No user is called so: who had
// another's sub for a name would be found in their place.
func isSub(name string) bool { return subForm.MatchString(name) }

func findUser(r store.Reader, in Pool, name string) (User, error) {
	find := func() (store.Resource[userSpec, userState], error) {
		if isSub(name) {
			return users().Get(r, in.Scope, userID(in.ID, strings.ToLower(name)))
		}
		return users().ByName(r, in.Scope, in.ID, in.handle(name))
	}
	doc, err := find()
	if err != nil {
		return User{}, missing(err, noUser())
	}
	return user(doc), nil
}

// ListUsers returns a page of a pool's users.
func (p *Pools) ListUsers(ctx context.Context, in Pool, page store.Page) (out store.Listing[User], err error) {
	err = p.cfg.Store.View(ctx, func(r store.Reader) error {
		docs, err := users().List(r, in.Scope, in.ID, page)
		out = mapped(docs, user)
		return err
	})
	return out, err
}

// change alters a user in one transaction.
func (p *Pools) change(ctx context.Context, in Pool, name string, fn func(*store.Resource[userSpec, userState]) error) (out User, err error) {
	err = p.cfg.Store.Update(ctx, func(tx store.Tx) error {
		u, err := findUser(tx, in, name)
		if err != nil {
			return err
		}
		doc, err := users().Update(tx, in.Scope, userID(in.ID, u.Sub), fn)
		out = user(doc)
		if isTaken(err) {
			return fault.BadRequest("AliasExistsException", "Another user of the pool has it already").Because(err)
		}
		return err
	})
	return out, err
}

// SetPassword gives a user a password, theirs or a temporary one.
func (p *Pools) SetPassword(ctx context.Context, in Pool, name string, password secret.String, permanent bool) error {
	u, err := p.User(ctx, in, name)
	if err != nil {
		return err
	}
	if err := in.Password.Accept(password); err != nil {
		return err
	}
	kept, err := p.credentials(ctx, in, u.Sub, u.Username, password)
	if err != nil {
		return err
	}
	_, err = p.change(ctx, in, u.Sub, func(r *store.Resource[userSpec, userState]) error {
		kept.into(&r.State)
		r.State.Status, r.State.TemporaryUntil = Confirmed, time.Time{}
		if !permanent {
			r.State.Status, r.State.TemporaryUntil = MustChange, p.cfg.Now().AddDate(0, 0, orDays(in.Password.TemporaryDays)).UTC()
		}
		return nil
	})
	if err == nil {
		p.attempts.forgive(attemptKey(in, u, name))
	}
	return err
}

// SetAttributes sets some attributes of a user and removes others.
func (p *Pools) SetAttributes(ctx context.Context, in Pool, name string, set map[string]string, remove []string) error {
	if err := cmp.Or(in.checkAttributes(set), in.checkValues(set)); err != nil {
		return err
	}
	_, err := p.change(ctx, in, name, func(r *store.Resource[userSpec, userState]) error {
		for _, a := range remove {
			if a == "sub" || slices.Contains(in.SignInBy, a) {
				return Invalid("Cannot delete the attribute %s", a)
			}
		}
		for a, v := range set {
			if a != in.signedInBy(r.Spec) {
				continue
			}
			if kind, err := in.signInAttribute(v); err != nil || kind != a {
				return Invalid("Invalid format of the attribute %s, by which the user signs in", a)
			}
			r.Name = in.handle(v)
		}
		next := altered(r.Spec.Attributes, set, remove)
		if err := in.keepsFixed(r.Spec.Attributes, next); err != nil {
			return err
		}
		r.Spec.Attributes = next
		return in.checkAttributes(r.Spec.Attributes)
	})
	return err
}

// signedInBy is the attribute that stands for a user's name.
func (p Pool) signedInBy(u userSpec) string {
	for _, a := range p.SignInBy {
		if u.Attributes[a] != "" {
			return a
		}
	}
	return ""
}

// Confirm lets a user in who has signed up.
func (p *Pools) Confirm(ctx context.Context, in Pool, name string) error {
	_, err := p.change(ctx, in, name, func(r *store.Resource[userSpec, userState]) error {
		if r.State.Status != Unconfirmed {
			return NotAuthorized("User cannot be confirmed. Current status is %s", r.State.Status)
		}
		r.State.Status = Confirmed
		return nil
	})
	return err
}

// Enable lets a user sign in, or not.
func (p *Pools) Enable(ctx context.Context, in Pool, name string, enabled bool) error {
	_, err := p.change(ctx, in, name, func(r *store.Resource[userSpec, userState]) error {
		r.State.Disabled = !enabled
		return nil
	})
	return err
}

// DeleteUser deletes a user and the tokens that sign them in again.
func (p *Pools) DeleteUser(ctx context.Context, in Pool, name string) error {
	return p.cfg.Store.Update(ctx, func(tx store.Tx) error {
		u, err := findUser(tx, in, name)
		if err != nil {
			return err
		}
		if err := users().Delete(tx, in.Scope, userID(in.ID, u.Sub)); err != nil {
			return err
		}
		if err := dropMemberships(tx, in.ID, u.Sub); err != nil {
			return err
		}
		return dropGrants(tx, in.ID, u.Sub, p.cfg.Now())
	})
}

// SignOut ends all that a user is signed in to: refresh tokens and browser sessions
// are gone, and access tokens from before are good for no call here. What others
// verify by the keys alone is good until it expires.
func (p *Pools) SignOut(ctx context.Context, in Pool, name string) error {
	return p.cfg.Store.Update(ctx, func(tx store.Tx) error {
		u, err := findUser(tx, in, name)
		if err != nil {
			return err
		}
		if _, err := users().Update(tx, in.Scope, userID(in.ID, u.Sub), func(r *store.Resource[userSpec, userState]) error {
			r.State.SignedOut = p.cfg.Now().UTC()
			return nil
		}); err != nil {
			return err
		}
		return dropGrants(tx, in.ID, u.Sub, p.cfg.Now())
	})
}
