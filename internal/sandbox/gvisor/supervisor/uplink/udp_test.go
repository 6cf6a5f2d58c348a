//go:build linux

package uplink

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
)

// udpEcho is a Config.Connect that leads to an echo of datagrams.
func udpEcho(t testing.TB) func(context.Context, string, netip.AddrPort) (*os.File, error) {
	t.Helper()
	echo, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { echo.Close() })
	go func() {
		buf := make([]byte, bufferBytes)
		for {
			n, from, err := echo.ReadFromUDP(buf)
			if err != nil {
				return
			}
			_, _ = echo.WriteToUDP(buf[:n], from)
		}
	}()
	return dialUDP(echo.LocalAddr().String())
}

func dialUDP(address string) func(context.Context, string, netip.AddrPort) (*os.File, error) {
	return func(_ context.Context, network string, _ netip.AddrPort) (*os.File, error) {
		if network != "udp" {
			return nil, Refused
		}
		c, err := net.Dial("udp4", address)
		if err != nil {
			return nil, err
		}
		defer c.Close()
		return c.(*net.UDPConn).File()
	}
}

func (g *guest) dialUDP(t testing.TB, to netip.AddrPort) *gonet.UDPConn {
	t.Helper()
	remote := full(to)
	c, err := gonet.DialUDP(g.stack, nil, &remote, ipv4.ProtocolNumber)
	if err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(patience))
	return c
}

// TestDatagrams: each comes as it went, whatever its size.
func TestDatagrams(t *testing.T) {
	u, g := newWire(t, Config{Connect: udpEcho(t)})
	c := g.dialUDP(t, somewhere)
	defer c.Close()
	buf := make([]byte, bufferBytes)
	total := int64(0)
	for _, size := range []int{1, 1400, 3000, 0, 9000, 60000, 2} {
		want := bytes.Repeat([]byte{byte(size)}, size)
		if _, err := c.Write(want); err != nil {
			t.Fatal(err)
		}
		n, err := c.Read(buf)
		if err != nil || !bytes.Equal(buf[:n], want) {
			t.Errorf("of %d bytes came %d, %v", size, n, err)
		}
		total += int64(size)
	}
	if s, r := u.Counts(); s != total || r != total {
		t.Errorf("Counts() = %d, %d; want %d each", s, r, total)
	}
}

// TestDatagramsRefused: both by the policy and by the destination itself.
func TestDatagramsRefused(t *testing.T) {
	l, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	nobody := l.LocalAddr().String()
	l.Close()
	for name, connect := range map[string]func(context.Context, string, netip.AddrPort) (*os.File, error){
		"policy":      func(context.Context, string, netip.AddrPort) (*os.File, error) { return nil, Refused },
		"destination": dialUDP(nobody),
	} {
		t.Run(name, func(t *testing.T) {
			u, g := newWire(t, Config{Connect: connect})
			c := g.dialUDP(t, somewhere)
			defer c.Close()
			if _, err := c.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
			awaitRefusal(t, c)
			awaitSlots(t, u, 0)
		})
	}
}

// awaitRefusal reads until it is refused: this stack tells a reader of that only
// when it asks again.
func awaitRefusal(t *testing.T, c *gonet.UDPConn) {
	t.Helper()
	for late := time.Now().Add(patience); ; {
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
		_, err := c.Read(make([]byte, 1))
		if err != nil && strings.Contains(err.Error(), "refused") {
			break
		}
		if err == nil || time.Now().After(late) {
			t.Fatalf("Read() = %v, want refused", err)
		}
	}
	_ = c.SetReadDeadline(time.Now().Add(patience))
}

// TestDatagramSlots: a flow that is in use keeps its slot; one that was silent
// for a while gives it to the next.
func TestDatagramSlots(t *testing.T) {
	u, g := newWire(t, Config{Connect: udpEcho(t), Connections: 2})
	ping := func(c *gonet.UDPConn) error {
		if _, err := c.Write([]byte("x")); err != nil {
			return err
		}
		_, err := c.Read(make([]byte, 1))
		return err
	}
	a, b := g.dialUDP(t, somewhere), g.dialUDP(t, somewhere)
	for _, c := range []*gonet.UDPConn{a, b} {
		if err := ping(c); err != nil {
			t.Fatal(err)
		}
	}
	c := g.dialUDP(t, somewhere)
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	awaitRefusal(t, c)
	u.mu.Lock()
	for _, f := range u.udp { // they have been silent
		f.used.Store(time.Now().Add(-2 * udpYoung).UnixNano())
	}
	u.mu.Unlock()
	if err := ping(c); err != nil {
		t.Errorf("a third flow, when others are silent: %v", err)
	}
	for _, c := range []*gonet.UDPConn{a, b, c} {
		c.Close()
	}
}

// TestDatagramsAgain: a port that is used again at once, as the flow that it was
// ends, costs no slot for ever.
func TestDatagramsAgain(t *testing.T) {
	u, g := newWire(t, Config{Connect: udpEcho(t)})
	c := g.dialUDP(t, somewhere)
	defer c.Close()
	end := func() {
		u.mu.Lock()
		var all []*udpFlow
		for _, f := range u.udp {
			all = append(all, f)
		}
		u.mu.Unlock()
		for _, f := range all {
			f.end()
		}
	}
	for range 500 {
		_, _ = c.Write([]byte("x")) // some are refused, while all slots are taken
		end()
	}
	late := time.After(patience)
	for len(u.slots) > 0 {
		end()
		select {
		case <-late:
			t.Fatalf("%d slots are taken for ever", len(u.slots))
		case <-time.After(time.Millisecond): // polls other goroutines' work
		}
	}
}
