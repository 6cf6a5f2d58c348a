package principal

import (
	"context"
	"strings"

	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/store"
)

// Named returns somebody as who would call: "root", a user or a role by its ARN or as
// user/NAME and role/NAME, or a session of a role by its ARN. Of a role it is a session
// named "simulated".
func (d *Directory) Named(ctx context.Context, who string) (p auth.Principal, err error) {
	p.Account = d.account.ID
	rest, _ := strings.CutPrefix(who, "arn:aws:iam::"+d.account.ID+":")
	rest, _ = strings.CutPrefix(rest, "arn:aws:sts::"+d.account.ID+":")
	kind, path, _ := strings.Cut(rest, "/")
	if rest == "root" {
		p.Kind, p.ARN, p.UserID = auth.Root, auth.RootARN(d.account.ID), d.account.ID
		return p, nil
	}
	h, session := Holder{UserHolder, path[strings.LastIndexByte(path, '/')+1:]}, "simulated"
	switch kind {
	case "user":
	case "role":
		h.Kind = RoleHolder
	case "assumed-role":
		h.Kind = RoleHolder
		h.Name, session, _ = strings.Cut(path, "/")
	default:
		return p, validation("'%s' is nobody who could call: write root, user/NAME, role/NAME, or an ARN of this account", who)
	}
	err = d.view(ctx, func(r store.Reader) error {
		doc, err := d.lookup(r, h)
		if err != nil {
			return err
		}
		s := doc.State
		p.Entity, p.UserID = doc.ID, doc.ID
		p.Kind, p.ARN = auth.User, d.arn("user", s.Path, s.Name)
		if h.Kind == RoleHolder {
			p.Session = &auth.Session{Source: d.arn("role", s.Path, s.Name), Issued: d.cfg.Now().UTC()}
			p.Kind, p.ARN, p.UserID = auth.AssumedRole, d.sessionARN(s.Name, session), doc.ID+":"+session
		}
		return nil
	})
	return p, err
}
