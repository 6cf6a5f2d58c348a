package issuer

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/store"
)

// GroupSettings are what an administrator decides about a group of users.
type GroupSettings struct {
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	// Role is the ARN of a role that the id tokens of its users name.
	Role string `json:"role,omitempty"`
	// Precedence orders a user's groups, the lowest first; groups without come last.
	Precedence *int32 `json:"precedence,omitempty"`
}

func (s GroupSettings) precedence() int64 {
	if s.Precedence == nil {
		return math.MaxInt64
	}
	return int64(*s.Precedence)
}

// Group is one group of a pool's users.
type Group struct {
	GroupSettings
	PoolID           string
	Created, Updated time.Time
	id               string
}

func group(r store.Resource[GroupSettings, none]) Group {
	return Group{GroupSettings: r.Spec, PoolID: r.Parent, Created: r.Created, Updated: r.Updated, id: r.ID[len(r.Parent)+1:]}
}

// A group has an id that is its alone, and who is in it is kept by that: one that is
// made later by the same name begins empty.
func groupID(poolID, id string) string { return poolID + "/" + id }

// The keys of members: POOL/user/SUB/GROUP finds a user's groups, and
// POOL/group/GROUP/SUB a group's users. A key whose group is gone means nothing.
func memberRow(poolID, kind, of, member string) []byte {
	return []byte(poolID + "/" + kind + "/" + of + "/" + member)
}

// The bounds of a user's groups.
const (
	// maxUserGroups is Cognito's quota "Groups per user".
	maxUserGroups = 100
	// maxGroupNames bounds their names as tokens have them, in bytes: authorizers take
	// tokens of 16 KiB (jwt.DefaultMaxBytes).
	maxGroupNames = 6 << 10
)

func noGroup() error { return fault.BadRequest(CodeNotFound, "Group not found.") }

func getGroup(r store.Reader, in Pool, name string) (Group, error) {
	doc, err := groups().ByName(r, in.Scope, in.ID, name)
	if errors.Is(err, store.ErrNotFound) {
		return Group{}, noGroup()
	}
	if err != nil {
		return Group{}, err
	}
	return group(doc), nil
}

// CreateGroup makes a group of a pool's users, in which is nobody.
func (p *Pools) CreateGroup(ctx context.Context, in Pool, s GroupSettings) (out Group, err error) {
	id, err := newUUID(p.cfg.Rand)
	if err != nil {
		return out, err
	}
	err = p.cfg.Store.Update(ctx, func(tx store.Tx) error {
		if _, err := getPool(tx, in.Scope, in.ID); err != nil {
			return err
		}
		doc, err := groups().Create(tx, store.Resource[GroupSettings, none]{Scope: in.Scope, ID: groupID(in.ID, id), Name: s.Name, Parent: in.ID, Spec: s})
		if isTaken(err) {
			return fault.BadRequest(CodeGroupExists, "A group with the name already exists.").Because(err)
		}
		if err == nil {
			out = group(doc)
		}
		return err
	})
	return out, err
}

// Group returns the group with a name.
func (p *Pools) Group(ctx context.Context, in Pool, name string) (out Group, err error) {
	err = p.cfg.Store.View(ctx, func(r store.Reader) error {
		out, err = getGroup(r, in, name)
		return err
	})
	return out, err
}

// ListGroups returns a page of a pool's groups.
func (p *Pools) ListGroups(ctx context.Context, in Pool, page store.Page) (out store.Listing[Group], err error) {
	err = p.cfg.Store.View(ctx, func(r store.Reader) error {
		docs, err := groups().List(r, in.Scope, in.ID, page)
		out = mapped(docs, group)
		return err
	})
	return out, err
}

// UpdateGroup lets change alter a group; its name stays.
func (p *Pools) UpdateGroup(ctx context.Context, in Pool, name string, change func(*GroupSettings)) (out Group, err error) {
	err = p.cfg.Store.Update(ctx, func(tx store.Tx) error {
		g, err := getGroup(tx, in, name)
		if err != nil {
			return err
		}
		doc, err := groups().Update(tx, in.Scope, groupID(in.ID, g.id), func(r *store.Resource[GroupSettings, none]) error {
			change(&r.Spec)
			r.Spec.Name = name
			return nil
		})
		if err == nil {
			out = group(doc)
		}
		return err
	})
	return out, err
}

// DeleteGroup deletes a group; who was in it stays a user of the pool. Tokens that
// are minted after it returns do not name it.
func (p *Pools) DeleteGroup(ctx context.Context, in Pool, name string) error {
	var g Group
	err := p.cfg.Store.Update(ctx, func(tx store.Tx) (err error) {
		if g, err = getGroup(tx, in, name); err != nil {
			return err
		}
		return groups().Delete(tx, in.Scope, groupID(in.ID, g.id))
	})
	// What a kill here leaves means nothing, and goes with its user or the pool.
	for more := err == nil; more; {
		err = p.cfg.Store.Update(ctx, func(tx store.Tx) error {
			all := store.Prefix(memberRow(in.ID, "group", g.id, ""))
			all.Limit = purgeBatch
			n := 0
			for row, err := range tx.Rows(members, all) {
				if err != nil {
					return err
				}
				n++
				if err := dropMember(tx, in.ID, lastPart(row.Key), g.id); err != nil {
					return err
				}
			}
			more = n == purgeBatch
			return nil
		})
		more = more && err == nil
	}
	return err
}

func lastPart(key []byte) string { return string(key[strings.LastIndexByte(string(key), '/')+1:]) }

