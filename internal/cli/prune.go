package cli

import (
	"bufio"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/spf13/cobra"

	"github.com/outcrop/outcrop/internal/api/model/outcrop"
)

// pruneKinds are what can be pruned: the server's kinds in lower case.
func pruneKinds() []string {
	return []string{"code", "snapshots", "hibernated", "storage", "executables", "temporary", "images", "layers", "uploads"}
}

// pruneFlags are those of prune.
type pruneFlags struct {
	all, dryRun, force, asJSON bool
	olderThan                  time.Duration
}

func newPrune(p *Program, f *flags) *cobra.Command {
	var o pruneFlags
	cmd := &cobra.Command{
		Use:   "prune [KIND...]",
		Short: "Remove what the server keeps on its disk and nobody needs",
		Long: `Removes what the server keeps on its disk and nobody needs any more, whatever account and region it was for:

  code          unpacked code that no version of an agent has
  snapshots     snapshots of versions that are too old to be used, and of agents that are gone
  hibernated    hibernating sessions that cannot be resumed any more, as after an upgrade
  storage       session storage that nobody has used for 14 days, and of agents that are gone
  executables   sandbox executables that another version of outcrop unpacked
  temporary     files that somebody began to write more than a day ago
  images        unpacked container images that no version of an agent has
  layers        layers of container images, and uploads of some, that no image has had need of for a day
  uploads       code zips that outcrop deploy put into storage, and no version of an agent was made from

Name some to leave the others alone. With --all it also removes what is of use but not in use now and can be had
again: all snapshots, which costs the next sessions a cold start, and the code and images of versions that no
endpoint and no session runs, if they can be fetched again, and layers after an hour. Hibernating sessions and session storage cannot be had again:
--all ends and removes those that are not in use only if their kind is named.

What is in use is never removed, and sessions may start meanwhile. On a terminal it shows what would be removed and
asks. The server does all this by itself every hour, without --all and but for hibernated and uploads.`,
		Example: "  outcrop prune --dry-run\n  outcrop prune --force\n  outcrop prune code snapshots --all --older-than 7d\n  outcrop prune storage --all --older-than 30d",
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, kind := range args {
				if !slices.Contains(pruneKinds(), kind) {
					return misuse("there is no kind %q to prune; there are %s", kind, strings.Join(pruneKinds(), ", "))
				}
			}
			if !o.force && !o.dryRun && !p.StdinTerminal {
				return misuse("prune asks before it removes anything, and nobody is there to answer; give --force, or --dry-run to see what it would remove")
			}
			return p.prune(cmd.Context(), f, args, o)
		},
	}
	cmd.Flags().BoolVarP(&o.all, "all", "a", false, "also remove what is of use but not in use now")
	cmd.Flags().Var((*age)(&o.olderThan), "older-than", "only what nobody has used for this `time`, such as 12h or 7d")
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "remove nothing, show what would be removed")
	cmd.Flags().BoolVarP(&o.force, "force", "f", false, "do not ask")
	cmd.Flags().BoolVar(&o.asJSON, "json", false, "print JSON")
	return cmd
}

func (p *Program) prune(ctx context.Context, f *flags, kinds []string, o pruneFlags) error {
	in := outcrop.PruneRequest{All: &o.all, DryRun: &o.dryRun}
	for _, kind := range kinds {
		in.Kinds = append(in.Kinds, strings.ToUpper(kind))
	}
	if o.olderThan > 0 {
		in.UnusedSeconds = aws.Int64(int64((o.olderThan + time.Second - 1) / time.Second))
	}
	c, err := p.connect(ctx, f)
	if err != nil {
		return err
	}
	if !o.force && !o.dryRun {
		look := in
		look.DryRun = aws.Bool(true)
		preview, err := c.Prune(ctx, look)
		if err != nil {
			return err
		}
		if removable(preview) > 0 {
			if err := p.confirmPrune(ctx, preview); err != nil {
				return err
			}
		}
	}
	out, err := c.Prune(ctx, in)
	if err != nil {
		return err
	}
	return p.printPruned(out, o)
}

func removable(r *outcrop.PruneResponse) (n int64) {
	for _, k := range r.Results {
		n += aws.ToInt64(k.Removed)
	}
	return n
}

