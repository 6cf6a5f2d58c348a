package identity

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/api/model/agentcorecontrol"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/identity/vault"
	"github.com/outcrop/outcrop/internal/store"
)

func keyPrefix(scope store.Scope) string {
	return "arn:aws:kms:" + scope.Region + ":" + scope.Account + ":key/"
}

// refusedKey words a key's refusal as the member's.
func refusedKey(field string, err error) error {
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return fault.Invalid(field, "The key cannot be used: %s", f.Message)
	}
	return err
}

// theVault refuses another vault than the one there is.
func theVault(id *string) error {
	if id != nil && *id != vault.ID {
		return fault.NotFound("Token vault with id '%s' not found", *id)
	}
	return nil
}

func keyOut(s vault.Settings) (*agentcorecontrol.KmsConfiguration, *time.Time) {
	out := &agentcorecontrol.KmsConfiguration{KeyType: new(agentcorecontrol.KeyTypeServiceManagedKey)}
	if s.Key != "" {
		out.KeyType, out.KmsKeyArn = new(agentcorecontrol.KeyTypeCustomerManagedKey), &s.Key
	}
	return out, &s.Modified
}

// vaultMade is since when a vault is as it is that nobody has changed. It exists
// without being made.
func vaultMade() time.Time { return time.Date(2025, 7, 16, 0, 0, 0, 0, time.UTC) }

// GetTokenVault tells under which key the vault is.
func (s *Service) GetTokenVault(ctx context.Context, in *agentcorecontrol.GetTokenVaultRequest) (*agentcorecontrol.GetTokenVaultResponse, error) {
	if err := theVault(in.TokenVaultId); err != nil {
		return nil, err
	}
	v, err := s.vaultSettings(ctx, pipeline.From(ctx).Scope)
	if err != nil {
		return nil, err
	}
	key, modified := keyOut(v)
	return &agentcorecontrol.GetTokenVaultResponse{TokenVaultId: new(vault.ID), KmsConfiguration: key, LastModifiedDate: modified}, nil
}

func (s *Service) vaultSettings(ctx context.Context, scope store.Scope) (v vault.Settings, err error) {
	err = s.cfg.Store.View(ctx, func(r store.Reader) (err error) {
		v, err = vault.SettingsOf(r, scope)
		return err
	})
	if v.Modified.IsZero() {
		v.Modified = vaultMade()
	}
	return v, err
}

// SetTokenVaultCMK puts the vault under a key of the customer's, or of the server's
// again, and all tokens in it.
func (s *Service) SetTokenVaultCMK(ctx context.Context, in *agentcorecontrol.SetTokenVaultCMKRequest) (*agentcorecontrol.SetTokenVaultCMKResponse, error) {
	if err := theVault(in.TokenVaultId); err != nil {
		return nil, err
	}
	key, err := s.wantedKey(ctx, in.KmsConfiguration)
	if err != nil {
		return nil, err
	}
	v, err := s.rekey(ctx, pipeline.From(ctx).Scope, key)
	if err != nil {
		return nil, err
	}
	config, modified := keyOut(v)
	return &agentcorecontrol.SetTokenVaultCMKResponse{TokenVaultId: new(vault.ID), KmsConfiguration: config, LastModifiedDate: modified}, nil
}

// wantedKey reads which key is wanted, of a caller who may use it.
func (s *Service) wantedKey(ctx context.Context, c *agentcorecontrol.KmsConfiguration) (string, error) {
	const field = "kmsConfiguration.kmsKeyArn"
	customers := *c.KeyType == agentcorecontrol.KeyTypeCustomerManagedKey
	switch {
	case customers && c.KmsKeyArn == nil:
		return "", fault.Invalid(field, "kmsKeyArn is required with keyType CustomerManagedKey")
	case !customers && c.KmsKeyArn != nil:
		return "", fault.Invalid(field, "kmsKeyArn is given with keyType ServiceManagedKey")
	case !customers:
		return "", nil
	}
	call, arn := pipeline.From(ctx), *c.KmsKeyArn
	err := call.Authorize(ctx, auth.Requirement{Action: "kms:GenerateDataKey", Resource: arn}, auth.Requirement{Action: "kms:Decrypt", Resource: arn})
	if err != nil {
		return "", err
	}
	if !strings.HasPrefix(arn, keyPrefix(call.Scope)) {
		return "", fault.Invalid(field, "%s is of another account or region", arn)
	}
	_, _, err = s.cfg.Keys.Box(ctx, call.Scope, arn)
	return arn, refusedKey(field, err)
}

// rekey says which key new tokens are sealed under, and then seals the others. Should
// it break off, each token still says which key it is under.
func (s *Service) rekey(ctx context.Context, scope store.Scope, key string) (v vault.Settings, err error) {
	if !s.rekeying.TryLock() {
		return v, fault.New("ConcurrentModificationException", 409, "The token vault is being changed by another call")
	}
	defer s.rekeying.Unlock()
	err = s.cfg.Store.Update(ctx, func(tx store.Tx) (err error) {
		v, err = vault.SetKey(tx, scope, key)
		return err
	})
	if err != nil {
		return v, err
	}
	err = s.vault.Reseal(ctx, scope, key)
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return v, fault.Validation("Tokens under the vault's former key cannot be opened: %s", f.Message)
	}
	return v, err
}

// ResetTokenVaultKeyMaterial gives a vault up whose key is gone: the tokens go with it,
// the providers stay (spec/identity.md 2.2).
func (s *Service) ResetTokenVaultKeyMaterial(ctx context.Context, in *agentcorecontrol.ResetTokenVaultKeyMaterialRequest) (*agentcorecontrol.ResetTokenVaultKeyMaterialResponse, error) {
	if err := theVault(in.TokenVaultId); err != nil {
		return nil, err
	}
	scope := pipeline.From(ctx).Scope
	s.rekeying.Lock()
	defer s.rekeying.Unlock()
	v, err := s.vaultSettings(ctx, scope)
	if err != nil {
		return nil, err
	}
	if v.Key == "" {
		return nil, fault.Validation("The token vault is under a key of the service, which is never gone")
	}
	gone, err := s.cfg.Keys.Gone(ctx, scope, v.Key)
	if err != nil {
		return nil, err
	}
	if !gone {
		return nil, fault.Validation("The key %s of the token vault is still there: the vault can be given another one with SetTokenVaultCMK", v.Key)
	}
	err = s.cfg.Store.Update(ctx, func(tx store.Tx) (err error) {
		if err := vault.ForgetAll(tx, scope); err != nil {
			return err
		}
		v, err = vault.SetKey(tx, scope, "")
		return err
	})
	if err != nil {
		return nil, err
	}
	key, modified := keyOut(v)
	return &agentcorecontrol.ResetTokenVaultKeyMaterialResponse{TokenVaultId: new(vault.ID), KmsConfiguration: key, LastModifiedDate: modified}, nil
}
