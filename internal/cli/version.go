package cli

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"
)

func newVersion(p *Program, _ *flags) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Print the version of this program",
		Example: "  outcrop version\n  outcrop version --json",
		Args:    arguments(0, 0),
		RunE: func(*cobra.Command, []string) error {
			if asJSON {
				return p.printJSON(map[string]string{"version": p.Version, "go": runtime.Version(), "os": runtime.GOOS, "architecture": runtime.GOARCH})
			}
			_, err := fmt.Fprintf(p.Stdout, "outcrop %s (%s/%s, %s)\n", p.Version, runtime.GOOS, runtime.GOARCH, runtime.Version())
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
