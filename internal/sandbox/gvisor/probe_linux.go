package gvisor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/sandbox/gvisor/cgroup"
)

// selfTestTimeout bounds the self-test, which takes 0.2 s.
const selfTestTimeout = 20 * time.Second

// Probe looks at everything that sandboxes need of this machine, and ends with
// booting one, in a supervisor of its own: an engine that uses cfg.Dir at the
// same time is not disturbed. For `outcrop doctor`.
func Probe(ctx context.Context, cfg Config) []Finding {
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return []Finding{{Name: "data directory", Detail: err.Error(), Fix: "use a data directory that you can write to (--data)"}}
	}
	h := host{}
	return append(h.probe(cfg), selfTest(ctx, cfg))
}

// probe is Probe without booting anything.
func (h host) probe(cfg Config) []Finding {
	executable := probeExecutable(cfg)
	return []Finding{
		h.probeKernel(), h.probeNamespaces(), h.probeAppArmor(), h.probeGroups(cgroup.Finder{Root: h.root}), h.probeFiles(),
		probeDisk(cfg.Dir, leastFree, executable.OK), executable,
	}
}

func (h host) probeKernel() Finding {
	f := Finding{Name: "kernel", OK: true}
	text, _ := os.ReadFile(h.path("/proc/sys/kernel/osrelease"))
	f.Detail = "Linux " + strings.TrimSpace(string(text))
	if h.older(5, 12) {
		f.OK, f.Fix = false, "use Linux 5.12 or newer"
	}
	return f
}

func (h host) probeNamespaces() Finding {
	f := Finding{Name: "user namespaces", OK: true}
	p := h.privileges()
	blocker := h.blocker(p)
	switch {
	case blocker != nil:
		f.OK, f.Detail, f.Fix = false, blocker.Reason, blocker.Fix
	case p.separate:
		f.Detail = "running as root: sandbox processes are a user of their own, nobody, without capabilities"
	case !p.userNamespace:
		f.Detail = "running with root's capabilities but without other users: sandbox processes are this user"
	default:
		f.Detail = "allowed for ordinary users: sandbox processes are this user, in a namespace of their own"
	}
	return f
}

func (h host) probeAppArmor() Finding {
	f := Finding{Name: "AppArmor", OK: true, Detail: "not in use"}
	enabled, _ := os.ReadFile(h.path("/sys/module/apparmor/parameters/enabled"))
	switch {
	case strings.TrimSpace(string(enabled)) != "Y":
	case h.number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", 0) == 0:
		f.Detail = "in use; it lets ordinary users use user namespaces"
	default: // that it is in the way is said of user namespaces
		f.Detail = "in use; it keeps ordinary users from using user namespaces, root it does not"
	}
	return f
}

// probeGroups tells how limits are held. No machine has to have control groups.
func (h host) probeGroups(finder cgroup.Finder) Finding {
	f := Finding{Name: "control groups", OK: true}
	place, err := finder.Find()
	var refusal *cgroup.Refusal
	if errors.As(err, &refusal) {
		f.Detail = fmt.Sprintf("none for sandboxes: their memory is looked at every %v instead of bounded by the kernel, and processors are bounded in whole ones; %s",
			sandbox.WatchInterval, refusal.Reason)
		f.Fix = refusal.Fix
		return f
	}
	f.Detail = fmt.Sprintf("version %d: the kernel bounds each sandbox's %s", place.Version, strings.Join(place.Controllers, " and "))
	return f
}

// manyFiles is what a server should be able to have open, with some hundred
// sandboxes.
const manyFiles = 65536

func (h host) probeFiles() Finding {
	f := Finding{Name: "open files", OK: true}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		f.Detail = err.Error()
		return f
	}
	f.Detail = fmt.Sprintf("up to %d a process", limit.Max)
	if limit.Max < manyFiles {
		f.Detail += fmt.Sprintf("; for many sessions at once, start it with LimitNOFILE=%[1]d in its unit, or write `* hard nofile %[1]d` to /etc/security/limits.d/outcrop.conf and log in again", manyFiles)
	}
	return f
}

// leastFree is what unpacking the executable needs, in bytes.
const leastFree = 100 << 20

// probeDisk asks for room for the executable where it is not there yet. Once it is,
// a disk with less is no reason why sandboxes would not start.
func probeDisk(dir string, least int64, ready bool) Finding {
	f := Finding{Name: "data directory", OK: true}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return Finding{Name: f.Name, Detail: fmt.Sprintf("%s: %v", dir, err), Fix: "use another data directory (--data)"}
	}
	free := int64(st.Bavail) * st.Bsize
	f.Detail = fmt.Sprintf("%s: %d MiB free", dir, free>>20)
	if free < least && !ready {
		f.OK, f.Fix = false, fmt.Sprintf("free %d MiB there, or use another data directory (--data)", least>>20)
		f.Detail += ", too little to unpack the sandbox executable"
	}
	if st.Flags&unix.ST_NOEXEC != 0 {
		f.Detail += ", mounted noexec, so that the sandbox executable runs from memory (85 MB of it)"
	}
	return f
}

