//go:build linux

package firstminutes

import (
	"os"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// ordinaryUser is who runs a server in the tests that root starts.
const ordinaryUser = 4242

// off are the attributes of a process of user uid in a user namespace of its own,
// which has these users of the machine, and whose limit of namespaces it may set.
func off(uid int, users ...int) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER, AmbientCaps: []uintptr{unix.CAP_SYS_RESOURCE}}
	for _, id := range users {
		attr.UidMappings = append(attr.UidMappings, syscall.SysProcIDMap{ContainerID: id, HostID: id, Size: 1})
	}
	attr.GidMappings = attr.UidMappings
	if os.Getuid() == 0 {
		attr.GidMappingsEnableSetgroups = true
		attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}
	} else {
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getgid(), HostID: os.Getgid(), Size: 1}}
	}
	return attr
}

func needsRoot(t *testing.T, why string) {
	t.Helper()
	if os.Getuid() != 0 && os.Getenv(insideVariable) == "" {
		t.Skip("needs root, " + why)
	}
}

// TestUserNamespacesOff is an ordinary user on a machine without user
// namespaces.
func TestUserNamespacesOff(t *testing.T) {
	t.Parallel()
	needsRoot(t, "to have both root and an ordinary user in the namespace")
	if inside(t, off(ordinaryUser, 0, ordinaryUser), offVariable+"=1") {
		testNamespacesOff(t)
	}
}

// TestUserNamespacesOffRootUnmapped is the same where the machine's root has no
// number, so that its files are nobody's.
func TestUserNamespacesOffRootUnmapped(t *testing.T) {
	t.Parallel()
	uid := os.Getuid()
	if uid == 0 {
		uid = ordinaryUser
	}
	if inside(t, off(uid, uid), offVariable+"=1") {
		testNamespacesOff(t)
	}
}

// TestUserNamespacesOffRoot is root, who needs them for gVisor's file server.
func TestUserNamespacesOffRoot(t *testing.T) {
	t.Parallel()
	needsRoot(t, "to be it")
	if inside(t, off(0, 0, nobodyID), offVariable+"=1") {
		testNamespacesOff(t)
	}
}

const nobodyID = 65534

// testNamespacesOff wants all to work but the sandbox, which is refused with
// doctor's own fix.
func testNamespacesOff(t *testing.T) {
	if text, err := os.ReadFile("/proc/sys/user/max_user_namespaces"); err != nil || string(text) != "0\n" {
		t.Fatalf("user namespaces are not off: %q, %v", text, err)
	}
	p := newPerson(t)
	s := p.serve()
	if !s.Healthy() {
		t.Fatal("it does not answer")
	}
	f := p.doctor("user namespaces")
	if f.OK || f.Fix == "" {
		t.Fatalf("doctor: %+v", f)
	}
	wants(t, f.Fix, "sysctl -w user.max_user_namespaces=")
	if told := p.doctor("server's sandboxes"); told.OK || told.Fix != f.Fix {
		t.Errorf("doctor on the server: %+v", told)
	}
	deployed := p.must(p.home, "deploy", p.agent("mine", nil))
	wants(t, deployed.stderr, "Warning: the server cannot start sandboxes yet", f.Fix, "mine is READY")
	refused := p.run(p.home, "invoke", "mine")
	if refused.code != 1 || refused.stdout != "" {
		t.Errorf("%s", refused)
	}
	wants(t, refused.stderr, "This host cannot run sandboxes: "+f.Detail, f.Fix, "doctor")
	log := p.must(p.home, "logs", "mine")
	for _, said := range []string{refused.String(), s.Log(), log.String()} {
		avoids(t, said, "runsc", "gofer", "clone", "fork/exec", "no space left", "operation not permitted")
	}
	p.must(p.home, "delete", "mine")
}
