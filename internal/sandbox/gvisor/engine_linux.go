package gvisor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/sandbox/gvisor/cgroup"
	"github.com/outcrop/outcrop/internal/sandbox/gvisor/hooks"
	"github.com/outcrop/outcrop/internal/sandbox/gvisor/wire"
)

// An engine starts its supervisor with the first sandbox, and another one if
// that should end.
type engine struct {
	cfg   Config
	host  host
	files fs.FS
	// filesInMemory: what guests write cannot lie on the disk, where it could not be
	// executed.
	filesInMemory bool

	mu     sync.Mutex
	closed bool
	seq    uint64
	guests map[string]*guest // by the spec's id
	names  map[string]*guest // by the name the supervisor knows
	// supervisor is nil before the first start. Whoever connects holds
	// connecting, not mu.
	supervisor *link
	connecting chan struct{} // holds one token
	exe        *executable
	// place and found are the control groups, once sought.
	sought bool
	place  *cgroup.Place
	found  cgroup.Groups
	key    string // see snapshotKey
}

var _ sandbox.Engine = (*engine)(nil)

// New returns an engine. It starts nothing yet, so that a server runs on a
// machine that does not allow sandboxes; the first Start says what is wrong.
func New(cfg Config) (sandbox.Engine, error) { return newEngine(cfg, host{}, embedded) }

func newEngine(cfg Config, h host, files fs.FS) (*engine, error) {
	if !filepath.IsAbs(cfg.Dir) {
		return nil, fmt.Errorf("make gvisor engine: directory %q is not absolute", cfg.Dir)
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make gvisor engine: %w", err)
	}
	// The supervisor's mount point must not be a link that could be moved away.
	dir, err := filepath.EvalSymlinks(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("make gvisor engine: %w", err)
	}
	cfg.Dir = dir
	if err := discardOthers(dir, unpackPrefix); err != nil {
		return nil, fmt.Errorf("make gvisor engine: %w", err)
	}
	inMemory, err := mountedNoexec(dir)
	if err != nil {
		return nil, fmt.Errorf("make gvisor engine: %w", err)
	}
	e := &engine{
		cfg: cfg, host: h, files: files, filesInMemory: inMemory,
		guests: map[string]*guest{}, names: map[string]*guest{},
		connecting: make(chan struct{}, 1),
	}
	e.connecting <- struct{}{}
	return e, nil
}

// Capabilities implements sandbox.Engine.
func (e *engine) Capabilities() sandbox.Capabilities {
	key, limits := e.snapshotKey(), e.limits()
	return sandbox.Capabilities{
		Engine: "gvisor", Version: gvisorVersion,
		GuestUID: GuestUID, GuestGID: GuestGID,
		DefaultTmpBytes: DefaultTmpBytes, MaxTmpBytes: MaxTmpBytes, DefaultDiskBytes: DefaultDiskBytes, FilesInMemory: e.filesInMemory,
		DefaultMemoryBytes: e.host.defaultMemory(), MaxMemoryBytes: e.host.memory(),
		Owners:    !needsUserNamespace(),
		HalfClose: true, // with the forwarder that tools/embedsandbox repaired
		Outbound:  true, Passthrough: true,
		Limits:    limits,
		Snapshots: key != "", SnapshotKey: key,
	}
}

// gvisorVersion is the pinned one of go.mod; a test holds them together.
const gvisorVersion = "v0.0.0-20260905035102-160fafc42237"

// Start implements sandbox.Engine.
func (e *engine) Start(ctx context.Context, spec sandbox.Spec) (sandbox.Sandbox, error) {
	if err := spec.Validate(); err != nil {
		return nil, err
	}
	request, err := requestOf(spec)
	if err != nil {
		return nil, err
	}
	request.Limits = e.host.bounds(spec.Limits)
	g, err := e.reserve(spec, request)
	if err != nil {
		return nil, err
	}
	booted := make(chan error, 1)
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("it takes longer than %v", startTimeout))
	defer cancel()
	go func() {
		err := g.boot(ctx, e)
		if err != nil {
			e.release(g)
		} else if spec.Snapshot != nil {
			err = g.awaitCopies(ctx)
		}
		booted <- err
	}()
	select {
	case err = <-booted:
	case <-ctx.Done():
		g.kill() // the rest is told to whoever waits for the id
		err = context.Cause(ctx)
	}
	if err != nil && e.isClosed() {
		err = sandbox.ErrClosed
	}
	if err != nil {
		return nil, fmt.Errorf("start sandbox %s: %w", spec.ID, err)
	}
	return g, nil
}

