package operator

import (
	"context"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/api/model/outcrop"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/fault"
)

// Principals finds who is meant by a name.
type Principals interface {
	// Named returns a user, a role or the root as who calls, or NoSuchEntity.
	Named(ctx context.Context, who string) (auth.Principal, error)
}

// Decider decides as it would about a call.
type Decider interface {
	Decide(ctx context.Context, p auth.Principal, r auth.Requirement) auth.Decision
}

// SimulatePolicy tells whether somebody may do something, and which statement says so:
// by the policies that are in force, those of the resource included.
func (s *Service) SimulatePolicy(ctx context.Context, in *outcrop.SimulatePolicyRequest) (*outcrop.SimulatePolicyResponse, error) {
	p, err := s.cfg.Principals.Named(ctx, *in.Principal)
	if f := fault.From(err); err != nil && f.Code == "NoSuchEntity" {
		return nil, fault.NotFound("%s", f.Message).Because(err)
	}
	if err != nil {
		return nil, err
	}
	// Of the one who asks nothing counts but when and where.
	asked := auth.RequestFrom(ctx)
	r := auth.Request{Time: asked.Time, Region: pipeline.From(ctx).Scope.Region, Keys: map[string][]string{}}
	for _, e := range in.ContextEntries {
		r.Keys[strings.ToLower(*e.Key)] = e.Values
	}
	var missing []string
	r.Absent = func(key string) {
		if ofCall(key) && !slices.Contains(missing, key) {
			missing = append(missing, key)
		}
	}
	d := s.cfg.Decider.Decide(auth.WithRequest(ctx, r), p, auth.Requirement{Action: *in.Action, Resource: *in.Resource})
	if d.Err != nil {
		return nil, d.Err
	}
	slices.Sort(missing)
	out := &outcrop.SimulatePolicyResponse{
		Decision: new(outcrop.PolicyDecisionImplicitDeny), PrincipalArn: &p.ARN, Because: new(d.Because()), MissingContextKeys: missing,
	}
	switch {
	case d.Allowed():
		out.Decision = new(outcrop.PolicyDecisionAllowed)
	case d.Effect == auth.ExplicitDeny:
		out.Decision = new(outcrop.PolicyDecisionExplicitDeny)
	}
	if refusal := d.Refusal(p); refusal != nil {
		out.Refusal = &fault.From(refusal).Message
	}
	return out, nil
}

// ofCall reports whether a condition key is one that a call may have and a simulation
// does not know. Who is asked about and the resource are known: what they have not got
// is not missing.
func ofCall(key string) bool {
	return key != "aws:username" && key != "aws:userid" && !strings.HasPrefix(key, "aws:principal") && !strings.Contains(key, ":resourcetag/")
}
