package network

import (
	"context"
	"errors"
	"flag"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/net/dns/dnsmessage"
)

var update = flag.Bool("update", false, "write the golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// machineAt is a machine that has some addresses.
func machineAt(addresses ...string) *Machine {
	return newMachine(func() ([]net.Addr, error) {
		var all []net.Addr
		for _, a := range addresses {
			all = append(all, &net.IPNet{IP: net.ParseIP(a), Mask: net.CIDRMask(24, 32)})
		}
		return all, nil
	}, time.Now)
}

var errDialled = errors.New("dialled")

// dialled is what a session asks the network for.
type dialled struct {
	mu  sync.Mutex
	all []string
}

func (d *dialled) dial(_ context.Context, network, address string) (net.Conn, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.all = append(d.all, network+" "+address)
	return nil, errDialled
}

// newSession is a session on a machine at 10.0.0.5 and 93.184.216.1, closed with
// the test.
func newSession(t testing.TB, cfg Config) *Session {
	t.Helper()
	if cfg.Machine == nil {
		cfg.Machine = machineAt("127.0.0.1", "10.0.0.5", "93.184.216.1")
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func prefixes(list ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, p := range list {
		all = append(all, netip.MustParsePrefix(p))
	}
	return all
}

// TestPolicies goes through destinations, policy by policy. What is reached is
// the very address that was asked for; the texts of refusals are golden.
func TestPolicies(t *testing.T) {
	corp := &Profile{Name: "corp", Rules: []Rule{
		{Prefix: netip.MustParsePrefix("10.0.0.0/16"), First: 443, Last: 443, Network: "tcp"},
		{Prefix: netip.MustParsePrefix("8.8.8.8/32"), First: 53, Last: 53},
	}}
	everything := []string{
		"tcp 93.184.216.34:443", "udp 8.8.8.8:53", "tcp 1.1.1.1:80", "tcp 172.15.255.255:1", "tcp 172.32.0.0:1", "tcp 100.63.255.255:1",
		"tcp 100.128.0.0:1", "tcp 192.0.1.1:1", "tcp 223.255.255.255:1", "tcp 11.0.0.1:1", "tcp 9.255.255.255:1", "tcp 10.0.0.6:443",
		"tcp 10.0.0.6:80", "udp 10.0.0.6:443", "tcp 0.1.2.3:80", "tcp 100.64.0.1:1", "tcp 100.127.255.255:1", "tcp 172.16.0.1:1",
		"tcp 172.31.255.255:1", "tcp 192.168.1.1:1", "tcp 192.0.2.1:80", "tcp 192.88.99.1:1", "tcp 198.18.0.1:1", "tcp 198.19.255.255:1",
		"tcp 198.51.100.1:1", "tcp 203.0.113.1:1", "udp 224.0.0.1:1", "udp 239.1.1.1:1", "udp 240.0.0.1:1", "udp 255.255.255.255:1",
	}
	policies := []struct {
		name    string
		policy  Policy
		reached []string
	}{
		{"sandbox", Policy{Mode: Sandbox}, nil},
		{"public", Policy{Mode: Public}, []string{
			"tcp 93.184.216.34:443", "udp 8.8.8.8:53", "tcp 1.1.1.1:80", "tcp 172.15.255.255:1", "tcp 172.32.0.0:1", "tcp 100.63.255.255:1",
			"tcp 100.128.0.0:1", "tcp 192.0.1.1:1", "tcp 223.255.255.255:1", "tcp 11.0.0.1:1", "tcp 9.255.255.255:1",
		}},
		{"public opened", Policy{Mode: Public, Allow: prefixes("10.0.0.0/8", "192.0.0.0/16", "127.0.0.1/32")}, []string{
			"tcp 93.184.216.34:443", "udp 8.8.8.8:53", "tcp 1.1.1.1:80", "tcp 172.15.255.255:1", "tcp 172.32.0.0:1", "tcp 100.63.255.255:1",
			"tcp 100.128.0.0:1", "tcp 192.0.1.1:1", "tcp 223.255.255.255:1", "tcp 11.0.0.1:1", "tcp 9.255.255.255:1",
			"tcp 10.0.0.6:443", "tcp 10.0.0.6:80", "udp 10.0.0.6:443", "tcp 127.0.0.1:8642", "tcp 192.0.2.1:80",
		}},
		{"profile", Policy{Mode: VPC, Profile: corp}, []string{"udp 8.8.8.8:53", "tcp 10.0.0.6:443"}},
		{"unmapped", Policy{Mode: VPC, Subnets: []string{"subnet-0a", "subnet-0b"}, MapCommand: "outcrop network map subnet-0a PROFILE"}, nil},
		{"everything opened", Policy{Mode: VPC, Profile: &Profile{Name: "all", Rules: []Rule{{Prefix: netip.MustParsePrefix("0.0.0.0/0")}}}}, everything},
		{"hosts", Policy{Mode: Public, Hosts: []string{"pypi.org"}}, nil},
	}
	var text strings.Builder
	for _, p := range policies {
		var d dialled
		text.WriteString("== " + p.name + "\n")
		s := newSession(t, Config{Policy: p.policy, Dial: d.dial, Note: func(r Refusal) { text.WriteString(r.String() + "\n") }})
		for _, to := range []string{
			"tcp 93.184.216.34:443", "udp 8.8.8.8:53", "tcp 1.1.1.1:80", "tcp 172.15.255.255:1", "tcp 172.32.0.0:1",
			"tcp 100.63.255.255:1", "tcp 100.128.0.0:1", "tcp 192.0.1.1:1", "tcp 223.255.255.255:1", "tcp 11.0.0.1:1", "tcp 9.255.255.255:1",
			"tcp 10.0.0.6:443", "tcp 10.0.0.6:80", "udp 10.0.0.6:443", "tcp 10.0.0.5:443", "tcp 93.184.216.1:443",
			"tcp 127.0.0.1:8642", "tcp 127.8.8.8:1", "tcp 0.0.0.0:80", "tcp 0.1.2.3:80", "tcp 100.64.0.1:1", "tcp 100.127.255.255:1",
			"tcp 169.254.169.254:80", "tcp 169.254.1.1:80", "tcp 172.16.0.1:1", "tcp 172.31.255.255:1", "tcp 192.168.1.1:1",
			"tcp 192.0.0.1:80", "tcp 192.0.0.3:80", "tcp 192.0.0.9:80", "udp 192.0.0.1:8642", "tcp 192.0.2.1:80", "tcp 192.88.99.1:1",
			"tcp 198.18.0.1:1", "tcp 198.19.255.255:1", "tcp 198.51.100.1:1", "tcp 203.0.113.1:1", "udp 224.0.0.1:1", "udp 239.1.1.1:1",
			"udp 240.0.0.1:1", "udp 255.255.255.255:1", "tcp [::1]:80", "tcp [2606:4700::1111]:443", "tcp [::ffff:127.0.0.2]:80",
			"tcp [::ffff:10.0.0.5]:443",
		} {
			network, address, _ := strings.Cut(to, " ")
			_, err := s.Connect(t.Context(), network, netip.MustParseAddrPort(address))
			var r *Refusal
			if !errors.Is(err, errDialled) && !errors.As(err, &r) {
				t.Errorf("%s: %s: %v", p.name, to, err)
			}
		}
		var want []string
		for _, to := range p.reached {
			want = append(want, strings.Replace(to, " ", "4 ", 1))
		}
		if got := strings.Join(d.all, "\n"); got != strings.Join(want, "\n") {
			t.Errorf("%s reaches\n%s\nwant\n%s", p.name, got, strings.Join(want, "\n"))
		}
	}
	golden(t, "testdata/refusals.golden", text.String())
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (run with -update to accept):\n%s", path, got)
	}
}

func TestBadPolicies(t *testing.T) {
	for text, p := range map[string]Policy{
		`mode "" is none`:                   {},
		"not an IPv4 range":                 {Mode: Public, Allow: prefixes("2001:db8::/32")},
		"10.1.0.0/16 is meant":              {Mode: Public, Allow: prefixes("10.1.2.3/16")},
		"neither a host's name":             {Mode: Public, Hosts: []string{"a..b"}},
		`allowed host "*"`:                  {Mode: Public, Hosts: []string{"*"}},
		`allowed host "a.*.b"`:              {Mode: Public, Hosts: []string{"a.*.b"}},
		"profile x: ports 2 to 1":           {Mode: VPC, Profile: &Profile{Name: "x", Rules: []Rule{{Prefix: netip.MustParsePrefix("10.0.0.0/8"), First: 2, Last: 1}}}},
		`profile x: ports 0 to 0 of "icmp"`: {Mode: VPC, Profile: &Profile{Name: "x", Rules: []Rule{{Prefix: netip.MustParsePrefix("10.0.0.0/8"), Network: "icmp"}}}},
	} {
		if _, err := New(Config{Policy: p, Machine: machineAt()}); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("New() = %v, want %q", err, text)
		}
	}
}

func TestHostAllowed(t *testing.T) {
	p := Policy{Hosts: []string{"PyPI.org", "*.example.com"}}
	for name, want := range map[string]bool{
		"pypi.org.": true, "files.pypi.org.": false, "xpypi.org.": false, "a.example.com.": true, "a.b.example.com.": true,
		"example.com.": false, "notexample.com.": false, ".example.com.": false, "pypi.org.evil.net.": false,
	} {
		if got := p.hostAllowed(name); got != want {
			t.Errorf("hostAllowed(%s) = %t, want %t", name, got, want)
		}
	}
}

// TestCommands: where the operator's commands are known, a refusal names the whole
// of the one that opens just this destination.
func TestCommands(t *testing.T) {
	public := Policy{Mode: Public, AllowCommand: "open", HostCommand: "host"}
	narrow := public
	narrow.Hosts = []string{"pypi.org"}
	vpc := Policy{Mode: VPC, Profile: &Profile{Name: "corp", RuleCommand: "add corp --rule"}}
	for _, tt := range []struct {
		policy  Policy
		network string
		to      string
		want    string
	}{
		{public, "tcp", "10.1.4.7:5432", "run: open 10.1.4.7/32, or use network mode VPC with a profile"},
		{public, "tcp", "10.0.0.5:80", "run: open 10.0.0.5/32"},
		{public, "tcp", "127.0.0.1:80", fixLoopback},
		{narrow, "tcp", "93.184.216.34:443", fixHosts},
		{vpc, "udp", "10.1.4.7:53", "run: add corp --rule 10.1.4.7/32:53/udp"},
		{vpc, "tcp", "10.0.0.5:80", "run: add corp --rule 10.0.0.5/32:80/tcp"},
		{vpc, "tcp", "0.0.0.0:80", fixLoopback},
	} {
		s := newSession(t, Config{Policy: tt.policy, Dial: new(dialled).dial})
		_, err := s.Connect(t.Context(), tt.network, netip.MustParseAddrPort(tt.to))
		if r, ok := errors.AsType[*Refusal](err); !ok || r.Fix != tt.want {
			t.Errorf("%s %s: %v, want %q", tt.network, tt.to, err, tt.want)
		}
	}
	s := newSession(t, Config{Policy: narrow})
	if _, fix := s.unresolvable("api.example.com."); fix != "run: host api.example.com" {
		t.Errorf("a name: %q", fix)
	}
	if _, fix := s.unresolvable("$(reboot)."); fix != fixHosts {
		t.Errorf("what is no name: %q", fix)
	}
}

// TestNotes: each destination once, and no more of them than a log can bear.
func TestNotes(t *testing.T) {
	n := 0
	s := newSession(t, Config{Policy: Policy{Mode: Sandbox}, Note: func(Refusal) { n++ }})
	for range 3 {
		for i := range maxNoted + 100 {
			_, _ = s.Connect(t.Context(), "tcp", netip.AddrPortFrom(netip.AddrFrom4([4]byte{1, 2, byte(i >> 8), byte(i)}), 80))
		}
	}
	if n != maxNoted {
		t.Errorf("%d refusals were told of, want %d", n, maxNoted)
	}
}

// TestMachineChanges: a new address of the machine is closed soon, and all are
// while they cannot be found out.
func TestMachineChanges(t *testing.T) {
	now := time.Unix(0, 0)
	addresses := []net.Addr{&net.IPNet{IP: net.IPv4(10, 0, 0, 5), Mask: net.CIDRMask(24, 32)}}
	var failed error
	m := newMachine(func() ([]net.Addr, error) { return addresses, failed }, func() time.Time { return now })
	a, b := netip.MustParseAddr("10.0.0.5"), netip.MustParseAddr("10.0.0.6")
	if !m.Has(a) || m.Has(b) {
		t.Error("the machine does not know its own address from another")
	}
	addresses = append(addresses, &net.IPNet{IP: net.IPv4(10, 0, 0, 6), Mask: net.CIDRMask(24, 32)})
	now = now.Add(machineAge + 1)
	if !m.Has(b) {
		t.Error("a new address is not noticed")
	}
	failed = errors.New("no")
	now = now.Add(machineAge + 1)
	if !m.Has(netip.MustParseAddr("1.1.1.1")) {
		t.Error("an address is taken for another's, though nothing is known")
	}
}

// TestToItself: a connection that the kernel took to this machine is closed,
// though no interface lists its address.
func TestToItself(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := newSession(t, Config{Policy: Policy{Mode: Public}, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, l.Addr().String())
	}})
	var r *Refusal
	if c, err := s.Connect(t.Context(), "tcp", netip.MustParseAddrPort("93.184.216.34:80")); !errors.As(err, &r) || r.Reason != reasonMachine {
		t.Errorf("Connect() = %v, %v; want a refusal", c, err)
	}
}

