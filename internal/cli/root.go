package cli

import (
	"errors"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// flags are those that every client command understands.
type flags struct {
	endpoint, data, region string
	token                  string // of a user, by the command's own flags: who has one needs no key
}

func (f *flags) register(fs *pflag.FlagSet) {
	fs.Var((*nonEmpty)(&f.endpoint), "endpoint", "server's `URL` (default: AWS_ENDPOINT_URL, else the newest running server of this user)")
	fs.Var((*nonEmpty)(&f.data), "data", "server's data `directory` (default: outcrop in XDG_DATA_HOME or ~/.local/share)")
	fs.Var((*regionName)(&f.region), "region", "AWS `region` to work in (default: the account's own, or AWS_REGION along with AWS_ENDPOINT_URL)")
}

// suffix repeats the flags that lead to the server, for commands we suggest.
func (f *flags) suffix() string {
	var b strings.Builder
	for _, flag := range []struct{ name, value string }{{"endpoint", f.endpoint}, {"data", f.data}, {"region", f.region}} {
		if flag.value != "" {
			b.WriteString(" --" + flag.name + " " + quotePOSIX(flag.value))
		}
	}
	return b.String()
}

const longHelp = `Outcrop is an open, self-hosted server that is compatible with the Amazon Bedrock AgentCore API.

  outcrop serve                                   run the server, on this machine
  eval "$(outcrop env)"                           point boto3, the AWS CLI and every AWS SDK at it
  outcrop deploy examples/hello                   package an agent's folder and deploy it
  outcrop invoke hello '{"prompt": "hi"}'         run it and stream its answer

What is meant for scripts goes to standard output, everything else to standard error. Exit codes: 0 it worked,
1 it did not, 2 the command was misused, 130 Ctrl-C.`

// newRoot builds the tree of commands for one run.
func newRoot(p *Program) *cobra.Command {
	f := &flags{}
	root := &cobra.Command{
		Use:   "outcrop",
		Short: "An open server compatible with the Amazon Bedrock AgentCore API",
		Long:  longHelp,
		// Errors are printed once, by Run, with what to do about them.
		SilenceErrors: true, SilenceUsage: true,
		Version: p.Version,
	}
	root.SetVersionTemplate("outcrop {{.Version}}\n")
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		f := misuse("%w", inWords(err))
		f.fix = "See: " + cmd.CommandPath() + " --help"
		return f
	})
	f.register(root.PersistentFlags())
	root.PersistentFlags().BoolVar(&p.verbose, "verbose", false, "show errors in full, as they came")
	root.AddGroup(&cobra.Group{ID: "server", Title: "Server:"}, &cobra.Group{ID: "agents", Title: "Agents:"})
	for _, c := range []*cobra.Command{newServe(p, f), newEnv(p, f), newCA(p, f), newNetwork(p, f), newPool(p, f), newUsers(p, f), newRole(p, f), newPolicy(p, f), newDoctor(p, f), newPrune(p, f), newBackup(p, f), newRestore(p, f), newService(p, f), newVersion(p, f)} {
		c.GroupID = "server"
		root.AddCommand(c)
	}
	for _, c := range []*cobra.Command{
		newDeploy(p, f), newInvoke(p, f), newExec(p, f), newPorts(p, f), newLogs(p, f), newAudit(p, f), newSessions(p, f), newList(p, f), newEndpoint(p, f), newStop(p, f), newDelete(p, f),
	} {
		c.GroupID = "agents"
		root.AddCommand(c)
	}
	return root
}

// nonEmpty is a text that says something: of an empty one, as an unset variable of a
// script leaves it, another server would be taken than was meant.
type nonEmpty string

func (g *nonEmpty) String() string { return string(*g) }

func (g *nonEmpty) Set(text string) error {
	if text == "" {
		return errors.New("it is empty; name one, or leave the flag out")
	}
	*g = nonEmpty(text)
	return nil
}

func (*nonEmpty) Type() string { return "string" }

// inWords replaces the words of package strconv in the refusal of a flag.
func inWords(err error) error {
	var number *strconv.NumError
	if !errors.As(err, &number) {
		return err
	}
	words := strconv.Quote(number.Num) + " is no whole number"
	switch {
	case errors.Is(number, strconv.ErrRange):
		words = number.Num + " is beyond all bounds"
	case number.Func == "ParseFloat":
		words = strconv.Quote(number.Num) + " is no number"
	case number.Func == "ParseBool":
		words = strconv.Quote(number.Num) + " is neither true nor false"
	}
	return errors.New(strings.Replace(err.Error(), number.Error(), words, 1))
}

// arguments checks how many arguments a command gets; a wrong number is misuse.
func arguments(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) >= least && len(args) <= most {
			return nil
		}
		f := misuse("%s takes %s, not %d", cmd.Name(), count(least, most), len(args))
		f.fix = "Usage: " + cmd.UseLine() + "\nSee: " + cmd.CommandPath() + " --help"
		return f
	}
}

func count(least, most int) string {
	switch {
	case most == 0:
		return "no arguments"
	case least == 1 && most == 1:
		return "one argument"
	case least == 0 && most == 1:
		return "at most one argument"
	}
	return "one or two arguments"
}
