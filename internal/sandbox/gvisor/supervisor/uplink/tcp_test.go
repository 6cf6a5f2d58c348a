//go:build linux

package uplink

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

// TestStream echoes noise and compares hashes; the half-close ends both ways.
func TestStream(t *testing.T) {
	const size = 20 << 20
	h := newHost(t)
	h.echo(t)
	var asked netip.AddrPort
	u, g := newWire(t, Config{Connect: func(ctx context.Context, network string, to netip.AddrPort) (*os.File, error) {
		asked = to
		return h.connect(ctx, network, to)
	}})
	c := g.mustDial(t)
	defer c.Close()
	if asked != somewhere {
		t.Errorf("the guest asked for %v, want %v", asked, somewhere)
	}
	sent, got := sha256.New(), sha256.New()
	go func() {
		_, _ = io.Copy(c, io.TeeReader(io.LimitReader(rand.NewChaCha8([32]byte{1}), size), sent))
		_ = c.CloseWrite()
	}()
	n, err := io.Copy(got, c)
	if err != nil || n != size || !bytes.Equal(sent.Sum(nil), got.Sum(nil)) {
		t.Errorf("%d bytes came back, %v, equal %t; want %d", n, err, bytes.Equal(sent.Sum(nil), got.Sum(nil)), size)
	}
	if s, r := u.Counts(); s != size || r != size {
		t.Errorf("Counts() = %d, %d; want %d each", s, r, size)
	}
}

// TestHalfClose: the guest is done first and still gets its answer; then the
// host is, and the guest goes on sending.
func TestHalfClose(t *testing.T) {
	h := newHost(t)
	_, g := newWire(t, Config{Connect: h.connect})
	c, host := g.mustDial(t), h.accept(t)
	defer c.Close()
	defer host.Close()
	_, _ = io.WriteString(c, "question")
	_ = c.CloseWrite()
	if b, err := io.ReadAll(host); err != nil || string(b) != "question" {
		t.Errorf("the host read %q, %v", b, err)
	}
	_, _ = io.WriteString(host, "answer")
	host.Close()
	if b, err := io.ReadAll(c); err != nil || string(b) != "answer" {
		t.Errorf("the guest read %q, %v", b, err)
	}

	c2, host2 := g.mustDial(t), h.accept(t)
	defer c2.Close()
	_ = host2.CloseWrite()
	if b, err := io.ReadAll(c2); err != nil || len(b) > 0 {
		t.Errorf("the guest read %q, %v", b, err)
	}
	_, _ = io.WriteString(c2, "still here")
	_ = c2.CloseWrite()
	if b, err := io.ReadAll(host2); err != nil || string(b) != "still here" {
		t.Errorf("the host read %q, %v", b, err)
	}
	host2.Close()
}

// TestResets: who breaks a connection off, breaks the other side's off.
func TestResets(t *testing.T) {
	h := newHost(t)
	u, g := newWire(t, Config{Connect: h.connect})
	c, host := g.mustDial(t), h.accept(t)
	_ = host.SetLinger(0)
	host.Close()
	if _, err := io.ReadAll(c); err == nil || !strings.Contains(err.Error(), "reset") {
		t.Errorf("the guest read %v, want a reset", err)
	}
	c.Close()

	_, host = g.mustDial(t), h.accept(t)
	for _, e := range g.stack.RegisteredEndpoints() {
		e.Abort()
	}
	if _, err := io.ReadAll(host); err == nil || !strings.Contains(err.Error(), "reset") {
		t.Errorf("the host read %v, want a reset", err)
	}
	host.Close()
	awaitSlots(t, u, 0)
}

