package registry

import (
	"net/http"
	"strings"

	"github.com/outcrop/outcrop/internal/fault"
)

// The codes of refusals, ECR's own but for the last ones, which ECR's API has no
// operation for.
const (
	CodeRepositoryNotFound = "RepositoryNotFoundException"
	CodeRepositoryExists   = "RepositoryAlreadyExistsException"
	CodeRepositoryNotEmpty = "RepositoryNotEmptyException"
	CodeImageNotFound      = "ImageNotFoundException"
	CodeImageExists        = "ImageAlreadyExistsException"
	CodeTagExists          = "ImageTagAlreadyExistsException"
	CodeDigestMismatch     = "ImageDigestDoesNotMatchException"
	CodeLayersNotFound     = "LayersNotFoundException"
	CodeImagesNotFound     = "ReferencedImagesNotFoundException"
	CodeInvalidLayer       = "InvalidLayerException"
	CodeInvalidPart        = "InvalidLayerPartException"
	CodeUploadNotFound     = "UploadNotFoundException"
	CodeInvalid            = "InvalidParameterException"
	CodeLimit              = "LimitExceededException"
	CodeNoPolicy           = "RepositoryPolicyNotFoundException"
	CodeNoLifecycle        = "LifecyclePolicyNotFoundException"
	CodeTooManyTags        = "TooManyTagsException"
	CodeInvalidResourceTag = "InvalidTagParameterException"

	CodeInvalidDigest  = "InvalidImageDigest"
	CodeInvalidTag     = "InvalidImageTag"
	CodeTagMismatch    = "ImageTagDoesNotMatchDigest"
	CodeReferenced     = "ImageReferencedByManifestList"
	CodeMissingID      = "MissingDigestAndTag"
	CodeLayerMissing   = "MissingLayerDigest"
	CodeLayerNeeded    = "LayerReferencedByManifest"
	CodeUploadBusy     = "UploadInProgress"
	CodeManifestTooBig = "ManifestTooLarge"
)

// RepositoryNotFound says that there is no such repository.
func RepositoryNotFound(n Name) *fault.Error {
	return fault.BadRequest(CodeRepositoryNotFound, "The repository with name '%s' does not exist in the registry with id '%s'", n.Repository, n.Account)
}

func repositoryExists(n Name) *fault.Error {
	return fault.BadRequest(CodeRepositoryExists, "The repository with name '%s' already exists in the registry with id '%s'", n.Repository, n.Account)
}

func repositoryNotEmpty(n Name) *fault.Error {
	return fault.BadRequest(CodeRepositoryNotEmpty, "The repository with name '%s' in registry with id '%s' cannot be deleted because it still contains images", n.Repository, n.Account)
}

func imageNotFound(n Name, i ImageID) *fault.Error {
	return fault.BadRequest(CodeImageNotFound, "The image with imageId %s does not exist within the repository with name '%s' in the registry with id '%s'", i, n.Repository, n.Account)
}

// ImageExists says that nothing has changed.
func ImageExists(n Name, i ImageID) *fault.Error {
	return fault.BadRequest(CodeImageExists, "Image with digest '%s' and tag '%s' already exists in the repository with name '%s' in registry with id '%s'", i.Digest, i.Tag, n.Repository, n.Account)
}

func tagExists(n Name, tag string) *fault.Error {
	return fault.BadRequest(CodeTagExists, "The image tag '%s' already exists in the '%s' repository and cannot be overwritten because the tag is immutable.", tag, n.Repository)
}

func tagMismatch(i ImageID) *fault.Error {
	return fault.BadRequest(CodeTagMismatch, "Image tag '%s' does not have the digest '%s'", i.Tag, i.Digest)
}

func digestMismatch(want, got Digest) *fault.Error {
	return fault.BadRequest(CodeDigestMismatch, "The manifest has the digest '%s' and not '%s'", got, want)
}

func layersNotFound(n Name, missing []Digest) *fault.Error {
	return fault.BadRequest(CodeLayersNotFound, "Layers with digests '%s' required for pushing image into repository with name '%s' in the registry with id '%s' do not exist",
		list(missing), n.Repository, n.Account)
}

