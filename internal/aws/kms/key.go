package kms

import (
	"context"

	model "github.com/outcrop/outcrop/internal/api/model/kms"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/key"
)

// CreateKey makes a key with material of its own.
func (s *Service) CreateKey(ctx context.Context, in *model.CreateKeyRequest) (*model.CreateKeyResponse, error) {
	c := pipeline.From(ctx)
	settings := key.Settings{Description: wire.Text(in.Description), Spec: key.Symmetric, Usage: key.Usage(wire.Text(in.KeyUsage)), Policy: wire.Text(in.Policy)}
	switch {
	case in.KeySpec != nil && in.CustomerMasterKeySpec != nil:
		return nil, invalid("You cannot specify KeySpec and CustomerMasterKeySpec in the same request. CustomerMasterKeySpec is deprecated.")
	case in.KeySpec != nil:
		settings.Spec = key.Spec(*in.KeySpec)
	case in.CustomerMasterKeySpec != nil:
		settings.Spec = key.Spec(*in.CustomerMasterKeySpec)
	}
	if wire.True(in.MultiRegion) {
		return nil, fault.BadRequest(key.CodeUnsupported, "A server is one place; keys of more than one region are not made here")
	}
	if settings.Usage == "" {
		if settings.Spec != key.Symmetric {
			return nil, invalid("You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys.")
		}
		settings.Usage = key.EncryptDecrypt
	}
	var err error
	if settings.Policy == "" {
		settings.Policy = key.DefaultPolicy(c.Scope.Account)
	} else if settings.Pins, err = s.checkPolicy(ctx, key.Ref{Scope: c.Scope, ID: "new"}, settings.Policy, in.BypassPolicyLockoutSafetyCheck); err != nil {
		return nil, err
	}
	if settings.Tags, err = merged(nil, in.Tags); err != nil {
		return nil, err
	}
	k, err := s.keys.Create(ctx, c.Scope, settings)
	if err != nil {
		return nil, err
	}
	return &model.CreateKeyResponse{KeyMetadata: metadata(&k)}, nil
}

// metadata is a key as the model has it.
func metadata(k *key.Key) *model.KeyMetadata {
	out := &model.KeyMetadata{
		AWSAccountId: new(k.Scope.Account), KeyId: new(k.ID), Arn: new(k.ARN()), CreationDate: &k.Created, Enabled: new(k.State() == key.Enabled),
		Description: &k.Description, KeyUsage: new(string(k.Usage)), KeyState: new(string(k.State())), Origin: new(model.OriginTypeAWS_KMS),
		KeyManager: new(model.KeyManagerTypeCUSTOMER), KeySpec: new(string(k.Spec)), CustomerMasterKeySpec: new(string(k.Spec)), MultiRegion: new(false),
	}
	algorithms := names(key.Algorithms(k.Spec, k.Usage))
	switch k.Usage {
	case key.EncryptDecrypt:
		out.EncryptionAlgorithms = algorithms
	case key.SignVerify:
		out.SigningAlgorithms = algorithms
	case key.VerifyMAC:
		out.MacAlgorithms = algorithms
	}
	if !k.Deletes.IsZero() {
		out.DeletionDate = &k.Deletes
	}
	if n := len(k.Materials); k.Spec == key.Symmetric && n > 0 {
		out.CurrentKeyMaterialId = &k.Materials[n-1].ID
	}
	return out
}

func names(list []key.Algorithm) []string {
	out := make([]string, len(list))
	for i, a := range list {
		out[i] = string(a)
	}
	return out
}

// DescribeKey tells of a key.
func (s *Service) DescribeKey(ctx context.Context, in *model.DescribeKeyRequest) (*model.DescribeKeyResponse, error) {
	k, err := s.may(ctx, "DescribeKey", in.KeyId, nil)
	if err != nil {
		return nil, err
	}
	return &model.DescribeKeyResponse{KeyMetadata: metadata(&k)}, nil
}

// ListKeys lists the keys of the caller's account and region.
func (s *Service) ListKeys(ctx context.Context, in *model.ListKeysRequest) (*model.ListKeysResponse, error) {
	list, err := s.keys.List(ctx, pipeline.From(ctx).Scope, wire.Page(in.Limit, in.Marker, 100))
	if err != nil {
		return nil, badMarker(err)
	}
	out := &model.ListKeysResponse{Keys: []model.KeyListEntry{}, NextMarker: wire.Optional(list.Next), Truncated: new(list.Next != "")}
	for _, k := range list.Items {
		out.Keys = append(out.Keys, model.KeyListEntry{KeyId: new(k.ID), KeyArn: new(k.ARN())})
	}
	return out, nil
}

// UpdateKeyDescription changes what is said of a key.
func (s *Service) UpdateKeyDescription(ctx context.Context, in *model.UpdateKeyDescriptionRequest) (*model.Nothing, error) {
	return s.change(ctx, "UpdateKeyDescription", in.KeyId, func(k *key.Settings) error {
		k.Description = wire.Text(in.Description)
		return nil
	})
}

// EnableKey lets a key be used again.
func (s *Service) EnableKey(ctx context.Context, in *model.EnableKeyRequest) (*model.Nothing, error) {
	return s.change(ctx, "EnableKey", in.KeyId, func(k *key.Settings) error {
		k.Disabled = false
		return nil
	})
}

// DisableKey keeps a key from being used.
func (s *Service) DisableKey(ctx context.Context, in *model.DisableKeyRequest) (*model.Nothing, error) {
	return s.change(ctx, "DisableKey", in.KeyId, func(k *key.Settings) error {
		k.Disabled = true
		return nil
	})
}

// change changes a key for a caller who may do action with it.
func (s *Service) change(ctx context.Context, action string, name *string, fn func(*key.Settings) error) (*model.Nothing, error) {
	k, err := s.managed(ctx, action, name)
	if err != nil {
		return nil, err
	}
	return &model.Nothing{}, s.keys.Change(ctx, k.Ref, false, fn)
}

// ScheduleKeyDeletion lets a key go after some days.
func (s *Service) ScheduleKeyDeletion(ctx context.Context, in *model.ScheduleKeyDeletionRequest) (*model.ScheduleKeyDeletionResponse, error) {
	k, err := s.managed(ctx, "ScheduleKeyDeletion", in.KeyId)
	if err != nil {
		return nil, err
	}
	days := key.DefaultWindow
	if in.PendingWindowInDays != nil {
		days = int(*in.PendingWindowInDays)
	}
	at, err := s.keys.ScheduleDeletion(ctx, k.Ref, days)
	if err != nil {
		return nil, err
	}
	return &model.ScheduleKeyDeletionResponse{
		KeyId: new(k.ARN()), DeletionDate: &at, KeyState: new(string(key.PendingDeletion)), PendingWindowInDays: new(int32(days)),
	}, nil
}

// CancelKeyDeletion keeps a key that was to go. It is disabled then.
func (s *Service) CancelKeyDeletion(ctx context.Context, in *model.CancelKeyDeletionRequest) (*model.CancelKeyDeletionResponse, error) {
	k, err := s.managed(ctx, "CancelKeyDeletion", in.KeyId)
	if err != nil {
		return nil, err
	}
	return &model.CancelKeyDeletionResponse{KeyId: new(k.ARN())}, s.keys.CancelDeletion(ctx, k.Ref)
}

func invalid(format string, args ...any) error {
	return fault.BadRequest(key.CodeValidation, format, args...)
}
