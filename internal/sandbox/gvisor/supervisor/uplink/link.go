//go:build linux

package uplink

import (
	"encoding/binary"
	"fmt"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

const (
	// headerBytes is the length of what stands before each frame: struct
	// virtio_net_hdr of linux/virtio_net.h.
	headerBytes = 10
	// gsoBytes is the longest segment that crosses the wire whole.
	gsoBytes = 64 << 10
	// frameBytes holds the longest frame.
	frameBytes = headerBytes + header.EthernetMinimumSize + gsoBytes
)

// What a virtio_net_hdr says of a segment that a device would cut and sum up.
const (
	needsChecksum = 1 // VIRTIO_NET_HDR_F_NEEDS_CSUM
	gsoTCPv4      = 1 // VIRTIO_NET_HDR_GSO_TCPV4
)

// A link is the far end of a wire that Plug made. gVisor's own, fdbased, leaves
// two descriptors open for each that ends, and one thread waits for each that
// does not; this one waits in Go's poller.
type link struct {
	file *os.File
	raw  syscall.RawConn

	reading sync.WaitGroup

	mu         sync.RWMutex
	dispatcher stack.NetworkDispatcher
}

var (
	_ stack.LinkEndpoint = (*link)(nil)
	_ stack.GSOEndpoint  = (*link)(nil)
)

// Link takes over the socket that Plug returned, for New.
func Link(file *os.File) (stack.LinkEndpoint, error) {
	raw, err := file.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("use wire: %w", err)
	}
	return &link{file: file, raw: raw}, nil
}

// Attach implements stack.LinkEndpoint: it starts reading, or ends it for good.
func (l *link) Attach(d stack.NetworkDispatcher) {
	l.mu.Lock()
	first := l.dispatcher == nil && d != nil
	l.dispatcher = d
	l.mu.Unlock()
	switch {
	case first:
		l.reading.Go(l.read)
	case d == nil:
		_ = l.file.Close() // it may be closed already
		l.reading.Wait()
	}
}

// read delivers frames until the socket is closed, or its interface is gone.
func (l *link) read() {
	frame := make([]byte, frameBytes)
	for {
		var n int
		var failed error
		err := l.raw.Read(func(fd uintptr) bool {
			n, failed = unix.Read(int(fd), frame)
			return failed != unix.EAGAIN
		})
		switch {
		case err != nil:
			return
		case failed == unix.EINTR || failed == unix.ENETDOWN: // the latter is told once, when it goes down
		case failed != nil:
			return
		case n > headerBytes:
			l.deliver(frame[headerBytes:n])
		}
	}
}

// deliver passes a frame on that is for the gateway.
func (l *link) deliver(frame []byte) {
	eth := header.Ethernet(frame)
	if len(frame) < header.EthernetMinimumSize || eth.DestinationAddress() != gatewayMAC {
		return
	}
	l.mu.RLock()
	d := l.dispatcher
	l.mu.RUnlock()
	if d == nil {
		return
	}
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(frame[header.EthernetMinimumSize:])})
	defer pkt.DecRef()
	pkt.NetworkProtocolNumber = eth.Type()
	pkt.RXChecksumValidated = true
	d.DeliverNetworkPacket(eth.Type(), pkt)
}

// WritePackets implements stack.LinkEndpoint. What the kernel has no room for is
// lost, as on any wire.
func (l *link) WritePackets(pkts stack.PacketBufferList) (int, tcpip.Error) {
	for _, pkt := range pkts.AsSlice() {
		head := segmentHeader(pkt)
		parts := append([][]byte{head[:]}, pkt.AsSlices()...)
		err := l.raw.Write(func(fd uintptr) bool {
			for {
				if _, err := unix.Writev(int(fd), parts); err != unix.EINTR {
					return true
				}
			}
		})
		if err != nil {
			return 0, &tcpip.ErrClosedForSend{}
		}
	}
	return pkts.Len(), nil
}

// segmentHeader tells the other end how to cut and sum up a long segment.
func segmentHeader(pkt *stack.PacketBuffer) (h [headerBytes]byte) {
	gso := pkt.GSOOptions
	if gso.Type == stack.GSONone {
		return h
	}
	if gso.NeedsCsum {
		h[0] = needsChecksum
		binary.NativeEndian.PutUint16(h[6:], header.EthernetMinimumSize+gso.L3HdrLen)
		binary.NativeEndian.PutUint16(h[8:], gso.CsumOffset)
	}
	binary.NativeEndian.PutUint16(h[2:], uint16(pkt.HeaderSize()))
	if pkt.Data().Size() > int(gso.MSS) && gso.Type == stack.GSOTCPv4 {
		h[1] = gsoTCPv4
		binary.NativeEndian.PutUint16(h[4:], gso.MSS)
	}
	return h
}

// AddHeader implements stack.LinkEndpoint.
func (l *link) AddHeader(pkt *stack.PacketBuffer) {
	header.Ethernet(pkt.LinkHeader().Push(header.EthernetMinimumSize)).Encode(&header.EthernetFields{
		SrcAddr: gatewayMAC, DstAddr: guestMAC, Type: pkt.NetworkProtocolNumber,
	})
}

// ParseHeader implements stack.LinkEndpoint. Nothing is delivered with one.
func (l *link) ParseHeader(*stack.PacketBuffer) bool { return true }

// Capabilities implements stack.LinkEndpoint. Frames that come across a veth carry
// what a device would put in place of a checksum; both ends are memory of one
// machine. Those that go to the guest are summed up here unless segmentHeader says
// who does: the machine's kernel, where it is the receiver, trusts no other.
func (l *link) Capabilities() stack.LinkEndpointCapabilities {
	return stack.CapabilityRXChecksumOffload
}

// GSOMaxSize implements stack.GSOEndpoint.
func (l *link) GSOMaxSize() uint32 { return gsoBytes }

// SupportedGSO implements stack.GSOEndpoint.
func (l *link) SupportedGSO() stack.SupportedGSO { return stack.HostGSOSupported }

// IsAttached implements stack.LinkEndpoint.
func (l *link) IsAttached() bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.dispatcher != nil
}

// Close implements stack.LinkEndpoint.
func (l *link) Close() { _ = l.file.Close() } // it may be closed already

// Wait implements stack.LinkEndpoint.
func (l *link) Wait() { l.reading.Wait() }

// The rest implements stack.LinkEndpoint with what does not change.

// MTU is the interface's.
func (l *link) MTU() uint32 { return mtu }

// SetMTU changes nothing.
func (l *link) SetMTU(uint32) {}

// MaxHeaderLength is Ethernet's.
func (l *link) MaxHeaderLength() uint16 { return header.EthernetMinimumSize }

// LinkAddress is the gateway's.
func (l *link) LinkAddress() tcpip.LinkAddress { return gatewayMAC }

// SetLinkAddress changes nothing.
func (l *link) SetLinkAddress(tcpip.LinkAddress) {}

// ARPHardwareType is Ethernet.
func (l *link) ARPHardwareType() header.ARPHardwareType { return header.ARPHardwareEther }

// SetOnCloseAction does nothing: Close tells nobody.
func (l *link) SetOnCloseAction(func()) {}