// TestEarlyAnswer: a host that answers and closes while the guest still sends is
// heard.
func TestEarlyAnswer(t *testing.T) {
	h := newHost(t)
	u, g := newWire(t, Config{Connect: h.connect})
	c, host := g.mustDial(t), h.accept(t)
	_, _ = io.WriteString(c, "some of it")
	if _, err := io.ReadFull(host, make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(host, "too long")
	host.Close()
	if b, err := io.ReadAll(c); err != nil || string(b) != "too long" {
		t.Errorf("the guest read %q, %v", b, err)
	}
	c.Close()
	awaitSlots(t, u, 0)
}

// awaitSlots polls until n connections hold a slot.
func awaitSlots(t testing.TB, u *Uplink, n int) {
	t.Helper()
	late := time.After(patience)
	for len(u.slots) != n {
		select {
		case <-late:
			t.Fatalf("%d slots are taken, want %d", len(u.slots), n)
		case <-time.After(time.Millisecond): // polls another goroutine's work
		}
	}
}

func TestRefusals(t *testing.T) {
	answers := map[netip.AddrPort]error{
		netip.MustParseAddrPort("1.0.0.1:1"): Refused,
		netip.MustParseAddrPort("1.0.0.2:1"): errors.New("the policy says no"),
		netip.MustParseAddrPort("1.0.0.3:1"): Unreachable,
	}
	_, g := newWire(t, Config{Connect: func(_ context.Context, _ string, to netip.AddrPort) (*os.File, error) {
		return nil, answers[to]
	}})
	for to := range answers {
		if c, err := g.dial(t, to); err == nil || !strings.Contains(err.Error(), "refused") {
			t.Errorf("dial(%v) = %v, %v; want refused", to, c, err)
		}
	}
}

// TestSilence: what nobody answers is neither refused nor accepted.
func TestSilence(t *testing.T) {
	tries := make(chan struct{}, 16)
	u, g := newWire(t, Config{Connect: func(context.Context, string, netip.AddrPort) (*os.File, error) {
		tries <- struct{}{}
		return nil, TimedOut
	}})
	done := make(chan error, 1)
	go func() { _, err := g.dial(t, somewhere); done <- err }()
	<-tries
	<-tries // the guest sent its SYN again, and so it was tried again
	select {
	case err := <-done:
		t.Errorf("dial() = %v, want no answer", err)
	default:
	}
	u.link.shut()
	g.stack.Close()
	<-done
}

// TestConnections: no more than allowed, and those that end make room.
func TestConnections(t *testing.T) {
	h := newHost(t)
	u, g := newWire(t, Config{Connect: h.connect, Connections: 2})
	a, ha := g.mustDial(t), h.accept(t)
	b, hb := g.mustDial(t), h.accept(t)
	defer ha.Close()
	defer hb.Close()
	if _, err := g.dial(t, somewhere); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("the third of two connections: %v, want refused", err)
	}
	a.Close()
	ha.Close()
	awaitSlots(t, u, 1)
	c, hc := g.mustDial(t), h.accept(t)
	c.Close()
	hc.Close()
	b.Close()
}

// TestBackPressure: a host that does not read stops the guest, after no more
// than the buffers on the way, and goes on where it was.
func TestBackPressure(t *testing.T) {
	h := newHost(t)
	u, g := newWire(t, Config{Connect: h.connect})
	c, host := g.mustDial(t), h.accept(t)
	defer c.Close()
	_ = host.SetReadBuffer(64 << 10)
	const size = 24 << 20
	wrote := make(chan struct{})
	go func() {
		defer close(wrote)
		_, _ = io.Copy(c, io.LimitReader(rand.NewChaCha8([32]byte{2}), size))
		_ = c.CloseWrite()
	}()
	last := int64(-1)
	for n, _ := u.Counts(); n != last; n, _ = u.Counts() { // until nothing moves
		last = n
		select {
		case <-time.After(300 * time.Millisecond): // the pace of looking
		case <-wrote:
			t.Fatal("everything was taken, though nobody reads")
		}
	}
	if last > 16<<20 {
		t.Errorf("%d bytes were taken, though nobody reads", last)
	}
	n, err := io.Copy(io.Discard, host)
	if err != nil || n != size {
		t.Errorf("the host read %d, %v; want %d", n, err, size)
	}
	host.Close()
}

// TestBandwidth: a bound holds, both ways.
func TestBandwidth(t *testing.T) {
	const rate, size = 4 << 20, 4 << 20
	h := newHost(t)
	h.echo(t)
	_, g := newWire(t, Config{Connect: h.connect, Bandwidth: rate})
	c := g.mustDial(t)
	defer c.Close()
	begin := time.Now()
	go func() {
		_, _ = io.Copy(c, io.LimitReader(rand.NewChaCha8([32]byte{3}), size))
		_ = c.CloseWrite()
	}()
	if n, err := io.Copy(io.Discard, c); n != size || err != nil {
		t.Errorf("%d bytes came back, %v", n, err)
	}
	if took, least := time.Since(begin), time.Second*(size-burst)/rate; took < least {
		t.Errorf("%d bytes took %v, want at least %v", size, took, least)
	}
}

