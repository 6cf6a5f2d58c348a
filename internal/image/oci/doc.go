// Package oci pulls OCI and Docker images from registries and makes of each one
// directory that a sandbox can have as its root.
//
// A registry and what it holds are hostile. No path of a layer is ever used on
// the host's file system while it is read: a layer's contents are written to
// files with numbers for names, and beside them lies an index of what its archive
// says. An image is composed of the indexes in memory, by the rules of the OCI
// image specification's "Image Layer Filesystem Changeset", and only what came of
// it is made on disk, name by name, its files as hard links to the contents. So a
// layer is stored once however many images have it, and neither a link of an
// earlier layer nor two dots lead anywhere.
//
// Contents are never opened for writing again: all images that have them share
// the same inodes, and guests see them read-only below an overlay of their own.
package oci
