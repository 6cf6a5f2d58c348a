package principal

import (
	"context"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/store"
)

// The bounds of how long sessions of a role last, and how long they do when
// nobody says.
const (
	MinSession     = 15 * time.Minute
	DefaultSession = time.Hour
	MaxSession     = 12 * time.Hour
)

// Role is an IAM role.
type Role struct {
	ID, Name, Path, ARN, Description string
	// Trust is the policy that says who may assume it.
	Trust      string
	MaxSession time.Duration
	Created    time.Time
	Tags       []Tag
	// Boundary is the ARN of its permissions boundary, or empty.
	Boundary string
	// Service is the principal that a service-linked role is for, or empty.
	Service string
	LastUse Use
}

func (d *Directory) role(ctx context.Context, r store.Reader, doc holder) (Role, error) {
	s := doc.State
	use, err := lastUse(r, doc.ID)
	if err == nil {
		s.Trust, err = s.TrustPins.Text(ctx, reading{d, r}, s.Trust)
	}
	return Role{
		ID: doc.ID, Name: s.Name, Path: s.Path, ARN: d.arn("role", s.Path, s.Name), Description: s.Description, Trust: s.Trust,
		MaxSession: time.Duration(s.MaxSession) * time.Second, Created: doc.Created, Tags: s.Tags, Boundary: s.Boundary, Service: s.Service, LastUse: use,
	}, err
}

// NewRole is what CreateRole takes; Name and Trust are required. A MaxSession of 0
// is DefaultSession.
type NewRole struct {
	Name, Path, Description, Trust, Boundary string
	MaxSession                               time.Duration
	Tags                                     []Tag
	// Service makes a service-linked role, of that principal.
	Service string
}

// CreateRole makes a role, which is allowed nothing yet.
func (d *Directory) CreateRole(ctx context.Context, in NewRole) (role Role, err error) {
	if in.MaxSession == 0 {
		in.MaxSession = DefaultSession
	}
	if err := checkMaxSession(in.MaxSession); err != nil {
		return role, err
	}
	pins, err := d.trust(ctx, in.Trust)
	if err != nil {
		return role, err
	}
	doc, err := d.insert(ctx, RoleHolder, holderState{
		Name: in.Name, Path: in.Path, Description: in.Description, Trust: in.Trust, TrustPins: pins, Boundary: in.Boundary,
		MaxSession: int(in.MaxSession / time.Second), Tags: in.Tags, Service: in.Service,
	})
	if err != nil {
		return role, err
	}
	return d.Role(ctx, doc.State.Name)
}

// ServiceLinked makes the role that a service of AWS would have in the account, or
// returns EntityAlreadyExists with the role that is there (InvalidInput at AWS).
func (d *Directory) ServiceLinked(ctx context.Context, name, service, description string) (Role, error) {
	return d.CreateRole(ctx, NewRole{
		Name: name, Path: "/aws-service-role/" + service + "/", Description: description, Service: service,
		Trust: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"` + service + `"},"Action":"sts:AssumeRole"}]}`,
	})
}

func checkMaxSession(d time.Duration) error {
	if d < time.Hour || d > MaxSession {
		return validation("The MaxSessionDuration must be between %d and %d seconds", int(time.Hour/time.Second), int(MaxSession/time.Second))
	}
	return nil
}

// Role returns a role, or NoSuchEntity.
func (d *Directory) Role(ctx context.Context, name string) (role Role, err error) {
	err = d.view(ctx, func(r store.Reader) error {
		doc, err := d.lookup(r, Holder{RoleHolder, name})
		if err != nil {
			return err
		}
		role, err = d.role(ctx, r, doc)
		return err
	})
	return role, err
}

// Roles returns the roles whose path begins with prefix, by name.
func (d *Directory) Roles(ctx context.Context, prefix string) (out []Role, err error) {
	docs, err := d.list(ctx, RoleHolder, prefix, nil)
	if err != nil {
		return nil, err
	}
	err = d.view(ctx, func(r store.Reader) error {
		out = make([]Role, len(docs))
		for i, doc := range docs {
			if out[i], err = d.role(ctx, r, doc); err != nil {
				return err
			}
		}
		return nil
	})
	return out, err
}

// UpdateRole changes a role's description and how long its sessions may last; nil
// and 0 leave them.
func (d *Directory) UpdateRole(ctx context.Context, name string, description *string, most time.Duration) error {
	if most != 0 {
		if err := checkMaxSession(most); err != nil {
			return err
		}
	}
	_, err := d.change(ctx, Holder{RoleHolder, name}, func(_ store.Tx, s *holderState) error {
		if description != nil {
			s.Description = *description
		}
		if most != 0 {
			s.MaxSession = int(most / time.Second)
		}
		return nil
	})
	return err
}

// SetTrust replaces a role's trust policy. Sessions that are under way go on.
func (d *Directory) SetTrust(ctx context.Context, name, document string) error {
	pins, err := d.trust(ctx, document)
	if err != nil {
		return err
	}
	_, err = d.change(ctx, Holder{RoleHolder, name}, func(_ store.Tx, s *holderState) error {
		if s.Service != "" {
			return protected(s.Name)
		}
		s.Trust, s.TrustPins = document, pins
		return nil
	})
	return err
}

// DeleteRole deletes a role that has no policies any more. Its sessions end: one
// that is made under the same name is another principal.
func (d *Directory) DeleteRole(ctx context.Context, name string) error {
	return d.remove(ctx, Holder{RoleHolder, name}, func(tx store.Tx, doc holder) error {
		return tx.DeleteRow(useTable, []byte(doc.ID))
	})
}

// DeleteServiceLinked deletes a service-linked role, which DeleteRole refuses.
func (d *Directory) DeleteServiceLinked(ctx context.Context, name string) error {
	return d.update(ctx, func(tx store.Tx) error {
		doc, err := d.lookup(tx, Holder{RoleHolder, name})
		if err != nil {
			return err
		}
		if doc.State.Service == "" {
			return noSuch("The role with name %s is not a service-linked role.", name)
		}
		return holders(RoleHolder).Delete(tx, d.scope(), doc.ID)
	})
}

func protected(role string) error {
	return fault.BadRequest(CodeUnmodifiable, "Cannot perform the operation on the protected role '%s' - this role is only modifiable by AWS", role)
}

// roleName returns the path and the name in the ARN of a role of the account.
func (d *Directory) roleName(arn string) (path, name string, ok bool) {
	rest, ok := strings.CutPrefix(arn, "arn:aws:iam::"+d.account.ID+":role/")
	i := strings.LastIndexByte(rest, '/')
	return "/" + rest[:i+1], rest[i+1:], ok && rest[i+1:] != ""
}

// roleByARN returns a role of the account; found is false where there is none.
func (d *Directory) roleByARN(r store.Reader, arn string) (doc holder, found bool, err error) {
	path, name, ok := d.roleName(arn)
	if !ok {
		return doc, false, nil
	}
	doc, err = d.lookup(r, Holder{RoleHolder, name})
	if fault.Is(err, CodeNoSuchEntity) {
		return doc, false, nil
	}
	return doc, err == nil && doc.State.Path == path, err
}
