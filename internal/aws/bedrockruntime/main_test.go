package bedrockruntime_test

import (
	"testing"

	"go.uber.org/goleak"
)

// A client that has gone must leave nothing behind, here or at the provider's connection.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
