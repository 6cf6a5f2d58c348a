package object

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"syscall"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/object/checksum"
	"github.com/outcrop/outcrop/internal/store"
)

// The codes and texts are those of S3's error responses.

func with(e *fault.Error, members ...string) *fault.Error {
	e.Members = make(map[string]string, len(members)/2)
	for i := 0; i+1 < len(members); i += 2 {
		e.Members[members[i]] = members[i+1]
	}
	return e
}

func accessDenied() *fault.Error {
	return fault.New("AccessDenied", http.StatusForbidden, "Access Denied")
}

func invalidBucketName(name string) *fault.Error {
	return with(fault.BadRequest("InvalidBucketName", "The specified bucket is not valid."), "BucketName", name)
}

func noSuchBucket(name string) *fault.Error {
	return with(fault.New("NoSuchBucket", http.StatusNotFound, "The specified bucket does not exist"), "BucketName", name)
}

func bucketAlreadyExists(name string) *fault.Error {
	return with(fault.New("BucketAlreadyExists", http.StatusConflict, "The requested bucket name is not available. "+
		"The bucket namespace is shared by all users of the system. Please select a different name and try again."), "BucketName", name)
}

func bucketAlreadyOwned(name string) *fault.Error {
	return with(fault.New("BucketAlreadyOwnedByYou", http.StatusConflict,
		"Your previous request to create the named bucket succeeded and you already own it."), "BucketName", name)
}

func bucketNotEmpty(name string, versioning Versioning) *fault.Error {
	text := "The bucket you tried to delete is not empty"
	if versioning != Unversioned {
		text += ". You must delete all versions in the bucket."
	}
	return with(fault.New("BucketNotEmpty", http.StatusConflict, "%s", text), "BucketName", name)
}

func noSuchKey(key string) *fault.Error {
	return with(fault.New("NoSuchKey", http.StatusNotFound, "The specified key does not exist."), "Key", key)
}

func noSuchVersion(key, version string) *fault.Error {
	return with(fault.New("NoSuchVersion", http.StatusNotFound, "The specified version does not exist."), "Key", key, "VersionId", version)
}

func noSuchUpload(id string) *fault.Error {
	return with(fault.New("NoSuchUpload", http.StatusNotFound, "The specified upload does not exist. "+
		"The upload ID may be invalid, or the upload may have been aborted or completed."), "UploadId", id)
}

func markerNotAllowed(key string) *fault.Error {
	return with(fault.New("MethodNotAllowed", http.StatusMethodNotAllowed,
		"The specified method is not allowed against this resource."), "Method", http.MethodGet, "ResourceType", "DeleteMarker", "Key", key)
}

func keyTooLong(key string) *fault.Error {
	return with(fault.BadRequest("KeyTooLongError", "Your key is too long"),
		"Size", strconv.Itoa(len(key)), "MaxSizeAllowed", strconv.Itoa(MaxKeyLength))
}

func metadataTooLarge(size int) *fault.Error {
	return with(fault.BadRequest("MetadataTooLarge", "Your metadata headers exceed the maximum allowed metadata size"),
		"Size", strconv.Itoa(size), "MaxSizeAllowed", strconv.Itoa(MaxUserMetadata))
}

func entityTooLarge(size, limit int64) *fault.Error {
	return with(fault.BadRequest("EntityTooLarge", "Your proposed upload exceeds the maximum allowed size"),
		"ProposedSize", strconv.FormatInt(size, 10), "MaxSizeAllowed", strconv.FormatInt(limit, 10))
}

func entityTooSmall(p CompletedPart, size int64) *fault.Error {
	return with(fault.BadRequest("EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size"),
		"ProposedSize", strconv.FormatInt(size, 10), "MinSizeAllowed", strconv.Itoa(MinPartSize),
		"PartNumber", strconv.Itoa(p.Number), "ETag", p.ETag)
}

func incompleteBody() *fault.Error {
	return fault.BadRequest("IncompleteBody", "You did not provide the number of bytes specified by the Content-Length HTTP header")
}

func badDigest(what string) *fault.Error {
	return fault.BadRequest("BadDigest", "The %s you specified did not match what we received.", what)
}

func badChecksum(a checksum.Algorithm) *fault.Error {
	return fault.BadRequest("BadDigest", "The %s you specified did not match the calculated checksum.", a)
}

func invalidDigest(text string) *fault.Error {
	return with(fault.BadRequest("InvalidDigest", "The Content-MD5 you specified was invalid."), "Content-MD5", text)
}

func invalidPart(upload string, p CompletedPart) *fault.Error {
	return with(fault.BadRequest("InvalidPart", "One or more of the specified parts could not be found.  "+
		"The part may not have been uploaded, or the specified entity tag may not match the part's entity tag."),
		"UploadId", upload, "PartNumber", strconv.Itoa(p.Number), "ETag", p.ETag)
}

func invalidPartOrder(upload string) *fault.Error {
	return with(fault.New("InvalidPartOrder", http.StatusBadRequest,
		"The list of parts was not in ascending order. Parts must be ordered by part number."), "UploadId", upload)
}

func malformedXML() *fault.Error {
	return fault.BadRequest("MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema")
}

func preconditionFailed(condition string) *fault.Error {
	return with(fault.New("PreconditionFailed", http.StatusPreconditionFailed,
		"At least one of the pre-conditions you specified did not hold"), "Condition", condition)
}

func notModified() *fault.Error {
	return fault.New("NotModified", http.StatusNotModified, "Not Modified")
}

func invalidStorageClass(class string) *fault.Error {
	return with(fault.BadRequest("InvalidStorageClass", "The storage class you specified is not valid"), "StorageClassRequested", class)
}

func invalidArgument(name, value, text string) *fault.Error {
	return with(fault.BadRequest("InvalidArgument", "%s", text), "ArgumentName", name, "ArgumentValue", value)
}

func invalidRequest(format string, args ...any) *fault.Error {
	return fault.BadRequest("InvalidRequest", format, args...)
}

// InvalidRange refuses a range that has no byte of an object of that size.
func InvalidRange(requested string, size int64) *fault.Error {
	return with(fault.New("InvalidRange", http.StatusRequestedRangeNotSatisfiable, "The requested range is not satisfiable"),
		"RangeRequested", requested, "ActualObjectSize", strconv.FormatInt(size, 10))
}

// InvalidPartNumber refuses to read a part that an object does not have.
func InvalidPartNumber(requested, actual int) *fault.Error {
	return with(fault.New("InvalidPartNumber", http.StatusRequestedRangeNotSatisfiable, "The requested partnumber is not satisfiable"),
		"PartNumberRequested", strconv.Itoa(requested), "ActualPartCount", strconv.Itoa(actual))
}

// diskFull is not one of S3's, whose disks are never full. SDKs do not retry a
// 507, which would not help.
func diskFull(cause error) *fault.Error {
	return fault.New("InsufficientStorage", http.StatusInsufficientStorage,
		"The disk of this server is full; nothing was written. Free some space and try again.").Because(cause)
}

// failed wraps an error that is not the caller's as "verb noun id: cause", and
// finds out the full disk in it. Faults stay as they are.
func failed(err error, format string, args ...any) error {
	var f *fault.Error
	if err == nil || errors.As(err, &f) {
		return err
	}
	err = fmt.Errorf(format+": %w", append(args, err)...)
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		err = fmt.Errorf("%w: %w", store.ErrFull, err)
	}
	if errors.Is(err, store.ErrFull) {
		return diskFull(err)
	}
	return err
}
