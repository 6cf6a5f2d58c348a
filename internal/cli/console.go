package cli

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/term"
)

// A Console is the terminal at which a person sits, with its keys and its screen.
type Console interface {
	// Raw has every key come as it is typed and every byte shown as it is, until
	// restore makes the terminal what it was. restore may be called again.
	Raw() (restore func() error, err error)
	// Size is how large it is in characters; 0, 0 is unknown.
	Size() (columns, rows int)
	// Resized sends whenever the size may have changed, until ctx ends.
	Resized(ctx context.Context) <-chan struct{}
}

// processConsole is the terminal of this process, or nil where it has none.
func processConsole() Console {
	in, out := int(os.Stdin.Fd()), int(os.Stdout.Fd())
	if !term.IsTerminal(in) || !term.IsTerminal(out) {
		return nil
	}
	return &console{in: in, out: out}
}

// console is a terminal by its descriptors.
type console struct{ in, out int }

// Raw implements Console.
func (c *console) Raw() (func() error, error) {
	was, err := term.MakeRaw(c.in)
	if err != nil {
		return nil, fmt.Errorf("make terminal raw: %w", err)
	}
	plain, err := understandSequences(c.out)
	if err != nil {
		_ = term.Restore(c.in, was)
		return nil, fmt.Errorf("make terminal understand control sequences: %w", err)
	}
	return func() error {
		plain()
		return term.Restore(c.in, was)
	}, nil
}

// Size implements Console.
func (c *console) Size() (columns, rows int) {
	columns, rows, err := term.GetSize(c.out)
	if err != nil {
		return 0, 0
	}
	return columns, rows
}

// untilHangup ends also when the terminal goes away, or somebody asks for our
// end in a way that a terminal that is raw would not survive.
func untilHangup(ctx context.Context) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(ctx, syscall.SIGHUP, syscall.SIGQUIT)
}

// readSecret asks at the terminal of standard input, which shows nothing of what
// is typed, and is what it was when it returns.
func readSecret(ctx context.Context, prompt string) (string, error) {
	in := int(os.Stdin.Fd())
	was, err := term.GetState(in)
	if err != nil {
		return "", fmt.Errorf("ask at terminal: %w", err)
	}
	if _, err := fmt.Fprint(os.Stderr, prompt); err != nil {
		return "", fmt.Errorf("ask at terminal: %w", err)
	}
	type answer struct {
		text []byte
		err  error
	}
	given := make(chan answer, 1)
	go func() { // a read of the terminal cannot be interrupted
		text, err := term.ReadPassword(in)
		given <- answer{text, err}
	}()
	defer fmt.Fprintln(os.Stderr)
	select {
	case a := <-given:
		if a.err != nil {
			return "", fmt.Errorf("ask at terminal: %w", a.err)
		}
		return string(a.text), nil
	case <-ctx.Done():
		_ = term.Restore(in, was) // it is left to its person
		return "", ctx.Err()
	}
}
