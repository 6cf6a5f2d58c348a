package gvisor

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sys/unix"

	"github.com/outcrop/outcrop/internal/sandbox"
	"github.com/outcrop/outcrop/internal/sandbox/network"
	"github.com/outcrop/outcrop/internal/sandbox/sandboxtest"
)

var update = flag.Bool("update", false, "write the golden files")

// TestInternet runs guests under every policy on a machine whose internet is
// another network namespace, with a name server, a web server and a package
// index. What they reach and what is told of refusals is golden.
func TestInternet(t *testing.T) {
	attr := &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS}
	if os.Geteuid() != 0 {
		attr.Cloneflags |= unix.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	cmd, out := copyAs(t, roleInternet, attr)
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	const path = "testdata/internet.golden"
	if *update {
		if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if out.String() != internetGolden {
		t.Errorf("%s differs (run with -update to accept):\n%s", path, out)
	}
}

// internetGolden is embedded, since the copy for an ordinary user runs elsewhere.
//
//go:embed testdata/internet.golden
var internetGolden string

// The addresses of the internet that is played, and of the machine on it.
const (
	webAddress     = "93.184.216.34"
	indexAddress   = "93.184.216.35"
	namesAddress   = "93.184.216.53"
	cloudAddress   = "169.254.169.254" // what a cloud has there for its machines
	machinePrivate = "10.99.0.1"
	machinePublic  = "93.184.217.1" // on no interface's network
	routerAddress  = "10.99.0.2"
)

func playInternet(ctx context.Context) error {
	rebinds, err := makeInternet()
	if err != nil {
		return err
	}
	// The victim: something of the machine's, on all of its addresses.
	victim, err := net.Listen("tcp4", ":8000")
	if err != nil {
		return err
	}
	defer victim.Close()
	go serveText(victim, "a secret of the machine")
	e, err := New(Config{Dir: filepath.Join(os.Getenv("HOME"), "engine"), Executable: os.Getenv(executableVariable)})
	if err != nil {
		return err
	}
	defer e.Close(ctx)
	names := network.NewForwarder(netip.AddrPortFrom(netip.MustParseAddr(namesAddress), 53))
	index := netip.PrefixFrom(netip.MustParseAddr(indexAddress), 32)
	for i, p := range []struct {
		name   string
		policy network.Policy
	}{
		{"SANDBOX", network.Policy{Mode: network.Sandbox}},
		{"PUBLIC", network.Policy{Mode: network.Public}},
		{"PUBLIC, some hosts", network.Policy{Mode: network.Public, Hosts: []string{"*.index.test", "rebind.test"}}},
		{"VPC, unmapped", network.Policy{Mode: network.VPC, Subnets: []string{"subnet-0123"}, MapCommand: "outcrop network map subnet-0123 PROFILE"}},
		{"VPC, a profile", network.Policy{Mode: network.VPC, Profile: &network.Profile{Name: "packages", Rules: []network.Rule{{Prefix: index, First: 80, Last: 80}}}}},
	} {
		rebinds.Store(0)
		fmt.Println("==", p.name)
		if err := browse(ctx, e, fmt.Sprint("guest-", i), p.policy, names); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return nil
}

// browse runs a guest that tries to reach everything, and prints what it says
// and what is told of it.
func browse(ctx context.Context, e sandbox.Engine, id string, policy network.Policy, names network.Resolver) error {
	var mu sync.Mutex
	var notes []string
	session, err := network.New(network.Config{
		Policy: policy, Resolver: names, Machine: network.NewMachine(),
		Note: func(r network.Refusal) {
			mu.Lock()
			defer mu.Unlock()
			notes = append(notes, "note: "+r.String())
		},
	})
	if err != nil {
		return err
	}
	defer session.Close()
	var out sandboxtest.Buffer
	s, err := e.Start(ctx, sandbox.Spec{
		ID: id, Stdout: &out, Stderr: &out, Network: session,
		Mounts: []sandbox.Mount{{Source: os.Getenv(guestVariable), Target: "/opt/guest"}},
		Args: []string{
			"/opt/guest", "get", "http://www.test/", "http://pypi.index.test/simple/", "http://" + webAddress + "/", "http://nobody.test/",
			// A name that leads to the internet, then to loopback, then to the machine.
			"http://rebind.test:8000/", "http://rebind.test:8000/", "http://rebind.test:8000/", "http://rebind.test:8000/",
			"http://" + machinePrivate + ":8000/", "http://" + machinePublic + ":8000/", "http://0.0.0.0:8000/", "http://" + cloudAddress + "/",
			"http://" + routerAddress + "/", "http://192.0.0.3:8000/",
		},
	})
	if err != nil {
		return err
	}
	<-s.Done()
	mu.Lock()
	defer mu.Unlock()
	slices.Sort(notes)
	fmt.Print(out.String(), strings.Join(notes, "\n"), "\n")
	return nil
}

// makeInternet makes a namespace that plays the internet of this one. The counter
// is how often rebind.test was asked for.
func makeInternet() (*atomic.Int64, error) {
	pair := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "ours"}, PeerName: "theirs"}
	if err := netlink.LinkAdd(pair); err != nil {
		return nil, fmt.Errorf("make veth pair: %w", err)
	}
	rebinds := new(atomic.Int64)
	made := make(chan error)
	thread := make(chan int)
	moved := make(chan struct{})
	go func() {
		runtime.LockOSThread() // never unlocked: it stays there, and what it listens on
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			made <- err
			return
		}
		thread <- unix.Gettid()
		<-moved
		err := errors.Join(
			configure("lo", webAddress, indexAddress, namesAddress, cloudAddress), configure("theirs", routerAddress),
			netlink.RouteAdd(&netlink.Route{Gw: net.ParseIP(machinePrivate), Dst: &net.IPNet{IP: net.ParseIP(machinePublic), Mask: net.CIDRMask(32, 32)}}),
			serveInternet(rebinds))
		made <- err
	}()
	select {
	case err := <-made:
		return nil, err
	case tid := <-thread:
		theirs, err := netlink.LinkByName("theirs")
		if err != nil {
			return nil, err
		}
		ns, err := os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", tid))
		if err != nil {
			return nil, err
		}
		defer ns.Close()
		if err := netlink.LinkSetNsFd(theirs, int(ns.Fd())); err != nil {
			return nil, err
		}
		close(moved)
	}
	return rebinds, errors.Join(<-made, configure("lo", machinePublic), configure("ours", machinePrivate), netlink.RouteAdd(&netlink.Route{Gw: net.ParseIP(routerAddress)}))
}

