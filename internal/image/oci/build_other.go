//go:build !linux

package oci

import "errors"

// build needs Linux, as the sandboxes do.
func build(*tree, string, []string, bool) error {
	return errors.ErrUnsupported
}
