package principal

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/store"
)

// User is an IAM user.
type User struct {
	ID, Name, Path, ARN string
	Created             time.Time
	Tags                []Tag
	// Boundary is the ARN of its permissions boundary, or empty.
	Boundary string
}

func (d *Directory) user(doc holder) User {
	s := doc.State
	return User{
		ID: doc.ID, Name: s.Name, Path: s.Path, ARN: d.arn("user", s.Path, s.Name), Created: doc.Created, Tags: s.Tags, Boundary: s.Boundary,
	}
}

// NewUser is what CreateUser takes; Name is required.
type NewUser struct {
	Name, Path, Boundary string
	Tags                 []Tag
}

// CreateUser makes a user, who is allowed nothing yet.
func (d *Directory) CreateUser(ctx context.Context, in NewUser) (User, error) {
	doc, err := d.insert(ctx, UserHolder, holderState{Name: in.Name, Path: in.Path, Boundary: in.Boundary, Tags: in.Tags})
	return d.user(doc), err
}

// User returns a user, or NoSuchEntity.
func (d *Directory) User(ctx context.Context, name string) (u User, err error) {
	err = d.view(ctx, func(r store.Reader) error {
		doc, err := d.lookup(r, Holder{UserHolder, name})
		u = d.user(doc)
		return err
	})
	return u, err
}

// Users returns the users whose path begins with prefix, by name.
func (d *Directory) Users(ctx context.Context, prefix string) ([]User, error) {
	docs, err := d.list(ctx, UserHolder, prefix, nil)
	return each(docs, d.user), err
}

// UpdateUser gives a user another name or path; what is empty stays. The unique id,
// the keys and the policies stay the user's.
func (d *Directory) UpdateUser(ctx context.Context, name, newName, newPath string) error {
	return d.rename(ctx, Holder{UserHolder, name}, newName, newPath)
}

// DeleteUser deletes a user who has no keys, policies and groups any more. The
// sessions of the user end.
func (d *Directory) DeleteUser(ctx context.Context, name string) error {
	return d.remove(ctx, Holder{UserHolder, name}, func(tx store.Tx, doc holder) error {
		if len(doc.State.Groups) > 0 {
			return conflict("Cannot delete entity, must remove users from group first.")
		}
		for _, err := range accessKeys().Each(tx, everywhere(), doc.ID) {
			if err != nil {
				return err
			}
			return conflict("Cannot delete entity, must delete access keys first.")
		}
		return nil
	})
}

// Group is an IAM group.
type Group struct {
	ID, Name, Path, ARN string
	Created             time.Time
}

func (d *Directory) group(doc holder) Group {
	s := doc.State
	return Group{ID: doc.ID, Name: s.Name, Path: s.Path, ARN: d.arn("group", s.Path, s.Name), Created: doc.Created}
}

// CreateGroup makes a group without members.
func (d *Directory) CreateGroup(ctx context.Context, name, path string) (Group, error) {
	doc, err := d.insert(ctx, GroupHolder, holderState{Name: name, Path: path})
	return d.group(doc), err
}

// Group returns a group, or NoSuchEntity.
func (d *Directory) Group(ctx context.Context, name string) (g Group, err error) {
	err = d.view(ctx, func(r store.Reader) error {
		doc, err := d.lookup(r, Holder{GroupHolder, name})
		g = d.group(doc)
		return err
	})
	return g, err
}

// Groups returns the groups whose path begins with prefix, by name.
func (d *Directory) Groups(ctx context.Context, prefix string) ([]Group, error) {
	docs, err := d.list(ctx, GroupHolder, prefix, nil)
	return each(docs, d.group), err
}

// UpdateGroup gives a group another name or path; what is empty stays.
func (d *Directory) UpdateGroup(ctx context.Context, name, newName, newPath string) error {
	return d.rename(ctx, Holder{GroupHolder, name}, newName, newPath)
}

