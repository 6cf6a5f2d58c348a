package ecr

import (
	"context"
	"errors"
	"slices"

	model "github.com/outcrop/outcrop/internal/api/model/ecr"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/image/registry"
)

// ListImages lists images by digest, once for each tag.
func (s *Service) ListImages(ctx context.Context, in *model.ListImagesRequest) (*model.ListImagesResponse, error) {
	var tagged, status *string
	if in.Filter != nil {
		tagged, status = in.Filter.TagStatus, in.Filter.ImageStatus
	}
	images, next, err := s.list(ctx, in.RegistryId, in.RepositoryName, tagged, status, in.NextToken, in.MaxResults)
	if err != nil {
		return nil, err
	}
	out := &model.ListImagesResponse{ImageIds: []model.ImageIdentifier{}, NextToken: next}
	for _, i := range images {
		for _, tag := range i.Tags {
			out.ImageIds = append(out.ImageIds, identifier(registry.ImageID{Digest: i.Digest, Tag: tag}))
		}
		if i.Tags == nil {
			out.ImageIds = append(out.ImageIds, identifier(registry.ImageID{Digest: i.Digest}))
		}
	}
	return out, nil
}

// list is a page of images.
func (s *Service) list(ctx context.Context, registryID, repository, tagged, status, token *string, size *int32) ([]registry.Image, *string, error) {
	n, err := name(ctx, registryID, repository)
	if err != nil {
		return nil, nil, err
	}
	which := map[string]registry.Tagged{model.TagStatusTAGGED: registry.OnlyTagged, model.TagStatusUNTAGGED: registry.OnlyUntagged}[wire.Text(tagged)]
	last, err := decode(token)
	if err != nil {
		return nil, nil, err
	}
	after, err := registry.ParseDigest(last)
	if last == "" {
		after, err = "", nil
	}
	if err != nil {
		return nil, nil, invalidToken(err)
	}
	most := pageSize(size)
	if s := wire.Text(status); s == model.ImageStatusFilterARCHIVED || s == model.ImageStatusFilterACTIVATING {
		most = 0 // no image is ever archived
	}
	images, more, err := s.images.Images(ctx, n, which, after, most)
	if err != nil || !more || most == 0 {
		return images, nil, err
	}
	return images, encode(string(images[most-1].Digest)), nil
}

