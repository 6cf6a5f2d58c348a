package ecr

import (
	"context"
	"maps"
	"net/http"
	"slices"

	model "github.com/outcrop/outcrop/internal/api/model/ecr"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/image/registry"
	"github.com/outcrop/outcrop/internal/store"
)

// CreateRepository makes an empty repository.
func (s *Service) CreateRepository(ctx context.Context, in *model.CreateRepositoryRequest) (*model.CreateRepositoryResponse, error) {
	n, err := name(ctx, in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	var settings registry.Settings
	if settings.Mutability, settings.Exclusions, err = mutability(in.ImageTagMutability, in.ImageTagMutabilityExclusionFilters); err != nil {
		return nil, err
	}
	settings.ScanOnPush = scanOnPush(in.ImageScanningConfiguration)
	if settings.Tags, err = merged(nil, in.Tags); err != nil {
		return nil, err
	}
	r, err := s.images.CreateRepository(ctx, n, settings)
	if err != nil {
		return nil, err
	}
	return &model.CreateRepositoryResponse{Repository: repository(ctx, r)}, nil
}

// repository is one as the model has it.
func repository(ctx context.Context, r registry.Repository) *model.Repository {
	_, host := address(pipeline.From(ctx))
	return &model.Repository{
		RepositoryArn: new(r.ARN()), RegistryId: new(r.Account), RepositoryName: new(r.Repository), RepositoryUri: new(host + "/" + r.Repository),
		CreatedAt: &r.Created, ImageTagMutability: new(string(r.Mutability)), ImageTagMutabilityExclusionFilters: filters(r.Exclusions),
		ImageScanningConfiguration: &model.ImageScanningConfiguration{ScanOnPush: &r.ScanOnPush},
	}
}

func filters(exclusions []string) []model.ImageTagMutabilityExclusionFilter {
	var out []model.ImageTagMutabilityExclusionFilter
	for _, e := range exclusions {
		out = append(out, model.ImageTagMutabilityExclusionFilter{
			FilterType: new(model.ImageTagMutabilityExclusionFilterTypeWILDCARD), Filter: &e,
		})
	}
	return out
}

// mutability reads what Create and PutImageTagMutability say.
func mutability(value *string, exclusions []model.ImageTagMutabilityExclusionFilter) (registry.Mutability, []string, error) {
	m := registry.Mutable
	if value != nil {
		m = registry.Mutability(*value)
	}
	excludes := m == registry.MutableWithExclusion || m == registry.ImmutableWithExclusion
	if excludes != (len(exclusions) > 0) {
		return m, nil, fault.New(registry.CodeInvalid, http.StatusBadRequest,
			"Invalid parameter at 'imageTagMutabilityExclusionFilters' failed to satisfy constraint: 'must be there with a mutability WITH_EXCLUSION, and with no other'")
	}
	var list []string
	for _, f := range exclusions {
		list = append(list, wire.Text(f.Filter))
	}
	return m, list, nil
}

func scanOnPush(c *model.ImageScanningConfiguration) bool {
	return c != nil && wire.True(c.ScanOnPush)
}

// DescribeRepositories lists repositories, or tells of some by name.
func (s *Service) DescribeRepositories(ctx context.Context, in *model.DescribeRepositoriesRequest) (*model.DescribeRepositoriesResponse, error) {
	n, err := name(ctx, in.RegistryId, nil)
	if err != nil {
		return nil, err
	}
	out := &model.DescribeRepositoriesResponse{Repositories: []model.Repository{}}
	if in.RepositoryNames != nil {
		if in.NextToken != nil || in.MaxResults != nil {
			return nil, together("nextToken", "maxResults", "repositoryNames")
		}
		for _, n.Repository = range in.RepositoryNames {
			r, err := s.images.Repository(ctx, n)
			if err != nil {
				return nil, err
			}
			out.Repositories = append(out.Repositories, *repository(ctx, r))
		}
		return out, nil
	}
	list, next, err := s.images.Repositories(ctx, n.Scope, store.Page{Size: pageSize(in.MaxResults), Token: wire.Text(in.NextToken)})
	if err != nil {
		return nil, badToken(err)
	}
	for _, r := range list {
		out.Repositories = append(out.Repositories, *repository(ctx, r))
	}
	out.NextToken = wire.Optional(next)
	return out, nil
}

func together(a, b, with string) error {
	return fault.BadRequest(registry.CodeInvalid, "Invalid parameter: '%s' and '%s' cannot be used with '%s', which is answered in one page", a, b, with)
}

// DeleteRepository deletes a repository; force takes its images too.
func (s *Service) DeleteRepository(ctx context.Context, in *model.DeleteRepositoryRequest) (*model.DeleteRepositoryResponse, error) {
	n, err := name(ctx, in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	r, err := s.images.DeleteRepository(ctx, n, wire.True(in.Force))
	if err != nil {
		return nil, err
	}
	return &model.DeleteRepositoryResponse{Repository: repository(ctx, r)}, nil
}

// PutImageTagMutability says whether tags can be moved.
func (s *Service) PutImageTagMutability(ctx context.Context, in *model.PutImageTagMutabilityRequest) (*model.PutImageTagMutabilityResponse, error) {
	n, err := name(ctx, in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	m, list, err := mutability(in.ImageTagMutability, in.ImageTagMutabilityExclusionFilters)
	if err != nil {
		return nil, err
	}
	_, err = s.images.Change(ctx, n, func(s *registry.Settings) error {
		s.Mutability, s.Exclusions = m, list
		return nil
	})
	return &model.PutImageTagMutabilityResponse{
		RegistryId: &n.Account, RepositoryName: &n.Repository, ImageTagMutability: new(string(m)), ImageTagMutabilityExclusionFilters: filters(list),
	}, err
}

// PutImageScanningConfiguration keeps whether images are scanned. None is.
func (s *Service) PutImageScanningConfiguration(ctx context.Context, in *model.PutImageScanningConfigurationRequest) (*model.PutImageScanningConfigurationResponse, error) {
	n, err := name(ctx, in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	scan := scanOnPush(in.ImageScanningConfiguration)
	_, err = s.images.Change(ctx, n, func(s *registry.Settings) error {
		s.ScanOnPush = scan
		return nil
	})
	return &model.PutImageScanningConfigurationResponse{
		RegistryId: &n.Account, RepositoryName: &n.Repository, ImageScanningConfiguration: &model.ImageScanningConfiguration{ScanOnPush: &scan},
	}, err
}

// merged adds tags to others. A key that stands twice is refused.
func merged(old map[string]string, tags []model.Tag) (map[string]string, error) {
	out := map[string]string{}
	for k, v := range old {
		out[k] = v
	}
	seen := map[string]bool{}
	for _, t := range tags {
		key := wire.Text(t.Key)
		if seen[key] {
			return nil, fault.BadRequest(registry.CodeInvalidResourceTag, "The tag '%s' is given twice", key)
		}
		seen[key], out[key] = true, wire.Text(t.Value)
	}
	return out, nil
}

// TagResource adds tags to a repository.
func (s *Service) TagResource(ctx context.Context, in *model.TagResourceRequest) (*model.TagResourceResponse, error) {
	n, err := named(ctx, in.ResourceArn)
	if err != nil {
		return nil, err
	}
	_, err = s.images.Change(ctx, n, func(s *registry.Settings) (err error) {
		s.Tags, err = merged(s.Tags, in.Tags)
		return err
	})
	return &model.TagResourceResponse{}, err
}

// UntagResource takes tags off a repository.
func (s *Service) UntagResource(ctx context.Context, in *model.UntagResourceRequest) (*model.UntagResourceResponse, error) {
	n, err := named(ctx, in.ResourceArn)
	if err != nil {
		return nil, err
	}
	_, err = s.images.Change(ctx, n, func(s *registry.Settings) error {
		for _, key := range in.TagKeys {
			delete(s.Tags, key)
		}
		return nil
	})
	return &model.UntagResourceResponse{}, err
}

// ListTagsForResource lists the tags of a repository, by key.
func (s *Service) ListTagsForResource(ctx context.Context, in *model.ListTagsForResourceRequest) (*model.ListTagsForResourceResponse, error) {
	n, err := named(ctx, in.ResourceArn)
	if err != nil {
		return nil, err
	}
	r, err := s.images.Repository(ctx, n)
	if err != nil {
		return nil, err
	}
	out := &model.ListTagsForResourceResponse{Tags: []model.Tag{}}
	for _, key := range slices.Sorted(maps.Keys(r.Tags)) {
		out.Tags = append(out.Tags, model.Tag{Key: &key, Value: new(r.Tags[key])})
	}
	return out, nil
}
