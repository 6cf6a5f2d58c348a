// Command outcrop is the server and the command line of Outcrop.
package main

import (
	"os"
	"runtime/debug"

	"github.com/outcrop/outcrop/internal/cli"
)

// version is set by the build: -ldflags "-X main.version=...".
var version string

func main() {
	p := cli.Process(versionText())
	wire(p)
	os.Exit(p.Main())
}

// versionText is the build's version, or the commit where go build was used by hand.
func versionText() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && len(s.Value) >= 12 {
				return "dev-" + s.Value[:12]
			}
		}
	}
	return "dev"
}
