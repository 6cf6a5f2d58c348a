package secretsmanager

import (
	"context"
	"errors"
	"net/http"

	model "github.com/outcrop/outcrop/internal/api/model/secretsmanager"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/auth/pin"
	"github.com/outcrop/outcrop/internal/auth/policy"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/secretstore"
)

// parse reads a policy of a secret, pins whom it names, and says whether it lets anybody
// in.
func (s *Service) parse(ctx context.Context, text string) (pins pin.Pins, public bool, err error) {
	doc, err := policy.Parse([]byte(text), policy.Resource)
	if err != nil {
		return nil, false, malformed("This resource policy contains a syntax error: %s", err.Error())
	}
	pins, err = pin.Take(ctx, s.directory, doc)
	if unknown, ok := errors.AsType[*pin.UnknownError](err); ok {
		err = malformed("This resource policy contains an unsupported principal: %s", unknown.Error())
	}
	return pins, isPublic(doc), err
}

func malformed(format string, args ...any) error {
	return fault.BadRequest("MalformedPolicyDocumentException", format, args...)
}

// isPublic reports whether a policy lets anybody in.
func isPublic(doc *policy.Document) bool {
	for i := range doc.Statements {
		s := &doc.Statements[i]
		if s.Deny || len(s.Conditions) > 0 {
			continue
		}
		if s.NotPrincipal {
			return true
		}
		for _, p := range s.Principals {
			if p.Value == "*" {
				return true
			}
		}
	}
	return false
}

const tooBroad = "You can't attach a resource policy that allows broad access to the secret: a statement allows everybody, under no condition."

// PutResourcePolicy attaches a policy to a secret, in place of an older one.
func (s *Service) PutResourcePolicy(ctx context.Context, in *model.PutResourcePolicyRequest) (*model.PutResourcePolicyResponse, error) {
	found, err := s.may(ctx, "PutResourcePolicy", in.SecretId)
	if err != nil {
		return nil, err
	}
	pins, public, err := s.parse(ctx, wire.Text(in.ResourcePolicy))
	if err != nil {
		return nil, err
	}
	if public && wire.True(in.BlockPublicPolicy) {
		return nil, fault.BadRequest("PublicPolicyException", "%s", tooBroad)
	}
	after, err := s.secrets.Change(ctx, found.Ref, func(s *secretstore.Settings) error {
		s.Policy, s.Pins = wire.Text(in.ResourcePolicy), pins
		return nil
	})
	return &model.PutResourcePolicyResponse{ARN: new(after.ARN()), Name: &after.Name}, err
}

// GetResourcePolicy returns the policy of a secret, or none.
func (s *Service) GetResourcePolicy(ctx context.Context, in *model.GetResourcePolicyRequest) (*model.GetResourcePolicyResponse, error) {
	found, err := s.may(ctx, "GetResourcePolicy", in.SecretId)
	if err != nil {
		return nil, err
	}
	text, err := found.Pins.Text(ctx, s.directory, found.Policy)
	return &model.GetResourcePolicyResponse{ARN: new(found.ARN()), Name: &found.Name, ResourcePolicy: wire.Optional(text)}, err
}

// DeleteResourcePolicy takes the policy of a secret away.
func (s *Service) DeleteResourcePolicy(ctx context.Context, in *model.DeleteResourcePolicyRequest) (*model.DeleteResourcePolicyResponse, error) {
	found, err := s.may(ctx, "DeleteResourcePolicy", in.SecretId)
	if err != nil {
		return nil, err
	}
	after, err := s.secrets.Change(ctx, found.Ref, func(s *secretstore.Settings) error {
		s.Policy, s.Pins = "", nil
		return nil
	})
	return &model.DeleteResourcePolicyResponse{ARN: new(after.ARN()), Name: &after.Name}, err
}

// ValidateResourcePolicy says what is wrong with a policy, and attaches none.
func (s *Service) ValidateResourcePolicy(ctx context.Context, in *model.ValidateResourcePolicyRequest) (*model.ValidateResourcePolicyResponse, error) {
	id := in.SecretId
	if id == nil {
		id = new("*")
	}
	if _, err := s.may(ctx, "ValidateResourcePolicy", id); err != nil && (in.SecretId != nil || !secretstore.IsNotFound(err)) {
		return nil, err
	}
	out := &model.ValidateResourcePolicyResponse{PolicyValidationPassed: new(true), ValidationErrors: []model.ValidationErrorsEntry{}}
	_, public, err := s.parse(ctx, wire.Text(in.ResourcePolicy))
	if err != nil {
		if fault.From(err).Status >= http.StatusInternalServerError {
			return nil, err
		}
		out.PolicyValidationPassed = new(false)
		out.ValidationErrors = append(out.ValidationErrors, model.ValidationErrorsEntry{CheckName: new("SYNTAX_CHECK"), ErrorMessage: new(fault.From(err).Message)})
	}
	if public {
		out.PolicyValidationPassed = new(false)
		out.ValidationErrors = append(out.ValidationErrors, model.ValidationErrorsEntry{CheckName: new("PUBLIC_ACCESS_CHECK"), ErrorMessage: new(tooBroad)})
	}
	return out, nil
}
