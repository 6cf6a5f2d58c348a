//go:build !linux

package cli

// modesCount says that a file's mode says who can read it.
const modesCount = false

// checkMount does nothing: there is no server here, and no data directory.
func checkMount(string) []Finding { return nil }