// TestSharedSlots: what one wire holds, another that shares them has not.
func TestSharedSlots(t *testing.T) {
	h := newHost(t)
	shared := NewSlots(1)
	u, g := newWire(t, Config{Connect: h.connect, Shared: shared})
	_, other := newWire(t, Config{Connect: h.connect, Shared: shared})
	c, host := g.mustDial(t), h.accept(t)
	if _, err := other.dial(t, somewhere); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("a connection beyond the shared ones: %v, want refused", err)
	}
	c.Close()
	host.Close()
	awaitSlots(t, u, 0)
	other.mustDial(t).Close()
	h.accept(t).Close()
}

// TestShare: many connections hold less each, and still work.
func TestShare(t *testing.T) {
	for n, want := range map[int]int64{0: receiveBytes, 1: receiveBytes, 128: receiveBytes, 256: receiveBytes / 2, 1024: leastBytes, 1 << 20: leastBytes} {
		if got := share(n); got != want {
			t.Errorf("share(%d) = %d, want %d", n, got, want)
		}
	}
	const n, size = 300, 1 << 20
	h := newHost(t)
	h.echo(t)
	u, g := newWire(t, Config{Connect: h.connect, Connections: n})
	for range n - 1 {
		c := g.mustDial(t)
		defer c.Close()
	}
	last := g.mustDial(t)
	defer last.Close()
	small := 0
	for _, e := range u.stack.RegisteredEndpoints() {
		if e.(*tcp.Endpoint).SocketOptions().GetReceiveBufferSize() < receiveBytes {
			small++
		}
	}
	if small < n-128-20 { // some may just have begun
		t.Errorf("%d of %d connections hold less than the most", small, n)
	}
	go func() {
		_, _ = io.Copy(last, io.LimitReader(rand.NewChaCha8([32]byte{9}), size))
		_ = last.CloseWrite()
	}()
	if got, err := io.Copy(io.Discard, last); got != size || err != nil {
		t.Errorf("%d bytes came back, %v; want %d", got, err, size)
	}
}

// TestReset: both sides learn that a connection is over, and the wire serves the
// next.
func TestReset(t *testing.T) {
	h := newHost(t)
	u, g := newWire(t, Config{Connect: h.connect})
	c, host := g.mustDial(t), h.accept(t)
	u.Reset()
	if _, err := io.ReadAll(c); err == nil {
		t.Error("the guest's end is still open")
	}
	if _, err := io.ReadAll(host); err == nil {
		t.Error("the host's end is still open")
	}
	host.Close()
	awaitSlots(t, u, 0)
	g.mustDial(t).Close()
	h.accept(t).Close()
}

// TestArrivals: a guest that opens connections without end is passed over, not
// refused, and asks for no more than so many.
func TestArrivals(t *testing.T) {
	var asked atomic.Int64
	u, g := newWire(t, Config{Connections: 2 * arrivalsAtOnce, Connect: func(context.Context, string, netip.AddrPort) (*os.File, error) {
		asked.Add(1)
		return nil, TimedOut
	}})
	begin := time.Now()
	g.link.Attach(sink{})
	for i := range 5 * arrivalsAtOnce {
		g.link.WritePackets(list(syn(uint16(1024 + i))))
	}
	awaitSlots(t, u, 0)
	most := arrivalsAtOnce + int64(1.1*time.Since(begin).Seconds()*arrivalsPerSecond) + 1
	if n := asked.Load(); n > most || n < arrivalsAtOnce {
		t.Errorf("the engine was asked %d times, want %d to %d", n, arrivalsAtOnce, most)
	}
}

// BenchmarkConnect is a connection, made and ended, without a sandbox around it.
func BenchmarkConnect(b *testing.B) {
	h := newHost(b)
	h.echo(b)
	u, g := newWire(b, Config{Connect: h.connect})
	u.arrivals.SetLimit(1e9)
	u.arrivals.SetBurst(1e9)
	for b.Loop() {
		g.mustDial(b).Close()
		awaitSlots(b, u, 0)
	}
}

// BenchmarkStream is 32 KiB to the host, without a sandbox around it.
func BenchmarkStream(b *testing.B) {
	h := newHost(b)
	_, g := newWire(b, Config{Connect: h.connect})
	c, host := g.mustDial(b), h.accept(b)
	go func() { _, _ = io.Copy(io.Discard, struct{ io.Reader }{host}) }()
	block := make([]byte, 32<<10)
	b.SetBytes(int64(len(block)))
	for b.Loop() {
		if _, err := c.Write(block); err != nil {
			b.Fatal(err)
		}
	}
	c.Close()
	host.Close()
}
