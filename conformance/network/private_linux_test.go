package network

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime"

	"github.com/vishvananda/netlink"
	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sys/unix"
)

// The addresses of the private network, and of this machine on it.
const (
	machineAddress  = "10.77.0.1"
	databaseAddress = "10.77.0.2"
	otherAddress    = "10.77.0.3"
	namesAddress    = "10.77.0.53"
	databaseName    = "db.private.test"
)

// playPrivate makes a network namespace that is the private network of the one
// this process is in, with servers on ports 80 and 81 of its addresses and a name
// server. They end with the process.
func playPrivate() error {
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "ours"}, PeerName: "theirs"}); err != nil {
		return fmt.Errorf("make veth pair: %w", err)
	}
	made, thread, moved := make(chan error, 1), make(chan int, 1), make(chan struct{})
	go func() {
		runtime.LockOSThread() // never unlocked: it stays there, and what it listens on
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			made <- fmt.Errorf("make the private network's namespace: %w", err)
			return
		}
		thread <- unix.Gettid()
		<-moved
		made <- errors.Join(up("lo"), up("theirs", databaseAddress, otherAddress, namesAddress), serve())
	}()
	select {
	case err := <-made:
		return err
	case tid := <-thread:
		theirs, err := netlink.LinkByName("theirs")
		if err != nil {
			return err
		}
		ns, err := os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", tid))
		if err != nil {
			return err
		}
		defer ns.Close()
		if err := netlink.LinkSetNsFd(theirs, int(ns.Fd())); err != nil {
			return err
		}
		close(moved)
	}
	return errors.Join(<-made, up("lo"), up("ours", machineAddress))
}

// up sets an interface up with addresses.
func up(name string, addresses ...string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	for _, a := range addresses {
		if err := netlink.AddrAdd(link, &netlink.Addr{IPNet: &net.IPNet{IP: net.ParseIP(a).To4(), Mask: net.CIDRMask(24, 32)}}); err != nil {
			return fmt.Errorf("add %s to %s: %w", a, name, err)
		}
	}
	return netlink.LinkSetUp(link)
}

// serve starts the servers, in the namespace of the calling thread.
func serve() error {
	for _, at := range []string{databaseAddress + ":80", databaseAddress + ":81", otherAddress + ":80"} {
		l, err := net.Listen("tcp4", at)
		if err != nil {
			return err
		}
		go func() {
			_ = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, at) }))
		}()
	}
	p, err := net.ListenPacket("udp4", namesAddress+":53")
	if err != nil {
		return err
	}
	go serveNames(p)
	return nil
}

// serveNames knows the database alone.
func serveNames(p net.PacketConn) {
	buf := make([]byte, 4096)
	for {
		n, from, err := p.ReadFrom(buf)
		if err != nil {
			return
		}
		var m dnsmessage.Message
		if m.Unpack(buf[:n]) != nil || len(m.Questions) != 1 {
			continue
		}
		q := m.Questions[0]
		m.Response, m.Additionals = true, nil
		if q.Name.String() == databaseName+"." && q.Type == dnsmessage.TypeA {
			m.Answers = []dnsmessage.Resource{{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class},
				Body:   &dnsmessage.AResource{A: netip.MustParseAddr(databaseAddress).As4()},
			}}
		} else {
			m.RCode = dnsmessage.RCodeNameError
		}
		if packed, err := m.Pack(); err == nil {
			_, _ = p.WriteTo(packed, from)
		}
	}
}