func probeExecutable(cfg Config) Finding {
	f := Finding{Name: "sandbox executable", OK: true}
	exe, err := prepare(embedded, cfg.Executable, cfg.Dir)
	if err != nil {
		return failed(f.Name, err)
	}
	defer exe.Close()
	f.Detail = "gVisor " + gvisorVersion + " at " + exe.path
	if exe.inMemory {
		f.Detail = "gVisor " + gvisorVersion + " in memory"
	}
	return f
}

// try has an engine of its own do something within a time; what it says of it is
// the finding's detail.
func try(ctx context.Context, cfg Config, name string, limit time.Duration, late error, do func(context.Context, sandbox.Engine) (string, error)) (f Finding) {
	f.Name = name
	ctx, cancel := context.WithTimeoutCause(ctx, limit, late)
	defer cancel()
	e, err := New(cfg)
	if err != nil {
		return failed(f.Name, err)
	}
	defer func() {
		if err := e.Close(ctx); err != nil && f.OK {
			f = failed(f.Name, err)
		}
	}()
	if f.Detail, err = do(ctx, e); err != nil {
		return failed(f.Name, err)
	}
	f.OK = true
	return f
}

// selfTest boots a sandbox and has it end by itself.
func selfTest(ctx context.Context, cfg Config) Finding {
	return try(ctx, cfg, "sandbox self-test", selfTestTimeout, fmt.Errorf("it did not end within %v", selfTestTimeout), bootOnce)
}

func bootOnce(ctx context.Context, e sandbox.Engine) (string, error) {
	begin := time.Now()
	s, err := e.Start(ctx, sandbox.Spec{ID: "doctor", Args: []string{"true"}})
	if err != nil {
		return "", err
	}
	select {
	case <-s.Done():
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
	if got := s.Exit(); got != (sandbox.Status{Cause: sandbox.Exited}) {
		return "", fmt.Errorf("it ended with %v, code %d", got.Cause, got.Code)
	}
	return fmt.Sprintf("a sandbox started and ended in %d ms", time.Since(begin).Milliseconds()), nil
}

// Rehearse has a sandbox do what sessions do: it starts one, dials it, saves it and
// resumes it, in a supervisor of its own as Probe does. For `outcrop doctor`.
func Rehearse(ctx context.Context, cfg Config) Finding {
	return try(ctx, cfg, "save and resume", rehearsalTimeout, fmt.Errorf("it took longer than %v", rehearsalTimeout), rehearse)
}

// rehearsalTimeout bounds the rehearsal, which takes a second.
const rehearsalTimeout = time.Minute

// rehearse tells how long each step took.
func rehearse(ctx context.Context, e sandbox.Engine) (string, error) {
	var times []any
	begin := time.Now()
	step := func() {
		times = append(times, time.Since(begin).Milliseconds())
		begin = time.Now()
	}
	spec := sandbox.Spec{ID: "doctor", Args: []string{"sleep", "1000"}, SafeToCopy: true}
	s, err := e.Start(ctx, spec)
	if err != nil {
		return "", err
	}
	step()
	// Nothing listens there; that it says so is the guest's own answer.
	if _, err := s.Dial(ctx, 1); !errors.Is(err, sandbox.ErrRefused) {
		return "", fmt.Errorf("dial a port on which nothing listens: %w", err)
	}
	step()
	if spec.Snapshot, err = s.Save(ctx, false); err != nil {
		return "", err
	}
	defer spec.Snapshot.Close()
	step()
	again, err := e.Start(ctx, spec)
	if err != nil {
		return "", err
	}
	step()
	if err := again.Stop(ctx, 0); err != nil {
		return "", err
	}
	l := e.Capabilities().Limits
	times = append(times, l.Memory, l.CPU, l.Processes)
	return fmt.Sprintf("start %d ms, dial %d ms, save %d ms, resume %d ms; limits held by: memory %s, CPU %s, processes %s", times...), nil
}

// failed is a finding about an error. Its fix is the error's own if it has one.
func failed(name string, err error) Finding {
	var u *sandbox.UnavailableError
	if errors.As(err, &u) {
		return Finding{Name: name, Detail: u.Reason, Fix: u.Fix}
	}
	return Finding{Name: name, Detail: err.Error(), Fix: "report this with the output of `outcrop doctor --json`, it should not happen"}
}
