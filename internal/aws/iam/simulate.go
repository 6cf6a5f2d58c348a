package iam

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	model "github.com/outcrop/outcrop/internal/api/model/iam"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/auth/policy"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/principal"
)

// SimulateCustomPolicy tells what policies say that nobody has.
func (s *Service) SimulateCustomPolicy(ctx context.Context, in *model.SimulateCustomPolicyRequest) (*model.SimulatePolicyResponse, error) {
	if len(in.OrderedOrganizationPolicyInputList) > 0 {
		return nil, fault.BadRequest(principal.CodeInvalid, "OrderedOrganizationPolicyInputList is not available: there is one account, and no organization")
	}
	return s.simulate(ctx, principal.Simulation{
		Policies: in.PolicyInputList, Boundaries: in.PermissionsBoundaryPolicyInputList, ResourcePolicy: wire.Text(in.ResourcePolicy), Caller: wire.Text(in.CallerArn),
		Owner: wire.Text(in.ResourceOwner),
	}, asked{in.ActionNames, in.ResourceArns, in.ContextEntries, in.Marker, in.MaxItems})
}

// SimulatePrincipalPolicy tells what the policies of a user, a group or a role say.
func (s *Service) SimulatePrincipalPolicy(ctx context.Context, in *model.SimulatePrincipalPolicyRequest) (*model.SimulatePolicyResponse, error) {
	if len(in.PolicyExclusionList) > 0 {
		return nil, fault.BadRequest(principal.CodeInvalid, "PolicyExclusionList is not available; give the policies that are left to SimulateCustomPolicy")
	}
	return s.simulate(ctx, principal.Simulation{
		Source: wire.Text(in.PolicySourceArn), Policies: in.PolicyInputList, Boundaries: in.PermissionsBoundaryPolicyInputList,
		ResourcePolicy: wire.Text(in.ResourcePolicy), Caller: wire.Text(in.CallerArn), Owner: wire.Text(in.ResourceOwner),
	}, asked{in.ActionNames, in.ResourceArns, in.ContextEntries, in.Marker, in.MaxItems})
}

// asked is what both simulations have of questions.
type asked struct {
	actions, resources []string
	context            []model.ContextEntry
	marker             *string
	most               *int32
}

// maxQuestions bounds the actions times the resources of one simulation.
const maxQuestions = 10000

// question is one action on one resource, and its place among all.
type question struct{ place, action, resource string }

func (s *Service) simulate(ctx context.Context, sim principal.Simulation, a asked) (*model.SimulatePolicyResponse, error) {
	resources := a.resources
	if len(resources) == 0 {
		resources = []string{"*"}
	}
	if len(a.actions)*len(resources) > maxQuestions {
		return nil, fault.BadRequest(principal.CodeInvalid, "There are %d actions on %d resources to simulate; %d questions is the most", len(a.actions), len(resources), maxQuestions)
	}
	sim.Keys = map[string][]string{}
	for _, e := range a.context {
		sim.Keys[strings.ToLower(wire.Text(e.ContextKeyName))] = e.ContextKeyValues
	}
	var all []question
	for _, action := range a.actions {
		if service, name, ok := strings.Cut(action, ":"); !ok || service == "" || name == "" || strings.ContainsAny(action, "*?") {
			return nil, fault.BadRequest(principal.CodeInvalid, "'%s' is not an action; write service:Name, such as s3:GetObject, without wildcards", action)
		}
		for _, resource := range resources {
			all = append(all, question{strconv.Itoa(len(all)), action, resource})
		}
	}
	simulator, err := s.simulator(ctx, sim)
	if err != nil {
		return nil, err
	}
	missing := missing(simulator, sim)
	page, p, err := paged(all, func(q question) string { return q.place }, a.marker, a.most)
	if err != nil {
		return nil, err
	}
	out := &model.SimulatePolicyResponse{EvaluationResults: []model.EvaluationResult{}, IsTruncated: p.truncated, Marker: p.marker}
	for _, q := range page {
		r := simulator.Decide(q.action, q.resource)
		result := model.EvaluationResult{
			EvalActionName: &q.action, EvalResourceName: &q.resource, EvalDecision: decision(r), MatchedStatements: matched(r), MissingContextValues: missing,
		}
		if within, bounded := simulator.Within(q.action, q.resource); bounded {
			result.PermissionsBoundaryDecisionDetail = &model.PermissionsBoundaryDecisionDetail{AllowedByPermissionsBoundary: &within}
		}
		out.EvaluationResults = append(out.EvaluationResults, result)
	}
	return out, nil
}

// simulator reads policies that are asked about; here one that is malformed is input
// like any other.
func (s *Service) simulator(ctx context.Context, sim principal.Simulation) (*principal.Simulator, error) {
	simulator, err := s.d.Simulator(ctx, sim)
	if e, ok := errors.AsType[*fault.Error](err); ok && e.Code == principal.CodeMalformed {
		return nil, fault.BadRequest(principal.CodeInvalid, "%s", e.Message)
	}
	return simulator, err
}

// missing returns the keys that the policies ask for and nobody gave.
func missing(simulator *principal.Simulator, sim principal.Simulation) []string {
	return slices.DeleteFunc(each(simulator.Keys(), itself), func(key string) bool {
		_, given := sim.Keys[key]
		ofSource := key == "aws:username" || key == "aws:userid" || strings.HasPrefix(key, "aws:principal")
		return given || sim.Source != "" && ofSource
	})
}

func decision(r policy.Result) *string {
	out := "implicitDeny"
	switch r.Effect {
	case policy.Allow:
		out = "allowed"
	case policy.ExplicitDeny:
		out = "explicitDeny"
	}
	return &out
}

// matched is the statement that decided.
func matched(r policy.Result) []model.Statement {
	if r.Policy == "" {
		return []model.Statement{}
	}
	kind := "IAM Policy"
	if r.By == policy.ResourceBased {
		kind = "Resource Policy"
	}
	return []model.Statement{{SourcePolicyId: &r.Policy, SourcePolicyType: &kind}}
}

// GetContextKeysForCustomPolicy returns the condition keys that policies ask for.
func (s *Service) GetContextKeysForCustomPolicy(ctx context.Context, in *model.GetContextKeysForCustomPolicyRequest) (*model.GetContextKeysForPolicyResponse, error) {
	return s.contextKeys(ctx, principal.Simulation{Policies: in.PolicyInputList})
}

// GetContextKeysForPrincipalPolicy returns those of a user's, a group's or a role's.
func (s *Service) GetContextKeysForPrincipalPolicy(ctx context.Context, in *model.GetContextKeysForPrincipalPolicyRequest) (*model.GetContextKeysForPolicyResponse, error) {
	return s.contextKeys(ctx, principal.Simulation{Source: wire.Text(in.PolicySourceArn), Policies: in.PolicyInputList})
}

func (s *Service) contextKeys(ctx context.Context, sim principal.Simulation) (*model.GetContextKeysForPolicyResponse, error) {
	simulator, err := s.simulator(ctx, sim)
	if err != nil {
		return nil, err
	}
	return &model.GetContextKeysForPolicyResponse{ContextKeyNames: each(simulator.Keys(), itself)}, nil
}