// TestHandlers: Outcrop's own addresses are reached under every policy, and only
// while somebody answers there.
func TestHandlers(t *testing.T) {
	metadata := netip.MustParseAddrPort("169.254.169.254:80")
	s := newSession(t, Config{Policy: Policy{Mode: Sandbox}})
	if _, err := s.Connect(t.Context(), "tcp", metadata); err == nil {
		t.Error("somebody answers where nobody is")
	}
	ours, theirs := net.Pipe()
	defer ours.Close()
	defer theirs.Close()
	s.Handle(metadata, func(context.Context) (net.Conn, error) { return theirs, nil })
	if c, err := s.Connect(t.Context(), "tcp", metadata); c != theirs || err != nil {
		t.Errorf("Connect() = %v, %v", c, err)
	}
	if _, err := s.Connect(t.Context(), "udp", metadata); err == nil {
		t.Error("a handler of TCP got UDP")
	}
	s.Handle(metadata, nil)
	if _, err := s.Connect(t.Context(), "tcp", metadata); err == nil {
		t.Error("somebody answers where nobody is any more")
	}
}

// TestAnsweredIsBounded: a guest that resolves names without end costs no more
// memory than the bound.
func TestAnsweredIsBounded(t *testing.T) {
	var a answers
	now := time.Unix(0, 0)
	for i := range 3 * maxAnswered {
		a.add(string(rune('a'+i%26))+".", netip.AddrFrom4([4]byte{1, byte(i >> 16), byte(i >> 8), byte(i)}), time.Minute, now)
		if a.n > maxAnswered || len(a.byIP) > maxAnswered {
			t.Fatalf("%d addresses are kept, at most %d", len(a.byIP), maxAnswered)
		}
	}
	addr := netip.MustParseAddr("1.0.0.1")
	a.add("x.", addr, time.Minute, now)
	if got := a.names(addr, now.Add(time.Minute+keepAnswered)); len(got) == 0 {
		t.Error("an address is forgotten too early")
	}
	if got := a.names(addr, now.Add(time.Minute+keepAnswered+1)); len(got) != 0 {
		t.Errorf("an address is still %v's", got)
	}
}

