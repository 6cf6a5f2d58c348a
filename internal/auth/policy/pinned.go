package policy

import (
	"slices"
	"strings"
)

// Entity reports whether n names a user, a role or a session of a role, by its ARN or
// its unique id: one that can be deleted, and another be made by the same name.
func (n *PrincipalName) Entity() bool {
	return n.form == formID || n.form == formARN && !strings.Contains(n.Value, ":federated-user/")
}

// Pinned returns d for whom its principals were when it was stored ("Principal", IAM
// role principals: "that ARN transforms to the role unique principal ID when you save
// the policy"). Ids are the unique ids of users and roles by the ARNs that d names them
// by, of a session its role's; who has the id is meant from then on, whatever its ARN,
// and who has the ARN and another id is not. An ARN that is not among them is compared
// as it is.
//
// An empty id is of somebody who was not there. Nobody is allowed anything by it, and
// who will have the ARN is denied what the statement denies them.
func (d *Document) Pinned(ids map[string]string) *Document {
	if len(ids) == 0 {
		return d
	}
	c := *d
	c.Statements = slices.Clone(d.Statements)
	for i := range c.Statements {
		s := &c.Statements[i]
		s.Principals = slices.Clone(s.Principals)
		for j := range s.Principals {
			n := &s.Principals[j]
			if id, ok := ids[n.Value]; ok && n.form == formARN && n.Entity() {
				n.pin(id, s.Deny && !s.NotPrincipal)
			}
		}
	}
	return &c
}

func (n *PrincipalName) pin(id string, denied bool) {
	switch {
	case id != "":
		n.id = id
		if !strings.Contains(n.Value, ":assumed-role/") {
			n.form = formID
		}
	case !denied:
		n.form = formNobody
	}
}
