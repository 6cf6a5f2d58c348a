package kms

import (
	"context"
	"errors"

	model "github.com/outcrop/outcrop/internal/api/model/kms"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/auth/pin"
	"github.com/outcrop/outcrop/internal/auth/policy"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/key"
)

// defaultName is the one name that a key's policy may have.
const defaultName = "default"

// maxPolicy bounds the text of a key's policy, in bytes (KMS's quotas).
const maxPolicy = 32768

// allowAll stands for identity policies that leave all to the key's.
const allowAll = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`

// checkPolicy refuses a text that is no policy of a key or names somebody who is not
// there, and, unless it is asked not to, one after which neither the caller nor, by its
// account, anybody could change it again (KMS guide, "policy lockout safety check"). It
// pins whom the policy names.
func (s *Service) checkPolicy(ctx context.Context, ref key.Ref, text string, bypass *bool) (pin.Pins, error) {
	if len(text) > maxPolicy {
		return nil, fault.BadRequest(key.CodeLimit, "The policy has %d bytes; it may have at most %d", len(text), maxPolicy)
	}
	doc, err := policy.Parse([]byte(text), policy.Resource)
	if err != nil {
		return nil, malformed("%s", err.Error())
	}
	pins, err := pin.Take(ctx, s.directory, doc)
	if unknown, ok := errors.AsType[*pin.UnknownError](err); ok {
		return nil, malformed("Policy contains a statement with one or more invalid principals: %s.", unknown.Error())
	}
	if err != nil || wire.True(bypass) {
		return pins, err
	}
	return pins, lockout(pipeline.From(ctx), ref, doc)
}

// lockout refuses a policy by which nobody could change it again.
func lockout(c *pipeline.Call, ref key.Ref, doc *policy.Document) error {
	all, err := policy.Parse([]byte(allowAll), policy.Identity)
	if err != nil {
		return err
	}
	account := policy.Principal{Kind: policy.Root, Account: c.Scope.Account, ARN: auth.RootARN(c.Scope.Account)}
	for _, p := range [...]policy.Principal{account, c.Principal.InPolicies()} {
		result := policy.Evaluate(
			policy.Policies{Identity: []*policy.Document{all}, Resource: []*policy.Document{doc}, ResourceMustAllow: true},
			policy.Request{Principal: p, Action: "kms:PutKeyPolicy", Resource: ref.ARN(), Owner: c.Scope.Account, Keys: policy.Map{
				"kms:calleraccount": {c.Scope.Account}, "aws:principalarn": {c.Principal.ARN}, "aws:principalaccount": {c.Scope.Account},
			}},
		)
		if result.Effect == policy.Allow {
			return nil
		}
	}
	return malformed("The new key policy will not allow you to update the key policy in the future.")
}

func malformed(format string, args ...any) error {
	return fault.BadRequest("MalformedPolicyDocumentException", format, args...)
}

func named(policyName *string) error {
	if policyName != nil && *policyName != defaultName {
		return fault.BadRequest(key.CodeNotFound, "No such policy exists: a key has one, named '%s'", defaultName)
	}
	return nil
}

// PutKeyPolicy replaces the policy of a key.
func (s *Service) PutKeyPolicy(ctx context.Context, in *model.PutKeyPolicyRequest) (*model.Nothing, error) {
	k, err := s.managed(ctx, "PutKeyPolicy", in.KeyId)
	if err != nil {
		return nil, err
	}
	if err := named(in.PolicyName); err != nil {
		return nil, err
	}
	pins, err := s.checkPolicy(ctx, k.Ref, wire.Text(in.Policy), in.BypassPolicyLockoutSafetyCheck)
	if err != nil {
		return nil, err
	}
	return &model.Nothing{}, s.keys.Change(ctx, k.Ref, true, func(k *key.Settings) error {
		k.Policy, k.Pins = wire.Text(in.Policy), pins
		return nil
	})
}

// GetKeyPolicy returns the policy of a key.
func (s *Service) GetKeyPolicy(ctx context.Context, in *model.GetKeyPolicyRequest) (*model.GetKeyPolicyResponse, error) {
	k, err := s.managed(ctx, "GetKeyPolicy", in.KeyId)
	if err != nil {
		return nil, err
	}
	if err := named(in.PolicyName); err != nil {
		return nil, err
	}
	text, err := k.Pins.Text(ctx, s.directory, k.Policy)
	return &model.GetKeyPolicyResponse{Policy: &text, PolicyName: new(defaultName)}, err
}

// ListKeyPolicies names the one that a key has.
func (s *Service) ListKeyPolicies(ctx context.Context, in *model.ListKeyPoliciesRequest) (*model.ListKeyPoliciesResponse, error) {
	_, err := s.managed(ctx, "ListKeyPolicies", in.KeyId)
	return &model.ListKeyPoliciesResponse{PolicyNames: []string{defaultName}, Truncated: new(false)}, err
}
