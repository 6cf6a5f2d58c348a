package cognito

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	model "github.com/outcrop/outcrop/internal/api/model/cognito"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/issuer"
	"github.com/outcrop/outcrop/internal/store"
)

// CreateUserPool makes a pool.
func (s *Service) CreateUserPool(ctx context.Context, in *model.CreateUserPoolRequest) (*model.CreateUserPoolResponse, error) {
	set, err := copied[model.UserPoolType](in)
	if err != nil {
		return nil, err
	}
	set.Name, set.SchemaAttributes = in.PoolName, in.Schema
	settings, err := poolSettings(set)
	if err != nil {
		return nil, err
	}
	if len(in.UserPoolTags) > 0 {
		if err := pipeline.From(ctx).Authorize(ctx, auth.Requirement{Action: "cognito-idp:TagResource", Resource: "*"}); err != nil {
			return nil, err
		}
	}
	p, err := s.pools.CreatePool(ctx, scopeOf(ctx), settings)
	if err != nil {
		return nil, err
	}
	out, err := describe(p)
	return &model.CreateUserPoolResponse{UserPool: out}, err
}

// UpdateUserPool replaces what may be changed of a pool; what is not given gets its
// default again, as at Cognito.
func (s *Service) UpdateUserPool(ctx context.Context, in *model.UpdateUserPoolRequest) (*model.UpdateUserPoolResponse, error) {
	_, err := s.pools.UpdatePool(ctx, scopeOf(ctx), *in.UserPoolId, func(p *issuer.Settings) error {
		was, err := stored(*p)
		if err != nil {
			return err
		}
		set, err := copied[model.UserPoolType](in)
		if err != nil {
			return err
		}
		set.Name = wire.Optional(p.Name)
		if in.PoolName != nil {
			set.Name = in.PoolName
		}
		set.SchemaAttributes, set.UsernameAttributes, set.UsernameConfiguration = was.SchemaAttributes, was.UsernameAttributes, was.UsernameConfiguration
		if in.UserPoolTags == nil {
			set.UserPoolTags = p.Tags
		}
		*p, err = poolSettings(set)
		return err
	})
	return &model.UpdateUserPoolResponse{}, err
}

// stored returns the members as they were given.
func stored(s issuer.Settings) (*model.UserPoolType, error) {
	out := &model.UserPoolType{}
	if len(s.Extra) == 0 {
		return out, nil
	}
	if err := json.Unmarshal(s.Extra, out); err != nil {
		return nil, fmt.Errorf("read members of user pool: %w", err)
	}
	return out, nil
}

