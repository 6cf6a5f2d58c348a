package lambda

import (
	"net/http"

	"github.com/outcrop/outcrop/internal/fault"
)

// Lambda's errors have two more members, and some write Message with a capital.

// user is an error of the caller's.
func user(code string, status int, format string, args ...any) *fault.Error {
	e := fault.New(code, status, format, args...)
	e.Members = map[string]string{"Type": "User"}
	return e
}

func invalidParameter(format string, args ...any) *fault.Error {
	return user("InvalidParameterValueException", http.StatusBadRequest, format, args...)
}

// notFound says that there is no function by an ARN, qualifier included.
func notFound(arn string) *fault.Error {
	e := user("ResourceNotFoundException", http.StatusNotFound, "Function not found: %s", arn)
	e.Members["Message"] = e.Message
	return e
}

func conflict(format string, args ...any) *fault.Error {
	return user("ResourceConflictException", http.StatusConflict, format, args...)
}

// stale refuses a change of another revision than the caller has seen.
func stale() *fault.Error {
	return user("PreconditionFailedException", http.StatusPreconditionFailed, "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to retrieve the latest Revision Id")
}

// tooLarge refuses a payload; it says so in Lambda's words.
func tooLarge(size int) *fault.Error {
	return user("RequestTooLargeException", http.StatusRequestEntityTooLarge, "Request must be smaller than %d bytes for the InvokeFunction operation", size)
}

// throttled says that no more environments are to be had.
func throttled(why string) *fault.Error {
	e := user("TooManyRequestsException", http.StatusTooManyRequests, "Rate Exceeded. %s", why)
	e.Members["Reason"] = "ConcurrentInvocationLimitExceeded"
	return e
}
