// Package secretsmanager is the front of Secrets Manager: it turns calls of its API
// into calls of the secrets (package secretstore), and asks for each secret that is
// named whether the caller may; for its key, too, where that is one of the
// account's own.
package secretsmanager

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	model "github.com/outcrop/outcrop/internal/api/model/secretsmanager"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/auth/pin"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/key"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/secretstore"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/tag"
)

// Keys finds the keys that secrets name.
type Keys interface {
	// Find returns the key with an id, alias or ARN in a scope.
	Find(ctx context.Context, scope store.Scope, name string) (key.Key, error)
}

// Service implements the generated interface over secrets.
type Service struct {
	secrets   *secretstore.Secrets
	keys      Keys
	directory pin.Directory
}

var _ model.Secrets = (*Service)(nil)

// New returns the front of secrets, whose policies name those whom a directory knows.
func New(secrets *secretstore.Secrets, keys Keys, directory pin.Directory) *Service {
	return &Service{secrets, keys, directory}
}

// may returns the secret that a caller names, if they may do action with it. Who may
// not learns nothing of whether it is there.
func (s *Service) may(ctx context.Context, action string, id *string) (secretstore.Secret, error) {
	c := pipeline.From(ctx)
	found, missing := s.secrets.Find(ctx, c.Scope, wire.Text(id))
	if missing != nil && !secretstore.IsNotFound(missing) {
		return found, missing
	}
	arn := wire.Text(id)
	switch {
	case missing == nil:
		arn = found.ARN()
	case !strings.HasPrefix(arn, "arn:"):
		arn = secretstore.ARN(c.Scope, arn)
	}
	if err := c.Authorize(ctx, auth.Requirement{Action: "secretsmanager:" + action, Resource: arn}); err != nil {
		return secretstore.Secret{}, err
	}
	return found, missing
}

// The actions on a key that values are sealed and opened with.
const (
	seals = "kms:GenerateDataKey"
	opens = "kms:Decrypt"
)

