package sandboxtest

import (
	"slices"
	"testing"
)

// TestParts holds that the lists name tests that there are: one that was renamed
// would be left out and nobody would know.
func TestParts(t *testing.T) {
	names := map[string]bool{}
	for _, tt := range suite() {
		names[tt.name] = true
	}
	for _, name := range slices.Concat(ofStack(), ofUser()) {
		if !names[name] {
			t.Errorf("there is no test %s", name)
		}
	}
	if Whole.has("x") != true || (OfStack | OfUser).has("DialDeaf") || !(OfStack | OfUser).has("Dial") || !OfStack.has("DialDeaf") {
		t.Error("parts have not what they name")
	}
}
