// Package isolation has a session of the real server try to leave its sandbox, reach
// the server and its data, and be somebody else. What one sandbox may do of itself
// is the contract suite's (internal/sandbox/sandboxtest); here are the probes that
// need a whole product around them.
package isolation