// mayUse asks for actions on the key of a secret, which the caller does by way of
// this service (KMS guide, "How Secrets Manager uses KMS").
func (s *Service) mayUse(ctx context.Context, scope store.Scope, name, arn string, actions ...string) error {
	if name == "" {
		return nil
	}
	c := pipeline.From(ctx)
	k, err := s.keys.Find(ctx, scope, name)
	if key.IsNotFound(err) {
		return nil // sealing and opening say what is wrong
	}
	if err != nil {
		return err
	}
	ctx = auth.WithKeys(ctx, map[string][]string{
		"kms:viaservice": {"secretsmanager." + c.Scope.Region + ".amazonaws.com"}, "kms:calleraccount": {c.Principal.Account},
		"kms:encryptioncontext:secretarn": {arn}, "kms:encryptioncontextkeys": {"SecretARN"},
		"kms:keyspec": {string(k.Spec)}, "kms:keyusage": {string(k.Usage)},
	})
	for _, a := range actions {
		err := c.Authorize(ctx, auth.Requirement{Action: a, Resource: k.ARN()})
		if fault.Is(err, "AccessDeniedException") {
			return fault.Denied("Access to KMS is not allowed").Because(err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// content is the value of a request; nil where there is none.
func content(s *string, b []byte) (*secretstore.Content, error) {
	switch {
	case s != nil && b != nil:
		return nil, secretstore.InvalidParameter("You can't specify both a binary secret value and a string secret value in the same request.")
	case s != nil:
		c := secretstore.Text(secret.NewString(*s))
		return &c, nil
	case b != nil:
		return &secretstore.Content{Value: secret.NewBytes(b), Binary: true}, nil
	}
	return nil, nil
}

// shown is a value as the model has it.
func shown(c secretstore.Content) (s *string, b []byte) {
	if c.Binary {
		return nil, c.Value.Reveal()
	}
	return new(c.Value.Text().Reveal()), nil
}

// CreateSecret makes a secret.
func (s *Service) CreateSecret(ctx context.Context, in *model.CreateSecretRequest) (*model.CreateSecretResponse, error) {
	scope := pipeline.From(ctx).Scope
	tags, err := merged(nil, in.Tags)
	if err != nil {
		return nil, err
	}
	c, err := content(in.SecretString, in.SecretBinary)
	if err != nil {
		return nil, err
	}
	settings := secretstore.Settings{Description: wire.Text(in.Description), KeyID: wire.Text(in.KmsKeyId), Tags: tags}
	if c != nil {
		if err := s.mayUse(ctx, scope, settings.KeyID, secretstore.ARN(scope, wire.Text(in.Name)+"-??????"), seals, opens); err != nil {
			return nil, err
		}
	}
	made, err := s.secrets.Create(ctx, scope, wire.Text(in.Name), settings, wire.Text(in.ClientRequestToken), c)
	if err != nil {
		return nil, err
	}
	out := &model.CreateSecretResponse{ARN: new(made.ARN()), Name: &made.Name}
	if v, err := made.Version("", ""); err == nil {
		out.VersionId = &v.ID
	}
	return out, nil
}

// DescribeSecret tells of a secret, and nothing of its value.
func (s *Service) DescribeSecret(ctx context.Context, in *model.DescribeSecretRequest) (*model.DescribeSecretResponse, error) {
	found, err := s.may(ctx, "DescribeSecret", in.SecretId)
	if err != nil {
		return nil, err
	}
	e := entry(&found)
	return &model.DescribeSecretResponse{
		ARN: e.ARN, Name: e.Name, Description: e.Description, KmsKeyId: e.KmsKeyId, LastChangedDate: e.LastChangedDate, DeletedDate: e.DeletedDate,
		Tags: e.Tags, VersionIdsToStages: e.SecretVersionsToStages, OwningService: e.OwningService, CreatedDate: e.CreatedDate,
	}, nil
}

// entry is a secret as listings have it.
func entry(of *secretstore.Secret) model.SecretListEntry {
	out := model.SecretListEntry{
		ARN: new(of.ARN()), Name: new(of.Name), Description: wire.Optional(of.Description), KmsKeyId: wire.Optional(of.KeyID), LastChangedDate: new(of.Changed),
		CreatedDate: new(of.Created), OwningService: wire.Optional(of.Service), Tags: list(of.Tags),
	}
	if stages := of.Stages(); len(stages) > 0 {
		out.SecretVersionsToStages = stages
	}
	if !of.Deleted.IsZero() {
		out.DeletedDate = new(of.Deleted)
	}
	return out
}

// UpdateSecret changes what is said of a secret, and its value.
func (s *Service) UpdateSecret(ctx context.Context, in *model.UpdateSecretRequest) (*model.UpdateSecretResponse, error) {
	found, err := s.may(ctx, "UpdateSecret", in.SecretId)
	if err != nil {
		return nil, err
	}
	c, err := content(in.SecretString, in.SecretBinary)
	if err != nil {
		return nil, err
	}
	keyID := found.KeyID
	if in.KmsKeyId != nil {
		keyID = *in.KmsKeyId
	}
	if c != nil {
		if err := s.mayUse(ctx, found.Scope, keyID, found.ARN(), seals, opens); err != nil {
			return nil, err
		}
	}
	v, after, err := s.secrets.Update(ctx, found.Ref, wire.Text(in.ClientRequestToken), c, func(s *secretstore.Settings) {
		s.KeyID = keyID
		if in.Description != nil {
			s.Description = *in.Description
		}
	})
	if err != nil {
		return nil, err
	}
	return &model.UpdateSecretResponse{ARN: new(after.ARN()), Name: &after.Name, VersionId: wire.Optional(v.ID)}, nil
}

// DeleteSecret lets a secret go, at once or after some days.
func (s *Service) DeleteSecret(ctx context.Context, in *model.DeleteSecretRequest) (*model.DeleteSecretResponse, error) {
	force := wire.True(in.ForceDeleteWithoutRecovery)
	if force && in.RecoveryWindowInDays != nil {
		return nil, secretstore.InvalidParameter("You can't use ForceDeleteWithoutRecovery in conjunction with RecoveryWindowInDays.")
	}
	found, err := s.may(ctx, "DeleteSecret", in.SecretId)
	if force && secretstore.IsNotFound(err) { // AWS: so that a second try is no error
		return &model.DeleteSecretResponse{
			ARN: new(secretstore.ARN(pipeline.From(ctx).Scope, wire.Text(in.SecretId))), Name: in.SecretId, DeletionDate: new(s.secrets.Now()),
		}, nil
	}
	if err != nil {
		return nil, err
	}
	if force {
		if err := s.secrets.Remove(ctx, found.Ref); err != nil {
			return nil, err
		}
		return &model.DeleteSecretResponse{ARN: new(found.ARN()), Name: &found.Name, DeletionDate: new(s.secrets.Now())}, nil
	}
	days := secretstore.DefaultRecovery
	if in.RecoveryWindowInDays != nil {
		days = int(min(max(*in.RecoveryWindowInDays, -1), 1<<16))
		if days == 0 {
			days = -1 // 0 is no default of the wire
		}
	}
	after, err := s.secrets.Delete(ctx, found.Ref, days)
	if err != nil {
		return nil, err
	}
	return &model.DeleteSecretResponse{ARN: new(after.ARN()), Name: &after.Name, DeletionDate: &after.Deletes}, nil
}

// RestoreSecret keeps a secret that was deleted.
func (s *Service) RestoreSecret(ctx context.Context, in *model.RestoreSecretRequest) (*model.RestoreSecretResponse, error) {
	found, err := s.may(ctx, "RestoreSecret", in.SecretId)
	if err != nil {
		return nil, err
	}
	after, err := s.secrets.Restore(ctx, found.Ref)
	return &model.RestoreSecretResponse{ARN: new(after.ARN()), Name: &after.Name}, err
}

// merged adds tags to others.
func merged(old map[string]string, tags []model.Tag) (map[string]string, error) {
	others, seen := map[string]string{}, map[string]bool{}
	for _, t := range tags {
		if seen[wire.Text(t.Key)] {
			return nil, secretstore.InvalidParameter("The tag '%s' is given twice", wire.Text(t.Key))
		}
		seen[wire.Text(t.Key)], others[wire.Text(t.Key)] = true, wire.Text(t.Value)
	}
	out, err := tag.Merge(old, others)
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return nil, secretstore.InvalidParameter("%s", f.Message)
	}
	return out, err
}

func list(tags map[string]string) []model.Tag {
	var out []model.Tag
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		out = append(out, model.Tag{Key: &k, Value: new(tags[k])})
	}
	return out
}

// TagResource adds tags to a secret.
func (s *Service) TagResource(ctx context.Context, in *model.TagResourceRequest) (*model.Nothing, error) {
	return s.change(ctx, "TagResource", in.SecretId, func(s *secretstore.Settings) (err error) {
		s.Tags, err = merged(s.Tags, in.Tags)
		return err
	})
}

// UntagResource takes tags off a secret.
func (s *Service) UntagResource(ctx context.Context, in *model.UntagResourceRequest) (*model.Nothing, error) {
	return s.change(ctx, "UntagResource", in.SecretId, func(s *secretstore.Settings) error {
		s.Tags = maps.Clone(s.Tags)
		for _, k := range in.TagKeys {
			delete(s.Tags, k)
		}
		return nil
	})
}

func (s *Service) change(ctx context.Context, action string, id *string, fn func(*secretstore.Settings) error) (*model.Nothing, error) {
	found, err := s.may(ctx, action, id)
	if err != nil {
		return nil, err
	}
	_, err = s.secrets.Change(ctx, found.Ref, fn)
	return &model.Nothing{}, err
}
