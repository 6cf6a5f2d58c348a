// Package iam is the front of AWS IAM: it turns calls of its API into calls of the
// account's directory (package principal), which keeps users, groups, roles and
// policies and words most refusals. What is here is the wire: names of members,
// documents as they are encoded in answers, pages of lists.
//
// IAM knows no regions. The scope of a call is its account alone.
package iam

import (
	"context"
	"encoding/base64"
	"net/url"
	"slices"
	"strings"
	"time"

	model "github.com/outcrop/outcrop/internal/api/model/iam"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/api/schema"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/auth"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/principal"
)

// Outbound switches on and off that the account's principals get tokens for services
// elsewhere. *federation.Issuer does.
type Outbound interface {
	Enable(ctx context.Context) (issuer string, err error)
	Disable(ctx context.Context) error
	URL(ctx context.Context) (issuer string, err error)
}

// Service implements the generated interfaces over a directory.
type Service struct {
	d        *principal.Directory
	outbound Outbound
}

var (
	_ model.Users    = (*Service)(nil)
	_ model.Roles    = (*Service)(nil)
	_ model.Policies = (*Service)(nil)
	_ model.Account  = (*Service)(nil)

	_ model.Federation = (*Service)(nil)
)

// New returns the front of a directory.
func New(d *principal.Directory, o Outbound) *Service { return &Service{d, o} }

// Handlers joins s with all operations.
func (s *Service) Handlers() []schema.Handler {
	return slices.Concat(model.UsersHandlers(s), model.RolesHandlers(s), model.PoliciesHandlers(s), model.AccountHandlers(s), model.FederationHandlers(s))
}

func user(name *string) principal.Holder {
	return principal.Holder{Kind: principal.UserHolder, Name: wire.Text(name)}
}

func group(name *string) principal.Holder {
	return principal.Holder{Kind: principal.GroupHolder, Name: wire.Text(name)}
}

func role(name *string) principal.Holder {
	return principal.Holder{Kind: principal.RoleHolder, Name: wire.Text(name)}
}

// done is the answer of an operation that has none.
func done(err error) (*model.Nothing, error) {
	if err != nil {
		return nil, err
	}
	return &model.Nothing{}, nil
}

// stamp is a time as IAM writes it, without a fraction of a second.
func stamp(t time.Time) *time.Time {
	t = t.UTC().Truncate(time.Second)
	return &t
}

func number(n int) *int32 {
	out := int32(n)
	return &out
}

// encoded is a policy document as IAM answers with it, percent-encoded after RFC
// 3986 (API reference, GetRolePolicy).
func encoded(document string) *string {
	s := strings.ReplaceAll(url.QueryEscape(document), "+", "%20")
	return &s
}

func fromTags(tags []model.Tag) []principal.Tag {
	out := make([]principal.Tag, 0, len(tags))
	for _, t := range tags {
		out = append(out, principal.Tag{Key: wire.Text(t.Key), Value: wire.Text(t.Value)})
	}
	return out
}

// toTags is nil where there are none: AWS leaves the member out then.
func toTags(tags []principal.Tag) []model.Tag {
	var out []model.Tag
	for _, t := range tags {
		out = append(out, model.Tag{Key: &t.Key, Value: &t.Value})
	}
	return out
}

func boundary(arn string) *model.AttachedPermissionsBoundary {
	if arn == "" {
		return nil
	}
	kind := "Policy"
	return &model.AttachedPermissionsBoundary{PermissionsBoundaryArn: &arn, PermissionsBoundaryType: &kind}
}

// defaultPage is how many items IAM returns where nobody says.
const defaultPage = 100

// page is what one answer of a list tells beside its items.
type page struct {
	truncated *bool
	marker    *string
}

// paged returns the items after a marker, and where to go on. A marker is the key of
// the last item before it, so that what is deleted meanwhile moves nothing; all is in
// the order of the keys, or each of its keys stays.
func paged[T any](all []T, key func(T) string, marker *string, most *int32) ([]T, page, error) {
	from := 0
	if marker != nil {
		raw, err := base64.RawURLEncoding.DecodeString(*marker)
		if err != nil {
			return nil, page{}, fault.BadRequest(principal.CodeValidation, "The marker is not valid; use the one of the answer before, as it is")
		}
		last := string(raw)
		from = slices.IndexFunc(all, func(v T) bool { return key(v) == last }) + 1
		if from == 0 {
			from = slices.IndexFunc(all, func(v T) bool { return key(v) > last })
		}
		if from < 0 {
			from = len(all)
		}
	}
	size := defaultPage
	if most != nil && *most > 0 {
		size = int(*most)
	}
	out := all[from:]
	truncated := len(out) > size
	p := page{truncated: &truncated}
	if truncated {
		out = out[:size]
		m := base64.RawURLEncoding.EncodeToString([]byte(key(out[size-1])))
		p.marker = &m
	}
	return out, p, nil
}

// each maps a list. It is never nil: a list that is empty is there in IAM's answers.
func each[From, To any](in []From, fn func(From) To) []To {
	out := make([]To, 0, len(in))
	for _, v := range in {
		out = append(out, fn(v))
	}
	return out
}

func itself(s string) string { return s }

// self returns the name of a user who is named, or else of the one who calls.
func (s *Service) self(ctx context.Context, name *string) (string, error) {
	if name != nil {
		return *name, nil
	}
	caller := pipeline.From(ctx).Principal
	if caller.Kind != auth.User {
		return "", fault.BadRequest(principal.CodeValidation, "Must specify userName when calling with non-User credentials")
	}
	return caller.ARN[strings.LastIndexByte(caller.ARN, '/')+1:], nil
}