func (e *engine) isClosed() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.closed
}

// reserve takes the spec's id and gives the sandbox a name of our own.
func (e *engine) reserve(spec sandbox.Spec, m *wire.Start) (*guest, error) {
	key := e.snapshotKey()
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, fmt.Errorf("start sandbox %s: %w", spec.ID, sandbox.ErrClosed)
	}
	if _, taken := e.guests[spec.ID]; taken {
		return nil, fmt.Errorf("start sandbox %s: %w", spec.ID, sandbox.ErrExists)
	}
	if id, source := e.holder(spec, m.Volumes); id != "" {
		return nil, fmt.Errorf("start sandbox %s: %w: the volume %s is sandbox %s's", spec.ID, sandbox.ErrInvalid, source, id)
	}
	e.seq++
	m.Sandbox = fmt.Sprintf("%0*x", wire.IDLength, e.seq)
	g := newGuest(spec, m, key)
	e.guests[spec.ID] = g
	e.names[m.Sandbox] = g
	return g, nil
}

func (e *engine) release(g *guest) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.guests, g.spec.ID)
	delete(e.names, g.start.Sandbox)
	close(g.done)
}

// link returns the supervisor, and starts one if there is none.
func (e *engine) link(ctx context.Context) (*link, error) {
	select {
	case <-e.connecting:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	defer func() { e.connecting <- struct{}{} }()
	e.mu.Lock()
	l, closed := e.supervisor, e.closed
	e.mu.Unlock()
	if closed {
		return nil, sandbox.ErrClosed
	}
	if l != nil && !l.gone() {
		return l, nil
	}
	if e.exe == nil {
		exe, err := prepare(e.files, e.cfg.Executable, e.cfg.Dir)
		if err != nil {
			return nil, err
		}
		e.exe = exe
	}
	l, err := connect(ctx, e.exe, e.host, e.cfg.Dir, e.groups(), e.ended, e.connects)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	e.supervisor, closed = l, e.closed
	e.mu.Unlock()
	if closed { // while we connected
		l.close()
		return nil, sandbox.ErrClosed
	}
	go e.watch(l)
	return l, nil
}

// ended is what a link calls.
func (e *engine) ended(m *wire.Ended) {
	e.mu.Lock()
	g := e.names[m.Sandbox]
	e.mu.Unlock()
	if g == nil {
		return
	}
	if m.Detail != "" {
		e.cfg.log().Error("sandbox crashed", "sandbox", g.spec.ID, "detail", m.Detail)
	}
	g.mu.Lock()
	g.used = m.Used
	g.mu.Unlock()
	cause := sandbox.Exited
	switch {
	case m.Excess == wire.OverMemory:
		cause = sandbox.OutOfMemory
	case m.Excess == wire.OverVolume:
		cause = sandbox.OutOfSpace
	case m.Broken:
		cause = sandbox.Destroyed
	}
	go func() {
		g.finish(cause, m.Code)
		e.release(g)
	}()
}

// watch ends the sandboxes of a supervisor that ended.
func (e *engine) watch(l *link) {
	<-l.lost
	e.mu.Lock()
	closed := e.closed
	var orphans []string
	for name, g := range e.names {
		if g.on(l) {
			orphans = append(orphans, name)
		}
	}
	e.mu.Unlock()
	if !closed {
		e.cfg.log().Error("the supervisor of sandboxes ended; all of them are gone", "sandboxes", len(orphans), "said", l.words.String())
	}
	for _, name := range orphans {
		e.ended(&wire.Ended{Sandbox: name, Code: 128 + int(unix.SIGKILL), Broken: true})
	}
}

// Close implements sandbox.Engine.
func (e *engine) Close(ctx context.Context) error {
	e.mu.Lock()
	e.closed = true
	l := e.supervisor
	var all []*guest
	for _, g := range e.guests {
		g.stopping()
		all = append(all, g)
	}
	e.mu.Unlock()
	// The supervisor's end is the end of every process in its namespace.
	if l != nil {
		l.close()
		select {
		case <-l.lost:
		case <-ctx.Done():
			return fmt.Errorf("close gvisor engine: %w", context.Cause(ctx))
		}
	}
	for _, g := range all {
		select {
		case <-g.done:
		case <-ctx.Done():
			return fmt.Errorf("close gvisor engine: %w", context.Cause(ctx))
		}
	}
	select {
	case <-e.connecting: // nobody connects any more
		defer func() { e.connecting <- struct{}{} }()
	case <-ctx.Done():
		return fmt.Errorf("close gvisor engine: %w", context.Cause(ctx))
	}
	err := e.forgetGroups()
	if e.exe != nil {
		err = errors.Join(err, e.exe.Close())
		e.exe = nil
	}
	return err
}

// requestOf turns a valid spec into what the supervisor is told.
func requestOf(spec sandbox.Spec) (*wire.Start, error) {
	m := &wire.Start{
		Cable: cable(spec), Passthrough: spec.Passthrough,
		Args: spec.Args, Env: environment(spec.Env), Dir: spec.Dir,
		UID: GuestUID, GID: GuestGID, TmpBytes: spec.TmpBytes,
		Resume: spec.Snapshot != nil, RestoreHook: spec.RestoreHook, Savable: spec.Savable,
	}
	if spec.Savable {
		m.Env = hooks.Environment(m.Env)
	}
	if m.TmpBytes == 0 {
		m.TmpBytes = DefaultTmpBytes
	}
	if m.TmpBytes > MaxTmpBytes {
		return nil, fmt.Errorf("%w: TmpBytes: %d, at most %d are allowed", sandbox.ErrInvalid, m.TmpBytes, int64(MaxTmpBytes))
	}
	if err := useRoot(m, spec); err != nil {
		return nil, err
	}
	var err error
	if m.Volumes, err = volumes(spec); err != nil {
		return nil, err
	}
	mounts := spec.Mounts
	if spec.Code != "" {
		mounts = append([]sandbox.Mount{{Source: spec.Code, Target: sandbox.CodePath}}, mounts...)
	}
	if m.Dir == "" {
		m.Dir = "/"
		if spec.Code != "" {
			m.Dir = sandbox.CodePath
		}
	}
	for _, v := range mounts {
		w, err := mount(v)
		if err != nil {
			return nil, err
		}
		m.Mounts = append(m.Mounts, w)
	}
	return m, nil
}

// mount resolves links now: inside the supervisor, absolute ones would point
// elsewhere. It refuses what the guest could not read, which would otherwise be
// a riddle inside it.
func mount(v sandbox.Mount) (wire.Mount, error) {
	target := v.Target
	if target == "" {
		target = v.Source
	}
	source, err := filepath.EvalSymlinks(v.Source)
	if err == nil {
		err = unix.Access(source, unix.R_OK)
	}
	var info fs.FileInfo
	if err == nil {
		info, err = os.Stat(source)
	}
	if err != nil {
		return wire.Mount{}, fmt.Errorf("%w: mount %s: %w", sandbox.ErrInvalid, v.Source, plain(err))
	}
	need := fs.FileMode(0o004)
	if info.IsDir() {
		need = 0o005
	}
	if info.Mode().Perm()&need != need || !info.IsDir() && !info.Mode().IsRegular() {
		return wire.Mount{}, fmt.Errorf("%w: mount %s: a guest is a user of its own and cannot read it (mode %v); chmod o+rX it",
			sandbox.ErrInvalid, v.Source, info.Mode())
	}
	return wire.Mount{Source: source, Target: target}, nil
}

// environment adds what every program may expect.
func environment(env []string) []string {
	env = append([]string(nil), env...)
	for _, v := range []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/tmp", "LANG=C.UTF-8"} {
		name := v[:strings.IndexByte(v, '=')+1]
		if !hasVariable(env, name) {
			env = append(env, v)
		}
	}
	return env
}

func hasVariable(env []string, prefix string) bool {
	for _, v := range env {
		if strings.HasPrefix(v, prefix) {
			return true
		}
	}
	return false
}
