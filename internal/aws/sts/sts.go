// Package sts is the front of AWS STS: who the caller is. Assuming roles comes
// with identity.
package sts

import (
	"context"

	"github.com/outcrop/outcrop/internal/api/model/sts"
	"github.com/outcrop/outcrop/internal/api/pipeline"
)

// Service implements the generated interface.
type Service struct{}

var _ sts.Identity = Service{}

// GetCallerIdentity answers with what the signature has proven.
func (Service) GetCallerIdentity(ctx context.Context, _ *sts.GetCallerIdentityRequest) (*sts.GetCallerIdentityResponse, error) {
	p := pipeline.From(ctx).Principal
	return &sts.GetCallerIdentityResponse{Account: &p.Account, Arn: &p.ARN, UserId: &p.UserID}, nil
}