// confirmPrune shows what would go, and returns an error unless the person
// agrees.
func (p *Program) confirmPrune(ctx context.Context, preview *outcrop.PruneResponse) error {
	for _, k := range preview.Results {
		if n := aws.ToInt64(k.Removed); n > 0 {
			p.say("  %-12s %6d   %s", pruneKind(k), n, size(aws.ToInt64(k.RemovedBytes)))
		}
	}
	return p.confirm(ctx, "Remove this?", "nothing was removed")
}

// confirm asks a person, and fails with what did not happen unless they agree.
func (p *Program) confirm(ctx context.Context, question, otherwise string) error {
	if _, err := fmt.Fprintf(p.Stderr, "%s [y/N] ", question); err != nil {
		return err
	}
	answer := make(chan string, 1)
	go func() { // a read of the terminal cannot be interrupted
		line, _ := bufio.NewReader(p.Stdin).ReadString('\n') // what was not read is no yes
		answer <- line
	}()
	select {
	case line := <-answer:
		if !strings.HasSuffix(line, "\n") {
			p.say("")
		}
		if a := strings.ToLower(strings.TrimSpace(line)); a == "y" || a == "yes" {
			return nil
		}
		return fail("", "%s", otherwise)
	case <-ctx.Done():
		p.say("")
		return ctx.Err()
	}
}

// pruneKind names a kind as people do. One of a newer server is what it is.
func pruneKind(k outcrop.PruneResult) string { return strings.ToLower(aws.ToString(k.Kind)) }

func (p *Program) printPruned(out *outcrop.PruneResponse, o pruneFlags) error {
	rows := make([]any, 0, len(out.Results))
	var table [][]string
	var failed []string
	var number, freed, left, kept int64
	for _, k := range out.Results {
		row := map[string]any{"kind": pruneKind(k)}
		put(row, "removed", k.Removed)
		put(row, "removedBytes", k.RemovedBytes)
		put(row, "left", k.Left)
		put(row, "leftBytes", k.LeftBytes)
		put(row, "failed", k.Failed)
		rows = append(rows, row)
		table = append(table, pruneRow(pruneKind(k), aws.ToInt64(k.Removed), aws.ToInt64(k.RemovedBytes), aws.ToInt64(k.Left), aws.ToInt64(k.LeftBytes)))
		number, freed = number+aws.ToInt64(k.Removed), freed+aws.ToInt64(k.RemovedBytes)
		left, kept = left+aws.ToInt64(k.Left), kept+aws.ToInt64(k.LeftBytes)
		if aws.ToBool(k.Failed) {
			failed = append(failed, pruneKind(k))
		}
	}
	head := []string{"KIND", "REMOVED", "FREED", "LEFT", "SIZE"}
	if o.dryRun {
		head[1], head[2] = "WOULD GO", "WOULD FREE"
	}
	var err error
	if o.asJSON {
		err = p.printJSON(rows)
	} else {
		err = p.printTable(head, append(table, pruneRow("total", number, freed, left, kept)))
	}
	if err != nil {
		return err
	}
	if len(failed) > 0 {
		return fail("The server's own log says why.", "not everything could be looked at or removed: %s", strings.Join(failed, ", "))
	}
	if number == 0 && !o.all && kept > 0 && !o.asJSON {
		p.say("There is nothing that nobody needs. What is of use but not in use now: outcrop prune --all --dry-run")
	}
	return nil
}

func pruneRow(kind string, removed, freed, left, kept int64) []string {
	return []string{kind, strconv.FormatInt(removed, 10), size(freed), strconv.FormatInt(left, 10), size(kept)}
}

// age is a time as people say how old something is: Go's, or days.
type age time.Duration

func (a *age) String() string {
	if *a == 0 {
		return ""
	}
	return time.Duration(*a).String()
}

// maxAge is what the server takes, a hundred years.
const maxAge = 36500 * 24 * time.Hour

// Set reads 7d, 36h or 90m.
func (a *age) Set(text string) error {
	days, isDays := strings.CutSuffix(text, "d")
	d, err := time.ParseDuration(text)
	if isDays {
		var n int64
		if n, err = strconv.ParseInt(days, 10, 32); err == nil && n <= int64(maxAge/(24*time.Hour)) {
			d = time.Duration(n) * 24 * time.Hour
		}
	}
	if err != nil || d <= 0 || d > maxAge {
		return fmt.Errorf("%q is no time, such as 12h or 7d", text)
	}
	*a = age(d)
	return nil
}

func (*age) Type() string { return "time" }
