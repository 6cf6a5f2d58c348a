//go:build linux

package firstminutes

import (
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/outcrop/outcrop/conformance/server"
)

// TestOtherSystems looks at what the program for macOS and Windows is made of:
// the client alone. make cross builds them.
func TestOtherSystems(t *testing.T) {
	t.Parallel()
	dir := checkout(t)
	for _, goos := range []string{"darwin", "windows"} {
		cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "./cmd/outcrop")
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOOS="+goos, "GOARCH=amd64", "CGO_ENABLED=0", "GOPROXY=off", "GOFLAGS=-mod=readonly")
		var stderr strings.Builder
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Skipf("go list needs Go and the modules in this user's cache: %v\n%s", err, stderr.String())
		}
		deps := "\n" + string(out)
		wants(t, deps, "/outcrop/internal/cli\n", "/outcrop/internal/bundle\n", "/outcrop/internal/client\n")
		avoids(t, deps, "/outcrop/internal/app\n", "/outcrop/internal/sandbox/gvisor", "\ngvisor.dev/", "\nmodernc.org/sqlite")
	}
}

// addressOfTests is for documentation (RFC 5737), and in the namespace of the
// test the machine's own.
const addressOfTests = "192.0.2.7"

// TestAddressOfTheNetwork serves on an address that is not loopback, and has a
// client that knows nothing but that address and a key deploy and invoke.
func TestAddressOfTheNetwork(t *testing.T) {
	t.Parallel()
	if !inside(t, ordinary(unix.CLONE_NEWNET)) {
		return
	}
	giveAddress(t)
	p := newPerson(t)
	s := p.serve("--listen", addressOfTests+":8642")
	if s.URL != "http://"+addressOfTests+":8642" {
		t.Errorf("it listens on %s", s.URL)
	}
	wants(t, s.Log(), "Warning: "+addressOfTests+":8642 can be reached from other machines", "plain HTTP")

	remote := newPerson(t)
	remote.env = []string{
		"AWS_ENDPOINT_URL=" + s.URL, "AWS_ACCESS_KEY_ID=" + s.AccessKeyID, "AWS_SECRET_ACCESS_KEY=" + s.SecretAccessKey, "AWS_REGION=" + s.Region,
	}
	remote.must(remote.home, "deploy", remote.agent("mine", nil))
	var pid int
	remote.evaluate("mine", "os.getpid()", &pid)
	if pid < 1 {
		t.Errorf("process %d", pid)
	}
	// The key is not sent to whom it does not belong.
	remote.env = nil
	r := remote.run("/", "ls", "--endpoint", s.URL)
	wants(t, r.stderr, "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set", "Take them from where the server runs")
	if r.code != 1 {
		t.Errorf("%s", r)
	}
	// On loopback nobody is warned.
	quiet := server.Start(t, server.Options{Binary: p.binary})
	avoids(t, quiet.Log(), "plain HTTP")
}

// giveAddress switches the loopback device of a new network namespace on and
// gives it addressOfTests as a second address.
func giveAddress(t *testing.T) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	set := func(device string, call uint, fill func(*unix.Ifreq) error) {
		r, err := unix.NewIfreq(device)
		if err == nil {
			err = fill(r)
		}
		if err == nil {
			err = unix.IoctlIfreq(fd, call, r)
		}
		if err != nil {
			t.Fatalf("set up %s: %v", device, err)
		}
	}
	up := func(r *unix.Ifreq) error { r.SetUint16(unix.IFF_UP | unix.IFF_RUNNING); return nil }
	set("lo", unix.SIOCSIFFLAGS, up)
	set("lo:1", unix.SIOCSIFADDR, func(r *unix.Ifreq) error { return r.SetInet4Addr(net.ParseIP(addressOfTests).To4()) })
}
