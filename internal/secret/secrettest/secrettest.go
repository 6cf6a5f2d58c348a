// Package secrettest makes boxes for tests of what keeps secrets.
package secrettest

import (
	"path/filepath"
	"testing"

	"github.com/outcrop/outcrop/internal/secret"
)

// Box returns a box with a key of its own.
func Box(t testing.TB) *secret.Box {
	t.Helper()
	return At(t, filepath.Join(t.TempDir(), "key.json"))
}

// At returns a box with the key in a file, which is made if it is not there: what one
// box sealed, another of the same path opens.
func At(t testing.TB, path string) *secret.Box {
	t.Helper()
	ring, _, err := secret.EnsureKeyFile(path)
	if err != nil {
		t.Fatal(err)
	}
	box, err := secret.NewBox(ring)
	if err != nil {
		t.Fatal(err)
	}
	return box
}
