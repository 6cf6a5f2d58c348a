package throttle

import (
	"net/netip"
	"testing"
	"time"
)

// TestSources: who calls too often keeps nobody else out, addresses of one network of
// IPv6 are one, and all together have a bound too.
func TestSources(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	s := NewSources(Rate{10, 10}, Rate{25, 25}, func() time.Time { return now })
	allowed := func(addr string, calls int) (n int) {
		for range calls {
			if s.Allow(netip.MustParseAddr(addr)) {
				n++
			}
		}
		return n
	}
	for _, tt := range []struct {
		addr        string
		calls, want int
	}{
		{"192.0.2.1", 100, 10}, {"::ffff:192.0.2.1", 5, 0}, {"2001:db8::1", 6, 6}, {"2001:db8::2%eth0", 6, 4}, {"2001:db8:0:1::1", 10, 5}, {"192.0.2.2", 1, 0},
	} {
		if n := allowed(tt.addr, tt.calls); n != tt.want {
			t.Errorf("%s: %d of %d, want %d", tt.addr, n, tt.calls, tt.want)
		}
	}
	now = now.Add(time.Second)
	if n := allowed("192.0.2.2", 20); n != 10 {
		t.Errorf("a second later: %d", n)
	}
	if !s.Allow(netip.Addr{}) {
		t.Error("a call whose address is not known is refused")
	}
}

// TestManySources: the table is bounded, and who was over the bound stays so.
func TestManySources(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	s := NewSources(Rate{2, 2}, Rate{1000, 1000}, func() time.Time { return now })
	busy := netip.MustParseAddr("192.0.2.1")
	addr := netip.MustParseAddr("10.0.0.0")
	for i := range 3 * maxBuckets {
		if i%500 == 0 {
			now = now.Add(time.Second / 2)
			s.Allow(busy)
		}
		addr = addr.Next()
		s.Allow(addr)
	}
	if s.Allow(busy); s.Allow(busy) {
		t.Error("who calls too often is forgotten")
	}
	if n := len(s.from); n > maxBuckets+1000 {
		t.Errorf("%d sources are remembered", n)
	}
}

func BenchmarkSources(b *testing.B) {
	s := NewSources(Rate{600, 600}, Rate{2400, 2400}, time.Now)
	addr := netip.MustParseAddr("192.0.2.1")
	for b.Loop() {
		s.Allow(addr)
	}
}
