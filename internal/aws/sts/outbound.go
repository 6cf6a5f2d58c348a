package sts

import (
	"context"
	"net/http"

	"github.com/outcrop/outcrop/internal/api/model/sts"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/federation"
	"github.com/outcrop/outcrop/internal/principal"
)

// GetWebIdentityToken signs a token that says who calls, for services elsewhere.
func (s *Service) GetWebIdentityToken(ctx context.Context, in *sts.GetWebIdentityTokenRequest) (*sts.GetWebIdentityTokenResponse, error) {
	call := pipeline.From(ctx)
	r := federation.Request{
		Principal: call.Principal, Region: call.Scope.Region, Audience: in.Audience, Algorithm: wire.Text(in.SigningAlgorithm), Life: seconds(in.DurationSeconds),
	}
	for _, t := range in.Tags {
		key := wire.Text(t.Key)
		if _, twice := r.Tags[key]; twice {
			return nil, fault.New(principal.CodeInvalid, http.StatusBadRequest, "Duplicate tag keys found: '%s'", key)
		}
		if r.Tags == nil {
			r.Tags = map[string]string{}
		}
		r.Tags[key] = wire.Text(t.Value)
	}
	t, err := s.cfg.Tokens.Token(ctx, r)
	if err != nil {
		return nil, err
	}
	return &sts.GetWebIdentityTokenResponse{WebIdentityToken: new(t.Text.Reveal()), Expiration: &t.Expires}, nil
}
