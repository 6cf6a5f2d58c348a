package cli

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/outcrop/outcrop/internal/client"
)

// The exit codes. A command that a signal ended has 128 and its number, as in
// shells: 130 for Ctrl-C.
const (
	exitOK          = 0
	exitFailure     = 1
	exitUsage       = 2
	exitInterrupted = 130
)

// Program is one run of the command line.
type Program struct {
	// Name is what to type for this program in any directory; "" is outcrop.
	Name string
	// Executable is where this program is; empty is unknown.
	Executable string
	// Args are the arguments without the program's name.
	Args           []string
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// StdinTerminal, StdoutTerminal and StderrTerminal say where a person is.
	StdinTerminal, StdoutTerminal, StderrTerminal bool
	// Console is the terminal of Stdin and Stdout; nil where they are none.
	Console Console
	// Columns is how wide the terminal of Stderr is; 0 is unknown.
	Columns func() int
	// Environ is the environment as NAME=VALUE.
	Environ []string
	Version string
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Serve runs the server; nil on systems that cannot.
	Serve Server
	// Interpreter checks what --interpreter names; nil checks nothing.
	Interpreter InterpreterCheck
	// Backup and Restore copy data directories; nil on systems that cannot serve.
	Backup  Backup
	Restore Restore
	// ReadSecret asks the person at the terminal for something that nobody else
	// is to see; nil where nobody is.
	ReadSecret func(ctx context.Context, prompt string) (string, error)
	// Diagnose checks the host for doctor; nil on systems that cannot serve.
	Diagnose Diagnose

	verbose bool           // --verbose
	target  *client.Target // whom this run talks to, for explanations
	trusted *x509.CertPool // over TLS, in place of the system's
	address string         // where serve listens unless told otherwise

	systemUnits string // where the system's units are; empty is defaultSystemUnits
}

// Process returns the program as this process was started.
func Process(version string) *Program {
	executable, err := os.Executable()
	if err != nil {
		executable = ""
	}
	p := &Program{
		Name: typedName(), Executable: executable, Args: os.Args[1:], Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		StdinTerminal:  term.IsTerminal(int(os.Stdin.Fd())),
		StdoutTerminal: term.IsTerminal(int(os.Stdout.Fd())),
		StderrTerminal: term.IsTerminal(int(os.Stderr.Fd())),
		Console:        processConsole(),
		Columns:        func() int { width, _, _ := term.GetSize(int(os.Stderr.Fd())); return width }, // 0 where it has none
		Environ:        os.Environ(),
		Version:        version,
	}
	if p.StdinTerminal {
		p.ReadSecret = readSecret
	}
	return p
}

// typedName is outcrop where the shell finds this program by that name, and else
// its path: what we tell people to type must work.
func typedName() string {
	self, err := os.Executable()
	if err != nil {
		return ""
	}
	found, err := exec.LookPath("outcrop")
	if err == nil && canonical(found) == canonical(self) {
		return ""
	}
	return quotePOSIX(self)
}

// Main runs the program until it is done or a signal asks it to end, and returns
// the exit code. A second signal ends the process at once. When nobody reads its
// output any more it ends by itself, and tidies up; when nobody reads what it
// tells on the way, it goes on.
func (p *Program) Main() int {
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) // not Ignore, which the programs that we run would inherit
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	return p.Run(ctx)
}

// Run runs the program and returns the exit code.
func (p *Program) Run(ctx context.Context) int {
	if p.Now == nil {
		p.Now = time.Now
	}
	p.address = cmp.Or(p.address, defaultListen)
	root := newRoot(p)
	root.SetArgs(p.Args)
	root.SetIn(p.Stdin)
	root.SetOut(p.Stdout)
	root.SetErr(p.Stderr)
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return exitOK
	case ctx.Err() != nil:
		return exitInterrupted
	case outputGone(err):
		return exitFailure
	}
	report := p.explain(ctx, err)
	if !report.silent {
		p.printFailure(report)
	}
	p.sayRaw(err, report)
	return cmp.Or(report.code, exitFailure)
}

// outputGone reports whether whoever read our output has gone, as head does. A
// server that has gone says the same of a connection.
func outputGone(err error) bool {
	var connection *net.OpError
	return errors.Is(err, syscall.EPIPE) && !errors.As(err, &connection)
}

func (p *Program) printFailure(f *failure) {
	p.say("outcrop: %s", f.text)
	for line := range strings.SplitSeq(f.fix, "\n") {
		if line != "" {
			p.say("  %s", line)
		}
	}
}

// sayRaw shows an error as it came, to who wants to see more than our words for it.
func (p *Program) sayRaw(err error, shown *failure) {
	if known := (*failure)(nil); errors.As(err, &known) && known.cause != nil {
		err = known.cause
	}
	if raw := err.Error(); p.verbose && raw != shown.text {
		p.say("  In full: %s", raw)
	}
}

// say writes a line for the person at the terminal.
func (p *Program) say(format string, args ...any) {
	_, _ = io.WriteString(p.Stderr, p.shown(p.typed(fmt.Sprintf(format+"\n", args...)))) // nobody is left to tell
}

// shown is a text as a terminal may see it: an agent's error or a server's
// answer may be in it.
func (p *Program) shown(text string) string {
	if !p.StderrTerminal {
		return text
	}
	return harmless(text)
}

// typed shows commands, which begin with "outcrop" in our texts, as this person
// has to type them.
func (p *Program) typed(text string) string {
	if p.Name == "" {
		return text
	}
	return ownCommand.ReplaceAllStringFunc(text, func(match string) string {
		if rest, ours := strings.CutPrefix(match, "outcrop "); ours && !strings.HasPrefix(rest, "outcrop") {
			return p.Name + " " + rest
		}
		return match // typed into another machine's shell
	})
}

// ownCommand finds our commands in a text, and what runs them elsewhere.
var ownCommand = regexp.MustCompile(`\b(limactl shell outcrop |wsl )?outcrop (serve|service|backup|restore|env|ca|network|pool|user|role|policy|deploy|endpoint|invoke|exec|ports|logs|audit|sessions|ls|stop|delete|prune|doctor|version|--help)\b`)

// env returns a variable of the environment, or "".
func (p *Program) env(name string) string {
	v, _ := p.lookup(name)
	return v
}

// lookup tells an empty variable from one that is not set. Of several the last
// one counts, as in exec.Cmd.
func (p *Program) lookup(name string) (value string, set bool) {
	for i := len(p.Environ) - 1; i >= 0; i-- {
		if k, v, ok := strings.Cut(p.Environ[i], "="); ok && k == name {
			return v, true
		}
	}
	return "", false
}
