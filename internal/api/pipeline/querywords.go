package pipeline

import "github.com/outcrop/outcrop/internal/fault"

// queryWords gives the refusal that every protocol has the name that clients of the
// query services know.
func queryWords(f *fault.Error) *fault.Error {
	if f.Code != "ValidationException" {
		return f
	}
	c := *f
	c.Code, c.Reason = "ValidationError", ""
	return &c
}
