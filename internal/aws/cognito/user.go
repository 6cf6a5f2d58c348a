package cognito

import (
	"context"
	"maps"
	"regexp"
	"slices"
	"strings"

	model "github.com/outcrop/outcrop/internal/api/model/cognito"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/issuer"
	"github.com/outcrop/outcrop/internal/secret"
)

// pool is the caller's pool that a call of an administrator is about.
func (s *Service) pool(ctx context.Context, id *string) (issuer.Pool, error) {
	return s.pools.PoolOf(ctx, scopeOf(ctx), wire.Text(id))
}

// AdminCreateUser makes a user, who has to give themselves a password when they
// first sign in. No message is sent, whatever MessageAction says.
func (s *Service) AdminCreateUser(ctx context.Context, in *model.AdminCreateUserRequest) (*model.AdminCreateUserResponse, error) {
	p, err := s.pool(ctx, in.UserPoolId)
	if err != nil {
		return nil, err
	}
	if wire.Text(in.MessageAction) == "RESEND" {
		return nil, issuer.Unsupported("No mail and no SMS is sent from here; set another password (AdminSetUserPassword)")
	}
	u, err := s.pools.CreateUser(ctx, p, issuer.NewUser{Name: *in.Username, Attributes: attributes(in.UserAttributes), Password: hidden(in.TemporaryPassword)})
	if err != nil {
		return nil, err
	}
	return &model.AdminCreateUserResponse{User: show(u, nil)}, nil
}

// shown are a user's attributes in the order of their names, sub among them; only
// some if asked for.
func shown(u issuer.User, only []string) []model.AttributeType {
	all := maps.Clone(u.Attributes)
	if all == nil {
		all = map[string]string{}
	}
	all["sub"] = u.Sub
	var out []model.AttributeType
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if len(only) == 0 || slices.Contains(only, name) {
			out = append(out, model.AttributeType{Name: &name, Value: new(all[name])})
		}
	}
	return out
}

func show(u issuer.User, only []string) *model.UserType {
	return &model.UserType{
		Username: &u.Username, Attributes: shown(u, only), Enabled: new(!u.Disabled), UserStatus: &u.Status,
		UserCreateDate: &u.Created, UserLastModifiedDate: &u.Updated,
	}
}

// AdminGetUser returns a user.
func (s *Service) AdminGetUser(ctx context.Context, in *model.AdminGetUserRequest) (*model.AdminGetUserResponse, error) {
	p, err := s.pool(ctx, in.UserPoolId)
	if err != nil {
		return nil, err
	}
	u, err := s.pools.User(ctx, p, *in.Username)
	if err != nil {
		return nil, err
	}
	return &model.AdminGetUserResponse{
		Username: &u.Username, UserAttributes: shown(u, nil), Enabled: new(!u.Disabled), UserStatus: &u.Status,
		UserCreateDate: &u.Created, UserLastModifiedDate: &u.Updated,
	}, nil
}

// AdminDeleteUser deletes a user.
func (s *Service) AdminDeleteUser(ctx context.Context, in *model.AdminDeleteUserRequest) (*model.Nothing, error) {
	p, err := s.pool(ctx, in.UserPoolId)
	if err != nil {
		return nil, err
	}
	return &model.Nothing{}, s.pools.DeleteUser(ctx, p, *in.Username)
}

// AdminSetUserPassword gives a user a password, theirs or a temporary one.
func (s *Service) AdminSetUserPassword(ctx context.Context, in *model.AdminSetUserPasswordRequest) (*model.AdminSetUserPasswordResponse, error) {
	p, err := s.pool(ctx, in.UserPoolId)
	if err != nil {
		return nil, err
	}
	return &model.AdminSetUserPasswordResponse{}, s.pools.SetPassword(ctx, p, *in.Username, hidden(in.Password), wire.True(in.Permanent))
}

// AdminUpdateUserAttributes sets attributes; an empty value removes one, as at
// Cognito.
func (s *Service) AdminUpdateUserAttributes(ctx context.Context, in *model.AdminUpdateUserAttributesRequest) (*model.AdminUpdateUserAttributesResponse, error) {
	p, err := s.pool(ctx, in.UserPoolId)
	if err != nil {
		return nil, err
	}
	set, remove := split(in.UserAttributes)
	return &model.AdminUpdateUserAttributesResponse{}, s.pools.SetAttributes(ctx, p, *in.Username, set, remove)
}

func split(list []model.AttributeType) (set map[string]string, remove []string) {
	set = attributes(list)
	for name, value := range set {
		if value == "" {
			delete(set, name)
			remove = append(remove, name)
		}
	}
	return set, remove
}