// poolSettings takes out of the members what has an effect, and keeps the rest. What
// AWS fills in is filled in here.
func poolSettings(set *model.UserPoolType) (issuer.Settings, error) {
	policy := &model.PasswordPolicyType{}
	if set.Policies != nil && set.Policies.PasswordPolicy != nil {
		policy = set.Policies.PasswordPolicy
	} else {
		// The default policy asks for all kinds (developer guide, "Password requirements").
		policy.RequireLowercase, policy.RequireUppercase, policy.RequireNumbers, policy.RequireSymbols = new(true), new(true), new(true), new(true)
	}
	fill(&policy.MinimumLength, 8)
	fill(&policy.TemporaryPasswordValidityDays, 7)
	for _, b := range []**bool{&policy.RequireLowercase, &policy.RequireUppercase, &policy.RequireNumbers, &policy.RequireSymbols} {
		fill(b, false)
	}
	if set.Policies == nil {
		set.Policies = &model.UserPoolPolicyType{}
	}
	set.Policies.PasswordPolicy = policy
	if set.Policies.SignInPolicy == nil {
		set.Policies.SignInPolicy = &model.SignInPolicyType{AllowedFirstAuthFactors: []string{"PASSWORD"}}
	}
	if len(set.Policies.SignInPolicy.AllowedFirstAuthFactors) != 1 || set.Policies.SignInPolicy.AllowedFirstAuthFactors[0] != "PASSWORD" {
		return issuer.Settings{}, issuer.Invalid("AllowedFirstAuthFactors: a password is the only factor here; give PASSWORD alone")
	}
	if set.AdminCreateUserConfig == nil {
		set.AdminCreateUserConfig = &model.AdminCreateUserConfigType{}
	}
	fill(&set.AdminCreateUserConfig.AllowAdminCreateUserOnly, false)
	fill(&set.AdminCreateUserConfig.UnusedAccountValidityDays, *policy.TemporaryPasswordValidityDays)
	fill(&set.MfaConfiguration, "OFF")
	fill(&set.DeletionProtection, "INACTIVE")
	fill(&set.UserPoolTier, "ESSENTIALS")
	if set.EmailConfiguration == nil {
		set.EmailConfiguration = &model.EmailConfigurationType{}
	}
	fill(&set.EmailConfiguration.EmailSendingAccount, "COGNITO_DEFAULT")
	if set.VerificationMessageTemplate == nil {
		set.VerificationMessageTemplate = &model.VerificationMessageTemplateType{}
	}
	fill(&set.VerificationMessageTemplate.DefaultEmailOption, "CONFIRM_WITH_CODE")
	caseSensitive := set.UsernameConfiguration != nil && wire.True(set.UsernameConfiguration.CaseSensitive)
	// Without the member Cognito's API makes names case sensitive.
	if set.UsernameConfiguration == nil {
		caseSensitive = true
	}
	out := issuer.Settings{
		Name: wire.Text(set.Name), SignInBy: set.UsernameAttributes, CaseSensitive: caseSensitive,
		AdminOnly: *set.AdminCreateUserConfig.AllowAdminCreateUserOnly, Protected: *set.DeletionProtection == "ACTIVE", Tags: set.UserPoolTags,
		Password: issuer.PasswordPolicy{
			MinLength: int(*policy.MinimumLength), TemporaryDays: int(*policy.TemporaryPasswordValidityDays),
			Upper: *policy.RequireUppercase, Lower: *policy.RequireLowercase, Number: *policy.RequireNumbers, Symbol: *policy.RequireSymbols,
		},
	}
	if d := set.DcrConfiguration; d != nil {
		code := d.OpenDcrGrantTypes == nil || slices.Contains(d.OpenDcrGrantTypes, "code") // the only one here
		out.Registration = issuer.Registration{Open: wire.Text(d.EnableStatus) != "Disabled" && wire.True(d.OpenDcrEnabled) && code, Scopes: d.AllowedScopes}
	}
	var err error
	for _, a := range schemaAttributes(set.SchemaAttributes) {
		if name := wire.Text(a.Name); name != "sub" && (!issuer.Standard(name) || !*a.Mutable || *a.Required) {
			if out.Schema == nil {
				out.Schema = map[string]issuer.Attribute{}
			}
			if out.Schema[name], err = schemaOf(name, a); err != nil {
				return issuer.Settings{}, err
			}
		}
	}
	set.UserPoolTags = nil
	out.Extra, err = json.Marshal(set)
	return out, err
}

// schemaOf is what the issuer holds values of an attribute to. Standard ones have the
// bounds of all attributes.
func schemaOf(name string, a model.SchemaAttributeType) (issuer.Attribute, error) {
	if issuer.Standard(name) {
		return issuer.Attribute{Fixed: !*a.Mutable, Required: *a.Required}, nil
	}
	out := issuer.Attribute{Fixed: !*a.Mutable, Number: wire.Text(a.AttributeDataType) == "Number"}
	var least, most *string
	if c := a.NumberAttributeConstraints; out.Number && c != nil {
		least, most = c.MinValue, c.MaxValue
	} else if c := a.StringAttributeConstraints; !out.Number && c != nil {
		least, most = c.MinLength, c.MaxLength
	}
	for text, bound := range map[*string]**int64{least: &out.Least, most: &out.Most} {
		if text == nil || *text == "" {
			continue
		}
		n, err := strconv.ParseInt(*text, 10, 64)
		if err != nil {
			return out, issuer.Invalid("Schema: the bounds of %s must be whole numbers, and '%s' is none", name, fault.Clip(*text, 40))
		}
		*bound = &n
	}
	return out, nil
}

// fill gives a member its default.
func fill[T any](member **T, value T) {
	if *member == nil {
		*member = &value
	}
}

// describe is a pool as the API shows it.
func describe(p issuer.Pool) (*model.UserPoolType, error) {
	out, err := stored(p.Settings)
	if err != nil {
		return nil, err
	}
	out.Id, out.Name, out.Arn = new(p.ID), new(p.Name), new(p.ARN())
	out.CreationDate, out.LastModifiedDate = &p.Created, &p.Updated
	out.Domain, out.UserPoolTags = wire.Optional(p.Domain), p.Tags
	out.EstimatedNumberOfUsers = new(int32(0))
	out.SchemaAttributes = schemaAttributes(out.SchemaAttributes)
	return out, nil
}

