package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/gorilla/websocket"

	"github.com/outcrop/outcrop/internal/client"
)

// detachedFor is how long a shell runs on that nobody is connected to
// (spec/runtime.md 9.3), and so how long a lost connection is made again.
const detachedFor = 15 * time.Minute

// replacedCode closes a connection whose shell another one took over.
const replacedCode = 4000

// frameEvery keeps what is typed below the 250 frames a second of
// spec/runtime.md 9.1; what comes meanwhile goes into the next frame.
const frameEvery = 5 * time.Millisecond

// maxPending is up to where keys are read that the shell has not taken, in bytes.
const maxPending = 1 << 20

// An interaction is a person at a shell, over as many connections as it takes.
type interaction struct {
	p     *Program
	c     *client.Client
	e     execution
	named bool          // somebody asked for the shell by its id
	typed <-chan []byte // closed when there is nobody to type
	size  <-chan struct{}
	keys  keyboard

	rest    []byte // typed, and not looked at yet
	pending []byte // to be sent to the shell
}

// lostError says that a connection ended and another one may go on.
type lostError struct{ err error }

func (e *lostError) Error() string { return "the connection was lost: " + e.err.Error() }
func (e *lostError) Unwrap() error { return e.err }

// interact opens an interactive shell. Whatever happens, the terminal is what it
// was when it returns.
func (p *Program) interact(ctx context.Context, f *flags, e execution) error {
	c, err := p.openSession(ctx, f, &e.invocation)
	if err != nil {
		return p.notStarted(ctx, err)
	}
	named := e.shell != ""
	shell, err := c.Shell(ctx, e.place(), e.shell)
	if err != nil {
		return p.notStarted(ctx, p.invokeFailure(ctx, c, err, e.invocation))
	}
	e.shell = shell.ID
	p.say("Session %s, shell %s. After Enter, ~. leaves it running and ~? shows more.", e.session, e.shell)
	ctx, stop := untilHangup(ctx)
	defer stop()
	restore, err := p.Console.Raw()
	if err != nil {
		shell.Close()
		return p.notStarted(ctx, err)
	}
	defer func() { _ = restore() }() // also of a panic
	i := &interaction{p: p, c: c, e: e, named: named, typed: readKeys(p.Stdin), size: p.Console.Resized(ctx)}
	end, err := i.run(ctx, shell)
	if restoreErr := restore(); restoreErr != nil {
		p.say("The terminal may be left as it was for the shell; run: reset")
	}
	return p.notStarted(ctx, i.explain(ctx, end, err))
}

// readKeys reads the terminal, which nothing can interrupt, for as long as the
// process lives.
func readKeys(from io.Reader) <-chan []byte {
	typed := make(chan []byte)
	go func() {
		defer close(typed)
		buf := make([]byte, client.MaxTyped)
		for {
			n, err := from.Read(buf)
			if n > 0 {
				typed <- append([]byte(nil), buf[:n]...)
			}
			if err != nil {
				return
			}
		}
	}()
	return typed
}

// run joins the person to the shell until one of them leaves for good.
func (i *interaction) run(ctx context.Context, shell *client.Shell) (*client.ShellEnd, error) {
	for again := false; ; again = true {
		end, err := i.join(ctx, shell, again)
		var lost *lostError
		if !errors.As(err, &lost) {
			return end, err
		}
		i.note("the connection was lost; connecting again, Ctrl-C gives up")
		if shell, err = i.reconnect(ctx, lost); err != nil {
			return nil, err
		}
		i.note("connected again")
	}
}

// note says something between what the shell shows.
func (i *interaction) note(format string, args ...any) {
	_, _ = io.WriteString(i.p.Stderr, "\r\n[outcrop: "+harmless(i.p.typed(fmt.Sprintf(format, args...)))+"]\r\n") // nobody is left to tell
}

