package pipeline

import (
	"net/http"

	"github.com/outcrop/outcrop/internal/fault"
)

// s3Words gives the refusals that every protocol has the names that S3's
// clients know.
func s3Words(f *fault.Error) *fault.Error {
	c := *f
	switch f.Code {
	case "ValidationException":
		c.Code, c.Reason = "InvalidArgument", ""
		if f.Header.Get("X-Outcrop-Refused") != "" {
			c.Code = "NotImplemented"
		}
	case "RequestEntityTooLargeException":
		c.Code, c.Status = "MaxMessageLengthExceeded", http.StatusBadRequest
	}
	return &c
}
