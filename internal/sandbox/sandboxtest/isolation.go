package sandboxtest

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/sandbox"
)

func testHostFiles(t *testing.T, b *bench) {
	secret := filepath.Join(b.dir, "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(b.dir, "socket")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	missing := []string{
		secret, socket, b.dir, "/etc/shadow", "/root", "/home", "/var/lib", "/run/docker.sock", "/etc/ssl/private",
		"/host", "/state", "/bundles", "/proc/1/root" + secret, "/proc/1/cwd/../.." + secret,
	}
	stdout, _, _ := b.output(t, b.spec(t, append([]string{"read"}, missing...)...))
	for _, p := range missing {
		if want := fmt.Sprintf("%s: \"\" no such file or directory\n", p); !strings.Contains(stdout, want) {
			t.Errorf("%q is missing in:\n%s", want, stdout)
		}
	}
	caps := b.engine.Capabilities()
	shown := []string{"/var/task", "/tmp", "/etc/passwd", "/root", "/"}
	wanted := []string{"/var/task: directory guest\n", "/tmp: directory \n", fmt.Sprintf("sandbox:x:%d:%d", caps.GuestUID, caps.GuestGID)}
	for _, p := range []string{"/usr/etc", "/usr/local/etc"} { // configuration, which may hold tokens
		if info, err := os.Lstat(p); err == nil && info.IsDir() {
			shown, wanted = append(shown, p), append(wanted, p+": directory \n")
		}
	}
	stdout, _, _ = b.output(t, b.spec(t, append([]string{"read"}, shown...)...))
	for _, want := range wanted {
		if !strings.Contains(stdout, want) {
			t.Errorf("%q is missing in:\n%s", want, stdout)
		}
	}
}

// testOtherSandbox: what one writes, no other sees, at the same time or later.
func testOtherSandbox(t *testing.T, b *bench) {
	spec := b.spec(t, "write", "/tmp/mine", "/dev/shm/mine")
	if stdout, _, _ := b.output(t, spec); strings.Count(stdout, ": ok\n") != 2 {
		t.Fatalf("the guest could not write:\n%s", stdout)
	}
	stdout, _, _ := b.output(t, b.spec(t, "read", "/tmp", "/dev/shm"))
	if want := "/tmp: directory \n/dev/shm: directory \n"; stdout != want {
		t.Errorf("the next sandbox sees %q, want %q", stdout, want)
	}
}

func testReadOnly(t *testing.T, b *bench) {
	paths := []string{"/var/task/new", "/var/task/guest", "/etc/passwd", "/usr/new", "/new", "/var/new", "/opt/new"}
	stdout, _, _ := b.output(t, b.spec(t, append([]string{"write"}, paths...)...))
	if strings.Contains(stdout, ": ok\n") {
		t.Errorf("the guest can write to its root:\n%s", stdout)
	}
	stdout, _, _ = b.output(t, b.spec(t, "write", "/tmp/a", "/var/tmp/b", "/dev/shm/c", "/dev/null"))
	if strings.Count(stdout, ": ok\n") != 4 {
		t.Errorf("the guest cannot write where it should:\n%s", stdout)
	}
}

func testTmpBound(t *testing.T, b *bench) {
	const size = 8 << 20
	for _, path := range []string{"/tmp/x", "/dev/shm/x"} {
		spec := b.spec(t, "fill", path)
		spec.TmpBytes = size
		stdout, _, status := b.output(t, spec)
		written, reason, _ := strings.Cut(strings.TrimSpace(stdout), " ")
		n, err := strconv.Atoi(written)
		if err != nil || n > size || n < size/2 || reason != "no space left on device" || status.Code != 0 {
			t.Errorf("%s took %q, want some of %d bytes and then no space", path, stdout, size)
		}
	}
}

func testNetwork(t *testing.T, b *bench) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	other, _ := b.server(t, "127.0.0.1:8080")
	targets := []string{
		l.Addr().String(),    // the machine's loopback
		"127.0.0.1:8080",     // the other sandbox's port
		"169.254.169.254:80", // a metadata service
		"192.0.2.1:80",       // anywhere
		"[::1]:8080",
	}
	spec := b.spec(t, append([]string{"dial"}, targets...)...)
	spec.ID += "-dials"
	stdout, _, _ := b.output(t, spec)
	if strings.Contains(stdout, ": ok\n") || strings.Count(stdout, "\n") != len(targets) {
		t.Errorf("the guest reaches something:\n%s", stdout)
	}
	stop(t, other, 0)
}

func testMounts(t *testing.T, b *bench) {
	dir := filepath.Join(b.dir, "prefix")
	if err := os.MkdirAll(filepath.Join(dir, "lib"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]os.FileMode{"lib/file": 0o644, "lib/private": 0o600} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), mode); err != nil {
			t.Fatal(err)
		}
	}
	// Whoever the guest is, it is nobody whom the host knows.
	if os.Geteuid() == 0 {
		if err := os.Chown(filepath.Join(dir, "lib/private"), 1000, 1000); err != nil {
			t.Fatal(err)
		}
	}
	link := filepath.Join(b.dir, "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	spec := b.spec(t, "read", dir+"/lib/file", "/opt/it/lib/file", "/opt/it/lib/private", "/opt/one", link+"/lib/file", filepath.Dir(dir)+"/secret")
	spec.Mounts = []sandbox.Mount{
		{Source: dir},
		{Source: link, Target: "/opt/it"},
		{Source: dir + "/lib/file", Target: "/opt/one"},
		{Source: link},
	}
	stdout, _, _ := b.output(t, spec)
	want := fmt.Sprintf("%s/lib/file: \"x\" ok\n/opt/it/lib/file: \"x\" ok\n/opt/it/lib/private: \"\" permission denied\n/opt/one: \"x\" ok\n%s/lib/file: \"x\" ok\n%s/secret: \"\" no such file or directory\n", dir, link, filepath.Dir(dir))
	if stdout != want {
		t.Errorf("the guest sees\n%swant\n%s", stdout, want)
	}
	empty := filepath.Join(b.dir, "empty")
	if err := os.Mkdir(empty, 0o755); err != nil {
		t.Fatal(err)
	}
	spec = b.spec(t, "read", "/opt/it/lib", "/opt/it/lib/file")
	spec.Mounts = []sandbox.Mount{{Source: dir, Target: "/opt/it"}, {Source: empty, Target: "/opt/it/lib"}}
	stdout, _, _ = b.output(t, spec)
	if want := "/opt/it/lib: directory \n/opt/it/lib/file: \"\" no such file or directory\n"; stdout != want {
		t.Errorf("of what a later mount covers the guest sees %q, want %q", stdout, want)
	}
	spec = b.spec(t, "write", "/opt/it/lib/new")
	spec.Mounts = []sandbox.Mount{{Source: dir, Target: "/opt/it"}}
	if stdout, _, _ := b.output(t, spec); strings.Contains(stdout, ": ok") {
		t.Errorf("the guest can write to a mount: %s", stdout)
	}
}
