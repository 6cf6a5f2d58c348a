package issuer

import (
	"errors"

	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/store"
)

// The names that Cognito has for its refusals; SDKs tell them apart by these. All
// come with status 400 (cognito-idp's model).
const (
	CodeNotAuthorized     = "NotAuthorizedException"
	CodeUserNotFound      = "UserNotFoundException"
	CodeUserNotConfirmed  = "UserNotConfirmedException"
	CodeUsernameExists    = "UsernameExistsException"
	CodeInvalidPassword   = "InvalidPasswordException"
	CodeInvalidParameter  = "InvalidParameterException"
	CodeNotFound          = "ResourceNotFoundException"
	CodeUnsupported       = "UnsupportedOperationException"
	CodeTooManyRequests   = "TooManyRequestsException"
	CodeLimit             = "LimitExceededException"
	CodeInvalidFlow       = "InvalidOAuthFlowException"
	CodeScopeUnknown      = "ScopeDoesNotExistException"
	CodeUnauthorized      = "UnauthorizedException"
	CodeUnsupportedToken  = "UnsupportedTokenTypeException"
	CodeGroupExists       = "GroupExistsException"
	CodeRefreshTokenReuse = "RefreshTokenReuseException"
)

// Invalid refuses a parameter.
func Invalid(format string, args ...any) *fault.Error {
	return fault.BadRequest(CodeInvalidParameter, format, args...)
}

// NotAuthorized refuses who is not proven, or not allowed.
func NotAuthorized(format string, args ...any) *fault.Error {
	return fault.BadRequest(CodeNotAuthorized, format, args...)
}

// Unsupported refuses a flow that is not here.
func Unsupported(format string, args ...any) *fault.Error {
	return fault.BadRequest(CodeUnsupported, format, args...)
}

func noPool(id string) *fault.Error {
	return fault.BadRequest(CodeNotFound, "User pool %s does not exist.", id)
}

func noClient(id string) *fault.Error {
	return fault.BadRequest(CodeNotFound, "User pool client %s does not exist.", id)
}

func noUser() *fault.Error { return fault.BadRequest(CodeUserNotFound, "User does not exist.") }

func wrongPassword() *fault.Error { return NotAuthorized("Incorrect username or password.") }

// missing gives the store's own error the words of f; others stay.
func missing(err error, f *fault.Error) error {
	if errors.Is(err, store.ErrNotFound) {
		return f.Because(err)
	}
	return err
}
