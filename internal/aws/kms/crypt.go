package kms

import (
	"context"

	model "github.com/outcrop/outcrop/internal/api/model/kms"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/key"
	"github.com/outcrop/outcrop/internal/secret"
)

// Encrypt encrypts a few bytes under a key.
func (s *Service) Encrypt(ctx context.Context, in *model.EncryptRequest) (*model.EncryptResponse, error) {
	k, err := s.may(ctx, "Encrypt", in.KeyId, contextKeys(in.EncryptionContext, in.EncryptionAlgorithm))
	if err != nil {
		return nil, err
	}
	sealed, use, err := s.keys.Encrypt(ctx, k.Ref, key.Algorithm(wire.Text(in.EncryptionAlgorithm)), in.EncryptionContext, hidden(in.Plaintext))
	if err != nil {
		return nil, err
	}
	if err := tried(in.DryRun); err != nil {
		return nil, err
	}
	return &model.EncryptResponse{CiphertextBlob: sealed, KeyId: new(k.ARN()), EncryptionAlgorithm: new(string(use.Algorithm))}, nil
}

// Decrypt decrypts what a key encrypted. A ciphertext of a symmetric key says which.
func (s *Service) Decrypt(ctx context.Context, in *model.DecryptRequest) (*model.DecryptResponse, error) {
	plain, use, err := s.decrypt(ctx, "Decrypt", in.KeyId, in.EncryptionAlgorithm, in.EncryptionContext, in.CiphertextBlob)
	if err != nil {
		return nil, err
	}
	if err := tried(in.DryRun); err != nil {
		return nil, err
	}
	return &model.DecryptResponse{
		KeyId: new(use.ARN()), Plaintext: plain.Reveal(), EncryptionAlgorithm: new(string(use.Algorithm)), KeyMaterialId: wire.Optional(use.Material),
	}, nil
}

// decrypt decrypts for a caller who may do action with the key.
func (s *Service) decrypt(ctx context.Context, action string, name, algorithm *string, about map[string]string, sealed []byte) (secret.Bytes, key.Use, error) {
	if name == nil {
		if a := key.Algorithm(wire.Text(algorithm)); a != "" && a != key.SymmetricDefault {
			return secret.Bytes{}, key.Use{}, invalid("A KeyId is required with the algorithm %s: its ciphertexts do not say which key made them", a)
		}
		ref, err := key.KeyOf(sealed)
		if err != nil {
			return secret.Bytes{}, key.Use{}, err
		}
		if ref.Scope.Region != pipeline.From(ctx).Scope.Region {
			return secret.Bytes{}, key.Use{}, fault.BadRequest(key.CodeInvalidCiphertext, "The ciphertext is of a key of the region %s", ref.Scope.Region)
		}
		name = new(ref.ARN())
	}
	k, err := s.may(ctx, action, name, contextKeys(about, algorithm))
	if err != nil {
		return secret.Bytes{}, key.Use{}, err
	}
	return s.keys.Decrypt(ctx, k.Ref, key.Algorithm(wire.Text(algorithm)), about, sealed)
}

// ReEncrypt encrypts under another key what one encrypted. The caller does not see it.
func (s *Service) ReEncrypt(ctx context.Context, in *model.ReEncryptRequest) (*model.ReEncryptResponse, error) {
	to, err := s.may(ctx, "ReEncryptTo", in.DestinationKeyId, contextKeys(in.DestinationEncryptionContext, in.DestinationEncryptionAlgorithm))
	if err != nil {
		return nil, err
	}
	plain, from, err := s.decrypt(ctx, "ReEncryptFrom", in.SourceKeyId, in.SourceEncryptionAlgorithm, in.SourceEncryptionContext, in.CiphertextBlob)
	if err != nil {
		return nil, err
	}
	sealed, use, err := s.keys.Encrypt(ctx, to.Ref, key.Algorithm(wire.Text(in.DestinationEncryptionAlgorithm)), in.DestinationEncryptionContext, plain)
	if err != nil {
		return nil, err
	}
	if err := tried(in.DryRun); err != nil {
		return nil, err
	}
	return &model.ReEncryptResponse{
		CiphertextBlob: sealed, SourceKeyId: new(from.ARN()), KeyId: new(to.ARN()), SourceEncryptionAlgorithm: new(string(from.Algorithm)),
		DestinationEncryptionAlgorithm: new(string(use.Algorithm)), SourceKeyMaterialId: wire.Optional(from.Material), DestinationKeyMaterialId: wire.Optional(use.Material),
	}, nil
}

// GenerateDataKey makes a key for the caller to encrypt with, and encrypts it.
func (s *Service) GenerateDataKey(ctx context.Context, in *model.GenerateDataKeyRequest) (*model.GenerateDataKeyResponse, error) {
	plain, sealed, use, err := s.dataKey(ctx, "GenerateDataKey", in.KeyId, in.KeySpec, in.NumberOfBytes, in.EncryptionContext, in.DryRun)
	if err != nil {
		return nil, err
	}
	return &model.GenerateDataKeyResponse{
		CiphertextBlob: sealed, Plaintext: plain.Reveal(), KeyId: new(use.ARN()), KeyMaterialId: wire.Optional(use.Material),
	}, nil
}

// GenerateDataKeyWithoutPlaintext makes one that is needed later.
func (s *Service) GenerateDataKeyWithoutPlaintext(ctx context.Context, in *model.GenerateDataKeyWithoutPlaintextRequest) (*model.GenerateDataKeyWithoutPlaintextResponse, error) {
	const action = "GenerateDataKeyWithoutPlaintext"
	_, sealed, use, err := s.dataKey(ctx, action, in.KeyId, in.KeySpec, in.NumberOfBytes, in.EncryptionContext, in.DryRun)
	if err != nil {
		return nil, err
	}
	return &model.GenerateDataKeyWithoutPlaintextResponse{CiphertextBlob: sealed, KeyId: new(use.ARN()), KeyMaterialId: wire.Optional(use.Material)}, nil
}

func (s *Service) dataKey(ctx context.Context, action string, name, spec *string, size *int32, about map[string]string, dry *bool) (plain secret.Bytes, sealed []byte, use key.Use, err error) {
	n := 32
	switch {
	case (spec == nil) == (size == nil):
		return plain, nil, use, invalid("Please specify either number of bytes or key spec.")
	case size != nil:
		n = int(*size)
	case *spec == model.DataKeySpecAES_128:
		n = 16
	}
	k, err := s.may(ctx, action, name, contextKeys(about, nil))
	if err != nil {
		return plain, nil, use, err
	}
	if plain, err = s.keys.Random(n); err != nil {
		return plain, nil, use, err
	}
	if sealed, use, err = s.keys.Encrypt(ctx, k.Ref, key.SymmetricDefault, about, plain); err != nil {
		return plain, nil, use, err
	}
	return plain, sealed, use, tried(dry)
}

// GenerateRandom returns random bytes.
func (s *Service) GenerateRandom(_ context.Context, in *model.GenerateRandomRequest) (*model.GenerateRandomResponse, error) {
	if in.NumberOfBytes == nil {
		return nil, invalid("NumberOfBytes is required")
	}
	b, err := s.keys.Random(int(*in.NumberOfBytes))
	return &model.GenerateRandomResponse{Plaintext: b.Reveal()}, err
}
