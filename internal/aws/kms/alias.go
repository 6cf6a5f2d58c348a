package kms

import (
	"context"
	"strings"

	model "github.com/outcrop/outcrop/internal/api/model/kms"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/key"
)

// The operation table asks for the action on the alias; these ask for it on the keys.

// CreateAlias gives a key another name.
func (s *Service) CreateAlias(ctx context.Context, in *model.CreateAliasRequest) (*model.Nothing, error) {
	k, err := s.target(ctx, "CreateAlias", in.TargetKeyId)
	if err != nil {
		return nil, err
	}
	return &model.Nothing{}, s.keys.CreateAlias(ctx, k.Ref, wire.Text(in.AliasName))
}

// target is the key that an alias is to be of: one of the caller's own account and
// region, named by no alias.
func (s *Service) target(ctx context.Context, action string, name *string) (key.Key, error) {
	if strings.HasPrefix(wire.Text(name), key.AliasPrefix) {
		return key.Key{}, invalid("Aliases must refer to keys. Not aliases")
	}
	return s.own(ctx, action, name)
}

// UpdateAlias makes an alias the name of another key.
func (s *Service) UpdateAlias(ctx context.Context, in *model.UpdateAliasRequest) (*model.Nothing, error) {
	if err := key.CheckAlias(wire.Text(in.AliasName)); err != nil {
		return nil, err
	}
	k, err := s.target(ctx, "UpdateAlias", in.TargetKeyId)
	if err != nil {
		return nil, err
	}
	if _, err := s.own(ctx, "UpdateAlias", in.AliasName); err != nil {
		return nil, err
	}
	return &model.Nothing{}, s.keys.UpdateAlias(ctx, k.Ref, wire.Text(in.AliasName))
}

// DeleteAlias takes a name away. The key stays.
func (s *Service) DeleteAlias(ctx context.Context, in *model.DeleteAliasRequest) (*model.Nothing, error) {
	if err := key.CheckAlias(wire.Text(in.AliasName)); err != nil {
		return nil, err
	}
	if _, err := s.own(ctx, "DeleteAlias", in.AliasName); err != nil {
		return nil, err
	}
	return &model.Nothing{}, s.keys.DeleteAlias(ctx, pipeline.From(ctx).Scope, wire.Text(in.AliasName))
}

// ListAliases lists the aliases of the caller's account and region, or those of a
// key.
func (s *Service) ListAliases(ctx context.Context, in *model.ListAliasesRequest) (*model.ListAliasesResponse, error) {
	scope := pipeline.From(ctx).Scope
	if in.KeyId == nil {
		list, err := s.keys.Aliases(ctx, scope, wire.Page(in.Limit, in.Marker, 50))
		if err != nil {
			return nil, badMarker(err)
		}
		return &model.ListAliasesResponse{Aliases: entries(list.Items), NextMarker: wire.Optional(list.Next), Truncated: new(list.Next != "")}, nil
	}
	if err := noAlias(in.KeyId); err != nil {
		return nil, err
	}
	n, err := key.ParseName(scope, *in.KeyId)
	if err != nil {
		return nil, err
	}
	if n.Scope != scope {
		return nil, key.NotFound(key.Ref{Scope: n.Scope, ID: n.ID})
	}
	k, err := s.keys.Get(ctx, key.Ref{Scope: scope, ID: n.ID})
	if err != nil {
		return nil, err
	}
	all, err := s.keys.AliasesOf(ctx, k.Ref)
	if err != nil {
		return nil, err
	}
	part, next := chunk(all, func(a key.Alias) string { return a.Name }, in.Limit, in.Marker, 50)
	return &model.ListAliasesResponse{Aliases: entries(part), NextMarker: next, Truncated: new(next != nil)}, nil
}

func entries(list []key.Alias) []model.AliasListEntry {
	out := make([]model.AliasListEntry, 0, len(list))
	for _, a := range list {
		out = append(out, model.AliasListEntry{
			AliasName: new(a.Name), AliasArn: new(a.ARN()), TargetKeyId: new(a.Target), CreationDate: &a.Created, LastUpdatedDate: &a.Updated,
		})
	}
	return out
}
