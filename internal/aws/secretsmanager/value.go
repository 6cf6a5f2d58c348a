package secretsmanager

import (
	"context"
	"errors"
	"slices"

	model "github.com/outcrop/outcrop/internal/api/model/secretsmanager"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/secretstore"
)

// GetSecretValue hands out a value.
func (s *Service) GetSecretValue(ctx context.Context, in *model.GetSecretValueRequest) (*model.GetSecretValueResponse, error) {
	e, err := s.read(ctx, in.SecretId, wire.Text(in.VersionId), wire.Text(in.VersionStage))
	if err != nil {
		return nil, err
	}
	return &model.GetSecretValueResponse{
		ARN: e.ARN, Name: e.Name, VersionId: e.VersionId, SecretBinary: e.SecretBinary, SecretString: e.SecretString, VersionStages: e.VersionStages,
		CreatedDate: e.CreatedDate,
	}, nil
}

// read reads a value for a caller who may. Conditions see the secret as it was named,
// one of many too, as if it had been asked for alone.
func (s *Service) read(ctx context.Context, id *string, version, stage string) (*model.SecretValueEntry, error) {
	ctx = auth.WithKeys(ctx, map[string][]string{"secretsmanager:secretid": {wire.Text(id)}})
	found, err := s.may(ctx, "GetSecretValue", id)
	if err != nil {
		return nil, err
	}
	if v, err := found.Version(version, stage); err == nil {
		if err := s.mayUse(ctx, found.Scope, v.Key, found.ARN(), opens); err != nil {
			return nil, err
		}
		version = v.ID // the one that was asked for, whatever becomes of its labels
	}
	c, v, found, err := s.secrets.Value(ctx, found.Ref, version, stage)
	if err != nil {
		return nil, err
	}
	out := &model.SecretValueEntry{
		ARN: new(found.ARN()), Name: &found.Name, VersionId: &v.ID, VersionStages: v.Stages, CreatedDate: &v.Created,
	}
	out.SecretString, out.SecretBinary = shown(c)
	return out, nil
}

// BatchGetSecretValue hands out the current values of several secrets. Those that
// cannot be had are told one by one.
func (s *Service) BatchGetSecretValue(ctx context.Context, in *model.BatchGetSecretValueRequest) (*model.BatchGetSecretValueResponse, error) {
	ids, next := in.SecretIdList, (*string)(nil)
	switch {
	case (in.SecretIdList == nil) == (in.Filters == nil):
		return nil, secretstore.InvalidParameter("You must use either SecretIdList or Filters, and not both.")
	case in.SecretIdList != nil && (in.NextToken != nil || in.MaxResults != nil):
		return nil, secretstore.InvalidParameter("MaxResults and NextToken go with Filters only.")
	case in.Filters != nil:
		found, token, err := s.find(ctx, query{filters: in.Filters, most: in.MaxResults, limit: 20, token: in.NextToken})
		if err != nil {
			return nil, err
		}
		next = token
		for _, f := range found {
			ids = append(ids, f.ARN())
		}
	}
	out := &model.BatchGetSecretValueResponse{SecretValues: []model.SecretValueEntry{}, Errors: []model.APIErrorType{}, NextToken: next}
	for _, id := range ids {
		e, err := s.read(ctx, &id, "", "")
		if err == nil {
			out.SecretValues = append(out.SecretValues, *e)
			continue
		}
		f, ok := errors.AsType[*fault.Error](err)
		if !ok || f.Status >= 500 {
			return nil, err
		}
		out.Errors = append(out.Errors, model.APIErrorType{SecretId: &id, ErrorCode: &f.Code, Message: &f.Message})
	}
	return out, nil
}

