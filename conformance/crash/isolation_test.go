package crash

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/conformance/agent"
	"github.com/outcrop/outcrop/conformance/server"
)

// TestIsolation has one session look for everything that is not its own: the
// host's files, the data directory, other sessions and runtimes, the network.
func TestIsolation(t *testing.T) {
	t.Run("as whoever runs the tests", func(t *testing.T) {
		isolated(t, server.Options{DataDir: filepath.Join(server.OpenDir(t), "data")})
	})
	t.Run("as an ordinary user", func(t *testing.T) { isolated(t, server.AsNobody(t)) })
}

// marker is in every file and behind every listener that must not be reached.
const marker = "this must stay where it is"

// isolated starts a server with a neighbour in it and wants a session to find
// neither the host's files and listeners nor the neighbour's.
func isolated(t *testing.T, opt server.Options) {
	r := newRig(t, opt)
	other := r.neighbours(t)
	host := hostListeners(t, filepath.Dir(r.DataDir))
	q := question{
		Read: append([]string{
			r.DataDir, filepath.Join(r.DataDir, "outcrop.db"), filepath.Join(r.DataDir, "credentials.json"), filepath.Join(r.DataDir, "key.json"),
			filepath.Join(r.DataDir, "code"), filepath.Dir(r.DataDir), host.file, host.socket, "/etc/shadow", "/etc/gshadow",
			"/etc/machine-id", "/etc/ssh", "/var/lib", "/var/log", "/run/docker.sock", "/host", "/state", "/bundles", "/layer",
			"/tmp/secret", "/dev/shm/secret", "/var/task/other.txt",
		}, throughProc(r.DataDir)...),
		List: []string{"/tmp", "/dev/shm", "/var", "/run", "/home", "/root", "/srv", "/mnt", "/opt", "/host", "/layer", "/state", "/boot", "/media"},
		Dial: append(host.addresses, strings.Replace(r.URL, "http://", "tcp:", 1),
			"tcp:169.254.169.254:8080", "tcp:169.254.169.253:80", "tcp:192.0.0.1:22", "tcp:192.0.2.1:80", "udp:192.0.2.1:53", "tcp:[2001:db8::1]:80"),
		Env: true,
	}
	// These it may read; what they say is looked at below.
	told := []string{"/proc/mounts", "/proc/self/environ", "/proc/net/tcp", "/proc", "/var/task", "/var/lang/pyvenv.cfg"}
	q.Read = append(q.Read, told...)
	a, err := r.ask(t.Context(), server.SessionID("spy"), q)
	if err != nil {
		t.Fatalf("%v\n%s", err, tail(r.Log()))
	}
	for path, got := range a.Read {
		if !slices.Contains(told, path) && !strings.HasPrefix(got, "error: ") {
			t.Errorf("a session reads %s: %.200q", path, got)
		}
	}
	for address, got := range a.Dial {
		if !strings.HasPrefix(got, "error: ") {
			t.Errorf("a session reaches %s: %.200q", address, got)
		}
	}
	everything := fmt.Sprintf("%v %v %v %v %v", a.List, a.Env, a.Read["/proc/mounts"], a.Read["/proc/self/environ"], a.Read["/proc"])
	for what, secret := range map[string]string{
		"the data directory's name": r.DataDir, "the root key": r.SecretAccessKey, "another session's file": marker, "another session's id": other,
	} {
		if strings.Contains(everything, secret) {
			t.Errorf("a session is told %s:\n%s", what, everything)
		}
	}
	if got := a.Read["/var/task"]; got != "directory: agent main.py" {
		t.Errorf("/var/task holds %q", got)
	}
	if n := processesIn(a.Read["/proc"]); n != 1 {
		t.Errorf("a session sees %d processes, want its own alone: %s", n, a.Read["/proc"])
	}
	if n := strings.Count(a.Read["/proc/net/tcp"], "\n"); n > 4 {
		t.Errorf("a session sees the sockets of others:\n%s", a.Read["/proc/net/tcp"])
	}
	if odd := strangers(a.List, q.List, a.Read["/var/lang/pyvenv.cfg"]); len(odd) > 0 {
		t.Errorf("a session finds %v", odd)
	}
	t.Logf("%d paths read, %d addresses dialled, %d paths found below %v", len(a.Read), len(a.Dial), len(a.List), q.List)
}

