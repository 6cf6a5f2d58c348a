package invoke

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/outcrop/outcrop/internal/api/model/agentcore"
	"github.com/outcrop/outcrop/internal/api/pipeline"
	"github.com/outcrop/outcrop/internal/api/wire"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/runtime"
	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/session"
)

// What bounds shells (spec/runtime.md 9.3).
const (
	maxShells     = 10 // of a session
	replayBytes   = 256 << 10
	detachedLimit = 15 * time.Minute
)

// shellScript is what a shell runs. The guest's own environment says nothing of a
// terminal.
const shellScript = "TERM=${TERM:-xterm-256color} exec /bin/bash -i"

// firstWindow is a terminal's size until the caller tells it.
var firstWindow = sandbox.Window{Columns: 80, Rows: 24}

// InvokeAgentRuntimeCommandShell connects the caller to a shell of the session: a
// new one, or the one of that id that runs.
func (s *Service) InvokeAgentRuntimeCommandShell(ctx context.Context, in *agentcore.InvokeAgentRuntimeCommandShellRequest) (http.Handler, error) {
	call := pipeline.From(ctx)
	if !asksForWebSocket(call.Header) {
		return nil, errNoWebSocket()
	}
	key, err := sessionKey(call, *in.AgentRuntimeArn, wire.Text(in.AccountId), wire.Text(in.Qualifier), wire.Text(in.RuntimeSessionId))
	if err != nil {
		return nil, err
	}
	name := wire.Text(in.ShellId)
	if name == "" {
		name = uuid.NewString()
	}
	sh, found, err := s.shells.claim(shellKey{key, name})
	if err != nil {
		return nil, err
	}
	if !found {
		if err := s.execute(ctx, key, func(use *session.Use) error { return sh.start(ctx, use) }); err != nil {
			s.shells.drop(sh)
			return nil, shellFault(err)
		}
		go s.shells.watch(sh)
	}
	return &attachment{sh: sh, again: found}, nil
}

// shellFault says why a shell was not attached to in the member that clients of
// shells read.
func shellFault(err error) error {
	f := fault.From(err)
	if f.Status != http.StatusFailedDependency {
		return err
	}
	c := *f
	c.Members = map[string]string{"error": f.Message}
	return c.Because(errors.Unwrap(f))
}

// shellKey names a shell.
type shellKey struct {
	session session.Key
	name    string
}

// shells are all that run.
type shells struct {
	mu  sync.Mutex
	all map[shellKey]*shell
}

// claim returns the shell of that name for one caller to attach to, or a new one
// that is to be started.
func (s *shells) claim(at shellKey) (sh *shell, found bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sh := s.all[at]; sh != nil {
		if !sh.claim() {
			return nil, false, fault.Conflict("Shell '%s' is being connected to by another caller; try again", at.name)
		}
		return sh, true, nil
	}
	n := 0
	for other := range s.all {
		if other.session == at.session {
			n++
		}
	}
	if n >= maxShells {
		return nil, false, fault.Throttled("The session has %d shells, the most there can be; end one, or connect to one by its shellId", n)
	}
	sh = newShell(at)
	s.all[at] = sh
	return sh, false, nil
}

func (s *shells) drop(sh *shell) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, sh.at)
}

// watch forgets a shell once it has ended.
func (s *shells) watch(sh *shell) {
	defer sh.use.Release()
	defer s.drop(sh)
	select {
	case <-sh.process.Done():
	case <-sh.use.Context().Done():
		<-sh.process.Done() // its sandbox ends it
	}
	close(sh.over)
	sh.detached.Stop()
	sh.noteEnd()
}

// A shell is one of bash on a terminal of the session's sandbox. It lives on when
// its caller's connection is lost, for a while.
type shell struct {
	at      shellKey
	use     *session.Use
	process sandbox.Process
	keys    chan []byte   // what is typed
	over    chan struct{} // closed when it has ended
	// detached ends the shell when nobody is connected.
	detached *time.Timer

	mu      sync.Mutex
	changed chan struct{} // closed when there is more to show or somebody has taken some
	// held is the last that the terminal showed, from the from'th byte on; shown is
	// how much of all was sent to somebody.
	held        []byte
	from, shown int64
	claimed     bool        // somebody is about to connect
	current     *attachment // who is connected
}

