package cli

import (
	"bufio"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

const procNetTCP = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:21C2 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 71001 1 0000000000000000 100 0 0 10 0
   1: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 71002 1 0000000000000000 100 0 0 10 0
   2: 0100007F:21C3 0100007F:9C40 01 00000000:00000000 00:00000000 00000000  1000        0 71003 1 0000000000000000 20 4 30 10 -1
   3: 0200A8C0:21C4 00000000:0000 0A 00000000:00000000 00:00000000 00000000    33        0 71004 1 0000000000000000 100 0 0 10 0
   4: short
`

const procNetTCP6 = `  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000001000000:21C5 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     7        0 81001 1
   1: 00000000000000000000000000000000:21C6 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     8        0 81002 1
`

func TestFindListener(t *testing.T) {
	tests := []struct {
		table, want, inode string
		uid                int
	}{
		{procNetTCP, "127.0.0.1:8642", "71001", 1000},
		{procNetTCP, "0.0.0.0:8642", "71001", 1000},   // all addresses collide with one
		{procNetTCP, "[::]:8642", "71001", 1000},      //
		{procNetTCP, "127.0.0.1:80", "71002", 0},      // and one with all
		{procNetTCP, "127.0.0.1:8643", "", 0},         // a connection is no listener
		{procNetTCP, "127.0.0.1:8644", "", 0},         // another interface
		{procNetTCP, "192.168.0.2:8644", "71004", 33}, //
		{procNetTCP6, "[::1]:8645", "81001", 7},
		{procNetTCP6, "127.0.0.1:8646", "81002", 8},
		{"", "127.0.0.1:1", "", 0},
	}
	for _, test := range tests {
		inode, uid, ok := findListener(bufio.NewScanner(strings.NewReader(test.table)), netip.MustParseAddrPort(test.want))
		if inode != test.inode || uid != test.uid || ok != (test.inode != "") {
			t.Errorf("%s: inode %q, uid %d, %v; want %q, %d", test.want, inode, uid, ok, test.inode, test.uid)
		}
	}
}

func FuzzParseKernelAddr(f *testing.F) {
	f.Add("0100007F:21C2")
	f.Add("00000000000000000000000001000000:21C5")
	f.Fuzz(func(t *testing.T, s string) {
		if a, err := parseKernelAddr(s); err == nil && !a.IsValid() {
			t.Errorf("%q gives the invalid %v", s, a)
		}
	})
}

// A port of root's process, seen by somebody else: the uid is all there is.
func TestPortTakenByAnotherUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to be two users")
	}
	addr, _ := listener(t)
	dir, err := os.MkdirTemp("", "outcrop-port-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	const nobody = 65534
	program := filepath.Join(dir, "outcrop.test")
	self, err := os.ReadFile(os.Args[0])
	if err = firstError(err, os.WriteFile(program, self, 0o755), os.Chmod(dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "serve", "--listen", addr, "--data", filepath.Join(dir, "data"))
	cmd.Env = []string{"HOME=" + dir, "OUTCROP_TEST_AS_MAIN=1"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "is taken by a process of root (uid 0)") || !strings.Contains(string(out), "outcrop serve --listen 127.0.0.1:") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestCheckMount(t *testing.T) {
	if all := checkMount(t.TempDir()); len(all) != 2 || all[0].Name != "disk" || all[1].Name != "mount" {
		t.Errorf("a directory: %+v", all)
	}
	if f := checkMount("/proc/none")[0]; f.OK || f.Fix == "" || f.Detail != "/proc is the kernel's and holds no files of ours" {
		t.Errorf("/proc has no room: %+v", f)
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); strings.Contains(","+f[3]+",", ",noexec,") && strings.HasPrefix(f[3], "rw") {
			if m := checkMount(f[1]); len(m) == 2 && !strings.Contains(m[1].Detail, "noexec") && m[1].OK {
				t.Errorf("%s is mounted %s: %+v", f[1], f[3], m)
			}
		}
	}
}

func TestCheckDirectory(t *testing.T) {
	last := func(dir string) Finding { all := checkDirectory(dir); return all[len(all)-1] }
	dir := t.TempDir()
	if f := last(filepath.Join(dir, "none")); !f.OK {
		t.Errorf("not there: %+v", f)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if f := last(dir); f.OK || f.Fix != "chmod 700 "+dir {
		t.Errorf("readable by others: %+v", f)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if f := last(dir); !f.OK {
		t.Errorf("no account yet: %+v", f)
	}
	writeKey(t, dir)
	if f := last(dir); !f.OK {
		t.Errorf("good: %+v", f)
	}
	key := filepath.Join(dir, "credentials.json")
	if err := os.Chmod(key, 0o644); err != nil {
		t.Fatal(err)
	}
	if f := last(dir); f.OK || f.Fix != "chmod 600 "+key {
		t.Errorf("key readable by others: %+v", f)
	}
	if f := last(key); f.OK {
		t.Errorf("a file: %+v", f)
	}
}
