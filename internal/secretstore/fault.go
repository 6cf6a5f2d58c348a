package secretstore

import (
	"errors"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/store"
)

// The names that Secrets Manager has for its refusals; SDKs tell them apart by
// these. All come with status 400 (its model).
const (
	CodeNotFound         = "ResourceNotFoundException"
	CodeExists           = "ResourceExistsException"
	CodeInvalidRequest   = "InvalidRequestException"
	CodeInvalidParameter = "InvalidParameterException"
	CodeDecryption       = "DecryptionFailure"
	CodeEncryption       = "EncryptionFailure"
	CodeLimit            = "LimitExceededException"
)

// NotFound says that there is no such secret.
func NotFound() *fault.Error {
	return fault.BadRequest(CodeNotFound, "Secrets Manager can't find the specified secret.")
}

// InvalidParameter refuses a value.
func InvalidParameter(format string, args ...any) *fault.Error {
	return fault.BadRequest(CodeInvalidParameter, format, args...)
}

// InvalidRequest refuses what cannot be done to a secret as it is.
func InvalidRequest(format string, args ...any) *fault.Error {
	return fault.BadRequest(CodeInvalidRequest, format, args...)
}

func deleted() *fault.Error {
	return InvalidRequest("You can't perform this operation on the secret because it was marked for deletion.")
}

func managedBy(name, service string) *fault.Error {
	if service == "" {
		return InvalidRequest("The secret %s is not one that a service manages.", name)
	}
	return InvalidRequest("You can't perform this operation on the secret %s because it is managed by %s. Use the operations of that service.", name, service)
}

func noValue(what, value string) *fault.Error {
	return fault.BadRequest(CodeNotFound, "Secrets Manager can't find the specified secret value for %s: %s", what, value)
}

func exists(name string) *fault.Error {
	return fault.BadRequest(CodeExists, "The operation failed because the secret %s already exists.", name)
}

func tokenUsed(token, arn string) *fault.Error {
	return fault.BadRequest(CodeExists, "You can't use ClientRequestToken %s because that value is already in use for a version of secret %s.", token, arn)
}

// IsNotFound reports whether an error says that there is no such secret, version or
// label.
func IsNotFound(err error) bool { return fault.Is(err, CodeNotFound) }

// IsExists reports whether an error says that a name is taken.
func IsExists(err error) bool { return fault.Is(err, CodeExists) }

func isFault(err error) bool {
	_, ok := errors.AsType[*fault.Error](err)
	return ok
}

// missing gives the store's own error the service's words; others stay.
func missing(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return NotFound().Because(err)
	}
	return err
}
