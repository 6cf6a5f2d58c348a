//go:build !unix

package statefile

// lock does nothing: only serve writes the list, and it does not run here.
func lock(string) (unlock func(), err error) { return func() {}, nil }
