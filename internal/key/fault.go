package key

import (
	"errors"
	"slices"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/store"
)

// The names that KMS has for its refusals; SDKs tell them apart by these. All come
// with status 400 (KMS's model).
const (
	CodeNotFound          = "NotFoundException"
	CodeDisabled          = "DisabledException"
	CodeInvalidState      = "KMSInvalidStateException"
	CodeInvalidCiphertext = "InvalidCiphertextException"
	CodeIncorrectKey      = "IncorrectKeyException"
	CodeInvalidUsage      = "InvalidKeyUsageException"
	CodeInvalidSignature  = "KMSInvalidSignatureException"
	CodeInvalidMAC        = "KMSInvalidMacException"
	CodeInvalidARN        = "InvalidArnException"
	CodeInvalidAlias      = "InvalidAliasNameException"
	CodeExists            = "AlreadyExistsException"
	CodeLimit             = "LimitExceededException"
	CodeUnsupported       = "UnsupportedOperationException"
	CodeValidation        = "ValidationException"
)

// NotFound says that there is no such key.
func NotFound(ref Ref) *fault.Error {
	return fault.BadRequest(CodeNotFound, "Key '%s' does not exist", ref.ARN())
}

func noAlias(scope store.Scope, name string) *fault.Error {
	return fault.BadRequest(CodeNotFound, "Alias %s is not found.", aliasARN(scope, name))
}

// PendingDeletionFault says that a key waits for its deletion.
func PendingDeletionFault(ref Ref) *fault.Error {
	return fault.BadRequest(CodeInvalidState, "%s is pending deletion.", ref.ARN())
}

func invalidARN(text string) *fault.Error {
	return fault.BadRequest(CodeInvalidARN, "Invalid arn '%s'", text)
}

func invalid(format string, args ...any) *fault.Error {
	return fault.BadRequest(CodeValidation, format, args...)
}

func wrongUsage(ref Ref, usage Usage, operation string) *fault.Error {
	return fault.BadRequest(CodeInvalidUsage, "%s key usage is %s which is not valid for %s.", ref.ARN(), usage, operation)
}

// does refuses a key that is for another usage, or has not the algorithm.
func (k *Key) does(usage Usage, a Algorithm, operation string) error {
	if k.Usage != usage {
		return wrongUsage(k.Ref, k.Usage, operation)
	}
	if !slices.Contains(Algorithms(k.Spec, k.Usage), a) {
		return fault.BadRequest(CodeInvalidUsage, "Algorithm %s is incompatible with key spec %s.", a, k.Spec)
	}
	return nil
}

// usable refuses a key that cannot be used now.
func (k *Key) usable() error {
	switch k.State() {
	case PendingDeletion:
		return PendingDeletionFault(k.Ref)
	case Disabled:
		return fault.BadRequest(CodeDisabled, "%s is disabled.", k.ARN())
	}
	return nil
}

// missing gives the store's own error the words of f; others stay.
func missing(err error, f *fault.Error) error {
	if errors.Is(err, store.ErrNotFound) {
		return f.Because(err)
	}
	return err
}
