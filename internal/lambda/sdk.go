package lambda

import (
	"context"

	"github.com/outcrop/outcrop/internal/image"
)

// SDKs brings AWS's SDKs for functions whose zips have none.
type SDKs interface {
	// For returns the directory of what the code in dir needs and does not have, run by
	// an interpreter; empty for nothing. A warning says what it could not get and why.
	For(ctx context.Context, dir string, in image.Interpreter) (sdk, warning string)
}
