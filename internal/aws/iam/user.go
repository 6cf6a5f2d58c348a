package iam

import (
	"context"
	"strings"

	model "github.com/outcrop/outcrop/internal/api/model/iam"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/principal"
)

func toUser(u principal.User) model.User {
	return model.User{
		Path: &u.Path, UserName: &u.Name, UserId: &u.ID, Arn: &u.ARN, CreateDate: stamp(u.Created),
		PermissionsBoundary: boundary(u.Boundary), Tags: toTags(u.Tags),
	}
}

// listedUser is a user as lists have it, without tags and boundary.
func listedUser(u principal.User) model.User {
	out := toUser(u)
	out.Tags, out.PermissionsBoundary = nil, nil
	return out
}

func userKey(u principal.User) string { return strings.ToLower(u.Name) } // the order of lists

// CreateUser makes a user.
func (s *Service) CreateUser(ctx context.Context, in *model.CreateUserRequest) (*model.CreateUserResponse, error) {
	u, err := s.d.CreateUser(ctx, principal.NewUser{
		Name: wire.Text(in.UserName), Path: wire.Text(in.Path), Boundary: wire.Text(in.PermissionsBoundary), Tags: fromTags(in.Tags),
	})
	if err != nil {
		return nil, err
	}
	out := toUser(u)
	return &model.CreateUserResponse{User: &out}, nil
}

// GetUser returns a user, or the caller.
func (s *Service) GetUser(ctx context.Context, in *model.GetUserRequest) (*model.GetUserResponse, error) {
	if caller := pipeline.From(ctx).Principal; in.UserName == nil && caller.Kind == auth.Root {
		return &model.GetUserResponse{User: &model.User{UserId: &caller.UserID, Arn: &caller.ARN}}, nil // as AWS has it
	}
	name, err := s.self(ctx, in.UserName)
	if err != nil {
		return nil, err
	}
	u, err := s.d.User(ctx, name)
	if err != nil {
		return nil, err
	}
	out := toUser(u)
	return &model.GetUserResponse{User: &out}, nil
}

// UpdateUser gives a user another name or path, for those who may update both.
func (s *Service) UpdateUser(ctx context.Context, in *model.UpdateUserRequest) (*model.Nothing, error) {
	u, err := s.d.User(ctx, wire.Text(in.UserName))
	if err == nil {
		err = mayRenameUser(ctx, u, wire.Text(in.NewUserName), wire.Text(in.NewPath))
	}
	if err != nil {
		return nil, err
	}
	return done(s.d.UpdateUser(ctx, u.Name, wire.Text(in.NewUserName), wire.Text(in.NewPath)))
}

// DeleteUser deletes a user who has nothing left.
func (s *Service) DeleteUser(ctx context.Context, in *model.DeleteUserRequest) (*model.Nothing, error) {
	return done(s.d.DeleteUser(ctx, wire.Text(in.UserName)))
}