// PutSecretValue gives a secret a new value.
func (s *Service) PutSecretValue(ctx context.Context, in *model.PutSecretValueRequest) (*model.PutSecretValueResponse, error) {
	found, err := s.may(ctx, "PutSecretValue", in.SecretId)
	if err != nil {
		return nil, err
	}
	c, err := content(in.SecretString, in.SecretBinary)
	if err == nil && c == nil {
		err = secretstore.InvalidRequest("You must provide either SecretString or SecretBinary.")
	}
	if err != nil {
		return nil, err
	}
	if err := s.mayUse(ctx, found.Scope, found.KeyID, found.ARN(), seals); err != nil {
		return nil, err
	}
	v, after, err := s.secrets.Put(ctx, found.Ref, wire.Text(in.ClientRequestToken), *c, in.VersionStages)
	if err != nil {
		return nil, err
	}
	return &model.PutSecretValueResponse{ARN: new(after.ARN()), Name: &after.Name, VersionId: &v.ID, VersionStages: v.Stages}, nil
}

// UpdateSecretVersionStage moves a label between versions.
func (s *Service) UpdateSecretVersionStage(ctx context.Context, in *model.UpdateSecretVersionStageRequest) (*model.UpdateSecretVersionStageResponse, error) {
	found, err := s.may(ctx, "UpdateSecretVersionStage", in.SecretId)
	if err != nil {
		return nil, err
	}
	after, err := s.secrets.MoveStage(ctx, found.Ref, wire.Text(in.VersionStage), wire.Text(in.RemoveFromVersionId), wire.Text(in.MoveToVersionId))
	return &model.UpdateSecretVersionStageResponse{ARN: new(after.ARN()), Name: &after.Name}, err
}

// ListSecretVersionIds lists the versions of a secret, the youngest first.
func (s *Service) ListSecretVersionIds(ctx context.Context, in *model.ListSecretVersionIdsRequest) (*model.ListSecretVersionIdsResponse, error) {
	found, err := s.may(ctx, "ListSecretVersionIds", in.SecretId)
	if err != nil {
		return nil, err
	}
	all := wire.True(in.IncludeDeprecated)
	versions := slices.DeleteFunc(slices.Clone(found.Versions), func(v secretstore.Version) bool { return !all && len(v.Stages) == 0 })
	slices.Reverse(versions)
	if in.NextToken != nil {
		i := slices.IndexFunc(versions, func(v secretstore.Version) bool { return v.ID == *in.NextToken })
		if i < 0 {
			return nil, badToken(nil)
		}
		versions = versions[i:]
	}
	out := &model.ListSecretVersionIdsResponse{ARN: new(found.ARN()), Name: &found.Name, Versions: []model.SecretVersionsListEntry{}}
	for i, v := range versions {
		if i == size(in.MaxResults, 100) {
			out.NextToken = &v.ID
			break
		}
		keys := []string{"DefaultEncryptionKey"}
		if v.Key != "" {
			keys[0] = v.Key
		}
		out.Versions = append(out.Versions, model.SecretVersionsListEntry{
			VersionId: &v.ID, VersionStages: v.Stages, CreatedDate: &v.Created, KmsKeyIds: keys,
		})
	}
	return out, nil
}

// GetRandomPassword makes a password. Nothing keeps it.
func (s *Service) GetRandomPassword(_ context.Context, in *model.GetRandomPasswordRequest) (*model.GetRandomPasswordResponse, error) {
	p := secretstore.Password{
		Exclude: wire.Text(in.ExcludeCharacters), NoNumbers: wire.True(in.ExcludeNumbers), NoPunctuation: wire.True(in.ExcludePunctuation),
		NoUpper: wire.True(in.ExcludeUppercase), NoLow: wire.True(in.ExcludeLowercase), Space: wire.True(in.IncludeSpace),
		AnyTypes: in.RequireEachIncludedType != nil && !*in.RequireEachIncludedType,
	}
	if in.PasswordLength != nil {
		p.Length = int(*in.PasswordLength)
	}
	made, err := s.secrets.Password(p)
	return &model.GetRandomPasswordResponse{RandomPassword: new(made.Reveal())}, err
}
