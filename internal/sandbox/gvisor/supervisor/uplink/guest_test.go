//go:build linux

package uplink

import (
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/pipe"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long anything may take on a busy machine.
const patience = 30 * time.Second

var somewhere = netip.MustParseAddrPort("1.2.3.4:80")

// A guest is a network stack at the other end of a wire, as a sandbox has one.
type guest struct {
	stack *stack.Stack
	link  *pipe.Endpoint
}

// newWire connects a guest with an uplink. Both end with the test.
func newWire(t testing.TB, cfg Config) (*Uplink, *guest) {
	t.Helper()
	if cfg.Connections == 0 {
		cfg.Connections = 16
	}
	near, far := pipe.New(guestMAC, gatewayMAC, mtu)
	u, err := New(cfg, far)
	if err != nil {
		t.Fatal(err)
	}
	g := &guest{link: near, stack: stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4},
	})}
	if err := g.stack.CreateNIC(1, near); err != nil {
		t.Fatal(err)
	}
	address := tcpip.ProtocolAddress{
		Protocol:          ipv4.ProtocolNumber,
		AddressWithPrefix: tcpip.AddressWithPrefix{Address: tcpip.AddrFrom4(Guest.As4()), PrefixLen: prefixBits},
	}
	if err := g.stack.AddProtocolAddress(1, address, stack.AddressProperties{}); err != nil {
		t.Fatal(err)
	}
	g.stack.SetRouteTable([]tcpip.Route{{Destination: header.IPv4EmptySubnet, NIC: 1}})
	t.Cleanup(func() {
		begin := time.Now()
		u.Close()
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("Close() took %v", took)
		}
		g.stack.Destroy()
	})
	return u, g
}

func full(to netip.AddrPort) tcpip.FullAddress {
	return tcpip.FullAddress{NIC: 1, Addr: tcpip.AddrFrom4(to.Addr().As4()), Port: to.Port()}
}

func (g *guest) dial(t testing.TB, to netip.AddrPort) (*gonet.TCPConn, error) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return gonet.DialContextTCP(ctx, g.stack, full(to), ipv4.ProtocolNumber)
}

// mustDial is a connection that must be made.
func (g *guest) mustDial(t testing.TB) *gonet.TCPConn {
	t.Helper()
	c, err := g.dial(t, somewhere)
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	return c
}

// A host is a server on the machine's loopback that every connection leads to.
type host struct {
	listener net.Listener
	conns    chan *net.TCPConn // those that were accepted
}

func newHost(t testing.TB) *host {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	h := &host{listener: l, conns: make(chan *net.TCPConn)}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			select {
			case h.conns <- c.(*net.TCPConn):
			case <-t.Context().Done():
				c.Close()
			}
		}
	}()
	return h
}

// connect is a Config.Connect.
func (h *host) connect(ctx context.Context, _ string, _ netip.AddrPort) (*os.File, error) {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", h.listener.Addr().String())
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.(*net.TCPConn).File()
}

func (h *host) accept(t testing.TB) *net.TCPConn {
	t.Helper()
	select {
	case c := <-h.conns:
		return c
	case <-time.After(patience):
		t.Fatal("nobody connects")
		return nil
	}
}

// echo answers every connection with what it sends.
func (h *host) echo(t testing.TB) {
	go func() {
		for {
			select {
			case c := <-h.conns:
				go func() {
					defer c.Close()
					if _, err := io.Copy(c, c); err == nil {
						_ = c.CloseWrite()
					}
				}()
			case <-t.Context().Done():
				return
			}
		}
	}()
}