// fixed is a Resolver that answers from a table of addresses.
type fixed map[string][]string

// Resolve implements Resolver.
func (f fixed) Resolve(_ context.Context, q dnsmessage.Question) (Answer, error) {
	name := strings.ToLower(q.Name.String())
	addresses, ok := f[name]
	if !ok {
		return Answer{Code: dnsmessage.RCodeNameError}, nil
	}
	var a Answer
	for _, text := range addresses {
		a.Records = append(a.Records, dnsmessage.Resource{
			Header: dnsmessage.ResourceHeader{Name: q.Name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET, TTL: 1},
			Body:   &dnsmessage.AResource{A: netip.MustParseAddr(text).As4()},
		})
	}
	return a, nil
}

// lookup asks the session's name server as a guest does.
func lookup(t *testing.T, s *Session, name string) []string {
	t.Helper()
	r := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		c, err := s.Connect(ctx, network, DNS)
		if err == nil && network == "tcp" { // or Go takes the socket for one of packets
			c = struct{ net.Conn }{c}
		}
		return c, err
	}}
	addresses, err := r.LookupHost(t.Context(), name)
	if err != nil {
		return nil
	}
	return addresses
}

// TestHosts: an allowed name's addresses are reached after it was resolved, and
// never those that the policy closes; other names do not even resolve.
func TestHosts(t *testing.T) {
	var d dialled
	s := newSession(t, Config{
		Policy: Policy{Mode: Public, Hosts: []string{"pypi.org", "*.example.com"}}, Dial: d.dial,
		Resolver: fixed{
			"pypi.org.": {"151.101.0.223"}, "rebind.example.com.": {"93.184.216.34", "127.0.0.1", "10.0.0.5", "192.168.0.1", "93.184.216.1"},
			"evil.net.": {"6.6.6.6"},
		},
	})
	reach := func(address string) bool {
		_, err := s.Connect(t.Context(), "tcp", netip.AddrPortFrom(netip.MustParseAddr(address), 443))
		return errors.Is(err, errDialled)
	}
	if reach("151.101.0.223") {
		t.Error("an address is reached before its name was resolved")
	}
	if got := lookup(t, s, "PyPI.org"); len(got) != 1 || got[0] != "151.101.0.223" {
		t.Errorf("PyPI.org is %v", got)
	}
	if got := lookup(t, s, "evil.net"); got != nil {
		t.Errorf("evil.net is %v", got)
	}
	if got := lookup(t, s, "rebind.example.com"); len(got) != 5 {
		t.Errorf("rebind.example.com is %v", got)
	}
	for address, want := range map[string]bool{
		"151.101.0.223": true, "93.184.216.34": true, "6.6.6.6": false,
		"127.0.0.1": false, "10.0.0.5": false, "192.168.0.1": false, "93.184.216.1": false,
	} {
		if got := reach(address); got != want {
			t.Errorf("%s is reached: %t, want %t", address, got, want)
		}
	}
}
