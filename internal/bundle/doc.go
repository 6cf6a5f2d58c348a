// Package bundle makes a folder into a code zip for AgentCore's direct code
// deployment: it finds the entry point, chooses the runtime, vendors the
// dependencies for the server's platform by the user's own uv or pip, and writes
// a zip that is the same whenever its input is.
//
// It runs on the client: on Linux, macOS and Windows.
package bundle
