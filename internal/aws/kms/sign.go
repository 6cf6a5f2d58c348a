package kms

import (
	"context"

	model "github.com/outcrop/outcrop/internal/api/model/kms"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/key"
)

func isDigest(t *string) bool { return wire.Text(t) == model.MessageTypeDIGEST }

// Sign signs a message, or its hash, with an asymmetric key.
func (s *Service) Sign(ctx context.Context, in *model.SignRequest) (*model.SignResponse, error) {
	k, err := s.may(ctx, "Sign", in.KeyId, nil)
	if err != nil {
		return nil, err
	}
	signature, err := s.keys.Sign(ctx, k.Ref, key.Algorithm(wire.Text(in.SigningAlgorithm)), hidden(in.Message), isDigest(in.MessageType))
	if err != nil {
		return nil, err
	}
	if err := tried(in.DryRun); err != nil {
		return nil, err
	}
	return &model.SignResponse{KeyId: new(k.ARN()), Signature: signature, SigningAlgorithm: in.SigningAlgorithm}, nil
}

// Verify checks a signature. One that is not the key's is an error, as at AWS.
func (s *Service) Verify(ctx context.Context, in *model.VerifyRequest) (*model.VerifyResponse, error) {
	k, err := s.may(ctx, "Verify", in.KeyId, nil)
	if err != nil {
		return nil, err
	}
	if err := s.keys.Verify(ctx, k.Ref, key.Algorithm(wire.Text(in.SigningAlgorithm)), hidden(in.Message), isDigest(in.MessageType), in.Signature); err != nil {
		return nil, err
	}
	if err := tried(in.DryRun); err != nil {
		return nil, err
	}
	return &model.VerifyResponse{KeyId: new(k.ARN()), SignatureValid: new(true), SigningAlgorithm: in.SigningAlgorithm}, nil
}

// GenerateMac authenticates a message with an HMAC key.
func (s *Service) GenerateMac(ctx context.Context, in *model.GenerateMacRequest) (*model.GenerateMacResponse, error) {
	k, err := s.may(ctx, "GenerateMac", in.KeyId, nil)
	if err != nil {
		return nil, err
	}
	code, err := s.keys.MAC(ctx, k.Ref, key.Algorithm(wire.Text(in.MacAlgorithm)), hidden(in.Message))
	if err != nil {
		return nil, err
	}
	if err := tried(in.DryRun); err != nil {
		return nil, err
	}
	return &model.GenerateMacResponse{KeyId: new(k.ARN()), Mac: code, MacAlgorithm: in.MacAlgorithm}, nil
}

// VerifyMac checks the code of a message.
func (s *Service) VerifyMac(ctx context.Context, in *model.VerifyMacRequest) (*model.VerifyMacResponse, error) {
	k, err := s.may(ctx, "VerifyMac", in.KeyId, nil)
	if err != nil {
		return nil, err
	}
	if err := s.keys.CheckMAC(ctx, k.Ref, key.Algorithm(wire.Text(in.MacAlgorithm)), hidden(in.Message), in.Mac); err != nil {
		return nil, err
	}
	if err := tried(in.DryRun); err != nil {
		return nil, err
	}
	return &model.VerifyMacResponse{KeyId: new(k.ARN()), MacValid: new(true), MacAlgorithm: in.MacAlgorithm}, nil
}

// GetPublicKey returns the public key of an asymmetric one.
func (s *Service) GetPublicKey(ctx context.Context, in *model.GetPublicKeyRequest) (*model.GetPublicKeyResponse, error) {
	k, err := s.may(ctx, "GetPublicKey", in.KeyId, nil)
	if err != nil {
		return nil, err
	}
	if !k.Spec.Asymmetric() {
		return nil, fault.BadRequest(key.CodeUnsupported, "%s is a key of the spec %s, which has no public key.", k.ARN(), k.Spec)
	}
	if err := s.keys.Usable(ctx, k.Ref); err != nil {
		return nil, err
	}
	m := metadata(&k)
	return &model.GetPublicKeyResponse{
		KeyId: new(k.ARN()), PublicKey: k.Public, KeySpec: m.KeySpec, CustomerMasterKeySpec: m.KeySpec, KeyUsage: m.KeyUsage,
		EncryptionAlgorithms: m.EncryptionAlgorithms, SigningAlgorithms: m.SigningAlgorithms,
	}, nil
}
