package image

import (
	"os"
	"path/filepath"
	"testing"
)

func TestStandsForRoot(t *testing.T) {
	const overflow = "65534\n"
	for name, tt := range map[string]struct {
		uid      uint32
		overflow string
		uidMap   string
		want     bool
	}{
		"no namespace":             {65534, overflow, "         0          0 4294967295\n", false},
		"one user as root":         {65534, overflow, "         0       1000          1\n", true},
		"one user as itself":       {65534, overflow, "      1000       1000          1\n", true},
		"a rootless container":     {65534, overflow, "0 1000 1\n1 100000 1000\n", true},
		"one with many users":      {65534, overflow, "0 1000 1\n1 100000 65536\n", false}, // nobody is somebody
		"root is mapped elsewhere": {65534, overflow, "7 0 1\n1000 1000 1\n", false},
		"another uid":              {1001, overflow, "0 1000 1\n", false},
		"another overflow uid":     {99, "99\n", "0 1000 1\n", true},
		"no map":                   {65534, overflow, "", false},
		"no overflow uid":          {65534, "", "0 1000 1\n", false},
		"nonsense":                 {65534, overflow, "0 1000\n", false},
	} {
		if got := standsForRoot(tt.uid, tt.overflow, tt.uidMap); got != tt.want {
			t.Errorf("%s: standsForRoot(%d) with map %q = %v", name, tt.uid, tt.uidMap, got)
		}
	}
}

func TestTrustedIsOursAndClosedToOthers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "python3")
	for mode, want := range map[os.FileMode]bool{0o755: true, 0o775: true, 0o757: false, 0o777: false} {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil { // whatever the umask
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := trusted(path, info); ok != want {
			t.Errorf("trusted with mode %v = %v", mode, ok)
		}
	}
	if os.Getuid() != 0 {
		t.Skip("the rest needs root, to give a file to another user")
	}
	if err := os.Chown(path, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o755); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if uid, ok := trusted("/usr/bin/python3", info); ok || uid != 65534 {
		t.Errorf("nobody's file is trusted by root: uid %d, %v", uid, ok)
	}
}
