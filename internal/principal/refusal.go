package principal

import (
	"net/http"

	"github.com/outcrop/outcrop/internal/fault"
)

// The names of IAM's refusals, which its clients look for.
const (
	CodeNoSuchEntity  = "NoSuchEntity"
	CodeExists        = "EntityAlreadyExists"
	CodeLimit         = "LimitExceeded"
	CodeConflict      = "DeleteConflict"
	CodeMalformed     = "MalformedPolicyDocument"
	CodeInvalid       = "InvalidInput"
	CodeUnmodifiable  = "UnmodifiableEntity"
	CodeNotAttachable = "PolicyNotAttachable"
	CodeValidation    = "ValidationError"
	// Those of STS.
	CodeDenied   = "AccessDenied"
	CodeTooLarge = "PackedPolicyTooLarge"
)

func noSuch(format string, args ...any) error {
	return fault.New(CodeNoSuchEntity, http.StatusNotFound, format, args...)
}

func exists(format string, args ...any) error {
	return fault.New(CodeExists, http.StatusConflict, format, args...)
}

func limit(format string, args ...any) error {
	return fault.New(CodeLimit, http.StatusConflict, format, args...)
}

func conflict(format string, args ...any) error {
	return fault.New(CodeConflict, http.StatusConflict, format, args...)
}

func invalid(format string, args ...any) error {
	return fault.BadRequest(CodeInvalid, format, args...)
}

func malformed(format string, args ...any) error {
	return fault.BadRequest(CodeMalformed, format, args...)
}

func validation(format string, args ...any) error {
	return fault.BadRequest(CodeValidation, format, args...)
}
