package sandbox

import (
	"context"
	"io"
	"time"
)

// A Command is what Sandbox.Execute runs in a guest.
type Command struct {
	// Args is the command, looked up in its PATH when it has no slash.
	Args []string

	// Env is its environment, as Spec.Env. Nil means the guest's.
	Env []string

	// Dir is its absolute working directory. Empty means the guest's.
	Dir string

	// Terminal gives the command a terminal of this size, with job control, in
	// place of pipes: it reads what is typed from Stdin, all that it shows goes to
	// Stdout, and Stderr is not used. Nil means none.
	Terminal *Window

	// Stdin is what the command reads; nil means nothing. It is read from one
	// goroutine that ends with it: whoever gives one that blocks makes it return
	// once the Process is done.
	Stdin io.Reader

	// Stdout and Stderr receive what the command writes, as those of a Spec do.
	Stdout, Stderr io.Writer
}

// A Window is the size of a terminal, in characters.
type Window struct{ Columns, Rows uint16 }

// A Process is a command that runs in a guest, or has run. Its methods may be
// called concurrently.
type Process interface {
	// Done is closed when the command has ended, all it wrote was delivered and
	// its writers are not used any more. What processes that it left behind write
	// after that is dropped.
	Done() <-chan struct{}

	// Exit tells how the command ended: Exited, Stopped by Stop, or Destroyed with
	// its sandbox. Before Done is closed it is the zero Status.
	Exit() Status

	// Resize tells the command that its terminal's size is another; without a
	// Terminal it is an error.
	Resize(size Window) error

	// Stop sends SIGTERM to the command and the processes of its group (SIGHUP to
	// those in the foreground of its Terminal, as when a line is hung up), and
	// SIGKILL to what is left of them once it has ended, or grace is over. It
	// returns nil once Done is closed, or ctx's error; the killing goes on in that
	// case. It is idempotent.
	Stop(ctx context.Context, grace time.Duration) error
}

// Validate tells what no engine can run. Its errors match ErrInvalid and name the
// field.
func (c Command) Validate() error {
	if err := validCommand(c.Args, c.Env, c.Dir); err != nil {
		return err
	}
	if c.Terminal != nil && c.Stderr != nil {
		return invalid("Stderr: what runs on a Terminal has none")
	}
	return nil
}
