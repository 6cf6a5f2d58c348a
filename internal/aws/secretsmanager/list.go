package secretsmanager

import (
	"cmp"
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	model "github.com/outcrop/outcrop/internal/api/model/secretsmanager"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/secretstore"
)

// ListSecrets lists the secrets of the caller's account and region, and no values.
func (s *Service) ListSecrets(ctx context.Context, in *model.ListSecretsRequest) (*model.ListSecretsResponse, error) {
	found, next, err := s.find(ctx, query{
		filters: in.Filters, deleted: wire.True(in.IncludePlannedDeletion),
		by: wire.Text(in.SortBy), descending: wire.Text(in.SortOrder) == model.SortOrderTypeDesc, most: in.MaxResults, limit: 100, token: in.NextToken,
	})
	if err != nil {
		return nil, err
	}
	out := &model.ListSecretsResponse{SecretList: []model.SecretListEntry{}, NextToken: next}
	for i := range found {
		out.SecretList = append(out.SecretList, entry(&found[i]))
	}
	return out, nil
}

// query is a search.
type query struct {
	filters    []model.Filter
	deleted    bool
	by         string
	descending bool
	most       *int32
	limit      int
	token      *string
}

// find returns a page of what a search finds. Its token is where the last one stood,
// so that deletions between pages skip nothing.
func (s *Service) find(ctx context.Context, q query) ([]secretstore.Secret, *string, error) {
	all, err := s.secrets.All(ctx, pipeline.From(ctx).Scope)
	if err != nil {
		return nil, nil, err
	}
	for _, f := range q.filters {
		if len(f.Values) == 0 {
			return nil, nil, secretstore.InvalidParameter("The filter %s has no values.", wire.Text(f.Key))
		}
	}
	all = slices.DeleteFunc(all, func(s secretstore.Secret) bool {
		return !q.deleted && !s.Deleted.IsZero() || slices.ContainsFunc(q.filters, func(f model.Filter) bool { return !matches(&s, f) })
	})
	order := func(a, b string) int {
		if q.descending {
			a, b = b, a
		}
		return cmp.Compare(a, b)
	}
	slices.SortFunc(all, func(a, b secretstore.Secret) int { return order(q.place(&a), q.place(&b)) })
	if q.token != nil {
		last, err := base64.RawURLEncoding.Strict().DecodeString(*q.token)
		if err != nil {
			return nil, nil, badToken(err)
		}
		all = slices.DeleteFunc(all, func(s secretstore.Secret) bool { return order(q.place(&s), string(last)) <= 0 })
	}
	if n := size(q.most, q.limit); len(all) > n {
		return all[:n], new(base64.RawURLEncoding.EncodeToString([]byte(q.place(&all[n-1])))), nil
	}
	return all, nil, nil
}

// place is what a secret is sorted by, and no two are alike.
func (q *query) place(s *secretstore.Secret) string {
	switch q.by {
	case model.SortByTypeName:
		return s.Name
	case model.SortByTypeLast_changed_date:
		return fmt.Sprintf("%020d %s", s.Changed.UnixMicro(), s.Name)
	}
	return fmt.Sprintf("%020d %s", s.Created.UnixMicro(), s.Name)
}

// matches holds a secret against a filter, of whose values one is enough. They are
// beginnings; one with an exclamation mark must not be there (Secrets Manager guide,
// "Find secrets").
func matches(s *secretstore.Secret, f model.Filter) bool {
	return slices.ContainsFunc(f.Values, func(v string) bool {
		if v, not := strings.CutPrefix(v, "!"); not {
			return !begins(s, wire.Text(f.Key), v)
		}
		return begins(s, wire.Text(f.Key), v)
	})
}

func begins(s *secretstore.Secret, field, value string) bool {
	switch field {
	case model.FilterNameStringTypeName:
		return strings.HasPrefix(s.Name, value)
	case model.FilterNameStringTypeDescription:
		return words(s.Description, value)
	case model.FilterNameStringTypeOwning_service:
		return strings.HasPrefix(s.Service, value)
	case model.FilterNameStringTypePrimary_region:
		return strings.HasPrefix(s.Scope.Region, value)
	}
	for k, v := range s.Tags {
		switch field {
		case model.FilterNameStringTypeTag_key:
			if strings.HasPrefix(k, value) {
				return true
			}
		case model.FilterNameStringTypeTag_value:
			if strings.HasPrefix(v, value) {
				return true
			}
		default:
			if words(k, value) || words(v, value) {
				return true
			}
		}
	}
	return field == model.FilterNameStringTypeAll && (words(s.Name, value) || words(s.Description, value))
}

// words reports whether any word of a text begins with a value, whatever its case.
func words(text, value string) bool {
	text, value = strings.ToLower(text), strings.ToLower(value)
	if strings.HasPrefix(text, value) {
		return true
	}
	return slices.ContainsFunc(strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" /_+=.@-", r) }),
		func(w string) bool { return strings.HasPrefix(w, value) })
}

// size is that of a page.
func size(n *int32, most int) int {
	if n == nil || *n < 1 {
		return most
	}
	return min(int(*n), most)
}

func badToken(cause error) error {
	return fault.BadRequest("InvalidNextTokenException", "You supplied an invalid next token.").Because(cause)
}
