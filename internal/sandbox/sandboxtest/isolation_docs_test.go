package sandboxtest

import (
	"flag"
	"testing"
)

var update = flag.Bool("update", false, "write what is probed into the page")

func TestDocs(t *testing.T) { CheckDocs(t, "../../../docs/sandbox.md", "engine", *update, Probes()) }
