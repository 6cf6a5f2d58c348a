package app

import (
	"context"
	"net/http"
	"time"

	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/image/registry"
	"github.com/outcrop/outcrop/internal/principal"
	"github.com/outcrop/outcrop/internal/runtime"
	"github.com/outcrop/outcrop/internal/store"
)

// pulls says which images of this server's registry agents may have: as on AWS those that
// their execution role may pull (AgentCore guide, "Execution role for running an agent in
// AgentCore Runtime"; spec/runtime.md 5.3).
type pulls struct {
	kept       kept
	directory  *principal.Directory
	authorizer *auth.Authorizer
	now        func() time.Time
}

func newPulls(st store.Store, k kept, d *principal.Directory) *pulls {
	return &pulls{kept: k, directory: d, now: time.Now, authorizer: &auth.Authorizer{
		Identities: d, Resources: &attached{k.account, map[string]auth.Resources{"ecr": repositories(st, k.images)}},
	}}
}

var _ runtime.Pulls = (*pulls)(nil)

// pullActions are what a pull takes; the first has no resource.
var pullActions = []string{"ecr:GetAuthorizationToken", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"}

// CheckPull implements runtime.Pulls. A role that is elsewhere has no policies that could
// be asked: then its caller's count, so that nobody runs what neither of the two may read.
func (p *pulls) CheckPull(ctx context.Context, want runtime.Pull) error {
	if p.kept.Repository(want.Host, want.Repository) == nil {
		return nil
	}
	scope, _ := registry.ParseHost(want.Host) // or it would not be kept
	name := registry.Name{Scope: scope, Repository: want.Repository}
	who := pipeline.From(ctx).Principal
	named := "the caller " + who.ARN + ", whose rights count because the execution role " + want.Role + " does not exist,"
	role, err := p.directory.Named(ctx, want.Role)
	switch {
	case err == nil && role.Session != nil && role.Session.Source == want.Role: // and not one of the same name elsewhere
		who, named = role, "the execution role "+want.Role
		// Nothing of the caller's request counts for the role.
		ctx = auth.WithRequest(ctx, auth.Request{Time: p.now(), Secure: true, Region: scope.Region})
	case err != nil && fault.From(err).Status >= http.StatusInternalServerError:
		return err
	}
	for _, action := range pullActions {
		r := auth.Requirement{Action: action, Resource: name.ARN()}
		if action == pullActions[0] {
			r.Resource = "*"
		}
		d := p.authorizer.Decide(ctx, who, r)
		if d.Err != nil {
			return d.Refusal(who)
		}
		if d.Allowed() {
			continue
		}
		way := "none of its policies allows it: allow all three, the first on * and the others on the repository (aws iam put-role-policy; docs/registry.md)"
		if d.Effect == auth.ExplicitDeny {
			way = "a policy denies it (outcrop policy simulate tells which)"
		}
		return runtime.PullFault(want.URI, "Here "+named+" may not "+r.Action+" on "+r.Resource+", and "+way).Because(d.Refusal(who))
	}
	return nil
}
