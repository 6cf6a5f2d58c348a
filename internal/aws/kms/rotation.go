package kms

import (
	"context"
	"fmt"

	model "github.com/outcrop/outcrop/internal/api/model/kms"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/key"
)

// EnableKeyRotation has the material of a key replaced every so many days.
func (s *Service) EnableKeyRotation(ctx context.Context, in *model.EnableKeyRotationRequest) (*model.Nothing, error) {
	days := key.DefaultRotation
	if in.RotationPeriodInDays != nil {
		days = int(*in.RotationPeriodInDays)
	}
	return s.rotate(ctx, "EnableKeyRotation", in.KeyId, days)
}

// DisableKeyRotation keeps the material of a key as it is.
func (s *Service) DisableKeyRotation(ctx context.Context, in *model.DisableKeyRotationRequest) (*model.Nothing, error) {
	return s.rotate(ctx, "DisableKeyRotation", in.KeyId, 0)
}

func (s *Service) rotate(ctx context.Context, action string, name *string, days int) (*model.Nothing, error) {
	k, err := s.managed(ctx, action, name)
	if err != nil {
		return nil, err
	}
	if err := k.CheckRotation(); err != nil {
		return nil, err
	}
	if err := s.keys.Usable(ctx, k.Ref); err != nil {
		return nil, err
	}
	return &model.Nothing{}, s.keys.Change(ctx, k.Ref, false, func(k *key.Settings) error {
		k.RotationDays = days
		return nil
	})
}

// GetKeyRotationStatus tells whether and when the material is replaced. Of a key
// that cannot be rotated it says no (KMS's API reference).
func (s *Service) GetKeyRotationStatus(ctx context.Context, in *model.GetKeyRotationStatusRequest) (*model.GetKeyRotationStatusResponse, error) {
	if err := noAlias(in.KeyId); err != nil {
		return nil, err
	}
	k, err := s.may(ctx, "GetKeyRotationStatus", in.KeyId, nil)
	if err != nil {
		return nil, err
	}
	out := &model.GetKeyRotationStatusResponse{KeyId: new(k.ARN()), KeyRotationEnabled: new(k.RotationDays > 0)}
	if k.RotationDays > 0 {
		out.RotationPeriodInDays = new(int32(k.RotationDays))
		if at := k.NextRotation(); !at.IsZero() {
			out.NextRotationDate = &at
		}
	}
	return out, nil
}

// RotateKeyOnDemand replaces the material of a key at once.
func (s *Service) RotateKeyOnDemand(ctx context.Context, in *model.RotateKeyOnDemandRequest) (*model.RotateKeyOnDemandResponse, error) {
	k, err := s.managed(ctx, "RotateKeyOnDemand", in.KeyId)
	if err != nil {
		return nil, err
	}
	return &model.RotateKeyOnDemandResponse{KeyId: new(k.ARN())}, s.keys.Rotate(ctx, k.Ref, true)
}

// ListKeyRotations tells when the material of a key was replaced.
func (s *Service) ListKeyRotations(ctx context.Context, in *model.ListKeyRotationsRequest) (*model.ListKeyRotationsResponse, error) {
	k, err := s.managed(ctx, "ListKeyRotations", in.KeyId)
	if err != nil {
		return nil, err
	}
	if err := k.CheckRotation(); err != nil {
		return nil, err
	}
	out := []model.RotationsListEntry{}
	for i, m := range k.Materials {
		e := model.RotationsListEntry{KeyId: new(k.ARN()), KeyMaterialId: &m.ID, KeyMaterialState: new(model.KeyMaterialStateNON_CURRENT)}
		if i == len(k.Materials)-1 {
			e.KeyMaterialState = new(model.KeyMaterialStateCURRENT)
		}
		if i > 0 {
			e.RotationDate, e.RotationType = &m.Created, new(model.RotationTypeAUTOMATIC)
			if m.OnDemand {
				e.RotationType = new(model.RotationTypeON_DEMAND)
			}
		} else if wire.Text(in.IncludeKeyMaterial) != model.IncludeKeyMaterialALL_KEY_MATERIAL {
			continue
		}
		out = append(out, e)
	}
	place := map[string]string{} // materials in their own order, whatever their ids
	for i, m := range k.Materials {
		place[m.ID] = fmt.Sprintf("%06d", i)
	}
	part, next := chunk(out, func(e model.RotationsListEntry) string { return place[*e.KeyMaterialId] }, in.Limit, in.Marker, 100)
	return &model.ListKeyRotationsResponse{Rotations: part, NextMarker: next, Truncated: new(next != nil)}, nil
}