// AdminDeleteUserAttributes removes attributes.
func (s *Service) AdminDeleteUserAttributes(ctx context.Context, in *model.AdminDeleteUserAttributesRequest) (*model.AdminDeleteUserAttributesResponse, error) {
	p, err := s.pool(ctx, in.UserPoolId)
	if err != nil {
		return nil, err
	}
	return &model.AdminDeleteUserAttributesResponse{}, s.pools.SetAttributes(ctx, p, *in.Username, nil, in.UserAttributeNames)
}

// AdminConfirmSignUp lets a user in who has signed up.
func (s *Service) AdminConfirmSignUp(ctx context.Context, in *model.AdminConfirmSignUpRequest) (*model.AdminConfirmSignUpResponse, error) {
	p, err := s.pool(ctx, in.UserPoolId)
	if err != nil {
		return nil, err
	}
	return &model.AdminConfirmSignUpResponse{}, s.pools.Confirm(ctx, p, *in.Username)
}

// AdminDisableUser keeps a user out.
func (s *Service) AdminDisableUser(ctx context.Context, in *model.AdminDisableUserRequest) (*model.AdminDisableUserResponse, error) {
	p, err := s.pool(ctx, in.UserPoolId)
	if err != nil {
		return nil, err
	}
	return &model.AdminDisableUserResponse{}, s.pools.Enable(ctx, p, *in.Username, false)
}

// AdminEnableUser lets them in again.
func (s *Service) AdminEnableUser(ctx context.Context, in *model.AdminEnableUserRequest) (*model.AdminEnableUserResponse, error) {
	p, err := s.pool(ctx, in.UserPoolId)
	if err != nil {
		return nil, err
	}
	return &model.AdminEnableUserResponse{}, s.pools.Enable(ctx, p, *in.Username, true)
}

// AdminUserGlobalSignOut ends all that a user is signed in to.
func (s *Service) AdminUserGlobalSignOut(ctx context.Context, in *model.AdminUserGlobalSignOutRequest) (*model.AdminUserGlobalSignOutResponse, error) {
	p, err := s.pool(ctx, in.UserPoolId)
	if err != nil {
		return nil, err
	}
	return &model.AdminUserGlobalSignOutResponse{}, s.pools.SignOut(ctx, p, *in.Username)
}

// filter is what ListUsers may ask: one attribute, by its value or how that begins.
var filter = regexp.MustCompile(`^\s*"?([A-Za-z_:]+)"?\s*(\^?=)\s*"((?:[^"\\]|\\.)*)"\s*$`)

// searchable are the attributes that a filter may name (API reference, ListUsers).
func searchable() []string {
	return []string{"username", "email", "phone_number", "name", "given_name", "family_name", "preferred_username", "cognito:user_status", "status", "sub"}
}

// ListUsers lists a pool's users. A filter is held to the users of a page, so that a
// page may have fewer than asked for, and another after it.
func (s *Service) ListUsers(ctx context.Context, in *model.ListUsersRequest) (*model.ListUsersResponse, error) {
	p, err := s.pool(ctx, in.UserPoolId)
	if err != nil {
		return nil, err
	}
	keep, err := parseFilter(wire.Text(in.Filter))
	if err != nil {
		return nil, err
	}
	list, err := s.pools.ListUsers(ctx, p, page(in.Limit, in.PaginationToken, mostListed))
	if err != nil {
		return nil, worded(err)
	}
	out := &model.ListUsersResponse{Users: []model.UserType{}, PaginationToken: wire.Optional(list.Next)}
	for _, u := range list.Items {
		if keep(u) {
			out.Users = append(out.Users, *show(u, in.AttributesToGet))
		}
	}
	return out, nil
}

