// Package cognito is the front of cognito-idp: it turns calls of its API into calls
// of the user pools (package issuer). Users sign in through it without credentials,
// as AWS has it; administrators call it as any other API.
package cognito

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	model "github.com/outcrop/outcrop/internal/api/model/cognito"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/issuer"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/store"
)

// Service implements the generated interface over user pools.
type Service struct {
	pools *issuer.Pools
}

var _ model.UserPools = (*Service)(nil)

// New returns the front of pools.
func New(pools *issuer.Pools) *Service { return &Service{pools} }

func scopeOf(ctx context.Context) store.Scope { return pipeline.From(ctx).Scope }

// page is a page of a listing, of at most most items.
func page(n *int32, token *string, most int) store.Page {
	p := store.Page{Size: most, Token: wire.Text(token)}
	if n != nil && *n > 0 && int(*n) < most {
		p.Size = int(*n)
	}
	return p
}

// worded gives the store's refusal of a page token Cognito's words.
func worded(err error) error {
	if errors.Is(err, store.ErrBadToken) {
		return issuer.Invalid("Invalid pagination token.").Because(err)
	}
	return err
}

func hidden(s *string) secret.String { return secret.NewString(wire.Text(s)) }

// copied fills one of the model's types from another that has members of the same
// names: what Create is given is what Describe returns.
func copied[To any](from any) (*To, error) {
	b, err := json.Marshal(from)
	if err != nil {
		return nil, fmt.Errorf("copy members: %w", err)
	}
	out := new(To)
	if err := json.Unmarshal(b, out); err != nil {
		return nil, fmt.Errorf("copy members: %w", err)
	}
	return out, nil
}

// attributes are those of a user by name; the last of a name counts.
func attributes(list []model.AttributeType) map[string]string {
	out := make(map[string]string, len(list))
	for _, a := range list {
		out[wire.Text(a.Name)] = wire.Text(a.Value)
	}
	return out
}

// poolOfARN returns the id in a pool's ARN, or a refusal.
func poolOfARN(scope store.Scope, arn string) (string, error) {
	id := arn[strings.LastIndexByte(arn, '/')+1:]
	if !issuer.IsPoolID(id) || issuer.ARN(scope, id) != arn {
		return "", issuer.Invalid("Invalid resource ARN: %s", arn)
	}
	return id, nil
}

// TagResource adds tags to a pool, in place of those with the same keys.
func (s *Service) TagResource(ctx context.Context, in *model.TagResourceRequest) (*model.TagResourceResponse, error) {
	return &model.TagResourceResponse{}, s.retag(ctx, *in.ResourceArn, func(tags map[string]string) {
		for k, v := range in.Tags {
			tags[k] = v
		}
	})
}

// UntagResource removes tags; those that are not there are no error.
func (s *Service) UntagResource(ctx context.Context, in *model.UntagResourceRequest) (*model.UntagResourceResponse, error) {
	return &model.UntagResourceResponse{}, s.retag(ctx, *in.ResourceArn, func(tags map[string]string) {
		for _, k := range in.TagKeys {
			delete(tags, k)
		}
	})
}

func (s *Service) retag(ctx context.Context, arn string, change func(map[string]string)) error {
	scope := scopeOf(ctx)
	id, err := poolOfARN(scope, arn)
	if err != nil {
		return err
	}
	_, err = s.pools.UpdatePool(ctx, scope, id, func(p *issuer.Settings) error {
		if p.Tags == nil {
			p.Tags = map[string]string{}
		}
		change(p.Tags)
		return nil
	})
	return err
}

// ListTagsForResource returns all tags of a pool.
func (s *Service) ListTagsForResource(ctx context.Context, in *model.ListTagsForResourceRequest) (*model.ListTagsForResourceResponse, error) {
	scope := scopeOf(ctx)
	id, err := poolOfARN(scope, *in.ResourceArn)
	if err != nil {
		return nil, err
	}
	p, err := s.pools.PoolOf(ctx, scope, id)
	if err != nil {
		return nil, err
	}
	tags := p.Tags
	if tags == nil {
		tags = map[string]string{}
	}
	return &model.ListTagsForResourceResponse{Tags: tags}, nil
}