// strangers are the paths that a session of the probe need not see: all but its
// code, its Python, what tells it that it is a copy (/run/outcrop), the
// certificates that it trusts (/opt/outcrop), and the directories that lead there.
// config is pyvenv.cfg, which says where the host has the Python.
func strangers(found, roots []string, config string) []string {
	_, home, _ := strings.Cut(config, "home = ")
	home, _, _ = strings.Cut(home, "\n")
	prefix := filepath.Dir(home)
	var odd []string
	for _, path := range found {
		known := slices.Contains(roots, path) || path == "/var/tmp" || strings.HasPrefix(prefix+"/", path+"/")
		for _, below := range []string{"/var/task", "/var/lang", "/run/outcrop", "/opt/outcrop", prefix} {
			known = known || strings.HasPrefix(path+"/", below+"/")
		}
		if !known {
			odd = append(odd, path)
		}
	}
	return odd[:min(len(odd), 20)]
}

// neighbours starts another session and another runtime and has them write
// secrets; it returns the session's id.
func (r *rig) neighbours(t *testing.T) string {
	t.Helper()
	id := server.SessionID("neighbour")
	if _, err := agent.Deploy(t.Context(), r.account, "crash-other", "other", append([]byte(nil), r.zip...)); err != nil {
		t.Fatal(err)
	}
	got, err := r.ask(t.Context(), id, question{Write: []string{"/tmp/secret", "/dev/shm/secret"}, Text: marker})
	if err != nil {
		t.Fatal(err)
	}
	for path, result := range got.Write {
		if result != "ok" {
			t.Fatalf("the neighbour cannot write %s: %s", path, result)
		}
	}
	return id
}

// host is what the test keeps on the machine for nobody to find.
type host struct {
	file, socket string
	addresses    []string
}

// hostListeners listens at the machine's loopback, at all its addresses, and at
// sockets with and without a file.
func hostListeners(t *testing.T, dir string) host {
	t.Helper()
	h := host{file: filepath.Join(dir, "secret"), socket: filepath.Join(dir, "socket")}
	if err := os.WriteFile(h.file, []byte(marker), 0o644); err != nil {
		t.Fatal(err)
	}
	abstract := fmt.Sprintf("@outcrop-crash-%d", os.Getpid())
	for _, at := range [][2]string{{"tcp", "127.0.0.1:0"}, {"tcp", "0.0.0.0:0"}, {"unix", h.socket}, {"unix", abstract}} {
		l, err := net.Listen(at[0], at[1])
		if err != nil {
			t.Fatal(err)
		}
		s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, marker) })}
		go func() { _ = s.Serve(l) }() // ends with Close
		t.Cleanup(func() { _ = s.Close() })
		h.addresses = append(h.addresses, at[0]+":"+l.Addr().String())
		if at[1] == "0.0.0.0:0" {
			h.addresses = append(h.addresses, outward(t, l.Addr().(*net.TCPAddr).Port)...)
		}
	}
	return h
}

// outward are the addresses of a port at which other machines reach this one.
func outward(t *testing.T, port int) []string {
	t.Helper()
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && !n.IP.IsLoopback() {
			out = append(out, fmt.Sprintf("tcp:%s:%d", n.IP, port))
		}
	}
	return out
}

// throughProc are ways around a root directory.
func throughProc(path string) []string {
	return []string{
		"/proc/1/root" + path, "/proc/self/root" + path, "/proc/1/cwd/../.." + path, "/proc/self/fd/../../../.." + path,
		"/dev/fd/3/../../../.." + path,
	}
}

func processesIn(listing string) int {
	n := 0
	for name := range strings.FieldsSeq(strings.TrimPrefix(listing, "directory: ")) {
		if strings.Trim(name, "0123456789") == "" {
			n++
		}
	}
	return n
}