// parseFilter reads a filter; an empty one keeps all.
func parseFilter(text string) (keep func(issuer.User) bool, err error) {
	if text == "" {
		return func(issuer.User) bool { return true }, nil
	}
	m := filter.FindStringSubmatch(text)
	if m == nil || !slices.Contains(searchable(), m[1]) {
		return nil, issuer.Invalid("Error while parsing filter")
	}
	want := strings.NewReplacer(`\\`, `\`, `\"`, `"`).Replace(m[3])
	return func(u issuer.User) bool {
		have := value(u, m[1])
		return have == want || m[2] == "^=" && strings.HasPrefix(have, want)
	}, nil
}

// value is what a filter compares.
func value(u issuer.User, name string) string {
	switch name {
	case "username":
		return u.Username
	case "sub":
		return u.Sub
	case "cognito:user_status":
		return u.Status
	case "status":
		if u.Disabled {
			return "Disabled"
		}
		return "Enabled"
	}
	return u.Attributes[name]
}

// bearer is whose access token a call without credentials carries.
func (s *Service) bearer(ctx context.Context, token *string) (issuer.Bearer, error) {
	b, err := s.pools.Verify(ctx, hidden(token), issuer.ScopeUser)
	if err == nil {
		about(ctx, b.Pool, b.Client.ID, b.User.Sub)
	}
	return b, err
}

// GetUser returns the user of an access token.
func (s *Service) GetUser(ctx context.Context, in *model.GetUserRequest) (*model.GetUserResponse, error) {
	b, err := s.bearer(ctx, in.AccessToken)
	if err != nil {
		return nil, err
	}
	readable := slices.DeleteFunc(shown(b.User, nil), func(a model.AttributeType) bool { return !b.Client.MayRead(*a.Name) })
	return &model.GetUserResponse{Username: &b.User.Username, UserAttributes: readable}, nil
}

// DeleteUser deletes the user of an access token.
func (s *Service) DeleteUser(ctx context.Context, in *model.DeleteUserRequest) (*model.Nothing, error) {
	b, err := s.bearer(ctx, in.AccessToken)
	if err != nil {
		return nil, err
	}
	return &model.Nothing{}, s.pools.DeleteUser(ctx, b.Pool, b.User.Sub)
}

// UpdateUserAttributes sets attributes of the user of an access token. What says
// that an address is proven is an administrator's to set.
func (s *Service) UpdateUserAttributes(ctx context.Context, in *model.UpdateUserAttributesRequest) (*model.UpdateUserAttributesResponse, error) {
	b, err := s.bearer(ctx, in.AccessToken)
	if err != nil {
		return nil, err
	}
	set, remove := split(in.UserAttributes)
	if err := ownAttributes(b.Client, set, remove); err != nil {
		return nil, err
	}
	return &model.UpdateUserAttributesResponse{}, s.pools.SetAttributes(ctx, b.Pool, b.User.Sub, set, remove)
}

// DeleteUserAttributes removes attributes of the user of an access token.
func (s *Service) DeleteUserAttributes(ctx context.Context, in *model.DeleteUserAttributesRequest) (*model.DeleteUserAttributesResponse, error) {
	b, err := s.bearer(ctx, in.AccessToken)
	if err != nil {
		return nil, err
	}
	if err := ownAttributes(b.Client, nil, in.UserAttributeNames); err != nil {
		return nil, err
	}
	return &model.DeleteUserAttributesResponse{}, s.pools.SetAttributes(ctx, b.Pool, b.User.Sub, nil, in.UserAttributeNames)
}

// ownAttributes refuses what users may not say of themselves by a client.
func ownAttributes(c issuer.Client, set map[string]string, remove []string) error {
	for _, name := range append(slices.Collect(maps.Keys(set)), remove...) {
		if name != "sub" && !c.MayWrite(name) { // nobody sets sub: that is said where it is tried
			return issuer.NotAuthorized("A client attempted to write unauthorized attribute")
		}
	}
	return nil
}

// ChangePassword changes the password of the user of an access token.
func (s *Service) ChangePassword(ctx context.Context, in *model.ChangePasswordRequest) (*model.ChangePasswordResponse, error) {
	b, err := s.bearer(ctx, in.AccessToken)
	if err != nil {
		return nil, err
	}
	return &model.ChangePasswordResponse{}, s.pools.ChangePassword(ctx, b.Pool, b.User, hidden(in.PreviousPassword), hidden(in.ProposedPassword))
}

// GlobalSignOut ends all that the user of an access token is signed in to.
func (s *Service) GlobalSignOut(ctx context.Context, in *model.GlobalSignOutRequest) (*model.GlobalSignOutResponse, error) {
	b, err := s.bearer(ctx, in.AccessToken)
	if err != nil {
		return nil, err
	}
	return &model.GlobalSignOutResponse{}, s.pools.SignOut(ctx, b.Pool, b.User.Sub)
}

// SignUp makes a user who waits for an administrator to confirm them.
func (s *Service) SignUp(ctx context.Context, in *model.SignUpRequest) (*model.SignUpResponse, error) {
	c, p, err := s.app(ctx, *in.ClientId)
	if err != nil {
		return nil, err
	}
	if err := s.pools.CheckSecretHash(ctx, c, *in.Username, wire.Text(in.SecretHash)); err != nil {
		return nil, err
	}
	if p.AdminOnly {
		return nil, issuer.NotAuthorized("SignUp is not permitted for this user pool")
	}
	set := attributes(in.UserAttributes)
	if err := ownAttributes(c, set, nil); err != nil {
		return nil, err
	}
	if wire.Text(in.Password) == "" {
		return nil, issuer.Invalid("Cannot sign up without a password")
	}
	u, err := s.pools.CreateUser(ctx, p, issuer.NewUser{Name: *in.Username, Attributes: set, Password: secret.NewString(*in.Password), SignedUp: true})
	about(ctx, p, c.ID, u.Sub)
	if err != nil {
		return nil, err
	}
	return &model.SignUpResponse{UserConfirmed: new(false), UserSub: &u.Sub}, nil
}
