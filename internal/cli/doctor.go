package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/spf13/cobra"

	"github.com/outcrop/outcrop/internal/api/model/outcrop"
	"github.com/outcrop/outcrop/internal/client"
)

// maxSkew is how far clocks may differ before signatures are refused
// (spec/identity.md: five minutes, as on AWS).
const maxSkew = 5 * time.Minute

func newDoctor(p *Program, f *flags) *cobra.Command {
	var asJSON bool
	var s serveFlags
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check what this host allows, and say how to mend what it does not",
		Long: `Checks the host, the data directory and the running server, and prints the exact fix for what is wrong. It changes
nothing, but for unpacking the sandbox executable into the data directory as serve does. The exit code is 1 if any
check fails.`,
		Example: "  outcrop doctor\n  outcrop doctor --json",
		Args:    arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := errors.Join(interpretersThere(s.interpreters), checkExecutable(s.sandbox)); err != nil {
				return err
			}
			return p.printFindings(p.findings(cmd.Context(), f, s), asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().StringArrayVar(&s.interpreters, "interpreter", nil, "`directory` of a Python or Node.js to look at too (may be repeated)")
	cmd.Flags().StringVar(&s.sandbox, "sandbox", "", "sandbox `executable` to use in place of the built-in one")
	return cmd
}

// findings runs all checks: of this host, if it can serve, and of the server.
func (p *Program) findings(ctx context.Context, f *flags, s serveFlags) []Finding {
	var all []Finding
	dir := f.data
	if dir == "" {
		dir = p.defaultData()
	}
	if p.Diagnose != nil && dir != "" {
		dir = canonical(dir)
		opt := ServeOptions{DataDir: dir, Sandbox: s.sandbox, Version: p.Version, Log: slog.New(slog.DiscardHandler)}
		for _, prefix := range s.interpreters {
			opt.InterpreterPrefixes = append(opt.InterpreterPrefixes, canonical(prefix))
		}
		all = append(all, p.Diagnose(ctx, opt)...)
		all = append(all, checkDirectory(dir)...)
	}
	all = append(all, p.checkState())
	return append(all, p.checkServer(ctx, f)...)
}

// checkDirectory looks at a data directory: its room, its mount, its modes.
func checkDirectory(dir string) []Finding {
	all := checkMount(dir)
	info, err := os.Stat(dir)
	f := Finding{Name: "permissions"}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		f.OK, f.Detail = true, dir+" is not there yet; serve makes it"
	case err != nil:
		f.Detail, f.Fix = err.Error(), "Choose another with --data."
	case !info.IsDir():
		f.Detail, f.Fix = dir+" is no directory", "Choose another with --data."
	case info.Mode().Perm()&0o077 != 0 && modesCount:
		f.Detail, f.Fix = fmt.Sprintf("%s can be read by others (mode %04o), and it holds keys", dir, info.Mode().Perm()), "chmod 700 "+quotePOSIX(dir)
	default:
		f = checkKey(dir)
	}
	return append(all, f)
}

func checkKey(dir string) Finding {
	f := Finding{Name: "permissions"}
	_, err := client.ReadCredentials(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		f.OK, f.Detail = true, dir+" has no account yet"
	case errors.Is(err, fs.ErrPermission):
		owner := ownerOf(dir)
		f.Detail = fmt.Sprintf("%s belongs to %s: its key is readable by %s only", dir, owner, owner)
		f.Fix = "Use a data directory of your own: --data DIRECTORY"
	case err != nil:
		damaged := damagedKey(dir, err)
		f.Detail, f.Fix = damaged.text, damaged.fix
	default:
		info, err := os.Stat(filepath.Join(dir, client.CredentialsName))
		if err == nil && info.Mode().Perm()&0o077 != 0 && modesCount {
			f.Detail = fmt.Sprintf("the access key in %s can be read by others (mode %04o)", dir, info.Mode().Perm())
			f.Fix = "chmod 600 " + quotePOSIX(filepath.Join(dir, client.CredentialsName))
			return f
		}
		f.OK, f.Detail = true, dir
	}
	return f
}

// checkState looks at the list of servers.
func (p *Program) checkState() Finding {
	f := Finding{Name: "list of servers"}
	list := p.state()
	records, err := p.records()
	var known *failure
	switch {
	case errors.As(err, &known):
		f.Detail, f.Fix = known.text, known.fix
		return f
	case list.Path == "":
		f.Detail, f.Fix = "neither XDG_STATE_HOME nor HOME is set", "Set HOME, or name the server with --data or --endpoint."
		return f
	}
	running := 0
	for _, r := range records {
		if list.Alive(r) {
			running++
		}
	}
	f.OK = true
	f.Detail = fmt.Sprintf("%d running, in %s", running, list.Path)
	if stale := len(records) - running; stale > 0 {
		f.Detail += fmt.Sprintf("; %d that ended without notice", stale)
	}
	return f
}