// join is one connection, until it ends.
func (i *interaction) join(ctx context.Context, shell *client.Shell, again bool) (*client.ShellEnd, error) {
	type ending struct {
		end *client.ShellEnd
		err error
	}
	ended, frames := make(chan ending, 1), make(chan func() error)
	go func() {
		end, err := i.show(shell, again)
		ended <- ending{end, err}
	}()
	go func() { // a shell that takes no keys must not keep us from showing what it says
		for send := range frames {
			if send() != nil { // reading fails too, as a rule, and that tells why
				time.AfterFunc(time.Second, shell.Close)
			}
		}
	}()
	over := func() {
		close(frames)
		shell.Close()
		select {
		case <-ended:
		case <-time.After(time.Second): // the terminal takes nothing any more
		}
	}
	resized := true // it does not know the size yet
	var pause <-chan time.Time
	for {
		switch i.look() {
		case escapeDetach:
			over()
			return nil, errLeft
		case escapeHelp:
			i.note(escapeHelpText)
			continue
		}
		var next func() error
		var out chan<- func() error
		if pause == nil && (resized || len(i.pending) > 0) {
			out, next = frames, i.frame(shell, resized)
		}
		typed := i.typed
		if len(i.pending) >= maxPending {
			typed = nil
		}
		select {
		case keys, open := <-typed:
			if !open {
				i.typed = nil
			}
			i.rest = append(i.rest, keys...)
		case <-i.size:
			resized = true
		case out <- next:
			if resized {
				resized = false
			} else {
				i.pending = i.pending[min(len(i.pending), client.MaxTyped):]
			}
			pause = time.After(frameEvery)
		case <-pause:
			pause = nil
		case e := <-ended:
			close(frames)
			shell.Close()
			return e.end, e.err
		case <-ctx.Done():
			over()
			return nil, ctx.Err()
		}
	}
}

// look takes what was typed up to the next escape.
func (i *interaction) look() escape {
	keys, found, rest := i.keys.take(i.rest)
	i.pending, i.rest = append(i.pending, keys...), rest
	return found
}

// frame is the next thing to tell the shell.
func (i *interaction) frame(shell *client.Shell, resized bool) func() error {
	if resized {
		columns, rows := i.p.Console.Size()
		return func() error {
			if columns <= 0 || rows <= 0 {
				return nil
			}
			return shell.Resize(columns, rows)
		}
	}
	keys := append([]byte(nil), i.pending[:min(len(i.pending), client.MaxTyped)]...)
	return func() error { return shell.Type(keys) }
}

// show shows what comes from the shell until it or the connection ends.
func (i *interaction) show(shell *client.Shell, again bool) (*client.ShellEnd, error) {
	for first := true; ; first = false {
		e, err := shell.Next()
		switch {
		case err != nil:
			return nil, ending(err)
		case e.Shown != nil:
			if _, err := i.p.Stdout.Write(e.Shown); err != nil {
				return nil, fmt.Errorf("show shell: %w", err)
			}
		case e.Notice != "":
			i.note("%s", e.Notice)
		case e.Attached != nil:
			switch {
			case !first || e.Attached.Again:
			case again:
				i.note("the shell has ended meanwhile; this is a new one")
			case i.named:
				i.note("no shell %s runs in this session; this is a new one", i.e.shell)
			}
			if e.Attached.Dropped > 0 {
				i.note("%s of what it showed meanwhile are lost", size(e.Attached.Dropped))
			}
		case e.Ended != nil:
			return e.Ended, nil
		case e.Closed:
			return nil, errSessionEnded
		}
	}
}

// ending says what the end of a connection means.
func ending(err error) error {
	var c *websocket.CloseError
	said := errors.As(err, &c)
	switch {
	case said && c.Code == replacedCode:
		return errReplaced
	case said && (c.Code == websocket.CloseUnsupportedData || c.Code == websocket.CloseMessageTooBig):
		return fail("The server is of another version: outcrop version", "the server closed the shell's connection: %s", c.Text)
	}
	return &lostError{err}
}

var (
	errLeft         = errors.New("left while it runs") // a person did
	errSessionEnded = errors.New("the session ended")
	errReplaced     = errors.New("another connection took over the shell")
)

