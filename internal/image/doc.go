// Package image makes what a sandbox runs out of what a caller uploaded: it
// checks and unpacks code zips into a cache addressed by content, finds the
// host's interpreters, and says how the two are started together.
//
// A code zip is hostile until it is unpacked. Everything that can be refused is
// refused before the first byte is written, and what is written later is bounded
// by what was checked.
//
// Package oci does the same for images of registries.
package image