// schemaAttributes are the standard attributes, as OpenID Connect has them, and
// those that the pool adds or sets apart.
func schemaAttributes(own []model.SchemaAttributeType) []model.SchemaAttributeType {
	var out []model.SchemaAttributeType
	length := func(least, most string) *model.StringAttributeConstraintsType {
		return &model.StringAttributeConstraintsType{MinLength: &least, MaxLength: &most}
	}
	standard := func(name, kind string, constraint *model.StringAttributeConstraintsType) {
		a := model.SchemaAttributeType{
			Name: &name, AttributeDataType: &kind, DeveloperOnlyAttribute: new(false), Mutable: new(name != "sub"), Required: new(name == "sub"),
			StringAttributeConstraints: constraint,
		}
		if kind == "Number" {
			a.NumberAttributeConstraints = &model.NumberAttributeConstraintsType{MinValue: new("0")}
		}
		for _, o := range own {
			if wire.Text(o.Name) == name {
				fill(&o.Mutable, true)
				fill(&o.Required, false)
				a.Mutable, a.Required = o.Mutable, o.Required
				if o.StringAttributeConstraints != nil {
					a.StringAttributeConstraints = o.StringAttributeConstraints
				}
			}
		}
		out = append(out, a)
	}
	standard("sub", "String", length("1", "2048"))
	names := []string{"name", "given_name", "family_name", "middle_name", "nickname", "preferred_username", "profile", "picture", "website",
		"email", "gender", "zoneinfo", "locale", "phone_number", "address"}
	for _, name := range names {
		standard(name, "String", length("0", "2048"))
	}
	standard("birthdate", "String", length("10", "10"))
	standard("email_verified", "Boolean", nil)
	standard("phone_number_verified", "Boolean", nil)
	standard("updated_at", "Number", nil)
	known := append(names, "sub", "birthdate", "email_verified", "phone_number_verified", "updated_at")
	for _, o := range own {
		if name := wire.Text(o.Name); !slices.Contains(known, name) {
			prefix := "custom:"
			if wire.True(o.DeveloperOnlyAttribute) {
				prefix = "dev:custom:"
			}
			o.Name = new(prefix + name)
			fill(&o.DeveloperOnlyAttribute, false)
			fill(&o.Mutable, false)
			fill(&o.Required, false)
			if wire.Text(o.AttributeDataType) == "String" && o.StringAttributeConstraints == nil {
				o.StringAttributeConstraints = &model.StringAttributeConstraintsType{}
			}
			out = append(out, o)
		}
	}
	return out
}

// maxCustom is how many attributes a pool may add (Cognito's quota).
const maxCustom = 50

// AddCustomAttributes adds attributes to those that a pool's users may have.
func (s *Service) AddCustomAttributes(ctx context.Context, in *model.AddCustomAttributesRequest) (*model.AddCustomAttributesResponse, error) {
	_, err := s.pools.UpdatePool(ctx, scopeOf(ctx), *in.UserPoolId, func(p *issuer.Settings) error {
		set, err := stored(*p)
		if err != nil {
			return err
		}
		for _, a := range in.CustomAttributes {
			name := wire.Text(a.Name)
			switch {
			case name == "" || wire.Text(a.AttributeDataType) == "":
				return issuer.Invalid("CustomAttributes: an attribute needs a Name and an AttributeDataType")
			case wire.True(a.Required):
				return issuer.Invalid("Required custom attributes are not supported currently.")
			case len(set.SchemaAttributes) >= maxCustom:
				return fault.BadRequest(issuer.CodeLimit, "A user pool may have at most %d attributes of its own", maxCustom)
			}
			same := func(o model.SchemaAttributeType) bool {
				return wire.Text(o.Name) == name && wire.True(o.DeveloperOnlyAttribute) == wire.True(a.DeveloperOnlyAttribute)
			}
			if issuer.Standard(name) || name == "sub" || slices.ContainsFunc(set.SchemaAttributes, same) {
				return issuer.Invalid("custom:%s: Existing attribute already has name custom:%s.", name, name)
			}
			set.SchemaAttributes = append(set.SchemaAttributes, a)
		}
		tags := p.Tags
		set.Name = wire.Optional(p.Name)
		*p, err = poolSettings(set)
		p.Tags = tags
		return err
	})
	return &model.AddCustomAttributesResponse{}, err
}

// DescribeUserPool returns a pool.
func (s *Service) DescribeUserPool(ctx context.Context, in *model.DescribeUserPoolRequest) (*model.DescribeUserPoolResponse, error) {
	p, err := s.pools.PoolOf(ctx, scopeOf(ctx), *in.UserPoolId)
	if err != nil {
		return nil, err
	}
	out, err := describe(p)
	return &model.DescribeUserPoolResponse{UserPool: out}, err
}

// DeleteUserPool deletes a pool with all that is in it.
func (s *Service) DeleteUserPool(ctx context.Context, in *model.DeleteUserPoolRequest) (*model.Nothing, error) {
	return &model.Nothing{}, s.pools.DeletePool(ctx, scopeOf(ctx), *in.UserPoolId)
}

// mostPools is the largest page of pools, mostListed of clients, servers and users.
const mostPools, mostListed = 60, 60

