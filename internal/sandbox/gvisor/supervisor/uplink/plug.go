//go:build linux

package uplink

import (
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	nearName = "eth0" // the guest's
	farName  = "far0"
	// mtu is a common network's: programs look at it. Long segments cross the
	// wire whole all the same.
	mtu = 1500
	// queueBytes is what may wait in the packet socket, each way. Ordinary users
	// get what net.core.rmem_max allows.
	queueBytes = 4 << 20
)

// Plug makes a wire in the network namespace of the calling thread, in which
// nothing but a loopback interface may be, and returns the socket at its far
// end. The near end is in the same namespace, or in that of near, which the thread
// is in afterwards. The namespaces are what keeps the interfaces: they go with them.
func Plug(near *os.File) (*os.File, error) {
	pair := &netlink.Veth{
		LinkAttrs:        netlink.LinkAttrs{Name: nearName, MTU: mtu, HardwareAddr: net.HardwareAddr(guestMAC)},
		PeerName:         farName,
		PeerHardwareAddr: net.HardwareAddr(farMAC),
	}
	if near != nil {
		pair.Namespace = netlink.NsFd(near.Fd())
	}
	if err := netlink.LinkAdd(pair); err != nil {
		return nil, fmt.Errorf("plug wire: make veth pair: %w", err)
	}
	far, err := netlink.LinkByName(farName)
	if err != nil {
		return nil, fmt.Errorf("plug wire: %w", err)
	}
	if err := errors.Join(netlink.LinkSetMTU(far, mtu), netlink.LinkSetARPOff(far), netlink.LinkSetUp(far)); err != nil {
		return nil, fmt.Errorf("plug wire: set its far end up: %w", err)
	}
	socket, err := packetSocket(far.Attrs().Index)
	if err != nil {
		return nil, err
	}
	if near != nil {
		err = unix.Setns(int(near.Fd()), unix.CLONE_NEWNET)
	}
	if err == nil {
		err = nearEnd()
	}
	if err != nil {
		socket.Close()
		return nil, fmt.Errorf("plug wire: set its near end up: %w", err)
	}
	return socket, nil
}

// nearEnd configures what runsc reads and shows to the guest.
func nearEnd() error {
	near, err := netlink.LinkByName(nearName)
	if err != nil {
		return err
	}
	address := &netlink.Addr{IPNet: &net.IPNet{IP: Guest.AsSlice(), Mask: net.CIDRMask(prefixBits, 32)}}
	if err := netlink.AddrAdd(near, address); err != nil {
		return err
	}
	if err := netlink.LinkSetUp(near); err != nil {
		return err
	}
	gateway := net.IP(Gateway.AsSlice())
	if err := netlink.NeighSet(&netlink.Neigh{
		LinkIndex: near.Attrs().Index, IP: gateway, HardwareAddr: net.HardwareAddr(gatewayMAC), State: netlink.NUD_PERMANENT,
	}); err != nil {
		return err
	}
	return netlink.RouteAdd(&netlink.Route{LinkIndex: near.Attrs().Index, Gw: gateway})
}

// packetSocket returns a socket that gets and sends an interface's frames. Long
// segments come with a header that says so, instead of being cut.
func packetSocket(index int) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("plug wire: make packet socket: %w", err)
	}
	file := os.NewFile(uintptr(fd), "wire")
	const all = unix.ETH_P_ALL<<8&0xff00 | unix.ETH_P_ALL>>8 // in the network's order
	err = unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1)
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1)
	}
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: index})
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("plug wire: bind packet socket: %w", err)
	}
	for _, o := range [...]struct{ force, plain int }{{unix.SO_RCVBUFFORCE, unix.SO_RCVBUF}, {unix.SO_SNDBUFFORCE, unix.SO_SNDBUF}} {
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, o.force, queueBytes) != nil {
			_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, o.plain, queueBytes) // as much as is allowed
		}
	}
	return file, nil
}
