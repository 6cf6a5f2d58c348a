package gvisor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/outcrop/outcrop/internal/sandbox"
)

// A host answers what a machine allows. root is "" but in tests, where a
// directory stands for the machine's root.
type host struct{ root string }

// nobody is the UID and GID that gVisor gives a sandbox's process when it can.
const nobody = 65534

// privileges is how the supervisor is started.
type privileges struct {
	// userNamespace: it needs one to make the other namespaces.
	userNamespace bool
	// separate: a sandbox's process can be another user than the supervisor.
	separate bool
}

// privileges finds out what this process may do. Being root is not enough: in a
// container it may lack the capability, or be the only user there is.
func (h host) privileges() privileges {
	p := privileges{userNamespace: needsUserNamespace()}
	p.separate = !p.userNamespace && h.maps("uid_map", nobody) && h.maps("gid_map", nobody) &&
		h.number("/proc/sys/user/max_user_namespaces", 1) > 0
	return p
}

// needsUserNamespace tells whether this process needs one to make others.
func needsUserNamespace() bool { return os.Geteuid() != 0 || !hasCapability(unix.CAP_SYS_ADMIN) }

// hasCapability asks for one of the first 32 capabilities.
func hasCapability(c uint) bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	return unix.Capget(&header, &data[0]) == nil && data[0].Effective&(1<<c) != 0
}

// maps tells whether an id exists in this process's user namespace.
func (h host) maps(file string, id uint64) bool {
	text, err := os.ReadFile(h.path("/proc/self/" + file))
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(text)) {
		var first, outside, count uint64
		if _, err := fmt.Sscan(line, &first, &outside, &count); err == nil && id >= first && id-first < count {
			return true
		}
	}
	return false
}

func (h host) path(p string) string { return filepath.Join("/", h.root, p) }

// number reads a file that holds one number; missing is the answer where it
// does not exist.
func (h host) number(path string, missing int64) int64 {
	text, err := os.ReadFile(h.path(path))
	if err != nil {
		return missing
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return missing
	}
	return n
}

// blocker returns the setting that keeps us from making the namespaces that
// sandboxes need, or nil if none is known. Root needs user namespaces too: gVisor
// starts its file server in one, whoever it is.
func (h host) blocker(p privileges) *sandbox.UnavailableError {
	switch {
	case h.number("/proc/sys/user/max_user_namespaces", 1) == 0:
		return &sandbox.UnavailableError{
			Reason: "user namespaces are switched off on this machine (user.max_user_namespaces is 0)",
			Fix:    "as root: sysctl -w user.max_user_namespaces=15000, and write that line to /etc/sysctl.d/99-outcrop.conf to keep it",
		}
	case !p.userNamespace:
		return nil // what follows is for ordinary users
	case h.number("/proc/sys/kernel/unprivileged_userns_clone", 1) == 0:
		return &sandbox.UnavailableError{
			Reason: "user namespaces are for root only on this machine (kernel.unprivileged_userns_clone is 0)",
			Fix:    "as root: sysctl -w kernel.unprivileged_userns_clone=1, and write that line to /etc/sysctl.d/99-outcrop.conf to keep it; or run outcrop as root",
		}
	case h.number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", 0) != 0:
		return &sandbox.UnavailableError{
			Reason: "AppArmor keeps ordinary users from using user namespaces (kernel.apparmor_restrict_unprivileged_userns is 1)",
			Fix:    "as root: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, and write that line to /etc/sysctl.d/99-outcrop.conf to keep it; or run outcrop as root",
		}
	}
	return nil
}

// explain turns the error of starting or setting up the supervisor into one that
// says what to do about it.
func (h host) explain(p privileges, step string, err error) error {
	refused := errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EUSERS)
	var u *sandbox.UnavailableError
	switch {
	case errors.As(err, &u):
		return err
	case h.blocker(p) != nil:
		u = h.blocker(p)
		u.Err = err
		return u
	case missing(err) != nil:
		u = missing(err)
		u.Err = err
		return u
	case h.older(5, 12):
		return &sandbox.UnavailableError{Reason: "this kernel is older than Linux 5.12", Fix: "use a newer kernel", Err: err}
	case refused || errors.Is(err, errDenied):
		return &sandbox.UnavailableError{
			Reason: fmt.Sprintf("this machine does not let outcrop make the namespaces that sandboxes need (%s)", step),
			Fix:    "in a container, run it with --privileged, or with --security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined; elsewhere, look at the kernel log for what forbade it",
			Err:    err,
		}
	}
	return fmt.Errorf("start supervisor: %s: %w", step, err)
}

// missing tells which part of the kernel a sandbox's wire lacks, by the step that
// failed, or nil.
func missing(err error) *sandbox.UnavailableError {
	for _, part := range []struct{ step, module string }{{"make veth", "veth"}, {"make packet socket", "af_packet"}} {
		text := err.Error()
		unknown := strings.Contains(text, unix.EOPNOTSUPP.Error()) || strings.Contains(text, unix.EAFNOSUPPORT.Error()) || strings.Contains(text, unix.ENODEV.Error())
		if strings.Contains(text, part.step) && unknown {
			return &sandbox.UnavailableError{
				Reason: fmt.Sprintf("this kernel has no %s, which connects sandboxes with their network", part.module),
				Fix:    fmt.Sprintf("as root: modprobe %[1]s && echo %[1]s > /etc/modules-load.d/outcrop-%[1]s.conf", part.module),
			}
		}
	}
	return nil
}

// errDenied marks what the supervisor was not allowed to do.
var errDenied = errors.New("denied by the machine")

// older tells whether the kernel's version is below major.minor.
func (h host) older(major, minor int) bool {
	text, err := os.ReadFile(h.path("/proc/sys/kernel/osrelease"))
	if err != nil {
		return false
	}
	var a, b int
	if _, err := fmt.Sscanf(string(text), "%d.%d", &a, &b); err != nil {
		return false
	}
	return a < major || a == major && b < minor
}