func dropMember(tx store.Tx, poolID, sub, id string) error {
	return errors.Join(
		tx.DeleteRow(members, memberRow(poolID, "user", sub, id)),
		tx.DeleteRow(members, memberRow(poolID, "group", id, sub)))
}

// dropMemberships takes a user who is deleted out of all groups.
func dropMemberships(tx store.Tx, poolID, sub string) error {
	for row, err := range tx.Rows(members, store.Prefix(memberRow(poolID, "user", sub, ""))) {
		if err != nil {
			return err
		}
		if err := dropMember(tx, poolID, sub, lastPart(row.Key)); err != nil {
			return err
		}
	}
	return nil
}

// AddToGroup puts a user into a group, of which one may be in at most a hundred; one
// who is in it stays in it.
func (p *Pools) AddToGroup(ctx context.Context, in Pool, user, name string) error {
	return p.cfg.Store.Update(ctx, func(tx store.Tx) error {
		u, g, err := userAndGroup(tx, in, user, name)
		if err != nil {
			return err
		}
		have, err := groupsOf(tx, in, u.Sub)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(have, func(h Group) bool { return h.id == g.id }) {
			return nil
		}
		if len(have) >= maxUserGroups {
			return fault.BadRequest(CodeLimit, "A user may be in at most %d groups; take %s out of another first (AdminRemoveUserFromGroup)", maxUserGroups, u.Username)
		}
		text, err := json.Marshal(namesOf(append(have, g)))
		if err != nil {
			return err
		}
		if len(text) > maxGroupNames {
			return fault.BadRequest(CodeLimit, "The names of a user's groups may have %d bytes together, as tokens carry them; take %s out of another group first (AdminRemoveUserFromGroup)",
				maxGroupNames, u.Username)
		}
		return errors.Join(
			tx.PutRow(members, memberRow(in.ID, "user", u.Sub, g.id), []byte("{}")),
			tx.PutRow(members, memberRow(in.ID, "group", g.id, u.Sub), []byte("{}")))
	})
}

// RemoveFromGroup takes a user out of a group; one who is not in it is no error.
func (p *Pools) RemoveFromGroup(ctx context.Context, in Pool, user, name string) error {
	return p.cfg.Store.Update(ctx, func(tx store.Tx) error {
		u, g, err := userAndGroup(tx, in, user, name)
		if err != nil {
			return err
		}
		return dropMember(tx, in.ID, u.Sub, g.id)
	})
}

func userAndGroup(r store.Reader, in Pool, user, name string) (User, Group, error) {
	u, err := findUser(r, in, user)
	if err != nil {
		return u, Group{}, err
	}
	g, err := getGroup(r, in, name)
	return u, g, err
}

// groupsOf returns a user's groups, the one that goes first first.
func groupsOf(r store.Reader, in Pool, sub string) (out []Group, err error) {
	for row, err := range r.Rows(members, store.Prefix(memberRow(in.ID, "user", sub, ""))) {
		if err != nil {
			return nil, err
		}
		doc, err := groups().Get(r, in.Scope, groupID(in.ID, lastPart(row.Key)))
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, group(doc))
	}
	slices.SortFunc(out, func(a, b Group) int {
		return cmp.Or(cmp.Compare(a.precedence(), b.precedence()), cmp.Compare(a.Name, b.Name))
	})
	return out, nil
}

// GroupsOf returns a user's groups, by precedence and then by name.
func (p *Pools) GroupsOf(ctx context.Context, in Pool, user string) (out []Group, err error) {
	err = p.cfg.Store.View(ctx, func(r store.Reader) error {
		u, err := findUser(r, in, user)
		if err != nil {
			return err
		}
		out, err = groupsOf(r, in, u.Sub)
		return err
	})
	return out, err
}

// UsersInGroup returns a page of a group's users, by their subs. The token of the next
// page is the last sub of this one.
func (p *Pools) UsersInGroup(ctx context.Context, in Pool, name string, page store.Page) (out store.Listing[User], err error) {
	if page.Token != "" && !isSub(page.Token) {
		return out, store.ErrBadToken
	}
	err = p.cfg.Store.View(ctx, func(r store.Reader) error {
		out = store.Listing[User]{}
		g, err := getGroup(r, in, name)
		if err != nil {
			return err
		}
		all := store.Prefix(memberRow(in.ID, "group", g.id, ""))
		if page.Token != "" {
			all.From = append(memberRow(in.ID, "group", g.id, page.Token), 0)
		}
		all.Limit = page.Limit() + 1
		for row, err := range r.Rows(members, all) {
			if err != nil {
				return err
			}
			if len(out.Items) == page.Limit() {
				out.Next = out.Items[len(out.Items)-1].Sub
				break
			}
			doc, err := users().Get(r, in.Scope, userID(in.ID, lastPart(row.Key)))
			if err != nil {
				return err
			}
			out.Items = append(out.Items, user(doc))
		}
		return nil
	})
	return out, err
}

func namesOf(list []Group) []string {
	var out []string
	for _, g := range list {
		out = append(out, g.Name)
	}
	return out
}

// groupClaims are what id tokens say of a user's groups, which come by precedence: the
// names, the roles, and the role of the group that goes first, unless two go first
// with different ones (API reference, CreateGroup, Precedence).
func groupClaims(list []Group) (names, roles []string, preferred string) {
	var first *Group
	for _, g := range list {
		switch {
		case g.Role == "":
			continue
		case first == nil:
			first, preferred = &g, g.Role
		case g.precedence() == first.precedence() && g.Role != first.Role:
			preferred = ""
		}
		if !slices.Contains(roles, g.Role) {
			roles = append(roles, g.Role)
		}
	}
	return namesOf(list), roles, preferred
}