// DeleteGroup deletes a group that has no members and no policies any more.
func (d *Directory) DeleteGroup(ctx context.Context, name string) error {
	return d.remove(ctx, Holder{GroupHolder, name}, func(tx store.Tx, doc holder) error {
		for u, err := range holders(UserHolder).Each(tx, d.scope(), "") {
			if err != nil {
				return err
			}
			if slices.Contains(u.State.Groups, doc.ID) {
				return conflict("Cannot delete entity, must remove users from group first.")
			}
		}
		return nil
	})
}

// Members returns the users of a group, by name.
func (d *Directory) Members(ctx context.Context, group string) ([]User, error) {
	g, err := d.Group(ctx, group)
	if err != nil {
		return nil, err
	}
	docs, err := d.list(ctx, UserHolder, "", func(s *holderState) bool { return slices.Contains(s.Groups, g.ID) })
	return each(docs, d.user), err
}

// GroupsOf returns the groups of a user, by name.
func (d *Directory) GroupsOf(ctx context.Context, user string) (out []Group, err error) {
	err = d.view(ctx, func(r store.Reader) error {
		out = nil
		doc, err := d.lookup(r, Holder{UserHolder, user})
		if err != nil {
			return err
		}
		for _, id := range doc.State.Groups {
			g, err := holders(GroupHolder).Get(r, d.scope(), id)
			if err != nil {
				return err
			}
			out = append(out, d.group(g))
		}
		return nil
	})
	slices.SortFunc(out, func(a, b Group) int { return strings.Compare(a.Name, b.Name) })
	return out, err
}

// Join adds a user to a group; one who is in it stays.
func (d *Directory) Join(ctx context.Context, user, group string) error {
	_, err := d.change(ctx, Holder{UserHolder, user}, func(tx store.Tx, s *holderState) error {
		g, err := d.lookup(tx, Holder{GroupHolder, group})
		switch {
		case err != nil || slices.Contains(s.Groups, g.ID):
			return err
		case len(s.Groups) >= MaxGroupsOfUser:
			return limit("Cannot exceed quota for GroupsPerUser: %d", MaxGroupsOfUser)
		}
		s.Groups = append(s.Groups, g.ID)
		return nil
	})
	return err
}

// Quit removes a user from a group.
func (d *Directory) Quit(ctx context.Context, user, group string) error {
	_, err := d.change(ctx, Holder{UserHolder, user}, func(tx store.Tx, s *holderState) error {
		g, err := d.lookup(tx, Holder{GroupHolder, group})
		if err != nil {
			return err
		}
		i := slices.Index(s.Groups, g.ID)
		if i < 0 {
			return noSuch("The user with name %s is not in the group %s.", user, group)
		}
		s.Groups = slices.Delete(s.Groups, i, i+1)
		return nil
	})
	return err
}

// rename gives a user or a group another name or path.
func (d *Directory) rename(ctx context.Context, h Holder, name, path string) error {
	rules := h.Kind.rules()
	if name != "" {
		if err := checkName("newName", name, rules.maxName); err != nil {
			return err
		}
	}
	if path != "" {
		var err error
		if path, err = checkPath(path); err != nil {
			return err
		}
	}
	err := d.update(ctx, func(tx store.Tx) error {
		doc, err := d.lookup(tx, h)
		if err != nil {
			return err
		}
		if name != "" {
			doc.Name, doc.State.Name = strings.ToLower(name), name
		}
		if path != "" {
			doc.State.Path = path
		}
		_, err = holders(h.Kind).Replace(tx, doc)
		return err
	})
	if errors.Is(err, store.ErrExists) {
		return exists("%s with name %s already exists.", rules.word, name)
	}
	return err
}

func each[S, T any](in []S, fn func(S) T) []T {
	out := make([]T, 0, len(in))
	for _, v := range in {
		out = append(out, fn(v))
	}
	return out
}