// DescribeImages tells of images by digest, or of some by their ids.
func (s *Service) DescribeImages(ctx context.Context, in *model.DescribeImagesRequest) (*model.DescribeImagesResponse, error) {
	n, err := name(ctx, in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	var images []registry.Image
	var next *string
	if in.ImageIds != nil {
		if in.NextToken != nil || in.MaxResults != nil {
			return nil, together("nextToken", "maxResults", "imageIds")
		}
		images, err = s.byID(ctx, n, in.ImageIds)
	} else {
		var tagged, status *string
		if in.Filter != nil {
			tagged, status = in.Filter.TagStatus, in.Filter.ImageStatus
		}
		images, next, err = s.list(ctx, in.RegistryId, in.RepositoryName, tagged, status, in.NextToken, in.MaxResults)
	}
	if err != nil {
		return nil, err
	}
	out := &model.DescribeImagesResponse{ImageDetails: []model.ImageDetail{}, NextToken: next}
	for _, i := range images {
		out.ImageDetails = append(out.ImageDetails, model.ImageDetail{
			RegistryId: &n.Account, RepositoryName: &n.Repository, ImageDigest: new(string(i.Digest)), ImageTags: i.Tags,
			ImageSizeInBytes: &i.Size, ImagePushedAt: &i.Pushed, ImageManifestMediaType: &i.MediaType,
			ArtifactMediaType: wire.Optional(i.ArtifactType), SubjectManifestDigest: wire.Optional(string(i.Subject)),
			ImageStatus: new(model.ImageStatusACTIVE),
		})
	}
	return out, nil
}

// byID finds images, each once; one that is not there is a refusal.
func (s *Service) byID(ctx context.Context, n registry.Name, ids []model.ImageIdentifier) (images []registry.Image, err error) {
	for _, id := range ids {
		i, err := s.images.Image(ctx, n, imageID(id))
		if err != nil {
			return nil, refusal(err)
		}
		if !slices.ContainsFunc(images, func(o registry.Image) bool { return o.Digest == i.Digest }) {
			images = append(images, i)
		}
	}
	return images, nil
}

// refusal is how a call is refused for what is only a failure among others where
// many images are asked for.
func refusal(err error) error {
	f, ok := errors.AsType[*fault.Error](err)
	if !ok {
		return err
	}
	switch f.Code {
	case registry.CodeInvalidDigest, registry.CodeInvalidTag, registry.CodeMissingID:
		return fault.BadRequest(registry.CodeInvalid, "%s", f.Message)
	case registry.CodeTagMismatch:
		return fault.BadRequest(registry.CodeImageNotFound, "%s", f.Message)
	}
	return err
}

// failure is how one image of many is refused.
func failure(id registry.ImageID, f *fault.Error) model.ImageFailure {
	code, reason := f.Code, f.Message
	if code == registry.CodeImageNotFound {
		code, reason = model.ImageFailureCodeImageNotFound, "Requested image not found"
	}
	i := identifier(id)
	return model.ImageFailure{ImageId: &i, FailureCode: &code, FailureReason: &reason}
}

func imageID(id model.ImageIdentifier) registry.ImageID {
	return registry.ImageID{Digest: registry.Digest(wire.Text(id.ImageDigest)), Tag: wire.Text(id.ImageTag)}
}

func identifier(id registry.ImageID) model.ImageIdentifier {
	return model.ImageIdentifier{ImageDigest: wire.Optional(string(id.Digest)), ImageTag: wire.Optional(id.Tag)}
}

// BatchGetImage returns manifests.
func (s *Service) BatchGetImage(ctx context.Context, in *model.BatchGetImageRequest) (*model.BatchGetImageResponse, error) {
	n, err := name(ctx, in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	out := &model.BatchGetImageResponse{Images: []model.Image{}, Failures: []model.ImageFailure{}}
	size := 0
	for _, asked := range in.ImageIds {
		id := imageID(asked)
		i, raw, err := s.images.Manifest(ctx, n, id)
		if f, refused := errors.AsType[*fault.Error](err); refused && f.Code != registry.CodeRepositoryNotFound {
			out.Failures = append(out.Failures, failure(id, f))
			continue
		}
		if err != nil {
			return nil, err
		}
		if size += len(raw); size > maxAnswer {
			return nil, fault.BadRequest(registry.CodeLimit, "The manifests have more than %d bytes together; ask for fewer at once", maxAnswer)
		}
		out.Images = append(out.Images, image(n, i, asked.ImageTag, raw))
	}
	return out, nil
}

// maxAnswer bounds what an answer holds in memory, in bytes.
const maxAnswer = 16 << 20

func image(n registry.Name, i registry.Image, tag *string, raw []byte) model.Image {
	return model.Image{
		RegistryId: &n.Account, RepositoryName: &n.Repository, ImageManifest: new(string(raw)), ImageManifestMediaType: &i.MediaType,
		ImageId: &model.ImageIdentifier{ImageDigest: new(string(i.Digest)), ImageTag: tag},
	}
}

// PutImage stores a manifest, most often one of BatchGetImage under another tag.
func (s *Service) PutImage(ctx context.Context, in *model.PutImageRequest) (*model.PutImageResponse, error) {
	n, err := name(ctx, in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	id := registry.ImageID{Digest: registry.Digest(wire.Text(in.ImageDigest)), Tag: wire.Text(in.ImageTag)}
	raw := []byte(wire.Text(in.ImageManifest))
	i, fresh, err := s.images.Put(ctx, n, id, wire.Text(in.ImageManifestMediaType), raw)
	if err != nil {
		return nil, refusal(err)
	}
	if !fresh {
		id.Digest = i.Digest
		return nil, registry.ImageExists(n, id)
	}
	out := image(n, i, in.ImageTag, raw)
	return &model.PutImageResponse{Image: &out}, nil
}

// BatchDeleteImage deletes images by digest, and tags.
func (s *Service) BatchDeleteImage(ctx context.Context, in *model.BatchDeleteImageRequest) (*model.BatchDeleteImageResponse, error) {
	n, err := name(ctx, in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	ids := make([]registry.ImageID, len(in.ImageIds))
	for i, id := range in.ImageIds {
		ids[i] = imageID(id)
	}
	gone, failures, err := s.images.Delete(ctx, n, ids)
	if err != nil {
		return nil, err
	}
	out := &model.BatchDeleteImageResponse{ImageIds: []model.ImageIdentifier{}, Failures: []model.ImageFailure{}}
	for _, id := range gone {
		out.ImageIds = append(out.ImageIds, identifier(id))
	}
	for _, f := range failures {
		out.Failures = append(out.Failures, failure(f.ID, f.Err))
	}
	return out, nil
}

// layerType is what ECR calls a layer whose manifest it does not know.
const layerType = "application/vnd.docker.image.rootfs.diff.tar.gzip"

// BatchCheckLayerAvailability tells which layers need no upload.
func (s *Service) BatchCheckLayerAvailability(ctx context.Context, in *model.BatchCheckLayerAvailabilityRequest) (*model.BatchCheckLayerAvailabilityResponse, error) {
	n, err := name(ctx, in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	out := &model.BatchCheckLayerAvailabilityResponse{Layers: []model.Layer{}, Failures: []model.LayerFailure{}}
	fail := func(digest, code, reason string) {
		out.Failures = append(out.Failures, model.LayerFailure{LayerDigest: &digest, FailureCode: &code, FailureReason: &reason})
	}
	for _, asked := range in.LayerDigests {
		d, err := registry.ParseDigest(asked)
		if err != nil {
			fail(asked, model.LayerFailureCodeInvalidLayerDigest, fault.From(err).Message)
			continue
		}
		b, ok, err := s.images.Layer(ctx, n, d)
		if err != nil {
			return nil, err
		}
		l := model.Layer{LayerDigest: &asked, LayerAvailability: new(model.LayerAvailabilityUNAVAILABLE)}
		if ok {
			l = model.Layer{LayerDigest: &asked, LayerAvailability: new(model.LayerAvailabilityAVAILABLE), LayerSize: &b.Size, MediaType: new(layerType)}
		}
		out.Layers = append(out.Layers, l)
	}
	return out, nil
}