// ListUsers returns the users by name.
func (s *Service) ListUsers(ctx context.Context, in *model.ListUsersRequest) (*model.ListUsersResponse, error) {
	all, err := s.d.Users(ctx, wire.Text(in.PathPrefix))
	if err != nil {
		return nil, err
	}
	users, p, err := paged(all, userKey, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &model.ListUsersResponse{Users: each(users, listedUser), IsTruncated: p.truncated, Marker: p.marker}, nil
}

// TagUser adds tags to a user.
func (s *Service) TagUser(ctx context.Context, in *model.TagUserRequest) (*model.Nothing, error) {
	return done(s.d.TagHolder(ctx, user(in.UserName), fromTags(in.Tags)))
}

// UntagUser removes tags from a user.
func (s *Service) UntagUser(ctx context.Context, in *model.UntagUserRequest) (*model.Nothing, error) {
	return done(s.d.UntagHolder(ctx, user(in.UserName), in.TagKeys))
}

// ListUserTags returns the tags of a user.
func (s *Service) ListUserTags(ctx context.Context, in *model.ListUserTagsRequest) (*model.ListUserTagsResponse, error) {
	u, err := s.d.User(ctx, wire.Text(in.UserName))
	if err != nil {
		return nil, err
	}
	tags, p, err := tagPage(u.Tags, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &model.ListUserTagsResponse{Tags: tags, IsTruncated: p.truncated, Marker: p.marker}, nil
}

func tagPage(all []principal.Tag, marker *string, most *int32) ([]model.Tag, page, error) {
	tags, p, err := paged(all, func(t principal.Tag) string { return t.Key }, marker, most)
	return each(tags, func(t principal.Tag) model.Tag { return model.Tag{Key: &t.Key, Value: &t.Value} }), p, err
}

// PutUserPermissionsBoundary sets the boundary of a user.
func (s *Service) PutUserPermissionsBoundary(ctx context.Context, in *model.PutUserPermissionsBoundaryRequest) (*model.Nothing, error) {
	return done(s.d.SetBoundary(ctx, user(in.UserName), wire.Text(in.PermissionsBoundary)))
}

// DeleteUserPermissionsBoundary takes it away.
func (s *Service) DeleteUserPermissionsBoundary(ctx context.Context, in *model.DeleteUserPermissionsBoundaryRequest) (*model.Nothing, error) {
	return done(s.d.SetBoundary(ctx, user(in.UserName), ""))
}

// CreateAccessKey makes an access key, of the caller where no user is named. This is
// the only answer that has its secret.
func (s *Service) CreateAccessKey(ctx context.Context, in *model.CreateAccessKeyRequest) (*model.CreateAccessKeyResponse, error) {
	name, err := s.self(ctx, in.UserName)
	if err != nil {
		return nil, err
	}
	key, c, err := s.d.CreateAccessKey(ctx, name)
	if err != nil {
		return nil, err
	}
	secret := c.Secret.Reveal()
	return &model.CreateAccessKeyResponse{AccessKey: &model.AccessKey{
		UserName: &name, AccessKeyId: &key.ID, Status: status(key), SecretAccessKey: &secret, CreateDate: stamp(key.Created),
	}}, nil
}

// active and inactive are what IAM calls keys that are or are not.
const (
	active   = "Active"
	inactive = "Inactive"
)

func status(k principal.AccessKey) *string {
	s := inactive
	if k.Active {
		s = active
	}
	return &s
}

// ListAccessKeys returns the keys of a user, or of the caller.
func (s *Service) ListAccessKeys(ctx context.Context, in *model.ListAccessKeysRequest) (*model.ListAccessKeysResponse, error) {
	name, err := s.self(ctx, in.UserName)
	if err != nil {
		return nil, err
	}
	all, err := s.d.AccessKeys(ctx, name)
	if err != nil {
		return nil, err
	}
	keys, p, err := paged(all, func(k principal.AccessKey) string { return k.ID }, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &model.ListAccessKeysResponse{
		AccessKeyMetadata: each(keys, func(k principal.AccessKey) model.AccessKeyMetadata {
			return model.AccessKeyMetadata{UserName: &k.User, AccessKeyId: &k.ID, Status: status(k), CreateDate: stamp(k.Created)}
		}),
		IsTruncated: p.truncated, Marker: p.marker,
	}, nil
}

// UpdateAccessKey makes a key active or inactive.
func (s *Service) UpdateAccessKey(ctx context.Context, in *model.UpdateAccessKeyRequest) (*model.Nothing, error) {
	name, err := s.self(ctx, in.UserName)
	if err != nil {
		return nil, err
	}
	return done(s.d.SetAccessKey(ctx, name, wire.Text(in.AccessKeyId), wire.Text(in.Status) == active))
}

// DeleteAccessKey deletes a key.
func (s *Service) DeleteAccessKey(ctx context.Context, in *model.DeleteAccessKeyRequest) (*model.Nothing, error) {
	name, err := s.self(ctx, in.UserName)
	if err != nil {
		return nil, err
	}
	return done(s.d.DeleteAccessKey(ctx, name, wire.Text(in.AccessKeyId)))
}

// GetAccessKeyLastUsed tells when a key was used last, and for what.
func (s *Service) GetAccessKeyLastUsed(ctx context.Context, in *model.GetAccessKeyLastUsedRequest) (*model.GetAccessKeyLastUsedResponse, error) {
	key, err := s.d.FindAccessKey(ctx, wire.Text(in.AccessKeyId))
	if err != nil {
		return nil, err
	}
	never := "N/A" // as IAM says it
	use := &model.AccessKeyLastUsed{Region: &never, ServiceName: &never}
	if !key.LastUse.Time.IsZero() {
		use = &model.AccessKeyLastUsed{LastUsedDate: stamp(key.LastUse.Time), Region: &key.LastUse.Region, ServiceName: &key.LastUse.Service}
	}
	return &model.GetAccessKeyLastUsedResponse{UserName: &key.User, AccessKeyLastUsed: use}, nil
}
