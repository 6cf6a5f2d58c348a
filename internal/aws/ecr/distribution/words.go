package distribution

import (
	"net/http"
	"strings"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/image/registry"
	"github.com/outcrop/outcrop/internal/store"
)

// The codes of the specification ("Error Codes"), and one of ours.
const (
	codeUnauthorized    = "UNAUTHORIZED"
	codeDenied          = "DENIED"
	codeUnsupported     = "UNSUPPORTED"
	codeNameInvalid     = "NAME_INVALID"
	codeNameUnknown     = "NAME_UNKNOWN"
	codeBlobUnknown     = "BLOB_UNKNOWN"
	codeUploadUnknown   = "BLOB_UPLOAD_UNKNOWN"
	codeUploadInvalid   = "BLOB_UPLOAD_INVALID"
	codeDigestInvalid   = "DIGEST_INVALID"
	codeSizeInvalid     = "SIZE_INVALID"
	codeTagInvalid      = "TAG_INVALID"
	codeManifestInvalid = "MANIFEST_INVALID"
	codeManifestUnknown = "MANIFEST_UNKNOWN"
	codeManifestBlob    = "MANIFEST_BLOB_UNKNOWN"
	codePagination      = "PAGINATION_NUMBER_INVALID"
	codeFull            = "INSUFFICIENT_STORAGE"
	codeUnknown         = "UNKNOWN"
	textInternal        = "An internal error occurred. Please retry later."
	textFull            = "The disk of this server is full; nothing was written. Free some space and try again."
)

// word is how the protocol says what a refusal of the storage says.
type word struct {
	code   string
	status int
}

// dictionary translates the codes of refusals. A status of 0 is the refusal's own.
func dictionary(code string) (word, bool) {
	switch code {
	case registry.CodeRepositoryNotFound:
		return word{codeNameUnknown, http.StatusNotFound}, true
	case registry.CodeImageNotFound:
		return word{codeManifestUnknown, http.StatusNotFound}, true
	case registry.CodeLayerMissing:
		return word{codeBlobUnknown, http.StatusNotFound}, true
	case registry.CodeLayersNotFound, registry.CodeImagesNotFound:
		return word{codeManifestBlob, 0}, true
	case registry.CodeUploadNotFound:
		return word{codeUploadUnknown, 0}, true
	case registry.CodeInvalidPart, registry.CodeUploadBusy:
		return word{codeUploadInvalid, 0}, true
	case registry.CodeInvalidLayer, registry.CodeInvalidDigest, registry.CodeDigestMismatch:
		return word{codeDigestInvalid, 0}, true
	case registry.CodeInvalidTag, registry.CodeTagExists:
		return word{codeTagInvalid, 0}, true
	case registry.CodeInvalid:
		return word{codeManifestInvalid, 0}, true
	case registry.CodeManifestTooBig, registry.CodeLimit:
		return word{codeSizeInvalid, 0}, true
	case registry.CodeLayerNeeded:
		return word{codeUnsupported, 0}, true
	case registry.CodeReferenced:
		return word{codeDenied, http.StatusForbidden}, true
	case "AccessDeniedException":
		return word{codeDenied, 0}, true
	}
	return word{}, false
}

// words is an error as the protocol has it.
func (e *exchange) words(err error) *fault.Error {
	if store.IsFull(err) {
		return fault.New(codeFull, http.StatusInsufficientStorage, textFull).Because(err)
	}
	f := *fault.From(err)
	w, known := dictionary(f.Code)
	switch {
	case known:
		f.Code = w.code
		if w.status != 0 {
			f.Status = w.status
		}
	case strings.ToUpper(f.Code) == f.Code: // it is a word of the protocol
	case clientLeft(err):
		return fault.BadRequest(codeUploadInvalid, "The body ended before its announced length").Because(err)
	default:
		return fault.New(codeUnknown, http.StatusInternalServerError, textInternal).Because(err)
	}
	if f.Code == codeNameUnknown {
		f.Message += ". Create it first: aws ecr create-repository --repository-name " + e.name.Repository
	}
	return &f
}

func unknownPath() error {
	return fault.New(codeUnsupported, http.StatusNotFound, "The registry has nothing at this path and method")
}

func clip(s string) string { return fault.Clip(s, 100) }

func badRange(text string) error {
	return fault.New(codeUploadInvalid, http.StatusRequestedRangeNotSatisfiable, "The Content-Range '%s' is not FIRST-LAST", clip(text))
}

func badLength(said, has int64) error {
	return fault.BadRequest(codeSizeInvalid, "The Content-Range says %d bytes and the Content-Length %d", said, has)
}