func imagesNotFound(n Name, missing []Digest) *fault.Error {
	return fault.BadRequest(CodeImagesNotFound, "Images with digests '%s' required for pushing image into repository with name '%s' in the registry with id '%s' do not exist",
		list(missing), n.Repository, n.Account)
}

// list names the first of the digests.
func list(digests []Digest) string {
	const most = 10
	var b strings.Builder
	for i, d := range digests {
		if i == most {
			b.WriteString(", ...")
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(string(d))
	}
	return "[" + b.String() + "]"
}

func layerMissing(n Name, d Digest) *fault.Error {
	return fault.New(CodeLayerMissing, http.StatusNotFound, "The layer with digest '%s' does not exist in the repository with name '%s' in the registry with id '%s'", d, n.Repository, n.Account)
}

func layerNeeded(d Digest) *fault.Error {
	return fault.New(CodeLayerNeeded, http.StatusMethodNotAllowed, "The layer with digest '%s' belongs to an image; delete the image, and the layer goes with it", d)
}

func layerMismatch(want, got Digest) *fault.Error {
	return fault.BadRequest(CodeInvalidLayer, "The layer has the digest '%s' and not '%s'; upload it again", got, want)
}

func layerTooLarge() *fault.Error {
	return fault.New(CodeLimit, http.StatusRequestEntityTooLarge, "A layer has at most %d bytes", int64(MaxBlob))
}

func wrongOffset(at, have int64) *fault.Error {
	return fault.New(CodeInvalidPart, http.StatusRequestedRangeNotSatisfiable, "The part begins at byte %d and the upload has %d so far", at, have)
}

func wrongLength(want, got int64) *fault.Error {
	return fault.BadRequest(CodeInvalidPart, "The part was announced with %d bytes and has %d", want, got)
}

func uploadNotFound(id string) *fault.Error {
	return fault.New(CodeUploadNotFound, http.StatusNotFound, "There is no upload with id '%s': it has ended, or was idle for too long; begin another", clip(id))
}

func uploadBusy() *fault.Error {
	return fault.New(CodeUploadBusy, http.StatusConflict, "Somebody is writing to this upload; wait for the answer, or begin another")
}

func invalidDigest(text string) *fault.Error {
	return fault.BadRequest(CodeInvalidDigest, "'%s' is no digest that is kept here; a digest is sha256: and 64 hexadecimal digits, or sha512: and 128", clip(text))
}

func invalidTag(text string) *fault.Error {
	return fault.BadRequest(CodeInvalidTag, "'%s' is no tag; a tag has at most %d letters, digits, dots, hyphens and underscores", clip(text), MaxTagLength)
}

func missingID() *fault.Error {
	return fault.BadRequest(CodeMissingID, "Invalid request parameters: both tag and digest cannot be null")
}

func referenced(parents []Digest) *fault.Error {
	return fault.BadRequest(CodeReferenced, "Requested image referenced by manifest list: %s", list(parents))
}

func invalidManifest(format string, args ...any) *fault.Error {
	return fault.BadRequest(CodeInvalid, "The image manifest is not valid: "+format, args...)
}

func manifestTooBig(size int) *fault.Error {
	return fault.New(CodeManifestTooBig, http.StatusRequestEntityTooLarge, "An image manifest has at most %d bytes, and this has %d", MaxManifest, size)
}

// NoImage is what AgentCore says of an image that its runtime names and that is
// not there (spec/runtime.md 5.3).
func NoImage(n Name, i ImageID) *fault.Error {
	id := "ImageTag=" + i.Tag
	if i.Digest != "" {
		id = "ImageDigest=" + string(i.Digest)
	}
	return fault.Validation("The image with identifier 'ImageIdentifier(%s)' does not exist in the repository with name '%s' in registry with id '%s'.", id, n.Repository, n.Account)
}

// clip bounds what a refusal repeats.
func clip(s string) string { return fault.Clip(s, 100) }
