package sandboxtest

import "embed"

// agents are programs for interpreters.
//
//go:embed agents
var agents embed.FS
