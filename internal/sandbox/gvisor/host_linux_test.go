package gvisor

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/outcrop/outcrop/internal/sandbox"
)

// machine makes a root with the given files.
func machine(t *testing.T, files map[string]string) host {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return host{root: root}
}

func TestExplain(t *testing.T) {
	user := privileges{userNamespace: true}
	tests := []struct {
		name  string
		files map[string]string
		as    privileges
		err   error
		want  string // empty: not an UnavailableError
	}{
		{"namespaces off", map[string]string{"/proc/sys/user/max_user_namespaces": "0\n"}, user, unix.ENOSPC, "sysctl -w user.max_user_namespaces=15000"},
		{"Debian's switch", map[string]string{"/proc/sys/kernel/unprivileged_userns_clone": "0\n"}, user, unix.EPERM, "sysctl -w kernel.unprivileged_userns_clone=1"},
		{"Ubuntu's switch", map[string]string{
			"/proc/sys/user/max_user_namespaces":                     "96365\n",
			"/proc/sys/kernel/unprivileged_userns_clone":             "1\n",
			"/proc/sys/kernel/apparmor_restrict_unprivileged_userns": "1\n",
		}, user, errDenied, "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"},
		{"a container without privileges", nil, user, unix.EPERM, "--privileged"},
		{"namespaces off for root", map[string]string{"/proc/sys/user/max_user_namespaces": "0\n"}, privileges{}, unix.ENOSPC, "sysctl -w user.max_user_namespaces=15000"},
		{"root in a container", map[string]string{"/proc/sys/kernel/unprivileged_userns_clone": "0\n"}, privileges{}, errDenied, "--privileged"},
		{"an old kernel", map[string]string{"/proc/sys/kernel/osrelease": "5.10.0-30-amd64\n"}, privileges{}, errDenied, "use a newer kernel"},
		{"anything else", nil, user, unix.ENOMEM, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := machine(t, tt.files).explain(tt.as, "mount /proc", tt.err)
			var u *sandbox.UnavailableError
			if !errors.Is(err, tt.err) || errors.As(err, &u) != (tt.want != "") {
				t.Fatalf("explain() = %v (%T)", err, err)
			}
			if u != nil && !strings.Contains(u.Fix, tt.want) {
				t.Errorf("the fix is %q, want %q in it", u.Fix, tt.want)
			}
		})
	}
}

func TestOlder(t *testing.T) {
	for release, want := range map[string]bool{
		"5.10.0-30-amd64": true, "5.11.99": true, "5.12.0": false, "5.4.0": true, "6.1.0": false, "10.0": false, "4.19.1": true, "nonsense": false,
	} {
		if got := machine(t, map[string]string{"/proc/sys/kernel/osrelease": release}).older(5, 12); got != want {
			t.Errorf("older(5, 12) on %s = %t, want %t", release, got, want)
		}
	}
}

func TestMaps(t *testing.T) {
	for text, want := range map[string]bool{
		"         0          0 4294967295\n": true,
		"         0       1000          1\n": false,
		"0 1000 1\n1 100000 65536\n":         true,
		"0 1000 1\n1 100000 65533\n":         false,
		"":                                   false,
	} {
		if got := machine(t, map[string]string{"/proc/self/uid_map": text}).maps("uid_map", nobody); got != want {
			t.Errorf("maps(65534) in %q = %t, want %t", text, got, want)
		}
	}
}