// configure sets an interface up with addresses, those of lo alone on their own.
func configure(name string, addresses ...string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	bits := 24
	if name == "lo" {
		bits = 32
	}
	for _, a := range addresses {
		if err := netlink.AddrAdd(link, &netlink.Addr{IPNet: &net.IPNet{IP: net.ParseIP(a).To4(), Mask: net.CIDRMask(bits, 32)}}); err != nil {
			return fmt.Errorf("add %s to %s: %w", a, name, err)
		}
	}
	return netlink.LinkSetUp(link)
}

// serveInternet starts its servers, in the namespace of the calling thread.
func serveInternet(rebinds *atomic.Int64) error {
	for address, text := range map[string]string{
		webAddress + ":80": "the internet", webAddress + ":8000": "the internet", indexAddress + ":80": "packages",
		cloudAddress + ":80": "the machine's own credentials", routerAddress + ":80": "a private network",
	} {
		l, err := net.Listen("tcp4", address)
		if err != nil {
			return err
		}
		go serveText(l, text)
	}
	p, err := net.ListenPacket("udp4", namesAddress+":53")
	if err != nil {
		return err
	}
	go serveNames(p, rebinds)
	return nil
}

func serveText(l net.Listener, text string) {
	_ = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }))
}

// serveNames answers for the zone test.
func serveNames(p net.PacketConn, rebinds *atomic.Int64) {
	buf := make([]byte, 4096)
	for {
		n, from, err := p.ReadFrom(buf)
		if err != nil {
			return
		}
		var m dnsmessage.Message
		if m.Unpack(bytes.Clone(buf[:n])) != nil || len(m.Questions) != 1 {
			continue
		}
		q := m.Questions[0]
		address := map[string]string{"www.test.": webAddress, "pypi.index.test.": indexAddress}[q.Name.String()]
		if q.Name.String() == "rebind.test." {
			address = [...]string{webAddress, "127.0.0.1", machinePrivate, machinePublic}[(rebinds.Add(1)-1)%4]
		}
		m.Response, m.Additionals = true, nil
		if address == "" {
			m.RCode = dnsmessage.RCodeNameError
		} else {
			m.Answers = []dnsmessage.Resource{{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class},
				Body:   &dnsmessage.AResource{A: netip.MustParseAddr(address).As4()},
			}}
		}
		if packed, err := m.Pack(); err == nil {
			_, _ = p.WriteTo(packed, from)
		}
	}
}