// The pauses between attempts to connect again.
const (
	firstAttempt = time.Second
	lastAttempt  = 15 * time.Second
)

// reconnect connects to the same shell again, for as long as it may be there.
// What is typed meanwhile is not sent: nobody sees what it does.
func (i *interaction) reconnect(ctx context.Context, lost *lostError) (*client.Shell, error) {
	ctx, cancel := context.WithTimeout(ctx, detachedFor)
	defer cancel()
	i.pending = nil
	type attempt struct {
		shell *client.Shell
		err   error
	}
	for pause := firstAttempt; ; pause = min(2*pause, lastAttempt) {
		made := make(chan attempt, 1)
		go func() {
			shell, err := i.c.Shell(ctx, i.e.place(), i.e.shell)
			made <- attempt{shell, err}
		}()
		giveUp := func(err error) (*client.Shell, error) {
			cancel()
			if a := <-made; a.shell != nil {
				a.shell.Close()
			}
			return nil, err
		}
		var a attempt
		for done := false; !done; {
			select {
			case a = <-made:
				done = true
			case keys, open := <-i.typed:
				if i.givesUp(keys, open) {
					return giveUp(errLeft)
				}
			}
		}
		if a.err == nil {
			return a.shell, nil
		}
		if ctx.Err() != nil || !worthAnother(a.err) {
			return nil, cmpError(ctx, lost, a.err)
		}
		timer := time.After(pause)
		for waited := false; !waited; {
			select {
			case <-timer:
				waited = true
			case keys, open := <-i.typed:
				if i.givesUp(keys, open) {
					return nil, errLeft
				}
			case <-ctx.Done():
				return nil, cmpError(ctx, lost, ctx.Err())
			}
		}
	}
}

// cmpError is why connecting again was given up.
func cmpError(ctx context.Context, lost *lostError, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return lost
	}
	return err
}

// givesUp reports whether a person who waits for the connection has had enough.
func (i *interaction) givesUp(typed []byte, open bool) bool {
	if !open {
		i.typed = nil
		return false
	}
	for _, b := range typed {
		if b == 0x03 || b == 0x04 {
			return true
		}
	}
	_, found, _ := i.keys.take(typed)
	return found == escapeDetach
}

// worthAnother reports whether the next attempt to connect may go better.
func worthAnother(err error) bool {
	var (
		refused     *client.Error
		unreachable *client.UnreachableError
		lost        *client.LostError
	)
	err = client.Explain(err)
	if errors.As(err, &refused) {
		return refused.Status == 0 || refused.Status >= 500 || refused.Status == 429 || refused.Status == 409
	}
	return errors.As(err, &unreachable) || errors.As(err, &lost)
}

// explain says how it ended, on a terminal that is a person's again.
func (i *interaction) explain(ctx context.Context, end *client.ShellEnd, err error) error {
	back := i.e.again("exec") + " --shell " + i.e.shell
	var lost *lostError
	switch {
	case errors.Is(err, errLeft):
		i.p.say("\nLeft. The shell runs on for 15 minutes; back to it: %s", back)
		return nil
	case ctx.Err() != nil:
		i.p.say("\nThe shell runs on for 15 minutes; back to it: %s", back)
		return exitWith(exitInterrupted)
	case errors.Is(err, errSessionEnded):
		return fail("Its log says why: "+i.e.logCommand(), "the session ended, and the shell with it")
	case errors.Is(err, errReplaced):
		return fail("Take it back: "+back, "another connection took over the shell")
	case errors.As(err, &lost):
		return fail("If it still runs: "+back, "the connection to the shell was lost, and could not be made again in %s", detachedFor)
	case err != nil:
		return i.p.invokeFailure(ctx, i.c, err, i.e.invocation)
	case end.Code < 0:
		return fail("Its log says more: "+i.e.logCommand(), "the platform ended the shell: %s", end.Message)
	case end.Code > 0:
		return exitWith(end.Code)
	}
	return nil
}
