// Package wheel reads what Python packages in a code zip say of themselves, finds
// the native code in it that this machine cannot run, and puts the same packages
// built for this machine in its place.
//
// Clients that make code zips for AWS vendor wheels for linux aarch64 whatever
// machine they are made on, because AWS runs agents on it (spec/runtime.md 2.3).
//
// Nothing read here is trusted: neither the zip nor the wheels that an index
// answers with. Paths that leave their directory are never followed, sizes are
// bounded, and nothing of a package is executed.
package wheel
