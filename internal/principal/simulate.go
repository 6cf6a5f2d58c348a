package principal

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/auth/policy"
	"github.com/outcrop/outcrop/internal/store"
)

// Simulation is what questions about policies are asked of, which are nobody's real
// calls.
type Simulation struct {
	// Source is the ARN of the user, group or role whose policies count; empty, those
	// of the simulation alone do.
	Source string
	// Policies are texts of further policies, and Boundaries those of permissions
	// boundaries in place of the source's own.
	Policies, Boundaries []string
	// ResourcePolicy is the text of a policy of the resource, or empty; it is about
	// Caller, the ARN of a user or role, or else about Source.
	ResourcePolicy, Caller string
	// Owner is the account that resources belong to, the directory's where it is empty.
	Owner string
	// Keys are condition keys by their names in lower case.
	Keys map[string][]string
}

// Simulator answers the questions of one Simulation.
type Simulator struct {
	policies policy.Policies
	request  policy.Request // without an action and a resource
}

// Simulator reads the policies of a simulation.
func (d *Directory) Simulator(ctx context.Context, s Simulation) (*Simulator, error) {
	keys := map[string][]string{}
	out := &Simulator{}
	if err := d.simulate(ctx, s, &out.policies, keys); err != nil {
		return nil, err
	}
	maps.Copy(keys, s.Keys)
	caller := cmp.Or(s.Caller, s.Source)
	who := policy.Principal{Kind: policy.User, Account: d.account.ID, ARN: caller}
	if strings.Contains(caller, ":role/") {
		who.Kind, who.ARN, who.Source = policy.RoleSession, "", caller
	}
	out.request = policy.Request{Principal: who, Owner: cmp.Or(s.Owner, d.account.ID), Keys: policy.Map(keys)}
	return out, nil
}

// Decide answers for an action on a resource, an ARN or *.
func (s *Simulator) Decide(action, resource string) policy.Result {
	r := s.request
	r.Action, r.Resource = action, resource
	return policy.Evaluate(s.policies, r)
}

// Within tells whether the permissions boundary lets an action be on a resource;
// bounded is false where there is none.
func (s *Simulator) Within(action, resource string) (within, bounded bool) {
	if s.policies.Boundary == nil {
		return true, false
	}
	r := s.request
	r.Action, r.Resource, r.Owner = action, resource, r.Principal.Account
	return policy.Evaluate(policy.Policies{Identity: []*policy.Document{s.policies.Boundary}}, r).Effect == policy.Allow, true
}

// Keys returns the condition keys that the policies ask for, in their order.
func (s *Simulator) Keys() []string {
	docs := slices.Concat(s.policies.Identity, s.policies.Resource)
	if s.policies.Boundary != nil {
		docs = append(docs, s.policies.Boundary)
	}
	var out []string
	for _, doc := range docs {
		out = append(out, doc.ContextKeys()...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// simulate gathers the policies of a simulation, and what is known of its source.
func (d *Directory) simulate(ctx context.Context, s Simulation, in *policy.Policies, keys map[string][]string) error {
	if s.Source != "" {
		k, err := d.source(ctx, s.Source)
		if err != nil {
			return err
		}
		in.Identity, in.Boundary = slices.Clone(k.identity.Identity), k.identity.Boundary
		keys["aws:principalarn"], keys["aws:principalaccount"] = []string{k.arn}, []string{d.account.ID}
		if strings.Contains(k.arn, ":user/") {
			keys["aws:username"], keys["aws:userid"] = []string{k.name}, []string{k.id}
		}
		for key, value := range k.identity.Tags {
			keys["aws:principaltag/"+strings.ToLower(key)] = []string{value}
		}
	}
	add := func(texts []string, kind policy.Kind, name string) (out []*policy.Document, err error) {
		for _, text := range texts {
			doc, err := policy.Parse([]byte(text), kind)
			if err != nil {
				return nil, wrongDocument(err)
			}
			out = append(out, doc.Named(name))
		}
		return out, nil
	}
	more, err := add(s.Policies, policy.Identity, "PolicyInputList")
	if err != nil {
		return err
	}
	in.Identity = append(in.Identity, more...)
	bounds, err := add(s.Boundaries, policy.Identity, "PermissionsBoundaryPolicyInputList")
	if err != nil {
		return err
	}
	if len(bounds) > 0 {
		in.Boundary = bounds[0] // AWS takes one
	}
	if s.ResourcePolicy != "" {
		in.Resource, err = add([]string{s.ResourcePolicy}, policy.Resource, "ResourcePolicy")
	}
	return err
}

// source finds the user, group or role with an ARN.
func (d *Directory) source(ctx context.Context, arn string) (k *known, err error) {
	h, ok := d.holderIn(arn)
	if !ok {
		return nil, invalid("'%s' is not the ARN of a user, a group or a role of this account", arn)
	}
	err = d.view(ctx, func(r store.Reader) error {
		doc, err := d.lookup(r, h)
		if err != nil {
			return err
		}
		if k, err = d.compile(r, h.Kind, doc); err == nil && k.arn != arn {
			err = noSuch("The %s with ARN %s cannot be found.", h.Kind, arn)
		}
		return err
	})
	return k, err
}
