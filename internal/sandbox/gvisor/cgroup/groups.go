// Package cgroup bounds sandboxes by control groups of the host's kernel, of
// version 1 (root) or 2 (whoever was delegated a part of the tree).
//
// The engine finds a place for them (Find) and readies it (Place.Ready); the
// supervisor makes one group a sandbox there (Groups.New). All lie below the
// group that the server runs in, so that what an operator allows the server
// bounds its sandboxes too. A killed server leaves empty directories; the next
// one in the same group removes them.
package cgroup

// Groups are the directories in which sandboxes' groups are made. The zero value
// means that there are none.
type Groups struct {
	// Unified is the one of version 2.
	Unified string `json:"unified,omitempty"`
	// Memory and CPU are those of version 1.
	Memory string `json:"memory,omitempty"`
	CPU    string `json:"cpu,omitempty"`
	// BoundsCPU says that processor time can be bounded.
	BoundsCPU bool `json:"boundsCPU,omitempty"`
}

// Any tells whether there are any; they bound memory then.
func (g Groups) Any() bool { return g.Unified != "" || g.Memory != "" }