// ListUserPools lists the pools of the caller's account and region.
func (s *Service) ListUserPools(ctx context.Context, in *model.ListUserPoolsRequest) (*model.ListUserPoolsResponse, error) {
	list, err := s.pools.ListPools(ctx, scopeOf(ctx), page(in.MaxResults, in.NextToken, mostPools))
	if err != nil {
		return nil, worded(err)
	}
	out := &model.ListUserPoolsResponse{UserPools: []model.UserPoolDescriptionType{}, NextToken: wire.Optional(list.Next)}
	for _, p := range list.Items {
		out.UserPools = append(out.UserPools, model.UserPoolDescriptionType{
			Id: &p.ID, Name: &p.Name, CreationDate: &p.Created, LastModifiedDate: &p.Updated, LambdaConfig: &model.LambdaConfigType{},
		})
	}
	return out, nil
}

// GetUserPoolMfaConfig says that a password is the only factor.
func (s *Service) GetUserPoolMfaConfig(ctx context.Context, in *model.GetUserPoolMfaConfigRequest) (*model.GetUserPoolMfaConfigResponse, error) {
	if _, err := s.pools.PoolOf(ctx, scopeOf(ctx), *in.UserPoolId); err != nil {
		return nil, err
	}
	return &model.GetUserPoolMfaConfigResponse{MfaConfiguration: new("OFF")}, nil
}

// SetUserPoolMfaConfig takes what turns further factors off.
func (s *Service) SetUserPoolMfaConfig(ctx context.Context, in *model.SetUserPoolMfaConfigRequest) (*model.SetUserPoolMfaConfigResponse, error) {
	if _, err := s.pools.PoolOf(ctx, scopeOf(ctx), *in.UserPoolId); err != nil {
		return nil, err
	}
	if c := in.SoftwareTokenMfaConfiguration; c != nil && wire.True(c.Enabled) {
		return nil, issuer.Invalid("SoftwareTokenMfaConfiguration: a password is the only factor of user pools here; leave Enabled false")
	}
	return &model.SetUserPoolMfaConfigResponse{MfaConfiguration: new("OFF")}, nil
}

// CreateUserPoolDomain gives a pool the name by which its authorization server is
// reached.
func (s *Service) CreateUserPoolDomain(ctx context.Context, in *model.CreateUserPoolDomainRequest) (*model.CreateUserPoolDomainResponse, error) {
	if len(*in.Domain) > 63 {
		return nil, issuer.Invalid("The domain name must have no more than 63 characters")
	}
	fill(&in.ManagedLoginVersion, 1)
	extra, err := json.Marshal(model.DomainDescriptionType{ManagedLoginVersion: in.ManagedLoginVersion, Routing: in.Routing})
	if err != nil {
		return nil, err
	}
	scope := scopeOf(ctx)
	if err := s.pools.CreateDomain(ctx, scope, *in.UserPoolId, *in.Domain, extra); err != nil {
		return nil, err
	}
	return &model.CreateUserPoolDomainResponse{ManagedLoginVersion: in.ManagedLoginVersion}, nil
}

// DescribeUserPoolDomain returns a domain of the caller's; any other is described as
// empty, as Cognito does it.
func (s *Service) DescribeUserPoolDomain(ctx context.Context, in *model.DescribeUserPoolDomainRequest) (*model.DescribeUserPoolDomainResponse, error) {
	scope := scopeOf(ctx)
	d, found, err := s.pools.Domain(ctx, scope.Region, *in.Domain)
	if err != nil {
		return nil, err
	}
	out := &model.DomainDescriptionType{}
	if found && d.Scope == (store.Scope{Account: scope.Account, Region: scope.Region}) {
		if len(d.Extra) > 0 {
			if err := json.Unmarshal(d.Extra, out); err != nil {
				return nil, fmt.Errorf("read members of domain: %w", err)
			}
		}
		out.Domain, out.UserPoolId, out.AWSAccountId, out.Status = &d.Prefix, &d.PoolID, &scope.Account, new("ACTIVE")
		out.Version = new(d.Created.UTC().Format("20060102150405"))
		out.CloudFrontDistribution, out.S3Bucket = new(d.Host()), new("")
	}
	return &model.DescribeUserPoolDomainResponse{DomainDescription: out}, nil
}

// DeleteUserPoolDomain takes the name away.
func (s *Service) DeleteUserPoolDomain(ctx context.Context, in *model.DeleteUserPoolDomainRequest) (*model.DeleteUserPoolDomainResponse, error) {
	return &model.DeleteUserPoolDomainResponse{}, s.pools.DeleteDomain(ctx, scopeOf(ctx), *in.UserPoolId, *in.Domain)
}
