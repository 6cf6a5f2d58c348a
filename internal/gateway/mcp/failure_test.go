package mcp

import (
	"fmt"
	"testing"

	"github.com/outcrop/outcrop/internal/gateway/target"
)

// TestAsked: what asks the caller for more is a result, as the target's side has made it.
func TestAsked(t *testing.T) {
	const asks = `{"resultType":"input_required","inputRequests":{}}`
	result, f := failed(fmt.Errorf("call: %w", &target.Asked{Result: []byte(asks)}), false, "r")
	if f != nil || string(typed(result)) != asks {
		t.Errorf("%s, %+v", result, f)
	}
}