// checkServer asks the server who it is, what time it has and what it can run.
func (p *Program) checkServer(ctx context.Context, f *flags) []Finding {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	c, err := p.connect(ctx, f)
	if err != nil {
		return []Finding{failed("server", p.explain(ctx, err))}
	}
	clock, err := p.checkClock(ctx, c.Target().Endpoint)
	if err != nil {
		return []Finding{failed("server", p.explain(ctx, err))}
	}
	server, err := c.Server(ctx)
	if err != nil {
		return []Finding{clock, failed("server", p.explain(ctx, err))}
	}
	all := []Finding{clock, {
		Name: "server", OK: true,
		Detail: fmt.Sprintf("%s, version %s, pid %d, account %s, data in %s", c.Target().Endpoint, aws.ToString(server.Version),
			aws.ToInt32(server.ProcessId), aws.ToString(server.Account), aws.ToString(server.DataDirectory)),
	}}
	sandbox := Finding{Name: "server's sandboxes", OK: server.Sandbox != nil && aws.ToBool(server.Sandbox.Available)}
	if server.Sandbox != nil {
		sandbox.Detail, sandbox.Fix = aws.ToString(server.Sandbox.Reason), aws.ToString(server.Sandbox.Fix)
		if sandbox.OK {
			sandbox.Detail = aws.ToString(server.Sandbox.Engine)
		}
	}
	runtimes := Finding{Name: "server's runtimes", OK: len(server.Interpreters) > 0, Detail: servedRuntimes(server.Interpreters)}
	if !runtimes.OK {
		runtimes.Detail, runtimes.Fix = "the server has no interpreter", "Install Python 3.10 or newer on its machine, or start it with --interpreter DIRECTORY."
	}
	return append(all, sandbox, runtimes)
}

// servedRuntimes names each runtime of the server and what runs it.
func servedRuntimes(all []outcrop.Interpreter) string {
	var names []string
	for _, i := range all {
		how := aws.ToString(i.Version)
		if at := aws.ToString(i.Executable); at != "" {
			how += " at " + at
		}
		names = append(names, aws.ToString(i.Runtime)+" ("+how+")")
	}
	return strings.Join(names, ", ")
}

func failed(name string, f *failure) Finding { return Finding{Name: name, Detail: f.text, Fix: f.fix} }

func (p *Program) checkClock(ctx context.Context, endpoint string) (Finding, error) {
	f := Finding{Name: "clock", OK: true}
	before := p.Now()
	seen, err := client.Probe(ctx, endpoint, p.trusted)
	if err != nil {
		return f, err
	}
	if seen.Clock.IsZero() {
		f.Detail = "the server does not tell its time"
		return f, nil
	}
	skew := before.Sub(seen.Clock)
	if skew.Abs() > maxSkew {
		f.OK = false
		f.Detail = fmt.Sprintf("this machine's clock differs from the server's by %s; signatures are refused from 5 minutes on", skew.Abs().Round(time.Second))
		f.Fix = clockFix
		return f, nil
	}
	f.Detail = "agrees with the server's"
	return f, nil
}

func (p *Program) printFindings(all []Finding, asJSON bool) error {
	bad := 0
	for _, f := range all {
		if !f.OK {
			bad++
		}
	}
	if asJSON {
		if err := p.printJSON(all); err != nil {
			return err
		}
	} else if err := p.printFindingLines(all); err != nil {
		return err
	}
	if bad > 0 {
		return &failure{text: "checks failed", silent: true}
	}
	return nil
}

// maxFindingName is how long a finding's name may be that the others are aligned with: a
// path is in some.
const maxFindingName = 20

func (p *Program) printFindingLines(all []Finding) error {
	width := 0
	for _, f := range all {
		if len(f.Name) <= maxFindingName {
			width = max(width, len(f.Name))
		}
	}
	for _, f := range all {
		mark, detail := "ok  ", f.Detail
		switch {
		case !f.OK:
			mark = "FAIL"
		case f.Fix != "": // nobody has to
			mark, detail = "-   ", p.typed(f.Detail+". To add it: "+f.Fix)
		}
		if _, err := fmt.Fprintf(p.Stdout, "%s  %-*s  %s\n", mark, width, f.Name, detail); err != nil {
			return err
		}
		if f.Fix == "" || f.OK {
			continue
		}
		if _, err := fmt.Fprint(p.Stdout, indent(p.typed(f.Fix), width+8)); err != nil {
			return err
		}
	}
	return nil
}