func newShell(at shellKey) *shell {
	return &shell{at: at, keys: make(chan []byte), over: make(chan struct{}), changed: make(chan struct{}), claimed: true}
}

func (sh *shell) start(ctx context.Context, use *session.Use) (err error) {
	detail := use.Detail().(runtime.Detail)
	process, err := use.Execute(ctx, sandbox.Command{
		Args: []string{"/bin/bash", "-c", shellScript}, Terminal: &firstWindow, Stdin: &typing{sh: sh}, Stdout: screen{sh},
	})
	if err != nil {
		return commandFault(err)
	}
	sh.use, sh.process = use, process
	sh.detached = time.AfterFunc(detachedLimit, func() { _ = process.Stop(context.Background(), time.Second) }) // it ends with its sandbox at the latest
	detail.Note("shell " + sh.at.name + " begins")
	return nil
}

// claim keeps others from connecting until somebody has.
func (sh *shell) claim() bool {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.claimed {
		return false
	}
	sh.claimed = true
	return true
}

// attach makes a the one that is connected, and returns who was before.
func (sh *shell) attach(a *attachment) (before *attachment) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	before, sh.current, sh.claimed = sh.current, a, false
	sh.detached.Stop()
	return before
}

// giveUp lets others connect: who had claimed the shell did not.
func (sh *shell) giveUp() {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.claimed = false
	if sh.current == nil {
		sh.detached.Reset(detachedLimit)
	}
}

// detach says that a is not connected any more.
func (sh *shell) detach(a *attachment) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.current == a {
		sh.current = nil
		sh.detached.Reset(detachedLimit)
		sh.tell() // what waits for a to take it need not
	}
}

// tell wakes those who wait for a change; the caller holds the mutex.
func (sh *shell) tell() {
	close(sh.changed)
	sh.changed = make(chan struct{})
}

// next returns what is to be shown to a next and where that begins, or what to
// wait for.
func (sh *shell) next(a *attachment, most int) (part []byte, dropped int64, wait <-chan struct{}, current bool) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.current != a {
		return nil, 0, nil, false
	}
	if sh.shown < sh.from {
		dropped = sh.from - sh.shown
		sh.shown = sh.from
	}
	rest := sh.held[sh.shown-sh.from:]
	if len(rest) == 0 {
		return nil, dropped, sh.changed, true
	}
	part = append(part, rest[:min(len(rest), most)]...)
	sh.shown += int64(len(part))
	sh.tell()
	return part, dropped, nil, true
}

// A screen is what the terminal shows itself on.
type screen struct{ *shell }

// Write keeps what is shown. It waits for who is connected to take it, and for
// nobody else.
func (s screen) Write(p []byte) (int, error) {
	for written := 0; written < len(p); {
		s.mu.Lock()
		ahead := s.from + int64(len(s.held)) - s.shown
		if s.current != nil && ahead >= replayBytes {
			wait := s.changed
			s.mu.Unlock()
			<-wait
			continue
		}
		n := min(len(p)-written, replayBytes/4)
		s.held = append(s.held, p[written:written+n]...)
		written += n
		if over := len(s.held) - 2*replayBytes; over > 0 { // seldom, as it copies
			over += replayBytes
			s.held = append([]byte(nil), s.held[over:]...)
			s.from += int64(over)
		}
		s.tell()
		s.mu.Unlock()
	}
	return len(p), nil
}

// typing is the terminal's keyboard.
type typing struct {
	sh   *shell
	rest []byte
}

// Read waits for keys until the shell has ended.
func (t *typing) Read(p []byte) (int, error) {
	if len(t.rest) == 0 {
		select {
		case t.rest = <-t.sh.keys:
		case <-t.sh.over:
			return 0, io.EOF
		}
	}
	n := copy(p, t.rest)
	t.rest = t.rest[n:]
	return n, nil
}
