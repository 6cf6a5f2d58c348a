package supervisor

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"testing"

	"github.com/outcrop/outcrop/internal/sandbox/gvisor/supervisor/uplink"
	"github.com/outcrop/outcrop/internal/sandbox/gvisor/wire"
	"github.com/outcrop/outcrop/internal/sandbox/socketpair"
)

// TestAsks: each answer finds who waits for it, and a file that nobody waits for
// any more is closed.
func TestAsks(t *testing.T) {
	a, b, err := socketpair.Files(socketpair.Stream)
	if err != nil {
		t.Fatal(err)
	}
	ours, err := wire.NewConn(a)
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	engine, err := wire.NewConn(b)
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()
	var all asks
	type result struct {
		file *os.File
		err  error
	}
	ask := func(ctx context.Context) (<-chan result, uint64) {
		c := make(chan result, 1)
		go func() {
			file, err := all.connect(ctx, ours, &wire.Connect{Sandbox: "x", Network: "tcp", To: netip.MustParseAddrPort("1.2.3.4:5")})
			c <- result{file, err}
		}()
		m, _, err := engine.Receive()
		if err != nil || m.Connect == nil || m.Connect.To.String() != "1.2.3.4:5" {
			t.Fatalf("the engine got %+v, %v", m, err)
		}
		return c, m.Connect.Flow
	}
	file := func() *os.File {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		w.Close()
		return r
	}
	for refusal, want := range map[wire.Kind]error{wire.Refused: uplink.Refused, wire.Unreachable: uplink.Unreachable, wire.TimedOut: uplink.TimedOut} {
		c, flow := ask(t.Context())
		all.answer(&wire.Connected{Flow: flow, Refusal: refusal}, nil)
		if r := <-c; !errors.Is(r.err, want) || r.file != nil {
			t.Errorf("%s: %v, want %v", refusal, r.err, want)
		}
	}
	c, flow := ask(t.Context())
	good := file()
	all.answer(&wire.Connected{Flow: flow}, []*os.File{good})
	if r := <-c; r.err != nil || r.file != good {
		t.Errorf("connect() = %v, %v", r.file, r.err)
	}
	good.Close()
	c, flow = ask(t.Context())
	all.answer(&wire.Connected{Flow: flow}, nil)
	if r := <-c; r.err == nil {
		t.Error("an answer without a file is a connection")
	}
	ctx, cancel := context.WithCancel(t.Context())
	c, flow = ask(ctx)
	cancel()
	if r := <-c; !errors.Is(r.err, context.Canceled) {
		t.Errorf("connect() given up = %v", r.err)
	}
	late := file()
	all.answer(&wire.Connected{Flow: flow}, []*os.File{late})
	if err := late.Close(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("a file that nobody waits for is still open: %v", err)
	}
	if len(all.waiting) != 0 {
		t.Errorf("%d are waiting", len(all.waiting))
	}
}

func TestConnectionSlots(t *testing.T) {
	if n := cap(connectionSlots()); n < sparedFiles/2 || n > 1<<19 {
		t.Errorf("there are %d slots", n)
	}
}
